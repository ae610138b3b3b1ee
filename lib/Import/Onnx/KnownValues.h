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
// Where an operator needs integers that depend on the values of the graph's
// inputs (a shape that is an input), they are *demanded*: the input's elements
// become symbols, which a `tenon.read_dims` defines.
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
  KnownValues() : demanded([this](mlir::Value v) { return read(v); }) {}
  KnownValues(const KnownValues &) = delete;

  /// The elements of `value` if all are known.
  const KnownValue *lookup(mlir::Value value) {
    return evaluator.lookup(value);
  }

  /// The same, also where they depend on the values of main's inputs.
  const KnownValue *demand(mlir::Value value);
  /// Likewise the elements of a float tensor, each as the bits of a double.
  const KnownValue *demandFloats(mlir::Value value);

  /// Evaluates a freshly created op and, where its result is known, replaces
  /// it by a constant or `tenon.dims_value`. Returns the value to use.
  mlir::Value simplify(mlir::OpBuilder &builder, mlir::Operation *op);

private:
  /// The elements of main's argument as symbols.
  std::optional<KnownValue> read(mlir::Value value);

  DimsEvaluator evaluator, demanded;
  /// The arguments' names in expressions.
  llvm::DenseMap<mlir::Value, std::string> names;
};

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_KNOWNVALUES_H
