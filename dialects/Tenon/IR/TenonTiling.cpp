//===- TenonTiling.cpp - how a kernel is cut into tasks -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Verifiers: what a number may be stands with its attribute, which kernel may
// carry it in verifyFor.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonTiling.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonGrid.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonReduce.h"

using namespace mlir;

#include "dialects/Tenon/IR/TenonTilingInterface.cpp.inc"

namespace tenon {

using EmitError = function_ref<InFlightDiagnostic()>;

/// Is the number a multiple of `unit` in [least, most]? An error if not.
static LogicalResult checkNumber(EmitError emitError, StringRef what,
                                 int64_t found, int64_t unit, int64_t least,
                                 int64_t most) {
  if (found >= least && found <= most && found % unit == 0)
    return success();
  InFlightDiagnostic diag = emitError();
  diag << "expected " << what << " to be ";
  if (unit > 1)
    diag << "a multiple of " << unit << " ";
  return diag << "in [" << least << ", " << most << "], found " << found;
}

LogicalResult CpuMatMulTilingAttr::verify(EmitError emitError, int64_t taskRows,
                                          int64_t taskPanels, int64_t tileRows,
                                          int64_t tilePanels,
                                          int64_t blockBytes, int64_t chunk) {
  return failure(
      failed(checkNumber(emitError, "the tile's rows", tileRows, 1, 1,
                         kTileRows)) ||
      failed(checkNumber(emitError, "the tile's panels", tilePanels, 1, 1,
                         kTilePanels)) ||
      failed(checkNumber(emitError, "the task's rows", taskRows, tileRows,
                         tileRows, 1 << 20)) ||
      failed(checkNumber(emitError, "the task's panels", taskPanels, tilePanels,
                         tilePanels, 1 << 20)) ||
      failed(checkNumber(emitError, "block_bytes", blockBytes, 1, 1 << 12,
                         1 << 30)) ||
      failed(checkNumber(emitError, "the chunk", chunk, 4, 64, 1 << 30)));
}

LogicalResult CpuConvTilingAttr::verify(EmitError emitError, int64_t positions,
                                        int64_t taskPanels, int64_t tileRows,
                                        int64_t tilePanels, int64_t chunk) {
  return failure(
      failed(checkNumber(emitError, "the tile's rows", tileRows, 1, 1,
                         kTileRows)) ||
      failed(checkNumber(emitError, "the tile's panels", tilePanels, 1, 1,
                         kTilePanels)) ||
      failed(checkNumber(emitError, "the positions", positions, 1, tileRows,
                         1 << 20)) ||
      failed(checkNumber(emitError, "the task's panels", taskPanels, tilePanels,
                         tilePanels, 1 << 20)) ||
      failed(checkNumber(emitError, "the chunk", chunk, 4, 64, 1 << 30)));
}

LogicalResult CpuWinogradTilingAttr::verify(EmitError emitError,
                                            int64_t squares, int64_t taskPanels,
                                            int64_t tileRows,
                                            int64_t tilePanels) {
  return failure(failed(checkNumber(emitError, "the tile's squares", tileRows,
                                    1, 1, kTileRows)) ||
                 failed(checkNumber(emitError, "the tile's panels", tilePanels,
                                    1, 1, kTilePanels)) ||
                 failed(checkNumber(emitError, "the squares", squares, 1,
                                    tileRows, 1 << 16)) ||
                 failed(checkNumber(emitError, "the task's panels", taskPanels,
                                    tilePanels, tilePanels, 1 << 20)));
}

LogicalResult CpuAttentionTilingAttr::verify(EmitError emitError,
                                             int64_t queries) {
  return checkNumber(emitError, "the queries", queries, kTileRows, kTileRows,
                     96 * kTileRows);
}

LogicalResult CpuElementsTilingAttr::verify(EmitError emitError,
                                            int64_t chunk) {
  return checkNumber(emitError, "the chunk", chunk, 64, 64, 1 << 30);
}

LogicalResult CpuReduceTilingAttr::verify(EmitError emitError, int64_t elements,
                                          int64_t columns) {
  return failure(
      failed(checkNumber(emitError, "the elements", elements, 1, 1, 1 << 30)) ||
      failed(checkNumber(emitError, "the columns", columns, 16, 16, 1 << 30)));
}

LogicalResult CpuColumnsTilingAttr::verify(EmitError emitError,
                                           int64_t columns) {
  return checkNumber(emitError, "the columns", columns, 16, 16, 1 << 30);
}

LogicalResult CpuScatterTilingAttr::verify(EmitError emitError, int64_t columns,
                                           int64_t tasks) {
  return failure(
      failed(checkNumber(emitError, "the columns", columns, 16, 16, 1 << 30)) ||
      failed(checkNumber(emitError, "the tasks", tasks, 1, 1, 1 << 16)));
}

static LogicalResult checkGpuBlock(EmitError emitError, int64_t threads,
                                   int64_t elements) {
  if (failed(checkNumber(emitError, "the threads", threads, 32, 32, 1024)))
    return failure();
  if (elements == 1 || elements == 4)
    return success();
  return emitError() << "expected the elements to be 1 or 4, found "
                     << elements;
}

LogicalResult GpuThreadsTilingAttr::verify(EmitError emitError, int64_t threads,
                                           int64_t elements) {
  return checkGpuBlock(emitError, threads, elements);
}

LogicalResult GpuMatMulTilingAttr::verify(EmitError emitError, int64_t rows,
                                          int64_t columns, int64_t stages,
                                          int64_t split, MmaProducts) {
  if (failed(checkNumber(emitError, "the tile's rows", rows, 32, 32, 256)) ||
      failed(
          checkNumber(emitError, "the tile's columns", columns, 32, 32, 256)) ||
      failed(checkNumber(emitError, "the warps", rows * columns / 1024, 1, 1,
                         32)) ||
      failed(checkNumber(emitError, "the stages", stages, 1, 2, 8)))
    return failure();
  if (split != 1) {
    if (failed(checkNumber(emitError, "the split", split, 4, 4, 64)) ||
        failed(checkNumber(emitError, "the warps of a split",
                           rows * columns / 1024, 4, 4, 32)))
      return failure();
  }
  // Of every GPU; 16 rows of K are a stage, and rows are padded.
  constexpr int64_t most = 48 << 10;
  int64_t ring = 4 * stages * (rows * 20 + 16 * columns);
  int64_t sums = 4 * rows * (columns + 4);
  return checkNumber(emitError, "the bytes of shared memory",
                     std::max(ring, sums), 1, 1, most);
}

LogicalResult GpuGridTilingAttr::verify(EmitError emitError,
                                        GpuMatMulTilingAttr tiles) {
  if (tiles.getRows() == 128 && tiles.getColumns() == 64 &&
      tiles.getProducts() != MmaProducts::i8)
    return success();
  return emitError() << "expected tiles of 128 x 64 floats, found " << tiles;
}

LogicalResult GpuAttentionTilingAttr::verify(EmitError emitError, int64_t rows,
                                             MmaProducts) {
  return checkNumber(emitError, "the rows", rows, 16, 16, 128);
}

LogicalResult GpuBlocksTilingAttr::verify(EmitError emitError, int64_t threads,
                                          int64_t elements) {
  return checkGpuBlock(emitError, threads, elements);
}

LogicalResult CpuDepthwiseTilingAttr::verify(EmitError emitError,
                                             int64_t pixels, int64_t channels) {
  return failure(
      failed(checkNumber(emitError, "the pixels", pixels, 8, 8, 1 << 30)) ||
      failed(
          checkNumber(emitError, "the channels", channels, 64, 64, 1 << 20)));
}

//===----------------------------------------------------------------------===//
// Which kernel
//===----------------------------------------------------------------------===//

static LogicalResult require(bool fits, KernelOp kernel, TilingInterface found,
                             StringRef what) {
  if (fits)
    return success();
  return kernel.emitOpError()
         << "expected a tiling of a " << stringifyKernelKind(kernel.getKind())
         << " kernel, found that of " << what << ", " << found;
}

static bool isPlainMatMul(KernelOp kernel) {
  return kernel.getKind() == KernelKind::matmul && !findWinograd(kernel);
}

LogicalResult CpuMatMulTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(isPlainMatMul(kernel), kernel, *this, "a matmul");
}

LogicalResult CpuWinogradTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(bool(findWinograd(kernel)), kernel, *this,
                 "a product with winograd");
}

LogicalResult CpuConvTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(bool(findPatches(kernel)), kernel, *this,
                 "a product of an image's patches");
}

LogicalResult CpuAttentionTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(kernel.getKind() == KernelKind::attention, kernel, *this,
                 "an attention");
}

LogicalResult CpuElementsTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(kernel.getKind() == KernelKind::map &&
                     !isa_and_nonnull<ReduceOp>(kernel.getRoot()),
                 kernel, *this, "a map that ends with no reduction");
}

LogicalResult CpuReduceTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(kernel.getKind() == KernelKind::map &&
                     isa_and_nonnull<ReduceOp>(kernel.getRoot()),
                 kernel, *this, "a map that ends with a reduction");
}

LogicalResult CpuColumnsTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(kernel.getKind() == KernelKind::scan ||
                     kernel.getKind() == KernelKind::recurrence,
                 kernel, *this, "a scan or a recurrence");
}

LogicalResult GpuThreadsTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  KernelKind kind = kernel.getKind();
  return require(kind != KernelKind::row && kind != KernelKind::native &&
                     !findWinograd(kernel) &&
                     (kind == KernelKind::map ||
                      kind == KernelKind::depthwise || getElements() == 1),
                 kernel, *this,
                 getElements() == 1 ? "tasks of a thread" : "a map");
}

LogicalResult GpuMatMulTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(isPlainMatMul(kernel), kernel, *this, "a matmul");
}

LogicalResult GpuGridTilingAttr::verifyFor(Operation *op) const {
  return getTiles().verifyFor(op);
}

LogicalResult GpuAttentionTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(kernel.getKind() == KernelKind::attention, kernel, *this,
                 "an attention");
}

LogicalResult GpuBlocksTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  auto reduce = dyn_cast_or_null<ReduceOp>(kernel.getRoot());
  return require(kernel.getKind() == KernelKind::row ||
                     (kernel.getKind() == KernelKind::map && reduce),
                 kernel, *this, "rows");
}

LogicalResult CpuScatterTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(kernel.getKind() == KernelKind::scatter, kernel, *this,
                 "a scatter");
}

LogicalResult CpuDepthwiseTilingAttr::verifyFor(Operation *op) const {
  auto kernel = cast<KernelOp>(op);
  return require(kernel.getKind() == KernelKind::depthwise, kernel, *this,
                 "a depthwise convolution");
}

} // namespace tenon
