//===- Window.h - strides, dilations and pads of windows --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_WINDOW_H
#define TENON_IMPORT_ONNX_WINDOW_H

#include "Registry.h"

namespace tenon::onnximport {

/// What Conv and the pools say about their window, per spatial dim.
struct Window {
  Ints kernel, strides, dilations;
  Dims low, high;

  size_t rank() const { return kernel.size(); }
  /// How much of the input one window spans.
  int64_t extent(size_t i) const { return dilations[i] * (kernel[i] - 1) + 1; }
  /// The pads, low ends then high ends, if all are constant.
  std::optional<Ints> constantPads() const;
};

/// Reads strides, dilations, pads and auto_pad for an input with these
/// spatial dims; fails on inconsistent ones.
std::optional<Window> readWindow(NodeImporter &n,
                                 llvm::ArrayRef<SymExpr> spatial,
                                 llvm::ArrayRef<int64_t> kernel);

/// Adds `low` and `high` elements of `value` around the spatial dims.
mlir::Value padSpatial(NodeImporter &n, mlir::Value x, mlir::Value value,
                       llvm::ArrayRef<SymExpr> low,
                       llvm::ArrayRef<SymExpr> high);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_WINDOW_H
