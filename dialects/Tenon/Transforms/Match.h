//===- Match.h - what the fusing passes share -------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_MATCH_H
#define TENON_TRANSFORMS_MATCH_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/PatternMatch.h"
#include <optional>

namespace tenon {
class ReduceOp;
} // namespace tenon

namespace tenon::match {

/// The value's elements as a dense attribute, when it is a constant of at most
/// `limit` elements (a larger one stays on disk).
mlir::DenseElementsAttr smallConstant(mlir::Value value, int64_t limit = 4096);

/// The bytes of a constant's elements; empty for splats, packed and missing
/// ones. They may lie at any address of the model's file.
llvm::ArrayRef<char> bytesOf(mlir::ElementsAttr value);

/// The number that every element of a constant has.
std::optional<double> scalarOf(mlir::Value value);

/// Are two numbers equal but for rounding to `type` (at least 1e-6, relative)?
bool isNear(double found, double expected, mlir::Type type);
/// Is the value a constant near `expected`?
bool isScalar(mlir::Value value, double expected);

/// The number of trailing dims that a keepdims reduction is over; 0 when it is
/// over others.
int64_t trailingDims(ReduceOp op);

/// The location of an op that stands for all of `ops`.
mlir::Location fuseLocations(mlir::MLIRContext *context,
                             llvm::ArrayRef<mlir::Operation *> ops);

} // namespace tenon::match

#endif // TENON_TRANSFORMS_MATCH_H
