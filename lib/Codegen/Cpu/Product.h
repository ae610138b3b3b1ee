//===- Product.h - products of a CPU's kernels ------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the emitters of matmul and attention share: micro-kernels, and the tiles
// of rows and panels that they are called for.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_PRODUCT_H
#define TENON_LIB_CODEGEN_CPU_PRODUCT_H

#include "lib/Codegen/Emit/FusedProduct.h"

namespace tenon {

/// Up to this many rows so many panels are multiplied at once.
int64_t narrowRows(const TargetInfo &target);
inline constexpr int64_t kNarrowPanels = 4;
/// Elements of C that any call of a micro-kernel writes.
inline constexpr int64_t kTileElements =
    kTileRows * kTilePanels * kPanelColumns;
static_assert(3 * kNarrowPanels * kPanelColumns <= kTileElements);

/// What a micro-kernel is compiled for, beside its rows.
struct MicroKernelShape {
  int64_t panels = kTilePanels;
  /// Of `next`, for each panel and four rows of B, so many lines are fetched
  /// into the L2 cache; kAhead: its own panels some rows ahead, into the first.
  int64_t lines = 0;
  bool accumulate = false;           ///< adds to what C holds
  bool inRows = false;               ///< C is no tile, its rows lie ldc apart
  int64_t columns = kPanelColumns;   ///< of the last panel that are computed
  int64_t rowsApart = kPanelColumns; ///< rows of B
  int64_t page = 0;       ///< elements of a page of 32 rows of B; 0: one matrix
  int64_t pagesAhead = 1; ///< so many before it is read a page is fetched
  mlir::Type element = {}; ///< of B: floats of 16 bits, or i8; null: f32
  /// Of each two rows of B, from the first on, the second is added first.
  bool oddFirst = false;
  /// `next` is a position in bytes of their own, behind the other arguments,
  /// with the distance of their panels.
  bool fetchesBytes = false;
  /// B is panels of such numbers, in bytes as a weight's format has them. They
  /// are stored as f32 too, for the tiles that follow (behind the arguments so
  /// far: where, from which position on, and the distance of panels).
  mlir::Type opens = {};
  bool window = false; ///< A's rows are runs of an image, one for each tap
  int64_t run = 0;     ///< their length, if the kernel is unrolled for it
};
inline constexpr int64_t kAhead = -1;
/// func(A, aAt, lda, B, bAt, panelStride, K, C, cAt, ldc, next, nextStep): C at
/// cAt is [panels][rows][32], or rows ldc apart with `inRows`; A's rows lie lda
/// apart, B's panels panelStride. `next` is a position in B,
/// from where on elements are fetched into the cache, nextStep further for each
/// four rows of B; the same panelStride further for each panel.
/// A window has the arguments (..., places, placeAt, taps, tapAt, numTaps,
/// nextIn, nextApart) too. Two are tables of i64: row r of A is numTaps runs of
/// K elements, which begin at aAt + places[placeAt + r] + taps[tapAt + t];
/// `next` is a position in nextIn, where nextApart is what panelStride is in B.
/// Pages have (..., places, placeAt): number n is places[placeAt + n] pages
/// behind bAt, of pagesAhead more than hold rows.
/// Where A's rows 4 and 8 lie are the last arguments, if there are such and A
/// is no window.
mlir::func::FuncOp getMicroKernel(mlir::ModuleOp module,
                                  const TargetInfo &target, int64_t rows,
                                  const MicroKernelShape &shape);
struct MicroKernelOperands {
  mlir::Value A, aAt, B, bAt, panelStride, K, C, cAt;
  mlir::Value next = {}, nextStep = {}, bytes = {}, bytesApart = {};
  mlir::Value opened = {}, openedAt = {}, openedApart = {};
  mlir::Value ldc = {};
  mlir::Value places = {}, placeAt = {}, taps = {}, tapAt = {}, numTaps = {};
  mlir::Value nextIn = {}, nextApart = {}; ///< of a window; null: B
};
/// Columns of the last of a product's panels that are worth computing: whole
/// vectors.
int64_t lastColumns(const TargetInfo &target, const SymExpr &N);
/// Calls fn(rows) where `rows`, known at run time, is any of 1 to mostRows.
void forRowCounts(KernelEmitter &e, mlir::Value rows, int64_t mostRows,
                  llvm::function_ref<void(int64_t)> fn);
/// Calls the micro-kernel of `rows` rows, which is known at run time and at
/// least 1, at most `mostRows`. Fewer rows than `leastRows`, the end of a
/// block, fetch nothing. There are more than `above`.
void emitMicroKernel(KernelEmitter &e, mlir::Value rows, int64_t mostRows,
                     const SymExpr &lda, const MicroKernelOperands &operands,
                     const MicroKernelShape &shape, int64_t leastRows = 1,
                     int64_t above = 0);
/// A register tile of f32 panels among the tiles that meet the same ones.
struct ProductTile {
  const SymExpr &panels, &N; ///< of the whole product
  bool whole;                ///< each of its tiles has all its panels
  mlir::Value tiles;         ///< as many meet these panels
  mlir::Value left;          ///< panels from its first one on
  int64_t mostRows;
  MicroKernelShape shape; ///< of a tile that is not the last
  int64_t endLines = 0;   ///< that the last one fetches
};
/// Calls fn(shape, fewest rows that fetch) for each shape that the tile may
/// have, where it has that: its last panels may be fewer, of fewer columns.
void forTileShapes(KernelEmitter &e, const ProductTile &tile,
                   llvm::function_ref<void(MicroKernelShape, int64_t)> fn);
/// Splits `rows` (at least 1) evenly into register tiles of at most `mostRows`:
/// fn(number of the tile, its first row, its rows).
void forRowTiles(
    KernelEmitter &e, mlir::Value rows, int64_t mostRows,
    llvm::function_ref<void(mlir::Value, mlir::Value, mlir::Value)> fn);
/// The same of one or two parts of the rows, one behind the other, each of
/// which is split for itself.
void forRowTiles(
    KernelEmitter &e, llvm::ArrayRef<mlir::Value> parts, int64_t mostRows,
    llvm::function_ref<void(mlir::Value, mlir::Value, mlir::Value)> fn);
/// Calls fn(first panel, panels) for kTilePanels panels at a time from `begin`
/// to `end`, and for what is left of them.
void forPanelGroups(KernelEmitter &e, mlir::Value begin, mlir::Value end,
                    llvm::function_ref<void(mlir::Value, int64_t)> fn);
/// Walks a panel of N columns by vectors, masked at its end: fn(column in the
/// panel, column of the whole).
void forPanelColumns(KernelEmitter &e, mlir::Value panel, const SymExpr &N,
                     llvm::function_ref<void(mlir::Value, mlir::Value)> fn);

void emitMatMulKernel(KernelEmitter &e);
void emitConvKernel(KernelEmitter &e);
void emitWinogradKernel(KernelEmitter &e);
void emitCpuRecurrentKernel(KernelEmitter &e);
/// The second half of a recurrent layer in parts.
SymExpr emitCpuRecurrentSteps(KernelEmitter &e);
void emitDepthwiseKernel(KernelEmitter &e);
void emitAttentionKernel(KernelEmitter &e);
/// Whether a query's row says which keys the attention looks at. A task of
/// fewer rows then has fewer keys that one of its rows sees and another does
/// not: 24 rows are 10% faster than 48 in causal attention of 128 tokens and 5%
/// in one of 512; without such a mask they would read keys twice as often for
/// nothing.
bool keysVaryByRow(mlir::Block &attention);
/// Has an attention a second half? Its function takes the memory of both, of
/// f32, behind its result then.
bool isSplitAttention(KernelOp kernel);
/// Emits that half; gives the elements of the memory.
SymExpr emitAttentionColumns(KernelEmitter &e);
/// A task is some pages, or what is new, of a matrix of a cache.
void emitPagesKernel(KernelEmitter &e, int64_t columns, int64_t tasks);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_PRODUCT_H
