//===- DotKernel.h - columns that fill no vector ----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_DOTKERNEL_H
#define TENON_LIB_CODEGEN_CPU_DOTKERNEL_H

#include "lib/Codegen/Cpu/Product.h"
#include "tenon/Codegen/Backend.h"

namespace tenon {

/// The last columns of a product that fill no vector: lanes had better lie
/// along its rows. A vector of a row meets a vector of each column's weights,
/// and the lanes are added up at the end. Rows are a window's runs, or lie one
/// behind the other in a matrix.
class DotKernel {
public:
  /// The columns of one panel that fill no vector of this level, where it pays;
  /// nullopt: vectors of columns have all of them. Rows are `taps` runs each;
  /// of a matrix one, the whole row.
  static std::optional<DotKernel> match(const TargetInfo &target,
                                        const SymExpr &columns, int64_t taps,
                                        const SymExpr &run, bool isWindow,
                                        bool inColumns);
  /// Does it match at some level? All have the same memory then.
  static bool matchesSome(const SymExpr &columns, int64_t taps,
                          const SymExpr &run);
  /// Has it all columns, at every level?
  static bool matchesAll(const SymExpr &columns, int64_t taps,
                         const SymExpr &run);
  /// Is it a product of a matrix that matches at some level?
  static bool multiplies(PackedMatMulOp op, const PackedOperand &operand);
  /// How columns lie one after the other, where all levels had better have them
  /// so.
  static std::optional<WeightColumns> layOut(const SymExpr &columns,
                                             int64_t taps, const SymExpr &run);
  /// Are columns, if these are such, laid out like that? Else an error.
  static bool fits(KernelEmitter &e, const PackedOperand &operand,
                   PackedMatMulOp op, const SymExpr &columns, int64_t taps,
                   const SymExpr &run);
  /// Memory for the weights, at whatever level.
  static mlir::Value reserve(KernelEmitter &e, const SymExpr &columns,
                             int64_t taps, const SymExpr &run);

  /// Columns before the first one.
  int64_t getFirst() const { return first; }
  /// Rows of a tile, at most. Those of a window may lie `apart` elements from
  /// each other; 0: each has a place of its own.
  int64_t mostRows(int64_t apart = 0) const;
  /// The weights out of the one panel at B, in the order of the lanes.
  void loadWeights(KernelEmitter &e, mlir::Value B, mlir::Value weights) const;
  /// C at cAt + row * ldc + column = the sums of `rows` rows, however many.
  /// `weights`: as loadWeights leaves them, or columns that lie one after the
  /// other.
  void emit(KernelEmitter &e, mlir::Value rows, const MicroKernelOperands &o,
            mlir::Value weights, int64_t ldc, int64_t apart = 0) const;

private:
  DotKernel(const TargetInfo &target, int64_t first, int64_t columns,
            int64_t taps, int64_t run, bool isWindow, bool inColumns)
      : target(target), first(first), columns(columns), taps(taps), run(run),
        isWindow(isWindow), inColumns(inColumns) {}
  int64_t lanes() const { return target.vectorBits / 32; }
  /// Of a run, whole vectors of any level.
  static int64_t lengthOf(int64_t run) { return llvm::alignTo(run, 16); }
  int64_t length() const { return lengthOf(run); }
  /// Of the weights: from a tap to the next one, and from a column.
  int64_t tapsApart() const {
    return inColumns ? length() : columns * length();
  }
  int64_t columnsApart() const {
    return inColumns ? taps * length() : length();
  }
  mlir::func::FuncOp get(mlir::ModuleOp module, int64_t rows, int64_t ldc,
                         int64_t apart) const;

  const TargetInfo &target;
  int64_t first, columns, taps, run;
  bool isWindow;
  bool inColumns; ///< are the weights columns of a file?
};

/// Of a kernel of so few columns, of one matrix, that these had better lie one
/// after the other at all levels: how their numbers lie there.
std::optional<WeightColumns> columnsOf(KernelOp kernel);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_DOTKERNEL_H
