//===- MatMulForm.h - how a product is cut ----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a matmul's kernel knows of its product before it emits anything: what
// its operands are, in which of the kernel's forms it is multiplied, and how
// the result is cut into tasks and tiles.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_MATMULFORM_H
#define TENON_LIB_CODEGEN_CPU_MATMULFORM_H

#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/DotKernel.h"
#include "lib/Codegen/Cpu/FormatKernels.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Cpu/NarrowRows.h"
#include "lib/Codegen/Cpu/PatchRows.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Cpu/QuantizedRows.h"
#include "lib/Codegen/Form/GatedMatMul.h"

namespace tenon {

struct MatMulForm {
  KernelEmitter &e;
  PackedMatMulOp op;
  PackedOperand operand;
  CpuMatMulTilingAttr tiling;
  llvm::SmallVector<SymExpr> lhs = getDims(op.getLhs()),
                             packed = getDims(op.getPacked()),
                             out = getDims(op.getResult());
  FormatAttr format = op.getFormatAttr(); ///< of B; null: f32
  bool integer = format && format.isInteger();
  bool quantized = format && format.quantizesRows(); ///< rows become integers
  bool isShort = integer || (quantized && hasDotProducts(e.target));
  mlir::Type rowType = format ? rowTypeOf(format, e.target) : e.b.getF32Type();
  bool laidOut = !rowType.isF32(); ///< for the level
  bool coded = format && !laidOut; ///< dequantised
  bool opensInTile = coded && isOpenedByTiles(format, e.target);
  std::optional<QuantizedRows> rowsOfBytes =
      quantized ? std::optional<QuantizedRows>(std::in_place, e, op)
                : std::nullopt;
  bool opened =
      quantized && rowsOfBytes->opened; ///< are panels, for many rows?
  /// Are rows laid out there or dequantised panels multiplied, as the level has
  /// it? Both are cut into the same tasks.
  bool rounded = format && roundsToBF16(format);
  bool tiled =
      format && multipliesTiles(format, e.target) && lhs.back().constant();
  std::optional<MatMulHalves> halves = matchHalves(op);
  int64_t cut = halves ? 2 : 1;
  int64_t taskRows = tiling.getTaskRows(), tileRows = tiling.getTileRows(),
          tilePanels = tiling.getTilePanels();
  /// Columns and panels of the result; of each half in a gated matmul.
  SymExpr K = lhs.back(), N = part(out.back());
  /// Distance of the rows in scratch memory: whole groups, or blocks.
  SymExpr rowSize = quantized ? rowsOfBytes->rowSize
                    : laidOut ? ceilDiv(K, format.rowsOfGroup()) *
                                    SymExpr(format.rowsOfGroup())
                              : K;
  size_t inner = format ? 2 : 3; ///< dims of panels
  SymExpr panels =
      operand.inColumns() ? SymExpr(1) : part(packed[packed.size() - inner]);
  bool shared =
      llvm::all_of(llvm::ArrayRef(packed).drop_back(inner),
                   [](const SymExpr &d) { return d.constant() == 1; });
  SymExpr M = shared ? productOf(llvm::ArrayRef(lhs).drop_back(1))
                     : lhs[lhs.size() - 2];
  llvm::SmallVector<SymExpr> batch =
      shared ? llvm::SmallVector<SymExpr>{}
             : llvm::SmallVector<SymExpr>(out.begin(), out.end() - 2);
  /// Some level has columns that fill no vector.
  bool thin = DotKernel::multiplies(op, operand);
  std::optional<DotKernel> dots = // of this level
      thin ? DotKernel::match(e.target, N, 1, K, /*isWindow=*/false,
                              operand.inColumns())
           : std::nullopt;
  int64_t wholeColumns = // by vectors of columns
      dots ? dots->getFirst() : N.constant().value_or(INT64_MAX);
  bool waits = waitsForPanels();
  NarrowRows atOnce{e.target, taskRows, waits}; ///< by f32 panels
  SymExpr blocks = ceilDiv(M, blockRows());
  /// Rows of a block, whole register tiles.
  SymExpr rowsOfBlock =
      ceilDiv(ceilDiv(M, blocks), tileRows) * SymExpr(tileRows);
  /// Rows of B that are walked for all rows of a task before the next ones.
  int64_t chunkRows = rowsOfChunk();
  int64_t chunks = chunkRows ? llvm::divideCeil(*K.constant(), chunkRows) : 1;
  SymExpr rowsOfTask = chunks > 1 ? rowsOfBlock : SymExpr(taskRows);
  SymExpr parts = ceilDiv(rowsOfBlock, rowsOfTask); // tasks of a block
  /// Panels of the result in a task, and in a register tile.
  int64_t panelsOfTask = tiling.getTaskPanels() / cut;
  int64_t panelsOfTile = tilePanels / cut;
  SymExpr pairs = ceilDiv(panels, panelsOfTask);
  unsigned lanes = e.vectorLanes();
  int64_t rowsOfTile = mostRows();
  mlir::Type f32 = e.b.getF32Type();
  mlir::Type sumType = integer ? mlir::Type(e.b.getI32Type()) : f32;
  bool inPlace = isInPlace();
  std::optional<PatchRows> patches =
      hasOwnRows() && !quantized ? PatchRows::match(op.getLhs()) : std::nullopt;

  /// Do so few registers wait for B that passes meet its panels in parts? It
  /// has to leave a core's cache, and a panel the first one.
  bool waitsForPanels();
  /// Rows of B in a chunk, about as many as the tiling says; 0: all of them.
  int64_t rowsOfChunk();
  /// Most rows of A that fill so many bytes: with fewer, B is read from memory
  /// once more per block, and B is the larger one.
  int64_t blockRows();
  /// Of a tile. One vector of columns leaves registers for more, which have to
  /// stay in the L1 cache where other columns meet them again.
  int64_t mostRows();
  SymExpr part(const SymExpr &whole) {
    return halves ? SymExpr(*whole.constant() / cut) : whole;
  }
  static SymExpr ceilDiv(const SymExpr &x, const SymExpr &y) {
    return SymExpr::apply(SymExpr::Fn::CeilDiv, x, y);
  }
  /// Of a row of a panel; those of a format are counted in bytes, or in bf16
  /// that the model computes.
  int64_t sizeOfRow();
  bool isInPlace();
  /// Broadcast batch dims would repeat rows.
  bool hasOwnRows() {
    return shared || llvm::ArrayRef(lhs).drop_back(2) == llvm::ArrayRef(batch);
  }
  /// Every tile has all its panels.
  bool wholeTiles() {
    return panels.constant() && *panels.constant() % panelsOfTile == 0;
  }
  int64_t openedSize() { return bytesOfOpenedPanel(format, *K.constant()); }
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_MATMULFORM_H
