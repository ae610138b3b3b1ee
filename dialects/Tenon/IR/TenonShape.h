//===- TenonShape.h - symbolic dims of tenon types --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Helpers between RankedTensorType + #tenon.dims and SymExpr. Invariant: a
// type with a dynamic dim carries the encoding with one text per dim; a fully
// static type carries none.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONSHAPE_H
#define TENON_IR_TENONSHAPE_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "tenon/Support/SymExpr.h"
#include <optional>

namespace tenon {

enum class CheckKind : uint32_t;

/// The dims of `type` (or of `value`'s type) as expressions.
llvm::SmallVector<SymExpr> getDims(mlir::Type type);
llvm::SmallVector<SymExpr> getDims(mlir::Value value);
/// A tensor type with these dims; the encoding only where one is dynamic.
mlir::RankedTensorType getTensorType(llvm::ArrayRef<SymExpr> dims,
                                     mlir::Type elementType);
SymExpr productOf(llvm::ArrayRef<SymExpr> dims);
/// Are these the dims of one element, whatever the rank?
bool isOneElement(llvm::ArrayRef<SymExpr> dims);
bool isOneElement(mlir::Value value);
/// The dims as messages give them: [N, 384].
std::string textOf(llvm::ArrayRef<SymExpr> dims);

/// What joining two dims by broadcast gives, and the relation (if any) that
/// must be checked before a run. nullopt: the dims can never be joined.
struct JoinedDim {
  SymExpr dim;
  struct Check {
    CheckKind kind;
    SymExpr lhs, rhs;
  };
  std::optional<Check> check;
};
std::optional<JoinedDim> broadcastDims(const SymExpr &a, const SymExpr &b);
/// Joins two dims that must be equal (matmul's K, concat's other axes).
std::optional<JoinedDim> equalDims(const SymExpr &a, const SymExpr &b);

/// Broadcasts whole shapes; nullopt (and the failing dim in *bad, counted from
/// the last) when some pair can never be joined.
std::optional<llvm::SmallVector<SymExpr>>
broadcastShapes(llvm::ArrayRef<llvm::SmallVector<SymExpr>> shapes,
                unsigned *bad = nullptr);

/// Is each of the dims `from` certainly the one of `to` that it is broadcast
/// to, or 1?
bool isBroadcastOf(llvm::ArrayRef<SymExpr> from, llvm::ArrayRef<SymExpr> to);

/// Inserts, before `op`, the `tenon.check`s that its inferred type relies on
/// (skipping those already stated earlier in the block). The importer calls it
/// after each op that it creates.
void insertShapeChecks(mlir::OpBuilder &builder, mlir::Operation *op);

/// Makes what `op` states of dims hold only where `condition` (0 or 1) is 1.
void limitTo(mlir::Operation *op, const SymExpr &condition);

/// Creates `OpTy` with inferred result types; failure (after an emitted error
/// at `loc`) instead of ODS's fatal error when inference rejects the operands.
mlir::FailureOr<mlir::Operation *>
tryCreate(mlir::OpBuilder &builder, mlir::Location loc, llvm::StringRef name,
          mlir::ValueRange operands,
          llvm::ArrayRef<mlir::NamedAttribute> attrs);
template <typename OpTy>
mlir::FailureOr<OpTy>
tryCreate(mlir::OpBuilder &builder, mlir::Location loc,
          mlir::ValueRange operands,
          llvm::ArrayRef<mlir::NamedAttribute> attrs = {}) {
  auto op = tryCreate(builder, loc, OpTy::getOperationName(), operands, attrs);
  if (failed(op))
    return mlir::failure();
  return mlir::cast<OpTy>(*op);
}

} // namespace tenon

#endif // TENON_IR_TENONSHAPE_H
