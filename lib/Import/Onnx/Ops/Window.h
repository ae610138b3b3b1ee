//===- Window.h - strides, dilations and pads of windows --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_WINDOW_H
#define TENON_IMPORT_ONNX_WINDOW_H

#include "lib/Import/Onnx/Node/Registry.h"

namespace tenon::onnximport {

/// What Conv and the pools say about their window, per spatial dim.
struct Window {
  Dims kernel;
  Ints strides, dilations;
  Dims low, high;

  size_t rank() const { return kernel.size(); }
  /// How much of the input one window spans.
  SymExpr extent(size_t i) const {
    return SymExpr(dilations[i]) * (kernel[i] - SymExpr(1)) + SymExpr(1);
  }
  /// How many windows lie in `size` elements and the pads.
  SymExpr count(size_t i, const SymExpr &size) const;
  /// The pads, low ends then high ends, if all are constant.
  std::optional<Ints> constantPads() const;
};

/// Reads strides, dilations, pads and auto_pad for an input with these
/// spatial dims; fails on inconsistent ones.
std::optional<Window> readWindow(NodeImporter &n,
                                 llvm::ArrayRef<SymExpr> spatial,
                                 llvm::ArrayRef<SymExpr> kernel);

/// Adds `low` and `high` elements of `value` around the spatial dims.
mlir::Value padSpatial(NodeImporter &n, mlir::Value x, mlir::Value value,
                       llvm::ArrayRef<SymExpr> low,
                       llvm::ArrayRef<SymExpr> high);

/// A convolution of windows whose pads are constant.
mlir::Value makeConv(NodeImporter &n, mlir::Value x, mlir::Value weight,
                     const Window &w, llvm::ArrayRef<int64_t> pads,
                     int64_t group);
/// Adds a bias of the channels; `y` itself where there is none.
mlir::Value addBias(NodeImporter &n, mlir::Value y, mlir::Value bias);
/// nullopt where one is known only at run time.
std::optional<Ints> staticDims(llvm::ArrayRef<SymExpr> dims);

/// The elements of `padded` under each of so many windows: as below.
mlir::Value gatherWindows(NodeImporter &n, mlir::Value padded, const Window &w,
                          llvm::ArrayRef<SymExpr> places);
/// The elements of x [N, C, spatial...] under each window, by gathering, for
/// kernels whose size is known only at run time: [N, C, out, kernel, ...], the
/// dims of a window beside the dim of its place.
mlir::Value unfoldWindows(NodeImporter &n, mlir::Value x, const Window &w);
/// The reverse: columns [N, C, kernel..., places...] summed where windows over
/// `image` (without its pads) overlap: [N, C, image...].
mlir::Value foldWindows(NodeImporter &n, mlir::Value columns, const Window &w,
                        llvm::ArrayRef<SymExpr> image);

/// Convolutions with such kernels, by matrix products of every window.
mlir::Value convByWindows(NodeImporter &n, mlir::Value x, mlir::Value weight,
                          const Window &w, int64_t group);
/// `image` are the spatial dims of the result, which w's pads cut.
mlir::Value convTransposeByWindows(NodeImporter &n, mlir::Value x,
                                   mlir::Value weight, const Window &w,
                                   llvm::ArrayRef<SymExpr> image,
                                   int64_t group);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_WINDOW_H
