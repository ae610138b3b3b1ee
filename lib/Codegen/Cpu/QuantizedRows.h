//===- QuantizedRows.h - rows that become integers --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The left operand of a product by codes. The kernel of many rows is two
// functions: the first makes all of them integers, and the second's tasks, of
// which many meet the same rows, read these. A call that meets a few rows makes
// them integers for itself: that costs less than to wait for others.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_QUANTIZEDROWS_H
#define TENON_LIB_CODEGEN_CPU_QUANTIZEDROWS_H

#include "dialects/Tenon/IR/TenonFormat.h"
#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

class PackedMatMulOp;

/// What a block of a row has beside its scale, of the sum of its integers.
enum class SumKind {
  plain, ///< the sum
  start, ///< what the block's products begin with: less the middle of the codes
  pair,  ///< the sum less than zero, as i16: a factor of zero points
  number, ///< the sum as f32
};
/// Of many rows that meet `opened` panels, or of others.
SumKind kindOfSums(FormatAttr format, const TargetInfo &target, bool opened);

/// How much is added to the integers that meet opened panels, which are bytes
/// without a sign.
inline constexpr int64_t kUnsigned = 128;

/// Up to so many rows, of any level, are a few.
inline constexpr int64_t kFewQuantizedRows = 2 * kTileRows;
/// Is the kernel two functions?
bool quantizesRowsFirst(KernelOp kernel);
/// Emits the first of them, whose memory is that of QuantizedRows::bytes.
void emitQuantizedRows(KernelEmitter &e);

struct QuantizedRows {
  QuantizedRows(KernelEmitter &e, PackedMatMulOp op);
  KernelEmitter &e;
  mlir::Value lhs;
  FormatAttr format;
  llvm::SmallVector<SymExpr> dims; ///< of the left operand
  SymExpr K, M;
  /// Whole groups, or blocks, of a row, and its scales.
  SymExpr rowSize, blocks;
  /// Do many rows meet opened panels, at some level, and at this one?
  bool opensSomewhere, opened;
  /// Of all rows, where these are many; else 0.
  SymExpr bytes;

  /// Where the integers lie, a scale for each block and its sum: of a few rows
  /// in scratch memory, or of all.
  void takeScratch();
  void takeMemory(mlir::Value memory);
  mlir::Value A = {}, scales = {}, sums = {};
  void takeRow(); ///< and where a row that is computed lies
  /// Makes rows [begin, end) integers, as opened panels meet them or others.
  void write(mlir::Value begin, mlir::Value end, bool forOpened);

private:
  bool isStored() const;
  SymExpr ofRows(const SymExpr &rows) const;
  mlir::Value row = {}; ///< one as floats, of those that are computed
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_QUANTIZEDROWS_H
