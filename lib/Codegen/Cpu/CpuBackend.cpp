//===- CpuBackend.cpp - kernels for CPUs ----------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The first candidate of each kernel is what it is cut by; the others are for
// `tenon tune`. None changes a bit of a result: a sum is one chain of additions
// in the order of its terms, whatever the tiles.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/StorePages.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "lib/Codegen/Cpu/DotKernel.h"
#include "lib/Codegen/Cpu/ImageStrip.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Cpu/ProductEpilogue.h"
#include "lib/Codegen/Cpu/QuantizedRows.h"
#include "lib/Codegen/Emit/KernelKinds.h"
#include "lib/Codegen/Form/ChannelsLast.h"
#include "lib/Codegen/Form/GatedMatMul.h"
#include "mlir/Pass/PassManager.h"
#include "tenon/Codegen/Backend.h"
#include "tenon/Codegen/Passes.h"

using namespace mlir;

namespace tenon {

namespace {

using Tilings = SmallVector<TilingInterface>;

/// One tiling for each of these numbers.
template <typename TilingT, typename... Rest>
Tilings ofEach(MLIRContext *context, ArrayRef<int64_t> numbers, Rest... rest) {
  Tilings all;
  for (int64_t number : numbers)
    all.push_back(TilingT::get(context, number, rest...));
  return all;
}

/// Of the kernel's products with packed weights; one that a run gives may be as
/// long as it likes.
int64_t longestK(KernelOp kernel) {
  int64_t longest = 0;
  for (auto product : kernel.getBody().front().getOps<PackedMatMulOp>())
    longest = std::max(
        longest,
        getDims(product.getLhs()).back().constant().value_or(INT64_MAX));
  return longest;
}

/// Panels of a convolution's task: all that there are where so few terms leave
/// it waiting for its stores and the cache keeps the weight, else a tile's.
int64_t panelsOfTask(PackedMatMulOp product, const Machine &machine) {
  constexpr int64_t few = 128;
  auto terms = getDims(product.getLhs()).back().constant(),
       columns = getDims(product.getResult()).back().constant();
  if (!terms || !columns || *terms > few ||
      *terms * *columns * 4 > machine.l2Bytes / 4)
    return kTilePanels;
  return llvm::alignTo(llvm::divideCeil(*columns, kPanelColumns), kTilePanels);
}

Tilings matmulTilings(KernelOp kernel, const Machine &machine) {
  auto get = [&](int64_t taskRows, int64_t taskPanels, int64_t blockBytes,
                 int64_t chunk) -> TilingInterface {
    return CpuMatMulTilingAttr::get(kernel.getContext(), taskRows, taskPanels,
                                    kTileRows, kTilePanels, blockBytes, chunk);
  };
  // A task is eight register tiles of rows: these hide the fetch of the next
  // panels. The rows of a block take a good part of the second cache.
  // Few columns are turned for the lanes by each task (DotKernel.h): it has
  // more rows.
  constexpr int64_t few = 8;
  int64_t rows = 8 * kTileRows, block = machine.l2Bytes / 4 * 3,
          panels = kTilePanels;
  for (auto product : kernel.getBody().front().getOps<PackedMatMulOp>()) {
    FormatAttr format = product.getFormatAttr();
    // A task of integers lays its rows out first, for more panels. A chunk's
    // rows of a tile stay in the first cache, beside a part of a panel.
    if (format && format.isInteger()) {
      constexpr int64_t chunk = 256;
      return {get(rows, 4, block, chunk), get(rows, 8, block, chunk),
              get(rows, 2, block, chunk), get(rows * 2, 4, block, chunk)};
    }
    // What opens panels once for all rows of a task (OpenedKernels.cpp) has
    // more.
    if (format && format.quantizesRows() && format.getBlock())
      rows = 16 * kTileRows;
    if (format)
      continue;
    int64_t columns =
        getDims(product.getResult()).back().constant().value_or(kPanelColumns);
    Operation *lhs = product.getLhs().getDefiningOp();
    if (columns < few) {
      rows *= 4;
    } else if (lhs && lhs->hasTrait<OpTrait::Elementwise>()) {
      // What a task computes of its rows counts for all panels that there may
      // be.
      constexpr int64_t most = 4;
      rows = 4 * kTileRows, block /= 8;
      panels = std::min<int64_t>(
          llvm::alignTo(llvm::divideCeil(columns, kPanelColumns), kTilePanels),
          most);
    }
  }
  // A chunk's part of two panels is a quarter of a second cache of 512 KB, so
  // that the rows of A fit beside it: 3 to 10% faster than 1024 from K = 1024
  // on where the cache is no larger, and no slower where it is.
  constexpr int64_t chunk = 512;
  Tilings all = {
      get(rows, panels, block, chunk), get(rows / 2, panels, block, chunk),
      get(rows * 2, panels, block, chunk), get(rows, 2 * panels, block, chunk),
      get(rows, panels, block / 2, chunk)};
  // Where one chunk is all of K a longer one would be the same code, which a
  // tuner would take for a choice.
  if (longestK(kernel) > chunk + chunk / 2)
    all.push_back(get(rows, panels, block, chunk * 2));
  return all;
}

/// Of patches that repeat much of an image, or that are read where it lies;
/// empty for any others.
Tilings convTilings(KernelOp kernel, const Machine &machine) {
  Im2ColOp patches = findPatches(kernel);
  auto source = patches ? ImageStrip::sourceOf(patches) : std::nullopt;
  if (!source)
    return {};
  PackedMatMulOp product =
      *kernel.getBody().front().getOps<PackedMatMulOp>().begin();
  bool inPlace = ImageStrip::staysInPlace(patches, *source,
                                          getDims(product.getResult()).back());
  if (matchHalves(product) ||
      !(inPlace || patchesOverlap(patches.getKernel(), patches.getStrides(),
                                  patches.getDilations())))
    return {};
  // What a block meets of the image has a quarter of the second cache, beside
  // the panels and the result; but for its borders it is that many elements.
  int64_t each = getDims(patches.getInput()).back().constant().value_or(64);
  for (auto [size, stride] :
       llvm::zip_equal(patches.getKernel(), patches.getStrides()))
    each *= inPlace ? std::min(size, stride) : stride;
  int64_t most =
      std::clamp<int64_t>(machine.l2Bytes / 16 / each, 8 * kTileRows, 1024);
  auto get = [&](int64_t positions, int64_t panels,
                 int64_t chunk) -> TilingInterface {
    return CpuConvTilingAttr::get(kernel.getContext(), positions, panels,
                                  kTileRows, kTilePanels, chunk);
  };
  // A patch of half as many rows more is walked whole. Where it is not, chunks
  // as short as a matmul's leave room in a second cache of 512 KB: 2 to 6%
  // faster from 1700 rows on, up to 4% slower for a patch of 900.
  constexpr int64_t whole = 1536, chunk = 512;
  int64_t own = longestK(kernel) > whole ? chunk : 2 * chunk,
          other = own == chunk ? 2 * chunk : chunk;
  // Turned tiles are short pieces of the result's rows: of few panels a task
  // has more positions, which lie together there.
  Operation *root = kernel.getRoot();
  bool turned = isTranspose(root) &&
                permOf(root).back() + 1 != int64_t(permOf(root).size());
  int64_t panels = turned ? kTilePanels : panelsOfTask(product, machine),
          others = panels == kTilePanels ? 2 * kTilePanels : kTilePanels;
  return {get(most, panels, own), get(most / 2, panels, own),
          get(most * 2, panels, own), get(most, others, own),
          get(most, panels, other)};
}

/// Of a product by Winograd's transformed filters.
Tilings winogradTilings(KernelOp kernel, const Machine &machine) {
  auto get = [&](int64_t squares, int64_t panels) -> TilingInterface {
    return CpuWinogradTilingAttr::get(kernel.getContext(), squares, panels,
                                      kTileRows, kTilePanels);
  };
  // What is computed of the squares has a fifth of a second cache of 2 MB: it
  // costs little that a smaller one has to fetch it again. Each block reads the
  // whole weight: of a large one there are fewer.
  constexpr int64_t bytes = 400 << 10, inCache = 1 << 20,
                    fewest = 4 * kTileRows, most = 10 * kTileRows;
  SmallVector<SymExpr> packed = getDims(findWinograd(kernel).getPacked());
  int64_t numbers = packed.size() == 3 ? 1 : kWinogradMatrices,
          rows = numbers * packed.end()[-2].constant().value_or(1),
          ofSquare = 4 * (rows + numbers * 2 * kPanelColumns),
          weight = 4 * rows * kPanelColumns *
                   packed.end()[-3].constant().value_or(1);
  int64_t squares =
      weight > 4 * inCache ? 16 * kTileRows
      : weight > inCache
          ? 8 * kTileRows
          : llvm::alignDown(std::clamp(bytes / ofSquare, fewest, most),
                            kTileRows);
  return {get(squares, kTilePanels), get(2 * squares, kTilePanels),
          get(squares / 2, kTilePanels), get(squares, 2 * kTilePanels)};
}

class CpuBackend : public Backend {
public:
  StringRef getFamily() const override { return "cpu"; }
  bool copiesRows() const override { return true; }
  bool finishesRows() const override { return true; }
  bool turnsTiles() const override { return true; }
  std::optional<WeightColumns> columnsOf(KernelOp kernel) const override {
    return ::tenon::columnsOf(kernel);
  }

  Tilings candidates(KernelOp kernel, const Machine &machine) const override {
    MLIRContext *context = kernel.getContext();
    switch (kernel.getKind()) {
    case KernelKind::matmul: {
      if (findWinograd(kernel))
        return winogradTilings(kernel, machine);
      Tilings conv = convTilings(kernel, machine);
      return conv.empty() ? matmulTilings(kernel, machine) : conv;
    }
    case KernelKind::attention:
      if (keysVaryByRow(kernel.getBody().front()))
        return ofEach<CpuAttentionTilingAttr>(context, {24, 48, 12});
      return ofEach<CpuAttentionTilingAttr>(context, {48, 24, 96});
    case KernelKind::map:
      if (isa_and_nonnull<ReduceOp>(kernel.getRoot()))
        return {CpuReduceTilingAttr::get(context, 4096, 256),
                CpuReduceTilingAttr::get(context, 1024, 256),
                CpuReduceTilingAttr::get(context, 4096, 64)};
      return ofEach<CpuElementsTilingAttr>(context, {1024, 4096, 16384});
    case KernelKind::scan:
      return ofEach<CpuColumnsTilingAttr>(context, {256, 64});
    case KernelKind::recurrence:
      if (isa_and_nonnull<RecurrentOp>(kernel.getRoot()))
        return {}; // a task is a few sequences
      return ofEach<CpuColumnsTilingAttr>(context, {32, 16, 64});
    case KernelKind::scatter:
      return ofEach<CpuScatterTilingAttr>(context, {256, 64}, int64_t(64));
    case KernelKind::depthwise:
      return ofEach<CpuDepthwiseTilingAttr>(context, {256, 64, 1024},
                                            int64_t(64));
    case KernelKind::row: // a task is a row
    case KernelKind::top_k:
    case KernelKind::native:
      return {};
    }
    llvm_unreachable("a kind of kernel");
  }

  FailureOr<KernelInfo> emitKernel(KernelOp kernel, ModuleOp kernels,
                                   StringRef symbol, const TargetInfo &target,
                                   ArrayRef<SymExpr> dims) const override;
  FailureOr<std::optional<SecondHalf>>
  emitSecondHalf(KernelOp kernel, ModuleOp kernels, StringRef symbol,
                 const TargetInfo &target,
                 ArrayRef<SymExpr> dims) const override;
  void populateLayout(OpPassManager &pm,
                      const LayoutOptions &layout) const override {
    PackMatMulPassOptions options;
    options.precision = layout.precision;
    options.attentionInBF16 = layout.attentionInBF16;
    options.attentionOfCodes = options.inverses = true;
    options.tables = layout.tables;
    options.keepF32.append(layout.keepF32.begin(), layout.keepF32.end());
    pm.addPass(createPackMatMulPass(options));
    if (layout.winograd) {
      WinogradPassOptions filters;
      filters.vectorBits = layout.vectorBits;
      pm.addPass(createWinogradPass(filters));
    }
    if (layout.merge)
      pm.addPass(createMergeMatMulPass());
    pm.addPass(createSplitPhasesPass());
  }
};

/// What the memory between a kernel's halves holds; null: it has no second one.
Type betweenHalves(KernelOp kernel) {
  MLIRContext *context = kernel.getContext();
  if ((kernel.getKind() == KernelKind::attention && isSplitAttention(kernel)) ||
      isRecurrentInParts(kernel))
    return Float32Type::get(context);
  if (kernel.getKind() == KernelKind::matmul && quantizesRowsFirst(kernel))
    return IntegerType::get(context, 8);
  return {};
}

func::FuncOp createFunction(KernelOp kernel, ModuleOp kernels,
                            StringRef symbol) {
  func::FuncOp function = createKernelFunction(kernel, kernels, symbol);
  if (Type between = betweenHalves(kernel))
    function.getBody().front().addArgument(memoryType(between),
                                           kernel.getLoc());
  return function;
}

/// Codes are made of scales and zero points, which loops would read again, and
/// compute with, for each vector. Not of steps, whose states are numbers too.
void readParameters(KernelOp kernel, KernelEmitter &e) {
  constexpr KernelKind kinds[] = {KernelKind::map, KernelKind::row,
                                  KernelKind::matmul, KernelKind::attention};
  if (llvm::is_contained(kinds, kernel.getKind()) &&
      !e.body().getOps<RoundOp>().empty())
    readAhead(e, SymExpr());
}

FailureOr<std::optional<SecondHalf>>
CpuBackend::emitSecondHalf(KernelOp kernel, ModuleOp kernels, StringRef symbol,
                           const TargetInfo &target,
                           ArrayRef<SymExpr> dims) const {
  std::optional<SecondHalf> half;
  Type between = betweenHalves(kernel);
  if (!between)
    return half;
  half.emplace();
  half->element = between;
  half->kernel.symbol = symbol.str();
  half->kernel.dims = dims.vec();
  KernelEmitter e(kernel, createFunction(kernel, kernels, symbol), target,
                  cpuWalk(), half->kernel);
  readParameters(kernel, e);
  if (kernel.getKind() == KernelKind::attention) {
    half->elements = emitAttentionColumns(e);
  } else if (kernel.getKind() == KernelKind::matmul) {
    emitMatMulKernel(e);
    half->elements = QuantizedRows(e, findProduct(e)).bytes;
  } else {
    half->elements = emitCpuRecurrentSteps(e);
  }
  e.finish();
  if (e.hasFailed())
    return failure();
  return half;
}

FailureOr<KernelInfo> CpuBackend::emitKernel(KernelOp kernel, ModuleOp kernels,
                                             StringRef symbol,
                                             const TargetInfo &target,
                                             ArrayRef<SymExpr> dims) const {
  if (kernel.getKind() == KernelKind::native)
    return describeNativeKernel(kernel);
  KernelInfo info;
  info.symbol = symbol.str();
  info.dims = dims.vec();
  KernelEmitter e(kernel, createFunction(kernel, kernels, symbol), target,
                  cpuWalk(), info);
  readParameters(kernel, e);
  switch (kernel.getKind()) {
  case KernelKind::map:
    emitMapKernel(e);
    break;
  case KernelKind::row:
    emitRowKernel(e);
    break;
  case KernelKind::matmul:
    if (findWinograd(kernel))
      emitWinogradKernel(e);
    else if (isa_and_nonnull<CpuConvTilingAttr>(kernel.getTilingAttr()))
      emitConvKernel(e);
    else if (quantizesRowsFirst(kernel))
      emitQuantizedRows(e);
    else
      emitMatMulKernel(e);
    break;
  case KernelKind::depthwise:
    emitDepthwiseKernel(e);
    break;
  case KernelKind::attention:
    emitAttentionKernel(e);
    break;
  case KernelKind::scan:
    if (auto tiling = e.tiling<CpuColumnsTilingAttr>())
      emitScanKernel(e, tiling.getColumns());
    break;
  case KernelKind::scatter:
    if (auto tiling = e.tiling<CpuScatterTilingAttr>()) {
      if (isa_and_nonnull<StorePagesOp>(kernel.getRoot()))
        emitPagesKernel(e, tiling.getColumns(), tiling.getTasks());
      else
        emitScatterKernel(e, tiling.getColumns(), tiling.getTasks());
    }
    break;
  case KernelKind::top_k:
    emitTopKKernel(e);
    break;
  case KernelKind::recurrence:
    if (isa_and_nonnull<RecurrentOp>(kernel.getRoot()))
      emitCpuRecurrentKernel(e);
    else if (auto tiling = e.tiling<CpuColumnsTilingAttr>())
      emitRecurrenceKernel(e, tiling.getColumns());
    break;
  case KernelKind::native:
    llvm_unreachable("described above");
  }
  e.finish();
  if (e.hasFailed())
    return failure();
  return info;
}

} // namespace

const Backend &cpuBackend() {
  static const CpuBackend backend;
  return backend;
}

const Backend *findBackend(StringRef family) {
  for (const Backend *backend : {&cpuBackend(), &gpuBackend()})
    if (backend->getFamily() == family)
      return backend;
  return nullptr;
}

} // namespace tenon
