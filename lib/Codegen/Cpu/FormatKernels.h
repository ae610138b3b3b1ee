//===- FormatKernels.h - products by weights in a format --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What MicroKernel.cpp is for f32 panels. Each is one function per format (and
// row count) for all layers.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_FORMATKERNELS_H
#define TENON_LIB_CODEGEN_CPU_FORMATKERNELS_H

#include "dialects/Tenon/IR/TenonFormat.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// Are rows that panels of the format multiply rounded to bf16?
inline bool roundsToBF16(FormatAttr format) {
  return format.getRows() && format.getRows().isBF16();
}

/// func(B, bAt, first, last, to, toAt): rows [first, last) of the panel at bAt
/// as f32, [row][32]. `first` begins a block; of one block alone, a group.
mlir::func::FuncOp getDequantizer(mlir::ModuleOp module,
                                  const TargetInfo &target, FormatAttr format);

/// Or are they so by the first register tile that meets them? Stores cost less
/// beside multiply-adds than alone. Without these a step is one row, of bf16
/// half a group.
inline bool isOpenedByTiles(FormatAttr format, const TargetInfo &target) {
  return mlir::isa<mlir::FloatType>(format.getElement()) && target.hasFma;
}
struct MicroKernelOperands;
struct MicroKernelShape;
/// A tile by the dequantised panels at o.B; those at `stored` in o.bytes where
/// `opens`, if not null, is true, which fills o.B with them. With shape.lines
/// some at o.next are fetched.
void emitDequantizedTile(KernelEmitter &e, mlir::Value rows, int64_t mostRows,
                         const SymExpr &lda, const MicroKernelOperands &o,
                         MicroKernelShape shape, FormatAttr format,
                         mlir::Value opens, mlir::Value stored);

/// Calls func(A, aAt, lda, B, bAt, K, C, cAt): C [panels][rows][32] is A's
/// rows, lda apart, times one or two panels, the first at bAt, which are
/// dequantised in registers. `rows` is in [1, mostFormatRows].
int64_t mostFormatRows(FormatAttr format, const TargetInfo &target);
inline constexpr int64_t kFormatRows = 12; ///< of any level
/// Two such tiles cost less than numbers that are written to the cache first;
/// those of 16 bits, with AVX-512, are written by the first tile in no time.
int64_t mostRowsInRegisters(FormatAttr format, const TargetInfo &target);
void emitFormatKernel(KernelEmitter &e, mlir::Value rows, const SymExpr &lda,
                      FormatAttr format, int64_t panels, mlir::Value apart,
                      llvm::ArrayRef<mlir::Value> operands);

/// How the rows of a product's left operand lie in memory: of integers bytes
/// where the level, or the weight, lets these be multiplied, else i16; of bf16
/// their bits as i16 where it multiplies them, else f32.
mlir::Type rowTypeOf(FormatAttr format, const TargetInfo &target);

/// Of a product of integers, or of bf16 by bf16. Calls func(A, aAt, lda, B,
/// bAt, panelStride, K, C, cAt, marks, next, bytes): C, i32 or f32
/// [panels][rows][32], is A's rows times the panels, or with `accumulate` that
/// and what it was. K is a multiple of the format's group, or block; of a block
/// of integers the marks, or lists, begin in B there; `rows` is in [1,
/// mostRows]. So many bytes of each of the panels at `next` are fetched, if any
/// are. B's memory is of bytes, or of bf16: positions in it count its elements.
/// DwordKernels.cpp.
void emitDotKernel(KernelEmitter &e, mlir::Value rows, FormatAttr format,
                   int64_t panels, bool accumulate,
                   llvm::ArrayRef<mlir::Value> operands,
                   int64_t mostRows = kTileRows, bool fetches = true);

/// Where the marks, or lists, of a panel of K rows at `panel` lie, from row k0
/// on.
mlir::Value marksOf(LaneBuilder &L, FormatAttr format, mlir::Value panel,
                    int64_t K, mlir::Value k0);

/// Rows of a tile, of which up to two are multiplied at once.
inline constexpr int64_t kRowsOfTile = 16;
/// Does the level multiply such panels by tiles (AMX)?
bool multipliesTiles(FormatAttr format, const TargetInfo &target);
/// Gives tiles the shapes that products by K rows need, for a whole kernel.
void emitTileShapes(KernelEmitter &e, FormatAttr format, int64_t K);
/// Gives the tiles back: a thread that holds some costs at each switch.
void emitTileRelease(KernelEmitter &e);
/// Calls func(A, aAt, lda, B, bAt, panelStride, length, C, cAt, apart): as the
/// product above, of one or two tiles of rows, all of which are there. C's
/// panels lie so many elements apart. Of K rows these are `length`, a multiple
/// of 64 but for the last ones. TileKernels.cpp.
void emitTileKernel(KernelEmitter &e, FormatAttr format, int64_t K,
                    int64_t tiles, int64_t panels, bool accumulate,
                    llvm::ArrayRef<mlir::Value> operands);

/// The product by such tiles of `rows` rows, of which C holds `held` of each
/// panel. Of integers they are the rows that fill some; of bf16 all, so that a
/// row has the same bits however many are beside it.
struct RowsOfTiles {
  mlir::Value rows, held;
};
void emitTileProduct(KernelEmitter &e, RowsOfTiles rows, FormatAttr format,
                     int64_t K, int64_t panels, bool accumulate,
                     const MicroKernelOperands &o, mlir::Value lda,
                     mlir::Value marks);

/// Rows that such panels are multiplied by at once, at most.
int64_t mostByteRows(const TargetInfo &target);
/// Calls func(A, aAt, lda, scales, sums, at, blocks, B, bAt, C, cAt): C
/// [panels][rows][32] is A's quantised rows times one or two panels, the first
/// at bAt; of each row so many blocks, whose scales and sums begin at `at`.
/// `rows` is in [1, mostByteRows]. With `next` they are some of many rows, at
/// most kTileRows where panels are joined, and of each of the panels there so
/// many bytes may be fetched.
void emitByteKernel(KernelEmitter &e, mlir::Value rows, FormatAttr format,
                    int64_t panels, mlir::Value apart,
                    llvm::ArrayRef<mlir::Value> operands, mlir::Value next = {},
                    mlir::Value bytes = {});
/// Are several rows multiplied by two panels side by side? Whole columns have
/// sums of integers alone, with registers for both.
bool joinsPanels(FormatAttr format, const TargetInfo &target);

/// Are panels of the format opened once for many rows, at levels with dot
/// products? OpenedKernels.cpp.
bool opensBytes(FormatAttr format);
/// Of K rows.
int64_t bytesOfOpenedPanel(FormatAttr format, int64_t K);
/// func(B, bAt, first, last, to, toAt): rows [first, last) of the panel at bAt,
/// whole blocks, as bytes.
mlir::func::FuncOp getPanelOpener(mlir::ModuleOp module,
                                  const TargetInfo &target, FormatAttr format);
/// Calls func(A, aAt, lda, scales, sums, at, blocks, B, bAt, C, cAt, next,
/// codes): as the product above by one opened panel at bAt, of rows in
/// [1, kTileRows]. Of each block of the panel at `next` in `codes` so many
/// bytes are fetched.
void emitOpenedKernel(KernelEmitter &e, mlir::Value rows, FormatAttr format,
                      llvm::ArrayRef<mlir::Value> operands);
int64_t bytesFetchedByOpened(FormatAttr format);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_FORMATKERNELS_H
