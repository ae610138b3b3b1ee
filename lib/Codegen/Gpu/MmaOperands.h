//===- MmaOperands.h - a product's operands in shared memory ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both operands go through a ring of `stages` parts of K in shared memory:
//
//   fill the first stages - 1 parts
//   for each part: wait until it is there; barrier
//                  fill the part that comes stages - 1 later
//                  multiply this one
//
// B is copied asynchronously, 16 bytes a thread, from the panels that the CPUs
// read too, in whatever format they are: a warp opens its numbers as it loads
// them. A part lies in one block of the format, whose scales come with it. So
// is A copied where it lies in memory as it is multiplied, with rows of whole
// 16 bytes. Any other A is pulled, four elements of a row a thread. What is
// outside of the operands is 0.
//
// In the ring a row of A is 16 bytes longer than the part, and of a panel's
// lines of 128 bytes number i has its blocks of 8 columns exchanged, j and j ^
// i % 4: no two threads of a warp read one bank. Panels that the copy engine
// brings (boxesB) have blocks of 16 bytes exchanged instead, j and j ^ i % 8.
// Where eight columns are two of those, and threads read neighbouring lines, a
// warp's eight are four of one half of the panel and four of the other.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_MMAOPERANDS_H
#define TENON_LIB_CODEGEN_GPU_MMAOPERANDS_H

#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/FusedProduct.h"
#include "lib/Codegen/Form/GatedMatMul.h"
#include "lib/Codegen/Gpu/FormatNumbers.h"
#include "lib/Codegen/Gpu/Mma.h"
#include "lib/Codegen/Gpu/SharedMemory.h"

namespace tenon {

/// Where a tile lies in the operands.
struct MmaTile {
  mlir::Value batchIndex, row, panel; ///< its first ones
  mlir::Value aAt, bAt;               ///< where its matrices begin, in 16 bytes
};

/// Threads that fill a ring together and multiply out of it, a block's or a
/// warp's, and the tile that they have.
struct MmaTeam {
  bool block;
  mlir::Value thread; ///< number among them
  int64_t threads;
  mlir::Value ring; ///< where theirs begins, in bytes
  int64_t stages;
  int64_t rows, panels; ///< of the tile; of a gated matmul of both halves
  /// What a warp has of it.
  mlir::Value warpRow, warpPanel;
  int64_t warpRows, warpPanels;
  size_t numSums() const { return size_t(warpRows * warpPanels); } // a thread's
};

/// Of f32 or i32, or vectors of them.
mlir::Value addSums(KernelEmitter &e, mlir::Value x, mlir::Value y);

struct MmaOperands {
  MmaOperands(KernelEmitter &e, PackedMatMulOp op, const PackedOperand &operand,
              GpuMatMulTilingAttr tiling);

  KernelEmitter &e;
  PackedMatMulOp op;
  PackedOperand operand;
  GpuMatMulTilingAttr tiling;
  LaneBuilder &L = e.L;
  mlir::OpBuilder &b = e.b;
  Mma mma{e, tiling.getProducts()};
  PanelLayout layout{op.getFormatAttr()};
  llvm::SmallVector<SymExpr> lhs = getDims(op.getLhs()),
                             packed = getDims(op.getPacked()),
                             out = getDims(op.getResult());
  std::optional<MatMulHalves> halves = matchHalves(op);
  int64_t cut = halves ? 2 : 1;
  size_t inner = layout.format ? 2 : 3; ///< dims of panels
  /// Columns and panels of the result; of each half in a gated matmul.
  SymExpr K = lhs.back(), N = part(out.back()),
          panels = part(packed[packed.size() - inner]);
  /// One right operand for all rows, which then count through.
  bool shared =
      llvm::all_of(llvm::ArrayRef(packed).drop_back(inner),
                   [](const SymExpr &d) { return d.constant() == 1; });
  llvm::SmallVector<SymExpr> rowDims =
      shared ? llvm::SmallVector<SymExpr>(out.begin(), out.end() - 1)
             : llvm::SmallVector<SymExpr>{out.end()[-2]};
  llvm::SmallVector<SymExpr> batch =
      shared ? llvm::SmallVector<SymExpr>{}
             : llvm::SmallVector<SymExpr>(out.begin(), out.end() - 2);
  SymExpr M = productOf(rowDims);
  /// Rows of K of a part; an element of A in the ring, and its bytes.
  int64_t depth = layout.integer ? 32 : 16;
  mlir::Type elementOfA =
      layout.integer ? mlir::Type(b.getI8Type()) : mlir::Type(b.getF32Type());
  int64_t bytesOfElement = layout.integer ? 1 : 4;
  int64_t bytesOfRow = depth * bytesOfElement + 16;
  int64_t bytesOfPanel =
      layout.bytesOfHeader + depth / layout.rowsOfGroup * layout.bytesOfGroup;
  mlir::Value k = e.dim(K), m = e.dim(M), n = e.dim(N), np = e.dim(panels);
  /// Panels in memory, in 16 bytes.
  mlir::Value panelSize = layout.format
                              ? L.index(*packed.back().constant() / 16)
                              : L.mul(k, layout.bytesOfGroup / 16);
  /// Of the thread in its warp: number, quad, place in the quad.
  mlir::Value thread = threadIndex(e);
  mlir::Value lane = L.rem(thread, 32), warp = L.div(thread, 32);
  mlir::Value g = L.div(lane, 4), t = L.rem(lane, 4);
  mlir::Value A, B;
  /// Does the copy engine bring B, and are eight columns then of both halves?
  bool boxesB = false;
  bool areApart() const {
    return boxesB && layout.bytesOfColumn == 4 &&
           (layout.rowsOfGroup > 1 || !mma.isNarrow());
  }
  /// The block's shared memory, in bytes; once its size is known.
  std::optional<SharedArray> ring;

  int64_t bytesOfStage(int64_t rows, int64_t panels) const {
    return rows * bytesOfRow + panels * bytesOfPanel;
  }
  SymExpr part(const SymExpr &whole) const {
    return halves ? SymExpr(*whole.constant() / cut) : whole;
  }
  /// The sums over parts [first, last) of K. With `ofRange` these are ranges of
  /// so many parts, `ranges` of them, whose sums are added in their order.
  llvm::SmallVector<mlir::Value>
  multiply(const MmaTeam &team, const MmaTile &tile, mlir::Value first,
           mlir::Value last, mlir::Value ofRange = {}, int64_t ranges = 1);

protected:
  /// What a thread pulls at a time.
  static constexpr int64_t kQuad = 4;
  /// Elements of a row of A from `column` of K on, `kQuad` of them: `put(i, x)`
  /// takes those from the i-th on, all or one. What is behind K is 0, where
  /// parts of so many rows `ofPart` are not whole.
  void pullA(const MmaTile &tile, mlir::Value row, mlir::Value column,
             int64_t ofPart,
             llvm::function_ref<void(int64_t, mlir::Value)> put);
  /// Part `number` of B. Unless `exists` it is 0; null: it does.
  void fillB(const MmaTeam &team, const MmaTile &tile, mlir::Value number,
             mlir::Value stage, mlir::Value exists = {});
  /// A column of B's part in the ring.
  struct Column;
  /// Column 8j + g, or the like, of panel number `panel` + `more` of a team's
  /// stage.
  Column columnOf(const MmaTeam &team, mlir::Value stage, mlir::Value panel,
                  int64_t more, mlir::Value j);
  /// A thread's registers of rows kk to kk + mma.depth() of one column, as B,
  /// or of two, as A.
  Mma::Fragment fragmentOf(llvm::ArrayRef<Column> columns, int64_t kk);
  /// Do rows of A, of whole 16 bytes, lie in memory as rows are counted, and as
  /// numbers of `type`?
  bool liesInRows(mlir::Type type, int64_t bytes);

private:
  bool isInPlace();
  /// Is every part of K whole?
  bool isDivided() const { return K.constant() && *K.constant() % depth == 0; }
  void fillA(const MmaTeam &team, const MmaTile &tile, mlir::Value number,
             mlir::Value stage);
  llvm::SmallVector<mlir::Value>
  multiplyPart(const MmaTeam &team, mlir::Value stage, mlir::ValueRange sums);
};

/// How it is loaded.
struct MmaOperands::Column {
  MmaOperands &o;
  mlir::Value panel; ///< where its part begins
  mlir::Value j;
  ColumnScale scale = {};

  mlir::Value header(mlir::Type type, int64_t first) const;
  mlir::Value entry(mlir::Value group) const;
  mlir::Value entryOfBox(mlir::Value group) const;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_MMAOPERANDS_H
