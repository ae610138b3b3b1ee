//===- SplitPhases.cpp - neighbours in place of indices -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Behind the passes that choose layouts: where the channels come last, the dim
// that grows is none that lanes lie along, and a gather by one index is right.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_SPLITPHASESPASS
#include "lib/Codegen/Form/SplitPhases.h.inc"

namespace {

/// Fewer elements fill no vector. As many fill one of the widest level.
constexpr int64_t kFewElements = 8, kManyElements = 16;

/// Vectors of it are permuted, which is faster.
bool isPermuted(Type element) {
  return element.isInteger(32) ||
         (isa<FloatType>(element) && element.getIntOrFloatBitWidth() <= 32);
}

/// How far from element k of `size` its `by` elements of the result are, the
/// same for each k; empty where they are not.
SmallVector<int64_t> distancesOf(ArrayRef<int64_t> indices, int64_t size,
                                 int64_t by) {
  SmallVector<int64_t> distances;
  int64_t middle = size / 2;
  for (int64_t j = 0; j < by; ++j)
    distances.push_back(indices[middle * by + j] - middle);
  for (auto [i, index] : llvm::enumerate(indices))
    if (index !=
        std::clamp<int64_t>(int64_t(i) / by + distances[i % by], 0, size - 1))
      return {};
  return distances;
}

struct SplitPhasesPass : ::tenon::impl::SplitPhasesPassBase<SplitPhasesPass> {
  void runOnOperation() override {
    SmallVector<GatherOp> ops;
    getOperation()->walk([&](GatherOp op) { ops.push_back(op); });
    for (GatherOp op : ops)
      split(op);
  }

  void split(GatherOp op) {
    SmallVector<SymExpr> dims = getDims(op.getInput());
    std::optional<int64_t> size = dims.back().constant();
    DenseElementsAttr constant =
        match::smallConstant(op.getIndices(), INT64_C(1) << 16);
    if (!size || *size < kFewElements || !constant ||
        (*size >= kManyElements &&
         isPermuted(getElementTypeOrSelf(op.getInput().getType()))) ||
        op.getAxis() != dims.size() - 1 || constant.getType().getRank() != 1)
      return;
    SmallVector<int64_t> indices;
    for (const APInt &index : constant.getValues<APInt>())
      indices.push_back(index.getSExtValue());
    for (int64_t by : {2, 4})
      if (int64_t(indices.size()) == by * *size)
        if (SmallVector<int64_t> distances = distancesOf(indices, *size, by);
            !distances.empty()) {
          replace(op, distances);
          ++numSplit;
          return;
        }
  }

  static void replace(GatherOp op, ArrayRef<int64_t> distances) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    Value x = op.getInput();
    SmallVector<SymExpr> dims = getDims(x), apart(dims);
    apart.push_back(SymExpr(1));
    auto attr = [&](ArrayRef<SymExpr> d) {
      return DimsAttr::get(b.getContext(), d);
    };
    int64_t low = std::max<int64_t>(-*llvm::min_element(distances), 0),
            high = std::max<int64_t>(*llvm::max_element(distances), 0);
    if (low + high) {
      Type element = getElementTypeOrSelf(x.getType());
      Value none = createConstant(
          b, loc,
          DenseElementsAttr::get(RankedTensorType::get({}, element),
                                 b.getZeroAttr(element)));
      SmallVector<SymExpr> before(dims.size(), SymExpr(0)), behind(before);
      before.back() = SymExpr(low);
      behind.back() = SymExpr(high);
      x = PadOp::create(b, loc, PadMode::edge, x, none, attr(before),
                        attr(behind));
    }
    SmallVector<Value> parts;
    SmallVector<int64_t> steps(dims.size(), 1);
    for (int64_t distance : distances) {
      SmallVector<SymExpr> starts(dims.size(), SymExpr(0));
      starts.back() = SymExpr(low + distance);
      Value part = x;
      if (low + high)
        part = createSlice(b, loc, x, starts, steps, dims);
      parts.push_back(createReshape(b, loc, part, apart));
    }
    apart.back() = SymExpr(int64_t(distances.size()));
    Value all = low + high
                    ? ConcatOp::create(b, loc, parts, dims.size()).getResult()
                    : BroadcastToOp::create(b, loc, parts[0], attr(apart));
    op.getResult().replaceAllUsesWith(
        createReshape(b, loc, all, getDims(op.getResult())));
    op.erase();
  }
};

} // namespace
} // namespace tenon
