//===- Axes.h - axes known only at run time ---------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Where an axis is the value of an input, its operator is expressed by dims
// that are chosen at run time: one of two is 1, or they move by one place. A
// reduction over one axis of [a, b, c], for example, sums the middle dim of
//
//   [product of the dims before, the axis' dim, product of those behind]
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_AXES_H
#define TENON_IMPORT_ONNX_AXES_H

#include "lib/Import/Onnx/Node/NodeImporter.h"

namespace tenon::onnximport {

/// Distinct axes in [0, rank) as expressions. Those that are constant are
/// checked at once, others before each run.
class RuntimeAxes {
public:
  RuntimeAxes(NodeImporter &n, llvm::ArrayRef<SymExpr> given, int64_t rank);

  size_t size() const { return axes.size(); }
  /// Is `dim` one of them? 1 or 0.
  SymExpr has(int64_t dim) const;
  /// The value that belongs to `dim`: that of the axis which is it, or
  /// `otherwise`.
  SymExpr valueOf(int64_t dim, llvm::ArrayRef<SymExpr> values,
                  const SymExpr &otherwise) const;
  /// dims[axis number `k`].
  SymExpr dimOf(size_t k, llvm::ArrayRef<SymExpr> dims) const;
  /// Those dims that are no axes, in order.
  Dims without(llvm::ArrayRef<SymExpr> dims) const;
  /// `dims` with a 1 put in so that it stands at each axis of the result.
  Dims with(llvm::ArrayRef<SymExpr> dims) const;
  /// Products of the dims before the only axis, at it, and behind it.
  Dims around(llvm::ArrayRef<SymExpr> dims) const;

private:
  /// How many are less than `dim`.
  SymExpr countBelow(int64_t dim) const;
  Dims axes;
};

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_AXES_H
