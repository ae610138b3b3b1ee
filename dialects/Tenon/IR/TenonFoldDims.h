//===- TenonFoldDims.h - integers computed from dims ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exported graphs compute the operands of Reshape, Slice, Expand and Range from
// their inputs' dims, with ordinary integer ops. These functions follow that
// arithmetic: a small integer or bool tensor is *known* when each element is an
// expression of dims. What cannot be decided for every value of the symbols (a
// comparison of two unrelated dims, say) is not known.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONFOLDDIMS_H
#define TENON_IR_TENONFOLDDIMS_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Value.h"
#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/DenseMap.h"
#include <functional>
#include <optional>

namespace tenon {

enum class CompareKind : uint32_t;
class ConcatOp;
class GatherOp;
class MergeOp;
class ReduceOp;
class SliceOp;
class TransposeOp;

/// A tensor with an expression per element, row-major; bools are 0 and 1.
struct KnownInts {
  llvm::SmallVector<int64_t> shape;
  llvm::SmallVector<SymExpr> elements;
};

/// Follows the arithmetic, remembering what it found. Entries are only valid as
/// long as the values exist: `forget` a value before its op is erased.
class DimsEvaluator {
public:
  /// Says what a value holds that the arithmetic does not reach through: its
  /// elements as symbols, for example.
  using Source = std::function<std::optional<KnownInts>(mlir::Value)>;

  DimsEvaluator() = default;
  /// With a source comparisons are expressions too, not only where they are
  /// certain: whoever asks needs the integers.
  explicit DimsEvaluator(Source source) : source(std::move(source)) {}

  /// The value's elements when all are known, else null. Valid until the next
  /// call. With a source also floats are, each as the bits of a double.
  const KnownInts *lookup(mlir::Value value);
  void forget(mlir::Value value) { cache.erase(value); }

  /// Where the op's one result is known, creates before it a `tenon.constant`
  /// or `tenon.dims_value` (reshaped, for rank > 1) of the same type and
  /// returns it; null otherwise, where a constant does not fit the element
  /// type, and for ops that are either already. `op` is left in place.
  mlir::Value fold(mlir::OpBuilder &builder, mlir::Operation *op);

private:
  using Result = std::optional<KnownInts>;
  Result evaluate(mlir::Value value);
  Result evaluateOp(mlir::Operation *op, KnownInts result);
  Result elementwise(mlir::Operation *op, KnownInts result);
  Result merge(MergeOp op, KnownInts result);
  Result concat(ConcatOp op, KnownInts result);
  Result slice(SliceOp op, KnownInts result);
  Result gather(GatherOp op, KnownInts result);
  Result transpose(TransposeOp op, KnownInts result);
  Result reduce(ReduceOp op, KnownInts result);

  Source source;
  llvm::DenseMap<mlir::Value, Result> cache;
  int depth = 0;
};

/// Can elements of this type be symbols (tenon.read_dims)?
bool hasReadableElements(mlir::Type type);

/// The value's elements, when all are known.
std::optional<KnownInts> evaluateInts(mlir::Value value);
/// The same without the shape.
std::optional<llvm::SmallVector<SymExpr>> evaluateDims(mlir::Value value);
/// DimsEvaluator::fold without a memory.
mlir::Value foldToDims(mlir::OpBuilder &builder, mlir::Operation *op);

/// What a comparison gives for every value of the symbols, if that is certain.
std::optional<bool> decideComparison(CompareKind kind, const SymExpr &a,
                                     const SymExpr &b);

} // namespace tenon

#endif // TENON_IR_TENONFOLDDIMS_H
