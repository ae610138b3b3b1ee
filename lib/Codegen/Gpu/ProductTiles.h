//===- ProductTiles.h - which tiles of a product a block has ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two ways, of which the number of rows chooses where the tiling has a split:
//
//   tiles   a block has a tile of the result
//   few     a block has 16 rows of a panel, or of two (gated: of each half),
//   and
//           four of the ranges of K; the other ranges are other blocks'
//
// Few rows have few tiles, which would leave most of a GPU idle. The sums of
// the ranges are added in their order, in a tile by each thread as it comes to
// the end of one, else by the block that is the last of its tile to be done:
// the others leave theirs in memory. So a row has the same bits in both ways:
// however many rows are computed beside it, and whichever block is the last.
//
// Of a grid (#tenon.gpu_grid) a block goes from task to task, where the level
// multiplies by warpgroups. The runtime then launches no more blocks than run
// at a time. Blocks that run at a time have tiles beside and below each other,
// which share what they read.
//
// In the end the sums lie in memory, whence the epilogue takes them like an
// operand: neighbouring threads have neighbouring columns. A gated matmul's
// tile has as many panels of each half.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_PRODUCTTILES_H
#define TENON_LIB_CODEGEN_GPU_PRODUCTTILES_H

#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/MmaOperands.h"

namespace tenon {

class ProductTiles : public MmaOperands {
public:
  ProductTiles(KernelEmitter &e, PackedMatMulOp op,
               const PackedOperand &operand, GpuMatMulTilingAttr tiling,
               bool grid)
      : MmaOperands(e, op, operand, tiling), grid(grid) {}
  virtual ~ProductTiles() = default;
  void run();

protected:
  const bool grid; ///< is the tiling that of one?
  Sink sink{e};
  int64_t rows = tiling.getRows(), columns = tiling.getColumns(),
          threads = tiling.getThreads(), warps = tiling.getWarps(),
          split = tiling.getSplit();
  int64_t panelsOfTile = columns / kPanelColumns;
  /// Panels of the result that few rows have, and columns of their sums.
  int64_t panelsOfFew = std::max<int64_t>(1, warps / kRangesOfBlock);
  int64_t columnsOfFew = panelsOfFew * kPanelColumns * cut;

  /// How the kernel computes sums; `load(r, c, ...)` of the epilogue then finds
  /// those of row r and column c of a tile.
  using LoadSums =
      llvm::function_ref<mlir::Value(mlir::Value r, mlir::Value c)>;
  /// The same of one range of a block.
  using LoadRange = llvm::function_ref<mlir::Value(int64_t range, mlir::Value r,
                                                   mlir::Value c)>;
  using LoadAnyRange = llvm::function_ref<mlir::Value(
      mlir::Value range, mlir::Value r, mlir::Value c)>;
  /// Plans shared memory, and gives its bytes.
  virtual int64_t planShared(bool few, bool tiles) = 0;
  /// Do blocks go from task to task?
  virtual bool goesOn() const { return false; }
  /// Gives the sums of a tile to the epilogue.
  virtual void emitTile(const MmaTile &tile) = 0;
  /// The same of all tiles of this block.
  using FindTile = llvm::function_ref<MmaTile(mlir::Value number)>;
  virtual void emitTiles(FindTile find) { emitTile(find(e.begin)); }
  /// The same of ranges [first, first + kRangesOfBlock) of few rows.
  virtual void emitFew(const MmaTile &tile, mlir::Value first) = 0;
  /// What is done once, before.
  virtual void beginFew() {}
  /// Rows of K that ranges begin at multiples of.
  virtual int64_t rowsOfPart() const { return depth; }
  virtual int64_t alignmentOfShared() const { return 16; }

  /// Elements of a row of sums in shared memory.
  static int64_t rowOfSums(int64_t panels) {
    return panels * kPanelColumns + 4;
  }
  mlir::Value parts() {
    return L.div(L.add(k, rowsOfPart() - 1), rowsOfPart());
  }
  mlir::Value ofRange() { return L.div(L.add(parts(), split - 1), split); }
  /// Columns of a tile that are stored: of a gated matmul half of them.
  int64_t stored() const { return columns / cut; }

  /// For each task of this block, `task` and `done`, which the body may change.
  void overTasks(const SymExpr &tasks, llvm::function_ref<void()> body);
  mlir::Value task;
  mlir::Value done; ///< parts of K that were over before
  SymExpr tasksOfTiles, tasksOfFew;

  /// Done by the first `among` threads of the block; 0: by all.
  void epilogue(const MmaTile &tile, int64_t rows, int64_t stored,
                LoadSums load, int64_t among = 0);
  /// That of few rows: `load` finds the sums of this block's ranges.
  void combineFew(const MmaTile &tile, LoadAnyRange load);

private:
  /// Blocks that have ranges of one tile.
  int64_t blocksOfFew() const {
    return std::max<int64_t>(1, split / kRangesOfBlock);
  }
  /// How many tiles a matrix has, and of what size.
  struct Tiles {
    mlir::Value down, across;
    int64_t rows, panels; ///< of the result
  };
  MmaTile tileAt(const Tiles &tiles, mlir::Value matrix, mlir::Value down,
                 mlir::Value across);
  MmaTile tileInRows(const Tiles &tiles, mlir::Value number);
  MmaTile tileInGroups(const Tiles &tiles, mlir::Value number);
  void markGrid();
  void runTiles();
  void runFew();
  bool planBlocks();

  SymExpr tilesOfFew;
  mlir::Value counters, partial; ///< of few rows: in memory
  mlir::Value number;            ///< of this block's tile
};

/// Computes tiles that are warpgroups' (GpuKernels.h) where the level has
/// products of warpgroups.
void emitWarpgroupMatMul(KernelEmitter &e, PackedMatMulOp op,
                         const PackedOperand &operand,
                         GpuMatMulTilingAttr tiling, bool grid);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_PRODUCTTILES_H
