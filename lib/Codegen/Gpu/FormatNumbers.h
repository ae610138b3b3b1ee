//===- FormatNumbers.h - numbers of weights in a format ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a panel's bytes (#tenon.format) stand for, whether they lie in global or
// in shared memory: (code - zero) * scale in f32, the operations that a CPU has
// for it, in their order. Panels of f32 are seen as a format, too: without
// codes, a row a group.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_FORMATNUMBERS_H
#define TENON_LIB_CODEGEN_GPU_FORMATNUMBERS_H

#include "dialects/Tenon/IR/TenonFormat.h"
#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// Where numbers lie in a panel; `format` null: f32.
struct PanelLayout {
  explicit PanelLayout(FormatAttr format);

  FormatAttr format;
  bool integer; ///< products are sums of integers
  int64_t rowsOfGroup = 1;
  int64_t bytesOfGroup;
  int64_t bytesOfHeader = 0; ///< of a block
  int64_t bytesOfColumn;     ///< what a group has of a column
  /// Rows of a block; 0: all of them are one.
  int64_t block = 0;
  int64_t bytesOfBlock = 0; ///< where there are several
  /// What a group has of a column, as it is loaded.
  mlir::Type entryType(mlir::MLIRContext *context) const;
};

/// What a block has for one column; null where there is none.
struct ColumnScale {
  mlir::Value scale, zero;
};
/// `load(type, first)` loads the column's element of the array of `type` that
/// begins so many bytes behind the block's beginning.
ColumnScale
loadScale(KernelEmitter &e, const PanelLayout &layout,
          llvm::function_ref<mlir::Value(mlir::Type, int64_t)> load);

/// The f32 (i32 of integers) that row `row`, counted from a group's beginning
/// on, has in the `entry` of its group.
mlir::Value decodeNumber(KernelEmitter &e, const PanelLayout &layout,
                         mlir::Value entry, mlir::Value row,
                         const ColumnScale &scale);

/// The same of an operand in memory.
mlir::Value loadNumber(KernelEmitter &e, const PanelLayout &layout,
                       mlir::Value memory, mlir::Value bytesOfPanel,
                       mlir::Value panel, mlir::Value row, mlir::Value column);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_FORMATNUMBERS_H
