//===- GatheredRows.h - what rows of a map have in common -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Of a map whose rows gather from rows beside them (an image that is resized):
//
//   - where a row's lanes lie is the same for all rows: a table in scratch
//     memory, made once in each call (GatherLanes.h says what a window is).
//     Neighbours (a filter's taps) lie in one window where that has room for
//     them, so that it is loaded once;
//   - which rows they come from is the same for all lanes: looked up once for
//     each row;
//   - what is gathered from may be computed itself (the height is resized
//     first): a row of it is computed into scratch memory, once, and each tap
//     of the filter taken from there. Two rows are computed at a time, for
//     which places and weights are loaded once.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_GATHEREDROWS_H
#define TENON_LIB_CODEGEN_EMIT_GATHEREDROWS_H

#include "dialects/Tenon/IR/TenonGather.h"
#include "lib/Codegen/Emit/KernelEmitter.h"
#include "llvm/ADT/SetVector.h"

namespace tenon {

class GatheredRows {
public:
  /// Of `root`, whose rows, its last dim, are asked for one by one: what a map
  /// ends with, or what it gathers rows from. Emits what all have in common.
  GatheredRows(KernelEmitter &e, mlir::Value root);
  /// Rows that are best computed at a time.
  int64_t together() const;
  /// Emits what the lanes of each of the rows at `at` have in common, then
  /// `lanes`, once for each way to gather them.
  void emitRows(llvm::ArrayRef<llvm::SmallVector<Idx>> at,
                llvm::function_ref<void()> lanes);
  /// What is emitted from now on is of that one of the rows.
  void select(size_t row);

private:
  /// Where the lanes of a gather lie.
  struct Table {
    GatherOp op;
    int64_t vectors;
    mlir::Value bases, orders;
  };
  /// Those that begin together.
  using Tables = llvm::SmallVector<Table>;
  struct Row {
    mlir::Value source;
    llvm::SmallVector<mlir::Value, 2> memory; ///< of each of those together
    mlir::Type type;
  };

  void visit(mlir::Value v);
  bool staysInRow(mlir::Value v) const;
  bool isGatheredByRow(mlir::Value v) const;
  Tables &groupOf(const Table &table);
  void fill(Tables &group);
  mlir::Value fromTable(const Table &table, llvm::ArrayRef<Idx> idx);

  KernelEmitter &e;
  mlir::Value root;
  llvm::SmallVector<SymExpr> dims; ///< of the result
  llvm::SetVector<mlir::Value> visited;
  llvm::SmallVector<Tables> groups;
  llvm::SmallVector<GatherOp> ofRows; ///< along other dims than the last
  llvm::SmallVector<Row> rows;
  size_t ready = 0;    ///< of them, whose memory is written
  mlir::Value isWhole; ///< do windows have all lanes of a row?
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_GATHEREDROWS_H
