//===- KnownValues.h - integers computed from dims, at import ---*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exported graphs compute the operands of Reshape, Slice, Expand and Range
// from Shape nodes. The importer evaluates that arithmetic as it goes: a small
// integer or bool tensor is *known* when each element is an expression of the
// inputs' dims. What is undecidable (a comparison of two unrelated dims) stays
// data.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_KNOWNVALUES_H
#define TENON_IMPORT_ONNX_KNOWNVALUES_H

#include "dialects/Tenon/IR/TenonFoldDims.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Operation.h"

namespace tenon::onnximport {

using KnownValue = KnownInts;

class KnownValues {
public:
  /// The elements of `value` if all are known.
  const KnownValue *lookup(mlir::Value value) {
    return evaluator.lookup(value);
  }

  /// Evaluates a freshly created op and, where its result is known, replaces
  /// it by a constant or `tenon.dims_value`. Returns the value to use.
  mlir::Value simplify(mlir::OpBuilder &builder, mlir::Operation *op);

private:
  DimsEvaluator evaluator;
};

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_KNOWNVALUES_H
