//===- RowRing.h - computed rows that rows are made of ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An image that grows is resized along its rows first, then from row to row:
// each row of the result is a sum of a few rows of the resized width, whose
// neighbours need them too. The last of these are kept in a ring in the first
// cache, so that each is computed once where rows are asked for in order, as is
// seen before the first one. Else each tap's row is computed anew.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_ROWRING_H
#define TENON_LIB_CODEGEN_EMIT_ROWRING_H

#include "dialects/Tenon/IR/TenonGather.h"
#include "lib/Codegen/Emit/GatheredRows.h"

namespace tenon {

class RowRing {
public:
  /// Of a map that ends with `root`, whose rows are its last dim.
  RowRing(KernelEmitter &e, mlir::Value root)
      : e(e), root(root), dims(getDims(root)) {}
  /// Is each row one of gathered rows that are computed?
  bool match();
  void emit();

private:
  using Values = llvm::SmallVector<mlir::Value>;

  bool visit(mlir::Value v);
  mlir::Value wholly(llvm::function_ref<mlir::Value()> fn);
  void computeRow(GatheredRows &lanes, mlir::Value row, mlir::Value slot);
  void fillPlaces();
  /// What is known of a row of the result, and of each tap twice.
  enum Field : int64_t { kLeast, kMost, kTaps };
  int64_t fields() const { return kTaps + 2 * int64_t(taps.size()); }
  mlir::Value fieldOf(mlir::Value row, int64_t field);
  mlir::Value placeAt(mlir::Value row, mlir::Value field);
  mlir::Value placeAt(mlir::Value row, int64_t field) {
    return placeAt(row, L.index(field));
  }
  void bindRow(mlir::Value row);
  mlir::Value emitRow(GatheredRows &lanes, mlir::Value image, mlir::Value row,
                      mlir::Value next);

  KernelEmitter &e;
  mlir::Value root;
  llvm::SmallVector<SymExpr> dims;
  LaneBuilder &L = e.L;

  mlir::Value source;                ///< what has the rows
  llvm::SetVector<mlir::Value> tree; ///< elementwise, down to the gathers
  llvm::SmallVector<GatherOp> taps;
  int64_t size = 0; ///< rows of the ring
  SymExpr stride;   ///< between them
  mlir::Type type;
  mlir::Value ring;
  mlir::Value inOrder; ///< do rows ask for rows in order, few at a time?
  mlir::Value places;  ///< of each tap which row it is, and where in the ring
  Values uniform;      ///< what is bound in a row
  llvm::SmallVector<Idx> at; ///< of the row that is emitted
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_ROWRING_H
