//===- Winograd.cpp - convolutions of 3x3 with fewer multiplications ------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// F(2x2, 3x3) of Lavin and Gray, Fast Algorithms for Convolutional Neural
// Networks. Its transforms are sums, and of the filters halves and quarters:
// errors are those of the direct sum, or smaller (docs/Math.md). Those of
// larger tiles are not.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/Winograd.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "lib/Codegen/Form/ConstantView.h"
#include "lib/Codegen/Form/PackedWeight.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Pass/Pass.h"
#include <array>
#include <cmath>
#include <cstring>

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_WINOGRADPASS
#include "lib/Codegen/Form/Winograd.h.inc"

bool isForWinograd(Operation *op) {
  return isa<Im2ColOp>(op) && llvm::any_of(op->getUsers(), [](Operation *user) {
           auto product = dyn_cast<PackedMatMulOp>(user);
           return product && product.getWinograd();
         });
}

void separatePatches(Block &block) {
  for (auto product : block.getOps<PackedMatMulOp>()) {
    Operation *patches = product.getLhs().getDefiningOp();
    if (!product.getWinograd() ||
        (patches->hasOneUse() && patches->getBlock() == &block))
      continue;
    OpBuilder b(product);
    product.getLhsMutable().assign(b.clone(*patches)->getResult(0));
  }
}

namespace {

/// In remarks.
constexpr StringLiteral kPass = "tenon-winograd", kName = "Winograd";

constexpr int64_t kSide = 3, kTaps = kSide * kSide;
/// Of the widest vectors.
constexpr int64_t kLanes = 16;

/// What `spread` makes of three taps, along the columns of a filter and then
/// along the rows of what comes of it.
template <size_t N>
std::array<std::array<double, N>, N>
spreadBoth(const std::array<double, kTaps> &g,
           std::array<double, N> (*spread)(double, double, double)) {
  std::array<std::array<double, kSide>, N> rows;
  for (int64_t x = 0; x < kSide; ++x)
    for (auto [i, v] :
         llvm::enumerate(spread(g[x], g[kSide + x], g[2 * kSide + x])))
      rows[i][x] = v;
  std::array<std::array<double, N>, N> all;
  for (auto [row, to] : llvm::zip_equal(rows, all))
    to = spread(row[0], row[1], row[2]);
  return all;
}

/// G g G^T, row by row.
std::array<double, kWinogradMatrices>
transform(const std::array<double, kTaps> &g) {
  auto both = spreadBoth<kWinogradTile>(g, [](double a, double b, double c) {
    return std::array{a, (a + b + c) / 2, (a - b + c) / 2, c};
  });
  std::array<double, kWinogradMatrices> all;
  auto next = all.begin();
  for (const auto &row : both)
    next = llvm::copy(row, next);
  return all;
}

/// Of windows in steps of 2: along each dim the two taps of its first position
/// alone, what both share, and those of the second alone, part by part.
std::array<double, kWinogradStepsRows>
transformSteps(const std::array<double, kTaps> &g) {
  auto both =
      spreadBoth<kWinogradStepsTile>(g, [](double a, double b, double c) {
        return std::array{a, b, a + c, b, c};
      });
  std::array<double, kWinogradStepsRows> all;
  auto next = all.begin();
  for (const WinogradPart &down : kWinogradParts)
    for (const WinogradPart &across : kWinogradParts)
      for (int64_t i = down.first; i < down.first + down.count; ++i)
        next = std::copy_n(both[i].begin() + across.first, across.count, next);
  return all;
}

struct WinogradPass : ::tenon::impl::WinogradPassBase<WinogradPass> {
  void runOnOperation() override {
    packs.clear();
    SmallVector<PackedMatMulOp> products;
    getOperation()->walk([&](PackedMatMulOp op) { products.push_back(op); });
    for (PackedMatMulOp op : products) {
      auto patches = op.getLhs().getDefiningOp<Im2ColOp>();
      if (!patches || op.getFormatAttr() || op.getWinograd() ||
          !areWinogradPatches(patches))
        continue;
      StringRef why = obstacle(op, patches);
      PackBOp pack = why.empty()
                         ? packed(op.getPacked().getDefiningOp<PackBOp>(),
                                  patches.getStrides()[0] > 1)
                         : PackBOp();
      if (!pack) {
        noteMissed(kPass, op, kName,
                   why.empty() ? "its filters would overflow" : why);
        continue;
      }
      replace(op, pack);
    }
  }

  /// Why a product stays as it is; empty where it does not.
  static StringRef obstacle(PackedMatMulOp op, Im2ColOp patches) {
    constexpr int64_t fewest = 16;
    auto pack = op.getPacked().getDefiningOp<PackBOp>();
    ConstantOp constant = pack ? packedConstant(pack) : ConstantOp();
    std::optional<int64_t> channels =
                               getDims(patches.getInput()).back().constant(),
                           columns = getDims(op.getResult()).back().constant();
    if (!constant || getDims(pack.getInput()).size() != 2 || !columns ||
        !getElementTypeOrSelf(pack.getInput().getType()).isF32())
      return "it multiplies by no constant weight";
    if (!channels || *channels < kLanes || *columns < fewest)
      return "its channels fill no vectors";
    return loses(patches, *channels, *columns);
  }

  /// What is known of an image's sizes, and of the weight's, tells whether it
  /// would be slower.
  static StringRef loses(Im2ColOp patches, int64_t channels, int64_t columns) {
    SmallVector<SymExpr> dims = getDims(patches.getInput());
    bool steps = patches.getStrides()[0] > 1;
    int64_t numbers = steps ? kWinogradStepsRows : kWinogradMatrices,
            side = steps ? kWinogradStepsTile : kWinogradTile;
    int64_t positions = 1, squares = 1, inside = 1;
    bool isKnown = true;
    for (size_t d = 0; d < 2; ++d) {
      std::optional<int64_t> size = dims[1 + d].constant();
      if (!size) {
        isKnown = false;
        positions *= kWinogradOutputs;
        continue;
      }
      int64_t step = patches.getStrides()[d], apart = patches.getDilations()[d],
              before = patches.getPads()[d],
              behind = *size + patches.getPads()[d + 2];
      // Squares that begin before there: so many of each block, one beside the
      // other.
      auto squaresBefore = [&](int64_t place, int64_t block) {
        place = std::max<int64_t>(place, 0);
        return place / block * apart + std::min(place % block, apart);
      };
      int64_t block = kWinogradOutputs * apart;
      int64_t most = std::max<int64_t>(
                         before + behind - (kSide - 1) * apart - 1 + step, 0) /
                     step;
      int64_t ofDim = squaresBefore(most, block);
      // From the first square on whose pixels the image has to the last one.
      int64_t first = squaresBefore(before, block * step),
              end = squaresBefore(*size + before - (side - 1) * apart,
                                  block * step);
      positions *= most;
      squares *= ofDim;
      inside *= std::max<int64_t>(std::min(end, ofDim) - first, 0);
    }
    if (squares == 0)
      return "its result is empty";
    // Times as fast, as measured: multiplications, and what the transforms take
    // beside those. The pixels of a square at the border are copied before,
    // and read as they were not written where their channels fill no vectors.
    constexpr double least = 1.1, direct = 1.05;
    double own = steps ? 1.1 : 1.18, ofTransform = steps ? 4 : 3.75,
           ofCopy = (steps ? 60 : 30) * (channels % kLanes ? 4 : 1);
    double fewer = double(positions) * kTaps / (double(squares) * numbers),
           border = 1 - double(inside) / squares;
    double takes = own + ofTransform / channels +
                   (ofTransform + border * ofCopy) / columns;
    if (fewer * direct / takes < least)
      return "too much of its squares of 2x2 lies outside";
    // Of a run's images one is certain. A weight comes from the third cache, as
    // a rule, and what a task begins with takes longer than small products.
    // Steps lead to small images: where nothing is known of those a weight is
    // no larger than that.
    constexpr int64_t inCache = 1 << 20, large = 8 << 20, small = 1 << 18;
    int64_t images = dims[0].constant().value_or(1),
            bytes = numbers * channels * columns * sizeof(float),
            few = steps             ? 48
                  : bytes > inCache ? 24
                  : bytes < small   ? 32
                                    : 16;
    if (isKnown ? images * squares < few : steps && bytes > large)
      return "too few positions meet its weight";
    return "";
  }

  /// The weight's matrices, or the one of windows in steps of 2; null where a
  /// number of theirs is not finite.
  PackBOp packed(PackBOp pack, bool steps) {
    std::optional<ConstantView> view = ConstantView::of(pack.getInput());
    int64_t dimN = pack.getTransposed() ? 0 : 1, dimK = 1 - dimN;
    if (!view || view->dims.size() != 2)
      return {};
    OpBuilder b(pack);
    ElementsAttr value = view->constant.getValue();
    MatrixAttr matrix = view->matrix(dimK, dimN);
    Operation *function =
        pack->getParentWithTrait<mlir::OpTrait::IsIsolatedFromAbove>();
    auto [it, fresh] = packs.try_emplace(
        {function,
         b.getArrayAttr({value, matrix, b.getDenseI64ArrayAttr(view->dims),
                         b.getBoolAttr(steps)})});
    if (!fresh)
      return it->second;
    auto reader = MatrixReader::open(value, matrix);
    if (!reader) {
      llvm::consumeError(reader.takeError());
      return {};
    }
    int64_t columns = view->dims[dimN], channels = view->dims[dimK] / kTaps,
            ofMatrix = columns * channels;
    SmallVector<int64_t> dims{kWinogradMatrices, columns, channels};
    if (steps)
      dims = {columns, kWinogradStepsRows * channels};
    AsmResourceBlob blob = HeapAsmResourceBlob::allocate(
        llvm::product_of(dims) * sizeof(float), alignof(uint64_t));
    auto *to = reinterpret_cast<float *>(blob.getMutableData().data());
    bool areFinite = true;
    auto put = [&](ArrayRef<double> numbers, float *first, int64_t apart) {
      for (auto [i, x] : llvm::enumerate(numbers)) {
        first[i * apart] = float(x);
        areFinite &= std::isfinite(first[i * apart]);
      }
    };
    for (int64_t n = 0; n < columns; ++n)
      for (int64_t c = 0; c < channels; ++c) {
        std::array<double, kTaps> taps;
        for (int64_t t = 0; t < kTaps; ++t) {
          float x;
          memcpy(&x, reader->at(t * channels + c, n), sizeof(x));
          taps[t] = x;
        }
        if (steps)
          put(transformSteps(taps), to + n * dims[1] + c, channels);
        else
          put(transform(taps), to + n * channels + c, ofMatrix);
      }
    if (!areFinite)
      return {};
    // Where every reader of the weight sees it, in whichever region.
    b.setInsertionPointToStart(&function->getRegion(0).front());
    auto type = RankedTensorType::get(dims, b.getF32Type());
    auto &manager =
        DenseResourceElementsHandle::getManagerInterface(&getContext());
    Value matrices = ConstantOp::create(
        b, pack.getLoc(), type,
        DenseResourceElementsAttr::get(
            type, manager.insert("winograd", std::move(blob))));
    return it->second =
               PackBOp::create(b, pack.getLoc(), matrices, /*transposed=*/true);
  }

  void replace(PackedMatMulOp op, PackBOp pack) {
    noteApplied(kPass, op, kName);
    OpBuilder b(op);
    auto product =
        PackedMatMulOp::create(b, op.getLoc(), op.getLhs(), pack.getResult(),
                               op.getNAttr(), FormatAttr(), /*winograd=*/true);
    if (Attribute name = op->getAttr("tenon.value"))
      product->setAttr("tenon.value", name);
    op.getResult().replaceAllUsesWith(product.getResult());
    op.erase();
    ++numProducts;
  }

  /// Of each function's weights, as they are read, the panels of their
  /// matrices, or of the one.
  DenseMap<std::pair<Operation *, Attribute>, PackBOp> packs;
};

} // namespace
} // namespace tenon
