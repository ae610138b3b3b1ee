//===- TenonIndexValue.h - integers affine in their position ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exporters build masks and positions from ranges that they reshape, expand,
// slice, concatenate, gather and subtract. What comes out is mostly affine in
// the position again: element (i, j) of a tensor is offset + a*i + b*j, with
// expressions of dims as numbers. IndexEvaluator follows that arithmetic.
//
// A tensor without elements has any value, so each step may assume that no dim
// of its result is 0: where a symbol's being 0 would make one 0, the symbol is
// at least 1.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONINDEXVALUE_H
#define TENON_IR_TENONINDEXVALUE_H

#include "mlir/IR/Value.h"
#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"
#include <map>
#include <optional>

namespace tenon {

enum class CompareKind : uint32_t;
class ConcatOp;
class CumulateOp;
class GatherNDOp;
class GatherOp;
class ReshapeOp;

/// Element i of a tensor is offset + sum over k of coefficients[k] * i[k]; the
/// coefficient of a dim of 1 is 0. A bool is 0 or 1, or with a predicate
/// whether that sum is so to 0: lt is offset + ... < 0.
struct IndexValue {
  SymExpr offset;
  llvm::SmallVector<SymExpr> coefficients;
  std::optional<CompareKind> predicate = {};

  /// Is every element the same?
  bool isUniform() const;
  /// The number that all elements are; nullopt for a predicate.
  std::optional<int64_t> constant() const;
};

/// Expressions compared where a tensor of some dims has elements.
class NonEmpty {
public:
  explicit NonEmpty(llvm::ArrayRef<SymExpr> dims);
  SymExpr simplify(const SymExpr &e) const { return e.substitute(atLeastOne); }
  bool equal(const SymExpr &a, const SymExpr &b) const {
    return a == b || simplify(a) == simplify(b);
  }
  /// Is it certainly >= 0?
  bool isNonNegative(const SymExpr &e) const {
    return simplify(e).isNonNegative();
  }

private:
  std::map<std::string, SymExpr> atLeastOne; // s -> s + 1
};

/// Remembers what it found: entries are valid as long as the values exist.
class IndexEvaluator {
public:
  /// Of a tensor of i32, i64 or bool; nullopt where it is not affine.
  std::optional<IndexValue> lookup(mlir::Value value);
  /// Component `k` of index tuples that lie in the last dim of `tuples`.
  std::optional<IndexValue> component(mlir::Value tuples, int64_t k);
  /// Are all numbers of `value`, whose tensor has `dims`, in [0, size)?
  static bool isWithin(const IndexValue &value, llvm::ArrayRef<SymExpr> dims,
                       const SymExpr &size);

private:
  using Result = std::optional<IndexValue>;
  Result evaluate(mlir::Operation *op);
  Result elementwise(mlir::Operation *op);
  Result compare(CompareKind kind, const IndexValue &difference,
                 llvm::ArrayRef<SymExpr> dims);
  Result reshape(ReshapeOp op);
  Result concat(ConcatOp op);
  Result cumulate(CumulateOp op);
  Result gather(GatherOp op);
  Result gatherND(GatherNDOp op);

  llvm::DenseMap<mlir::Value, Result> cache;
  int depth = 0;
};

/// The comparison that is true where `kind` is not.
CompareKind negate(CompareKind kind);

/// `value` of a tensor of dims `from` after broadcasting to `to`; nullopt where
/// a dim may or may not be 1.
std::optional<IndexValue> broadcastIndexValue(const IndexValue &value,
                                              llvm::ArrayRef<SymExpr> from,
                                              llvm::ArrayRef<SymExpr> to);

} // namespace tenon

#endif // TENON_IR_TENONINDEXVALUE_H
