//===- UnsupportedNodes.cpp - all that stands against a model -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Asked for all unsupported nodes, the importer goes on after the first: values
// that stand for such a node's outputs get the types that the model or ONNX's
// shape inference gives them. What depends on outputs of unknown type is
// judged by its operator alone.
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Model/Importer.h"
#include "llvm/Support/CrashRecoveryContext.h"

using namespace mlir;

namespace tenon::onnximport {

std::string whyUnsupported(const onnx::NodeProto &node, int64_t opset) {
  std::string domain = domainOf(node), unknown = whyUnknown(node, opset);
  if (!unknown.empty())
    return unknown;
  if (Registry::get().lookup(domain, node.op_type(), opset))
    return "";
  if (auto first = Registry::get().firstOpset(domain, node.op_type()))
    return "the operator is supported from opset " + std::to_string(*first);
  return "the operator is not supported";
}

void Importer::list(const onnx::NodeProto &node, const std::string &reason,
                    bool certain) {
  ++numRefused;
  UnsupportedNode found = identify(node, reason);
  found.certain = certain;
  std::string text = tenon::describe(found);
  // A body that is written out several times is one.
  for (const UnsupportedNode &other : *options.unsupported)
    if (tenon::describe(other) == text)
      return;
  (void)fail(text);
  options.unsupported->push_back(std::move(found));
}

/// The graphs inside a node that was refused are not imported.
void Importer::listUnsupportedInside(const onnx::NodeProto &node) {
  auto look = [&](const onnx::GraphProto &graph) {
    for (const auto &inner : graph.node()) {
      std::string reason = whyUnsupported(inner, opsetOf(inner));
      if (!reason.empty())
        list(inner, reason, true);
      listUnsupportedInside(inner);
    }
  };
  for (const auto &attribute : node.attribute()) {
    if (attribute.has_g())
      look(attribute.g());
    for (const auto &graph : attribute.graphs())
      look(graph);
  }
}

void Importer::goOnWithout(const onnx::NodeProto &node,
                           const std::string &reason) {
  bool certain = true;
  for (const std::string &name : node.input())
    certain &= !uncertain.contains(name);
  if (!reason.empty())
    list(node, reason, certain || !whyUnsupported(node, opsetOf(node)).empty());
  listUnsupportedInside(node);
  for (const std::string &name : node.output()) {
    if (name.empty())
      continue;
    uncertain.insert(name);
    if (Value value = standIn(name))
      values[name] = value;
    else
      missing.insert(name);
  }
}

Value Importer::standIn(const std::string &name) {
  if (!inferred) {
    // ONNX's inference trusts attributes that this import has just refused.
    inferred.emplace();
    llvm::CrashRecoveryContext().RunSafely(
        [&] { inferred = inferTypes(*model); });
  }
  auto it = inferred->find(name);
  if (it == inferred->end() || !it->second.has_tensor_type())
    return nullptr;
  const auto &tensor = it->second.tensor_type();
  Type type = builtinType(&context, tensor.elem_type());
  if (!type || !tensor.has_shape() || tensor.shape().dim_size() > 8)
    return nullptr;
  Dims dims;
  for (const auto &dim : tensor.shape().dim())
    dims.push_back(
        inputDims.innerDim(dim, name + ".d" + std::to_string(dims.size())));
  return main.getBody().front().addArgument(getTensorType(dims, type),
                                            UnknownLoc::get(&context));
}

Value Importer::standInForWeight(const onnx::TensorProto &tensor) {
  std::string reason = weights->whyUnreadable(tensor);
  Type type = builtinType(&context, tensor.data_type());
  if (reason.empty() || !type || tensor.dims_size() > 8)
    return nullptr;
  Dims dims;
  for (int64_t dim : tensor.dims()) {
    if (dim < 0)
      return nullptr;
    dims.push_back(SymExpr(dim));
  }
  std::string file = externalLocation(tensor);
  if (llvm::none_of(unreadFiles, [&](const UnsupportedNode &listed) {
        return listed.file == file;
      })) {
    size_t count = llvm::count_if(
        model->graph().initializer(), [&](const onnx::TensorProto &other) {
          return other.data_location() == onnx::TensorProto::EXTERNAL &&
                 externalLocation(other) == file;
        });
    UnsupportedNode found;
    found.file = file;
    found.reason = reason + " (tensors there: " +
                   std::to_string(std::max<size_t>(count, 1)) + ", '" +
                   tensor.name() + "' among them)";
    unreadFiles.push_back(std::move(found));
  }
  unread.insert(tensor.name());
  return main.getBody().front().addArgument(getTensorType(dims, type),
                                            UnknownLoc::get(&context));
}

} // namespace tenon::onnximport
