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
// Where an operator needs integers that depend on data (a shape that is an
// input or that the model computes), they are *demanded*: the elements become
// symbols, which a `tenon.read_dims` defines.
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

  /// The same, also where they depend on data.
  const KnownValue *demand(mlir::Value value);
  /// Likewise the elements of a float tensor, each as the bits of a double.
  const KnownValue *demandFloats(mlir::Value value);

  /// The elements of a value as symbols that the run reads once it is computed;
  /// none is negative or above `bound`, where that is not empty.
  std::optional<KnownValue> read(mlir::Value value, llvm::StringRef bound);

  /// A name for symbols that no other has.
  std::string freshName(llvm::StringRef base);
  /// Says that the elements of `value` are name[0], name[1], ...
  void define(mlir::Value value, const std::string &name);
  /// Is `e` known before a run begins: from the inputs' dims and elements?
  bool isOfInputs(const SymExpr &e) const;

  /// Knows nothing any more of what is computed in a region that goes.
  void forget(mlir::Region &region);

  /// Evaluates a freshly created op and, where its result is known, replaces
  /// it by a constant or `tenon.dims_value`. Returns the value to use.
  mlir::Value simplify(mlir::OpBuilder &builder, mlir::Operation *op);

private:
  /// The elements of main's argument, or of what the run computes, as symbols.
  std::optional<KnownValue> read(mlir::Value value);

  DimsEvaluator evaluator, demanded;
  /// The values' names in expressions.
  llvm::DenseMap<mlir::Value, std::string> names;
};

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_KNOWNVALUES_H
