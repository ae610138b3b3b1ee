//===- ShortWindow.h - convolutions of few terms ----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_SHORTWINDOW_H
#define TENON_LIB_CODEGEN_CPU_SHORTWINDOW_H

#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "lib/Codegen/Cpu/EpilogueFetch.h"
#include "lib/Codegen/Cpu/Product.h"

namespace tenon {

/// The sums of a window whose runs are short and few, which go to the epilogue
/// in registers. Positions of a tile follow each other in a row.
class ShortWindow {
public:
  /// nullopt: of so many terms the tiles of all windows are as fast. Rows have
  /// `positions` each, of a number that may be known when compiling alone;
  /// `apart`: the elements from one to the next. A task has `columns` columns,
  /// unless these are all.
  static std::optional<ShortWindow>
  match(KernelEmitter &e, PackedMatMulOp op, Sink &sink, EpilogueFetch &fetch,
        int64_t taps, const SymExpr &run, const SymExpr &positions,
        std::optional<int64_t> apart, int64_t columns);

  /// `count` positions, the first of which is o.placeAt and number `row` of the
  /// result's, by the columns of a task from `from` on.
  void emit(const MicroKernelOperands &o, mlir::Value row, mlir::Value count,
            mlir::Value from);

private:
  ShortWindow(KernelEmitter &e, PackedMatMulOp op, Sink &sink,
              EpilogueFetch &fetch)
      : e(e), op(op), sink(sink), fetch(fetch) {}
  /// `positions` positions from number `first` of the row's on, by vectors of
  /// columns from `begin` on, which is a multiple of a tile's.
  struct Tile {
    mlir::Value first;
    int64_t positions;
    mlir::Value begin;
    int64_t vectors;
  };
  llvm::SmallVector<mlir::Value> sumsOf(const Tile &tile);
  void storeRows(const Tile &tile);
  void storeTurned(const Tile &tile);
  void forPositions(mlir::Value count,
                    llvm::function_ref<void(mlir::Value, int64_t)> fn);
  void forColumns(llvm::function_ref<void(mlir::Value, int64_t)> fn);
  mlir::Value maskOf(const Tile &tile);
  mlir::Value valueAt(llvm::ArrayRef<Idx> idx, mlir::Value row,
                      mlir::Value sum);

  KernelEmitter &e;
  PackedMatMulOp op;
  Sink &sink;
  EpilogueFetch &fetch;
  int64_t lanes = 0;
  int64_t N = 0, taps = 0, run = 0, apart = 0, ofTask = 0;
  int64_t meeting = 0; ///< neighbours that meet an element, at most
  /// Positions of a tile, and vectors of columns.
  int64_t most = 0, together = 0;
  MicroKernelOperands o = {};
  mlir::Value row = {}; ///< of the result, of the first position
  mlir::Value from = {};
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_SHORTWINDOW_H
