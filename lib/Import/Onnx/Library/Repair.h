//===- Repair.h - what onnxruntime takes all the same -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_REPAIR_H
#define TENON_IMPORT_ONNX_REPAIR_H

#include "onnx/onnx_pb.h"

namespace tenon::onnximport {

/// Calls `f` on each node of a graph, or of a function, and of the graphs
/// inside it.
template <typename Graph, typename F>
void forEachNode(Graph &graph, const F &f) {
  for (auto &node : *graph.mutable_node()) {
    f(node);
    for (auto &attribute : *node.mutable_attribute()) {
      if (attribute.has_g())
        forEachNode(*attribute.mutable_g(), f);
      for (auto &g : *attribute.mutable_graphs())
        forEachNode(g, f);
    }
  }
}

template <typename Graph, typename F>
void forEachNode(const Graph &graph, const F &f) {
  for (const auto &node : graph.node()) {
    f(node);
    for (const auto &attribute : node.attribute()) {
      if (attribute.has_g())
        forEachNode(attribute.g(), f);
      for (const auto &g : attribute.graphs())
        forEachNode(g, f);
    }
  }
}

/// Gives `info` a tensor's name and type.
void describe(const onnx::TensorProto &tensor, onnx::ValueInfoProto &info);

/// Gives the model what ONNX's checker asks for and onnxruntime does not, and
/// leaves out what neither of them computes with.
void repair(onnx::ModelProto &model);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_REPAIR_H
