//===- Repair.cpp - what onnxruntime takes all the same -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Library/Repair.h"
#include <algorithm>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace tenon::onnximport {

void describe(const onnx::TensorProto &tensor, onnx::ValueInfoProto &info) {
  info.set_name(tensor.name());
  auto &type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(tensor.data_type());
  type.mutable_shape();
  for (int64_t dim : tensor.dims())
    type.mutable_shape()->add_dim()->set_dim_value(dim);
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

/// The values that a node takes, those of the graphs inside it too.
static std::vector<std::string> operandsOf(const onnx::NodeProto &node) {
  std::vector<std::string> names(node.input().begin(), node.input().end());
  auto add = [&](const onnx::GraphProto &graph) {
    for (const auto &output : graph.output())
      names.push_back(output.name());
    forEachNode(graph, [&](const onnx::NodeProto &inner) {
      names.insert(names.end(), inner.input().begin(), inner.input().end());
    });
  };
  for (const auto &attribute : node.attribute()) {
    if (attribute.has_g())
      add(attribute.g());
    for (const auto &graph : attribute.graphs())
      add(graph);
  }
  return names;
}

/// Puts each node behind those whose results it takes, and leaves it where it
/// is otherwise. onnxruntime does so too, and its converter to f16 counts on
/// it. A cycle is left to the checker.
static void sortNodes(onnx::GraphProto &graph) {
  std::unordered_map<std::string, int> makers;
  for (int i = 0; i < graph.node_size(); ++i)
    for (const std::string &output : graph.node(i).output())
      makers.try_emplace(output, i);
  std::vector<std::vector<int>> needs(graph.node_size());
  bool isSorted = true;
  for (int i = 0; i < graph.node_size(); ++i)
    for (const std::string &name : operandsOf(graph.node(i)))
      if (auto it = makers.find(name); it != makers.end() && it->second != i) {
        needs[i].push_back(it->second);
        isSorted &= it->second < i;
      }
  if (isSorted)
    return;

  enum { New, Open, Done };
  std::vector<char> state(graph.node_size(), New);
  std::vector<int> order, path; // a node of the path waits for the next one
  for (int first = 0; first < graph.node_size(); ++first) {
    if (state[first] == New)
      path.push_back(first);
    while (!path.empty()) {
      int i = path.back();
      state[i] = Open;
      auto next = std::find_if(needs[i].begin(), needs[i].end(),
                               [&](int j) { return state[j] != Done; });
      if (next == needs[i].end()) {
        state[i] = Done;
        order.push_back(i);
        path.pop_back();
      } else if (state[*next] == Open) {
        return;
      } else {
        path.push_back(*next);
      }
    }
  }
  std::vector<onnx::NodeProto> sorted(order.size());
  for (size_t i = 0; i < order.size(); ++i)
    sorted[i].Swap(graph.mutable_node(order[i]));
  for (size_t i = 0; i < order.size(); ++i)
    sorted[i].Swap(graph.mutable_node(int(i)));
}

/// Many models say nothing of an output's type or dims, which the checker asks
/// for and the importer finds itself.
static void completeOutputs(onnx::GraphProto &graph) {
  for (auto &output : *graph.mutable_output()) {
    auto &type = *output.mutable_type();
    if (type.value_case() == onnx::TypeProto::VALUE_NOT_SET)
      type.mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
    if (type.has_tensor_type() && !type.tensor_type().has_shape())
      type.mutable_tensor_type()->mutable_shape();
  }
}

/// IR versions before 4 have initializers among the inputs, which onnxruntime
/// does not insist on.
static void completeInputs(onnx::ModelProto &model) {
  if (model.ir_version() >= 4)
    return;
  onnx::GraphProto &graph = *model.mutable_graph();
  std::set<std::string> inputs;
  for (const auto &input : graph.input())
    inputs.insert(input.name());
  for (const auto &tensor : graph.initializer())
    if (inputs.insert(tensor.name()).second)
      describe(tensor, *graph.add_input());
}

//===----------------------------------------------------------------------===//
// Data
//===----------------------------------------------------------------------===//

static void clearFields(onnx::TensorProto &tensor) {
  tensor.clear_float_data();
  tensor.clear_double_data();
  tensor.clear_int32_data();
  tensor.clear_int64_data();
  tensor.clear_uint64_data();
  tensor.clear_string_data();
}

template <typename Field>
static void keepOnly(onnx::TensorProto &tensor,
                     Field *(onnx::TensorProto::*field)()) {
  if ((tensor.*field)()->empty())
    return; // the checker says what is wrong
  Field own;
  own.Swap((tensor.*field)());
  clearFields(tensor);
  own.Swap((tensor.*field)());
}

/// A tensor's data is its bytes, else the field of its type; what else it has
/// is left out, and all of a tensor without elements.
static void keepOwnData(onnx::TensorProto &tensor) {
  using T = onnx::TensorProto;
  const auto &dims = tensor.dims();
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) {
    clearFields(tensor);
    tensor.clear_raw_data();
    return;
  }
  if (tensor.has_raw_data())
    return clearFields(tensor);
  switch (tensor.data_type()) {
  case T::FLOAT:
    return keepOnly(tensor, &T::mutable_float_data);
  case T::DOUBLE:
    return keepOnly(tensor, &T::mutable_double_data);
  case T::INT64:
    return keepOnly(tensor, &T::mutable_int64_data);
  case T::UINT32:
  case T::UINT64:
    return keepOnly(tensor, &T::mutable_uint64_data);
  case T::STRING:
    return;
  default:
    return keepOnly(tensor, &T::mutable_int32_data);
  }
}

static void keepOwnData(onnx::GraphProto &graph) {
  for (auto &tensor : *graph.mutable_initializer())
    keepOwnData(tensor);
}

/// Of all tensors of a graph, or of a function.
template <typename Graph>
static void keepOwnDataInside(Graph &graph) {
  forEachNode(graph, [](onnx::NodeProto &node) {
    for (auto &attribute : *node.mutable_attribute()) {
      if (attribute.has_t())
        keepOwnData(*attribute.mutable_t());
      if (attribute.has_g())
        keepOwnData(*attribute.mutable_g());
    }
  });
}

/// Exporters note facts in strings that nobody reads.
static void dropUnreadStrings(onnx::GraphProto &graph) {
  std::set<std::string> strings, read;
  for (const auto &tensor : graph.initializer())
    if (tensor.data_type() == onnx::TensorProto::STRING)
      strings.insert(tensor.name());
  auto isString = [&](const onnx::NodeProto &node) {
    if (!node.domain().empty() || node.output_size() != 1)
      return false;
    if (node.op_type() == "Identity")
      return node.input_size() == 1 && strings.count(node.input(0)) != 0;
    const auto &all = node.attribute();
    return node.op_type() == "Constant" &&
           std::any_of(all.begin(), all.end(), [](const auto &attribute) {
             return attribute.has_s() || attribute.strings_size() != 0 ||
                    attribute.t().data_type() == onnx::TensorProto::STRING;
           });
  };
  for (const auto &node : graph.node())
    if (isString(node))
      strings.insert(node.output(0));
  if (strings.empty())
    return;
  for (const auto &output : graph.output())
    read.insert(output.name());
  for (int i = graph.node_size() - 1; i >= 0; --i) {
    const onnx::NodeProto &node = graph.node(i);
    if (isString(node) && !read.count(node.output(0))) {
      graph.mutable_node()->DeleteSubrange(i, 1);
      continue;
    }
    for (const std::string &name : operandsOf(node))
      read.insert(name);
  }
}

void repair(onnx::ModelProto &model) {
  onnx::GraphProto &graph = *model.mutable_graph();
  completeInputs(model);
  completeOutputs(graph);
  sortNodes(graph);
  dropUnreadStrings(graph);
  keepOwnData(graph);
  keepOwnDataInside(graph);
  for (auto &function : *model.mutable_functions())
    keepOwnDataInside(function);
}

} // namespace tenon::onnximport
