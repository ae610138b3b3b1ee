//===- Mutator.cpp - changes to ONNX models -------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Mutator.h"

#include <algorithm>
#include <limits>
#include <set>

using namespace onnx;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::RepeatedPtrField;

namespace tenon::fuzz {

namespace {

int64_t anyInt(Random &random) {
  static const int64_t values[] = {0,
                                   1,
                                   -1,
                                   2,
                                   3,
                                   7,
                                   8,
                                   -2,
                                   16,
                                   127,
                                   128,
                                   255,
                                   1000,
                                   65536,
                                   1000003,
                                   INT32_MAX,
                                   int64_t(INT32_MAX) + 1,
                                   INT32_MIN,
                                   int64_t(1) << 40,
                                   int64_t(1) << 62,
                                   INT64_MAX,
                                   INT64_MIN};
  return values[random.below(std::size(values))];
}

float anyFloat(Random &random) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  static const float values[] = {
      0,     -0.0f, 1,   -1,   0.5f,   1e-6,
      1e38f, -3e4f, inf, -inf, 1e-45f, std::numeric_limits<float>::quiet_NaN()};
  return values[random.below(std::size(values))];
}

template <typename T>
T *pick(RepeatedPtrField<T> *list, Random &random) {
  return list->empty() ? nullptr
                       : list->Mutable(int(random.below(list->size())));
}
template <typename T>
void drop(RepeatedPtrField<T> *list, Random &random) {
  if (!list->empty())
    list->DeleteSubrange(int(random.below(list->size())), 1);
}

/// The graph and those of its nodes' attributes.
void collectGraphs(GraphProto *graph, std::vector<GraphProto *> &graphs) {
  graphs.push_back(graph);
  for (NodeProto &node : *graph->mutable_node())
    for (AttributeProto &attribute : *node.mutable_attribute()) {
      if (attribute.has_g())
        collectGraphs(attribute.mutable_g(), graphs);
      for (GraphProto &inner : *attribute.mutable_graphs())
        collectGraphs(&inner, graphs);
    }
}

std::vector<std::string> valuesOf(const GraphProto &graph) {
  std::vector<std::string> names;
  for (const auto &input : graph.input())
    names.push_back(input.name());
  for (const auto &tensor : graph.initializer())
    names.push_back(tensor.name());
  for (const auto &node : graph.node())
    for (const auto &name : node.output())
      names.push_back(name);
  return names;
}

std::string anyValue(const GraphProto &graph, Random &random) {
  std::vector<std::string> names = valuesOf(graph);
  return names.empty() ? "nothing" : names[random.below(names.size())];
}

void changeShape(TensorShapeProto *shape, Random &random) {
  static const char *const names[] = {"batch", "n",   "N + 1", "-1",
                                      "2*n",   "seq", "",      "n[0]"};
  if (random.oneIn(6) && shape->dim_size() < 10) {
    shape->add_dim()->set_dim_value(anyInt(random));
    return;
  }
  auto *dim = pick(shape->mutable_dim(), random);
  if (!dim)
    return;
  switch (random.below(4)) {
  case 0:
    return dim->set_dim_value(anyInt(random));
  case 1:
    return dim->set_dim_param(names[random.below(std::size(names))]);
  case 2:
    return dim->set_dim_value(int64_t(random.below(9)));
  default:
    return drop(shape->mutable_dim(), random);
  }
}

void changeType(ValueInfoProto *info, Random &random) {
  if (!info)
    return;
  auto *tensor = info->mutable_type()->mutable_tensor_type();
  switch (random.below(6)) {
  case 0:
    return tensor->set_elem_type(int(random.below(28)));
  case 1:
    return tensor->clear_shape();
  case 2: {
    TypeProto inner = info->type();
    auto *sequence = info->mutable_type()->mutable_sequence_type();
    *sequence->mutable_elem_type() = inner;
    return;
  }
  default:
    return changeShape(tensor->mutable_shape(), random);
  }
}

void changeTensor(TensorProto *tensor, Random &random) {
  if (!tensor)
    return;
  switch (random.below(8)) {
  case 0:
    return tensor->set_data_type(int(random.below(28)));
  case 1:
    if (tensor->dims_size())
      tensor->set_dims(int(random.below(tensor->dims_size())), anyInt(random));
    return;
  case 2:
    if (random.oneIn(2) || tensor->dims().empty())
      tensor->add_dims(anyInt(random));
    else
      tensor->mutable_dims()->RemoveLast();
    return;
  case 3:
    if (tensor->int64_data_size())
      tensor->set_int64_data(int(random.below(tensor->int64_data_size())),
                             anyInt(random));
    else if (tensor->raw_data().size() >= 8) {
      std::string &raw = *tensor->mutable_raw_data();
      int64_t value = anyInt(random);
      memcpy(raw.data() + random.below(raw.size() / 8) * 8, &value, 8);
    }
    return;
  case 4:
    if (std::string &raw = *tensor->mutable_raw_data(); !raw.empty())
      raw[random.below(raw.size())] ^= char(1 << random.below(8));
    return;
  case 5:
    return tensor->mutable_raw_data()->resize(
        random.below(tensor->raw_data().size() + 1));
  case 6: {
    static const char *const keys[] = {"location", "offset", "length"};
    static const char *const values[] = {"w.bin", "-1", "0",
                                         "..",    "",   "18446744073709551615"};
    tensor->set_data_location(TensorProto::EXTERNAL);
    auto *entry = tensor->add_external_data();
    entry->set_key(keys[random.below(3)]);
    entry->set_value(values[random.below(std::size(values))]);
    return;
  }
  default:
    if (tensor->float_data_size())
      tensor->set_float_data(int(random.below(tensor->float_data_size())),
                             anyFloat(random));
    return;
  }
}

/// Any message below `message`, each about as likely as its siblings.
Message *anyMessage(Message *message, Random &random) {
  while (!random.oneIn(4)) {
    const Reflection *reflection = message->GetReflection();
    std::vector<const FieldDescriptor *> fields;
    reflection->ListFields(*message, &fields);
    std::erase_if(fields, [](const FieldDescriptor *field) {
      return field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE;
    });
    if (fields.empty())
      break;
    const FieldDescriptor *field = fields[random.below(fields.size())];
    message =
        field->is_repeated()
            ? reflection->MutableRepeatedMessage(
                  message, field,
                  int(random.below(reflection->FieldSize(*message, field))))
            : reflection->MutableMessage(message, field);
  }
  return message;
}

/// Changes a field that no other change knows about.
void changeField(Message *message, Random &random) {
  const Reflection *reflection = message->GetReflection();
  const auto *descriptor = message->GetDescriptor();
  if (!descriptor->field_count())
    return;
  const FieldDescriptor *field =
      descriptor->field(int(random.below(descriptor->field_count())));
  if (field->is_repeated()) {
    int size = reflection->FieldSize(*message, field);
    if (size == 0)
      return;
    if (size > 1 && random.oneIn(2))
      reflection->SwapElements(message, field, int(random.below(size)),
                               int(random.below(size)));
    else
      reflection->RemoveLast(message, field);
    return;
  }
  if (random.oneIn(3))
    return reflection->ClearField(message, field);
  switch (field->cpp_type()) {
  case FieldDescriptor::CPPTYPE_INT64:
    return reflection->SetInt64(message, field, anyInt(random));
  case FieldDescriptor::CPPTYPE_INT32:
    return reflection->SetInt32(message, field, int32_t(anyInt(random)));
  case FieldDescriptor::CPPTYPE_FLOAT:
    return reflection->SetFloat(message, field, anyFloat(random));
  case FieldDescriptor::CPPTYPE_ENUM:
    return reflection->SetEnumValue(message, field, int(random.below(28)));
  default:
    return;
  }
}

} // namespace

void Mutator::learn(const ModelProto &model) {
  ModelProto copy = model;
  std::vector<GraphProto *> graphs;
  collectGraphs(copy.mutable_graph(), graphs);
  for (FunctionProto &function : *copy.mutable_functions()) {
    GraphProto *graph = copy.mutable_graph();
    graph->mutable_node()->MergeFrom(function.node());
  }
  for (const GraphProto *graph : graphs)
    for (const NodeProto &node : graph->node()) {
      for (const AttributeProto &attribute : node.attribute())
        if (attribute.ByteSizeLong() < 4096) {
          attributes.push_back(attribute);
          if (attribute.has_s())
            strings.push_back(attribute.s());
        }
      if (node.ByteSizeLong() < 16384)
        nodes.push_back(node);
    }
}

void Mutator::changeAttribute(NodeProto &node, Random &random) const {
  AttributeProto *attribute = pick(node.mutable_attribute(), random);
  if (!attribute || random.oneIn(8)) {
    if (!attributes.empty())
      *node.add_attribute() = attributes[random.below(attributes.size())];
    return;
  }
  switch (random.below(8)) {
  case 0:
    return drop(node.mutable_attribute(), random);
  case 1:
    return attribute->set_type(AttributeProto::AttributeType(random.below(15)));
  case 2:
    if (!attributes.empty())
      attribute->set_name(attributes[random.below(attributes.size())].name());
    return;
  case 3:
    if (attribute->ints_size() && random.oneIn(2))
      attribute->mutable_ints()->RemoveLast();
    else
      attribute->add_ints(anyInt(random));
    return;
  default:
    if (attribute->has_t())
      return changeTensor(attribute->mutable_t(), random);
    if (attribute->ints_size())
      return attribute->set_ints(int(random.below(attribute->ints_size())),
                                 anyInt(random));
    if (attribute->floats_size())
      return attribute->set_floats(int(random.below(attribute->floats_size())),
                                   anyFloat(random));
    if (attribute->has_s() && !strings.empty())
      return attribute->set_s(strings[random.below(strings.size())]);
    if (attribute->has_f())
      return attribute->set_f(anyFloat(random));
    return attribute->set_i(random.oneIn(2) ? anyInt(random)
                                            : int64_t(random.below(9)) - 3);
  }
}

void Mutator::changeNode(GraphProto &graph, Random &random) const {
  NodeProto *node = pick(graph.mutable_node(), random);
  if (!node)
    return;
  switch (random.below(9)) {
  case 0:
    if (!nodes.empty()) {
      const NodeProto &like = nodes[random.below(nodes.size())];
      node->set_op_type(like.op_type());
      node->set_domain(like.domain());
    }
    return;
  case 1:
    node->add_input(anyValue(graph, random));
    return;
  case 2:
    return drop(node->mutable_input(), random);
  case 3:
    if (node->input_size())
      node->set_input(int(random.below(node->input_size())), "");
    return;
  case 4:
    if (node->input_size())
      node->set_input(int(random.below(node->input_size())),
                      anyValue(graph, random));
    return;
  case 5:
    if (node->output_size())
      node->set_output(int(random.below(node->output_size())),
                       random.oneIn(2) ? "" : anyValue(graph, random));
    return;
  default:
    return changeAttribute(*node, random);
  }
}

void Mutator::changeNodes(GraphProto &graph, Random &random) const {
  auto *list = graph.mutable_node();
  switch (random.below(5)) {
  case 0:
    return drop(list, random);
  case 1:
    if (NodeProto *node = pick(list, random)) {
      NodeProto copy = *node;
      if (random.oneIn(2))
        for (std::string &output : *copy.mutable_output())
          output += "_2";
      *list->Add() = copy;
    }
    return;
  case 2:
    if (list->size() > 1)
      list->SwapElements(int(random.below(list->size())),
                         int(random.below(list->size())));
    return;
  case 3: // a node between a value and one of its users
    if (NodeProto *user = pick(list, random);
        user && user->input_size() && !nodes.empty()) {
      NodeProto added = nodes[random.below(nodes.size())];
      int place = int(random.below(user->input_size()));
      for (std::string &input : *added.mutable_input())
        input = anyValue(graph, random);
      if (added.input_size())
        added.set_input(0, user->input(place));
      for (int i = 0; i < added.output_size(); ++i)
        added.set_output(i, "new" + std::to_string(random.below(1000)) + "_" +
                                std::to_string(i));
      if (added.output_size())
        user->set_input(place, added.output(0));
      *list->Add() = added;
      std::rotate(list->pointer_begin(), list->pointer_end() - 1,
                  list->pointer_end());
    }
    return;
  default:
    if (auto *output = pick(graph.mutable_output(), random)) {
      if (random.oneIn(3)) {
        ValueInfoProto copy = *output;
        *graph.add_output() = copy;
      } else {
        output->set_name(anyValue(graph, random));
      }
    }
    return;
  }
}

/// Puts another model's nodes behind these, with some of its inputs from here.
void Mutator::splice(GraphProto &graph, const GraphProto &other,
                     Random &random) const {
  if (graph.node_size() > 60 || other.node_size() > 20)
    return;
  std::set<std::string> inputs;
  for (const auto &input : other.input())
    inputs.insert(input.name());
  auto rename = [&](const std::string &name) {
    if (name.empty())
      return name;
    if (inputs.count(name) && random.oneIn(2))
      return anyValue(graph, random);
    return "o_" + name;
  };
  GraphProto before = graph;
  for (const TensorProto &tensor : other.initializer()) {
    auto *copy = graph.add_initializer();
    *copy = tensor;
    copy->set_name("o_" + tensor.name());
  }
  for (const ValueInfoProto &input : other.input()) {
    auto *copy = graph.add_input();
    *copy = input;
    copy->set_name("o_" + input.name());
  }
  for (const NodeProto &node : other.node()) {
    NodeProto copy = node;
    for (std::string &name : *copy.mutable_input())
      name = rename(name);
    for (std::string &name : *copy.mutable_output())
      name = name.empty() ? name : "o_" + name;
    *graph.add_node() = copy;
  }
  for (const ValueInfoProto &output : other.output()) {
    auto *copy = graph.add_output();
    *copy = output;
    copy->set_name("o_" + output.name());
  }
}

void Mutator::changeOnce(ModelProto &model, const ModelProto &other,
                         Random &random) const {
  std::vector<GraphProto *> graphs;
  collectGraphs(model.mutable_graph(), graphs);
  GraphProto &graph = *graphs[random.below(graphs.size())];
  switch (random.below(16)) {
  case 0:
    if (auto *import = pick(model.mutable_opset_import(), random))
      import->set_version(random.oneIn(4) ? anyInt(random)
                                          : int64_t(1 + random.below(26)));
    return;
  case 1:
    return splice(*model.mutable_graph(), other.graph(), random);
  case 2:
  case 3:
    return changeType(pick(graph.mutable_input(), random), random);
  case 4:
    return changeType(random.oneIn(3) ? pick(graph.mutable_value_info(), random)
                                      : pick(graph.mutable_output(), random),
                      random);
  case 5:
  case 6:
    return changeTensor(pick(graph.mutable_initializer(), random), random);
  case 7:
  case 8:
    return changeNodes(graph, random);
  case 9:
    return changeField(anyMessage(&model, random), random);
  case 10: { // an input with a value, or a constant without one
    auto *input = pick(graph.mutable_input(), random);
    if (!input || !input->type().has_tensor_type())
      return;
    TensorProto *tensor = graph.add_initializer();
    tensor->set_name(input->name());
    tensor->set_data_type(input->type().tensor_type().elem_type());
    for (const auto &dim : input->type().tensor_type().shape().dim())
      tensor->add_dims(dim.dim_value());
    return;
  }
  default:
    return changeNode(graph, random);
  }
}

void Mutator::mutate(ModelProto &model, const ModelProto &other,
                     Random &random) const {
  for (size_t changes = 1 + random.below(4); changes > 0; --changes)
    changeOnce(model, other, random);
}

} // namespace tenon::fuzz
