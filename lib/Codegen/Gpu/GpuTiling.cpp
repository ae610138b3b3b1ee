//===- GpuTiling.cpp - how a GPU cuts kernels into tasks ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonGrid.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Form/GatedMatMul.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/GpuWalk.h"

using namespace mlir;

namespace tenon {

SmallVector<SymExpr> rowsOf(KernelOp kernel) {
  for (auto op : kernel.getBody().front().getOps<FusionInterface>())
    if (op.getFusionRole() == FusionRole::Anchor)
      return getDims(op->getOperand(0));
  return {};
}

namespace {

using Tilings = SmallVector<TilingInterface>;

/// Threads of a block whose tasks are its threads'.
constexpr int64_t kThreads = 256;
/// Rows of fewer elements are reduced by a thread each.
constexpr int64_t kNarrowRow = kWarp;

/// Whole warps, as many as there are groups of elements in a row, or as have
/// work in a long one.
int64_t threadsOfRow(const SymExpr &size, int64_t elements, int64_t most) {
  auto n = size.constant();
  if (!n)
    return most;
  int64_t warps = llvm::divideCeil(std::max<int64_t>(*n, 1), kWarp * elements);
  return std::min<int64_t>(warps * kWarp, most);
}

/// Is the dim that lies together in memory reduced, and long enough for a
/// block?
bool isReducedByBlocks(ReduceOp op) {
  SmallVector<SymExpr> dims = getDims(op.getInput());
  int64_t last = int64_t(dims.size()) - 1;
  while (last >= 0 && dims[last].constant() == 1)
    --last;
  return last >= 0 && llvm::is_contained(op.getAxes(), last) &&
         dims[last].constant().value_or(INT64_MAX) >= kNarrowRow;
}

/// A block a row of these dims.
Tilings blocksOfRows(MLIRContext *context, SmallVector<SymExpr> dims) {
  while (dims.size() > 1 && dims.back().constant() == 1)
    dims.pop_back();
  SymExpr size = dims.empty() ? SymExpr(1) : dims.back();
  int64_t elements = neighbours(dims);
  Tilings all;
  for (int64_t most : {kThreads, 4 * kThreads, kThreads / 2})
    all.push_back(GpuBlocksTilingAttr::get(
        context, threadsOfRow(size, elements, most), elements));
  return all;
}

/// Integers and operands of 16 bits are multiplied as they are; those of f32 as
/// is asked for.
MmaProducts productsOf(PackedMatMulOp op, const Machine &machine) {
  if (FormatAttr format = op.getFormatAttr(); format && format.isInteger())
    return MmaProducts::i8;
  Type type = getElementTypeOrSelf(op.getLhs().getType());
  return type.isF16()    ? MmaProducts::f16
         : type.isBF16() ? MmaProducts::bf16
                         : machine.products;
}

Tilings attentionTilings(KernelOp kernel, const Machine &machine) {
  MLIRContext *context = kernel.getContext();
  SmallVector<PackedMatMulOp> products(
      kernel.getBody().front().getOps<PackedMatMulOp>());
  auto depth = getDims(products[0].getLhs()).back().constant(),
       width = getDims(products[1].getResult()).back().constant();
  MmaProducts kind = productsOf(products[0], machine);
  Tilings all;
  auto get = [&](int64_t rows) {
    return GpuAttentionTilingAttr::get(context, rows, kind);
  };
  auto add = [&](int64_t rows) {
    if (fitsAttention(*depth, *width, get(rows)))
      all.push_back(get(rows));
  };
  // Where a level multiplies by warpgroups, and rows may fill a block.
  SymExpr rows = getDims(products[0].getLhs()).end()[-2];
  if (depth && width && machine.warpgroups &&
      rows.constant().value_or(INT64_MAX) > kFewRows &&
      fitsWarpgroups(*depth, *width, kind) && fitsFewQueries(kernel, get(128)))
    add(128);
  for (int64_t fewer : {64, 32, 16})
    if (depth && width)
      add(fewer);
  all.push_back(GpuThreadsTilingAttr::get(context, kThreads, 1));
  return all;
}

/// Blocks that have ranges of one tile of few rows, so that there are about as
/// many as a large GPU runs at a time, while a range keeps some rows of K.
int64_t blocksOfSplit(PackedMatMulOp op, int64_t depth, int64_t warps) {
  constexpr int64_t enough = 256, leastRange = 32, most = 16;
  SmallVector<SymExpr> packed = getDims(op.getPacked());
  size_t inner = op.getFormatAttr() ? 2 : 3;
  auto panels = packed[packed.size() - inner].constant();
  bool isOne = llvm::all_of(ArrayRef(packed).drop_back(inner),
                            [](auto &d) { return d.constant() == 1; });
  if (!panels || !isOne)
    return 1;
  int64_t tiles = llvm::divideCeil(
      std::max<int64_t>(*panels, 1),
      std::max<int64_t>(1, warps / kRangesOfBlock) * (matchHalves(op) ? 2 : 1));
  int64_t blocks = 1;
  while (2 * blocks <= most && 2 * blocks * tiles <= enough &&
         2 * blocks * kRangesOfBlock * leastRange <= depth)
    blocks *= 2;
  return blocks;
}

/// May there be more tiles than a large GPU runs at a time, two blocks on each
/// multiprocessor? Fewer are a block's each.
bool mayFillGrid(PackedMatMulOp op, int64_t rows, int64_t columns) {
  constexpr int64_t atOnce = 2 * 132;
  SmallVector<SymExpr> out = getDims(op.getResult());
  auto count = productOf(ArrayRef(out).drop_back()).constant(),
       width = out.back().constant();
  return !count || !width ||
         llvm::divideCeil(*count, rows) * llvm::divideCeil(*width, columns) >
             uint64_t(atOnce);
}

Tilings matmulTilings(KernelOp kernel, const Machine &machine) {
  auto op = *kernel.getBody().front().getOps<PackedMatMulOp>().begin();
  MmaProducts products = productsOf(op, machine);
  MLIRContext *context = kernel.getContext();
  auto get = [&](int64_t rows, int64_t columns, int64_t stages, int64_t split) {
    return GpuMatMulTilingAttr::get(context, rows, columns, stages, split,
                                    products);
  };
  // A range of K is some parts long; many rows keep a GPU busy without.
  constexpr int64_t leastDepth = 256;
  SmallVector<SymExpr> lhs = getDims(op.getLhs());
  SymExpr rows = productOf(ArrayRef(lhs).drop_back());
  int64_t depth = lhs.back().constant().value_or(0);
  bool mayBeFew = rows.constant().value_or(0) <= kFewRows,
       mayBeMany = rows.constant().value_or(INT64_MAX) > kFewRows,
       split = depth >= leastDepth && mayBeFew;
  Tilings all;
  auto getSplit = [&](int64_t rows, int64_t columns) {
    return get(rows, columns, 3,
               kRangesOfBlock *
                   blocksOfSplit(op, depth, rows * columns / 1024));
  };
  // Where a level multiplies by warpgroups, but for integers.
  if (machine.warpgroups && mayBeMany && products != MmaProducts::i8) {
    bool grid = mayFillGrid(op, 128, 64);
    auto add = [&](GpuMatMulTilingAttr tiles) {
      if (grid)
        all.push_back(GpuGridTilingAttr::get(context, tiles));
      all.push_back(tiles);
    };
    if (split)
      add(getSplit(128, 64));
    add(get(128, 64, 3, 1));
  }
  if (split)
    all.push_back(getSplit(64, 64));
  all.append({get(64, 64, 3, 1), get(128, 64, 3, 1), get(64, 128, 3, 1),
              get(32, 64, 4, 1),
              GpuThreadsTilingAttr::get(context, kThreads, 1)});
  return all;
}

} // namespace

SmallVector<TilingInterface> gpuTilings(KernelOp kernel,
                                        const Machine &machine) {
  MLIRContext *context = kernel.getContext();
  auto threads = [&](int64_t elements) -> Tilings {
    Tilings all;
    for (int64_t count : {kThreads, kThreads / 2})
      all.push_back(GpuThreadsTilingAttr::get(context, count, elements));
    return all;
  };
  switch (kernel.getKind()) {
  case KernelKind::map: {
    auto reduce = dyn_cast_or_null<ReduceOp>(kernel.getRoot());
    if (reduce && isReducedByBlocks(reduce))
      return blocksOfRows(context, getDims(reduce.getInput()));
    return threads(reduce ? 1 : neighbours(getDims(kernel.getResult(0))));
  }
  case KernelKind::depthwise:
    return threads(neighbours(getDims(kernel.getResult(0))));
  case KernelKind::row:
    return blocksOfRows(context, {rowsOf(kernel).back()});
  case KernelKind::matmul:
    if (findWinograd(kernel)) // which no GPU multiplies
      return {};
    return matmulTilings(kernel, machine);
  case KernelKind::attention:
    return attentionTilings(kernel, machine);
  case KernelKind::native:
    return {};
  default:
    return threads(1);
  }
}

} // namespace tenon
