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
#include "lib/Codegen/Form/WinogradRule.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Pass/Pass.h"
#include <array>
#include <cmath>
#include <cstring>

using namespace mlir;

namespace tenon {
#define GEN_PASS_DECL_WINOGRADPASS
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
  using WinogradPassBase::WinogradPassBase;

  void runOnOperation() override {
    packs.clear();
    SmallVector<PackedMatMulOp> products;
    getOperation()->walk([&](PackedMatMulOp op) { products.push_back(op); });
    for (PackedMatMulOp op : products) {
      auto patches = op.getLhs().getDefiningOp<Im2ColOp>();
      if (!patches || op.getFormatAttr() || op.getWinograd() ||
          !areWinogradPatches(patches))
        continue;
      WinogradLoss loss = lossOf(op, patches);
      PackBOp pack = loss.why.empty()
                         ? packed(op.getPacked().getDefiningOp<PackBOp>(),
                                  patches.getStrides()[0] > 1)
                         : PackBOp();
      if (!pack) {
        noteMissed(kPass, op, kName,
                   loss.why.empty() ? "its filters would overflow" : loss.why);
        continue;
      }
      replace(op, pack, loss.where);
    }
  }

  /// Where a product stays as it is.
  WinogradLoss lossOf(PackedMatMulOp op, Im2ColOp patches) {
    constexpr int64_t fewest = 16;
    auto pack = op.getPacked().getDefiningOp<PackBOp>();
    ConstantOp constant = pack ? packedConstant(pack) : ConstantOp();
    std::optional<int64_t> channels =
                               getDims(patches.getInput()).back().constant(),
                           columns = getDims(op.getResult()).back().constant();
    if (!constant || getDims(pack.getInput()).size() != 2 || !columns ||
        !getElementTypeOrSelf(pack.getInput().getType()).isF32())
      return {1, "it multiplies by no constant weight"};
    if (!channels || *channels < fewest || *columns < fewest)
      return {1, "its channels fill no vectors"};
    return lossByWinograd(patches, *channels, *columns, vectorBits);
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

  void replace(PackedMatMulOp op, PackBOp pack, const SymExpr &unless) {
    noteApplied(kPass, op, kName);
    OpBuilder b(op);
    bool isOpen = !unless.isConstant();
    auto product = PackedMatMulOp::create(
        b, op.getLoc(), op.getLhs(), pack.getResult(), op.getNAttr(),
        FormatAttr(), /*winograd=*/true, isOpen ? op.getPacked() : Value(),
        isOpen ? b.getStringAttr(unless.str()) : StringAttr());
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
