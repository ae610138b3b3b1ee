//===- GpuKernels.h - kernels that a GPU has of its own ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Rows, scans, scatters, top-k and recurrences have the emitters of Emit, with
// a GPU's walk.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_GPUKERNELS_H
#define TENON_LIB_CODEGEN_GPU_GPUKERNELS_H

#include "lib/Codegen/Emit/KernelKinds.h"
#include "tenon/Codegen/Backend.h"

namespace tenon {

/// A matmul of at most so many rows has few of them where K is split, and a
/// block then so many of the ranges.
inline constexpr int64_t kFewRows = 64, kRangesOfBlock = 4;

/// How the kernel can be cut, its own choice first.
llvm::SmallVector<TilingInterface> gpuTilings(KernelOp kernel,
                                              const Machine &machine);
/// The dims of what a row kernel takes a row at a time.
llvm::SmallVector<SymExpr> rowsOf(KernelOp kernel);
/// How many neighbouring elements a thread can take of rows of these dims: 4
/// where that is known to divide them, else 1.
int64_t neighbours(llvm::ArrayRef<SymExpr> dims);
/// False, after an error, where so many do not divide them.
bool checkElements(KernelEmitter &e, int64_t elements,
                   llvm::ArrayRef<SymExpr> dims);

/// A task is `elements` neighbours of the result, of a thread.
void emitGpuMapKernel(KernelEmitter &e, int64_t elements);
/// A reduction along the last dim; a task is one element of the result, of a
/// block.
void emitGpuReduceKernel(KernelEmitter &e, int64_t elements);
/// A task is a tile of the result, of a block's tensor cores. Blocks of a grid
/// go from task to task, where the level has products of warpgroups.
void emitMmaMatMulKernel(KernelEmitter &e, GpuMatMulTilingAttr tiling,
                         bool grid);
/// Is it a tile that a warpgroup multiplies, and a second one feeds, where the
/// level has products of warpgroups? Elsewhere it is one like others.
bool isWarpgroupTile(GpuMatMulTilingAttr tiling);
/// A task is rows of the queries of one head, of a block's tensor cores.
void emitMmaAttentionKernel(KernelEmitter &e, GpuAttentionTilingAttr tiling);
/// Are its products a warpgroup's, which a second one feeds, where the level
/// has such? Elsewhere it is one like others.
bool isWarpgroupTile(GpuAttentionTilingAttr tiling);
/// Has it room in shared memory, of heads of `depth` and values of `width`?
bool fitsAttention(int64_t depth, int64_t width, GpuAttentionTilingAttr tiling);
/// The same of the form whose products are a warpgroup's.
bool fitsWarpgroups(int64_t depth, int64_t width, MmaProducts products);
/// Where it may have few queries of many keys: has the form for these room, in
/// blocks of that tiling? False where there is that form alone.
bool fitsFewQueries(KernelOp kernel, GpuAttentionTilingAttr tiling);
/// A task is a row that a cache's pages get.
void emitStoreRowsKernel(KernelEmitter &e);
/// A task is an element of the result, computed by one chain of multiply-adds:
/// right for every type, shape and expression.
void emitThreadMatMulKernel(KernelEmitter &e);
/// A task is a row of the result; its scores lie in scratch memory.
void emitThreadAttentionKernel(KernelEmitter &e);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_GPUKERNELS_H
