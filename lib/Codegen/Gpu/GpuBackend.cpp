//===- GpuBackend.cpp - kernels for GPUs ----------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Layout, graph and kernels are those of the CPUs, and so are the weights'
// bytes: an artifact for both holds them once.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/StorePages.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGrid.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/GpuWalk.h"
#include "tenon/Codegen/Backend.h"
#include "tenon/abi.h"

using namespace mlir;

namespace tenon {

namespace {

/// A block's scratch up to this is in shared memory, of which every GPU has
/// 48 KB for the asking; what a reduction needs has room beside it.
constexpr int64_t kSharedBytes = 40 << 10;
/// A scatter by tuples has at most so many threads, each of which reads all
/// indices.
constexpr int64_t kScatterTasks = 4096;

class GpuBackend : public Backend {
public:
  StringRef getFamily() const override { return "gpu"; }
  SmallVector<TilingInterface>
  candidates(KernelOp kernel, const Machine &machine) const override {
    return gpuTilings(kernel, machine);
  }
  FailureOr<KernelInfo> emitKernel(KernelOp kernel, ModuleOp kernels,
                                   StringRef symbol, const TargetInfo &target,
                                   ArrayRef<SymExpr> dims) const override;
  void populateLayout(OpPassManager &pm,
                      const LayoutOptions &layout) const override {
    LayoutOptions own = layout;
    own.winograd = own.tables = false;
    cpuBackend().populateLayout(pm, own);
  }
};

int32_t productsInTable(MmaProducts products) {
  switch (products) {
  case MmaProducts::tf32x3:
    return TENON_PRODUCTS_TF32X3;
  case MmaProducts::tf32:
    return TENON_PRODUCTS_TF32;
  case MmaProducts::bf16:
    return TENON_PRODUCTS_BF16;
  case MmaProducts::f16:
    return TENON_PRODUCTS_F16;
  case MmaProducts::i8:
    return TENON_PRODUCTS_I8;
  }
  llvm_unreachable("what tensor cores multiply");
}

/// Emits the kernel by its tiling, and says how it is launched.
void emitByTiling(KernelEmitter &e) {
  KernelKind kind = e.kernel().getKind();
  if (findWinograd(e.kernel())) {
    e.fail("a GPU multiplies patches: expected a product without winograd "
           "(--winograd=off)");
    return;
  }
  if (kind == KernelKind::row ||
      (kind == KernelKind::map &&
       isa_and_nonnull<GpuBlocksTilingAttr>(e.kernel().getTilingAttr()))) {
    auto tiling = e.tiling<GpuBlocksTilingAttr>();
    if (!tiling)
      return;
    BlockWalk walk(tiling);
    WalkScope inBlock(e, walk);
    e.info.gpu = {/*block=*/true, tiling.getThreads()};
    if (kind == KernelKind::map)
      emitGpuReduceKernel(e, tiling.getElements());
    else if (checkElements(e, tiling.getElements(),
                           {rowsOf(e.kernel()).back()}))
      emitRowKernel(e);
    return;
  }
  auto grid =
      dyn_cast_if_present<GpuGridTilingAttr>(e.kernel().getTilingAttr());
  if (auto tiling = grid ? grid.getTiles()
                         : dyn_cast_if_present<GpuMatMulTilingAttr>(
                               e.kernel().getTilingAttr())) {
    e.info.gpu = {/*block=*/true, tiling.getThreads()};
    e.info.gpu->products = productsInTable(tiling.getProducts());
    return emitMmaMatMulKernel(e, tiling, bool(grid));
  }
  if (auto tiling = dyn_cast_if_present<GpuAttentionTilingAttr>(
          e.kernel().getTilingAttr())) {
    e.info.gpu = {/*block=*/true, tiling.getThreads()};
    e.info.gpu->products = productsInTable(tiling.getProducts());
    return emitMmaAttentionKernel(e, tiling);
  }
  auto tiling = e.tiling<GpuThreadsTilingAttr>();
  if (!tiling)
    return;
  e.info.gpu = {/*block=*/false, tiling.getThreads()};
  switch (kind) {
  case KernelKind::map:
  case KernelKind::depthwise: // of a thread an element, or a few channels
    return emitGpuMapKernel(e, tiling.getElements());
  case KernelKind::matmul:
    return emitThreadMatMulKernel(e);
  case KernelKind::attention:
    return emitThreadAttentionKernel(e);
  case KernelKind::scan:
    return emitScanKernel(e, 1);
  case KernelKind::scatter:
    if (isa_and_nonnull<StorePagesOp>(e.kernel().getRoot()))
      return emitStoreRowsKernel(e);
    return emitScatterKernel(e, 1, kScatterTasks);
  case KernelKind::top_k:
    return emitTopKKernel(e);
  case KernelKind::recurrence:
    if (isa_and_nonnull<RecurrentOp>(e.kernel().getRoot()))
      return emitRecurrentKernel(e, {});
    return emitRecurrenceKernel(e, 1);
  case KernelKind::row:
  case KernelKind::native:
    llvm_unreachable("handled elsewhere");
  }
}

/// A task's scratch is in shared memory where a block's is small; else a step
/// has it for all of its tasks at once, behind the counters. What a matmul or
/// an attention on tensor cores has its blocks share.
void placeScratch(KernelEmitter &e) {
  SymExpr task = e.info.scratchBytes;
  GpuLaunch &gpu = *e.info.gpu;
  if (task == SymExpr(0) ||
      isa<GpuMatMulTilingAttr, GpuGridTilingAttr, GpuAttentionTilingAttr>(
          e.kernel().getTilingAttr()))
    return;
  auto size = task.constant();
  if (gpu.block && size && *size <= kSharedBytes) {
    gpu.sharedBytes = *size;
    e.info.scratchBytes = 0;
    return;
  }
  gpu.taskScratch = task;
  e.dim(task); // the entry finds it among the dims
  e.info.scratchBytes = task * e.info.tasks + TENON_GPU_COUNTER_BYTES;
}

FailureOr<KernelInfo> GpuBackend::emitKernel(KernelOp kernel, ModuleOp kernels,
                                             StringRef symbol,
                                             const TargetInfo &target,
                                             ArrayRef<SymExpr> dims) const {
  if (kernel.getKind() == KernelKind::native)
    return describeNativeKernel(kernel);
  KernelInfo info;
  info.symbol = symbol.str();
  info.dims = dims.vec();
  ThreadWalk walk;
  KernelEmitter e(kernel, createKernelFunction(kernel, kernels, symbol), target,
                  walk, info);
  e.L.memoryAlignment = 16; // vectors without an alignment are taken apart
  emitByTiling(e);
  if (e.hasFailed())
    return failure();
  placeScratch(e);
  e.finish();
  return info;
}

} // namespace

const Backend &gpuBackend() {
  static const GpuBackend backend;
  return backend;
}

} // namespace tenon
