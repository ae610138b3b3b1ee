//===- FuseSoftmax.cpp - recover softmax and its guard --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Without the subtraction of the maximum, exp(x) / sum(exp(x)) overflows where
// softmax does not; that spelling is left as it is.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Passes.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tenon {
#define GEN_PASS_DEF_FUSESOFTMAXPASS
#include "dialects/Tenon/Transforms/Passes.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;
using namespace tenon::match;

namespace {

/// select(is_nan(s), 0, s) and select(not(is_nan(s)), s, 0), s a softmax.
struct FuseGuard : OpRewritePattern<SelectOp> {
  FuseGuard(MLIRContext *context, Pass::Statistic *fused)
      : OpRewritePattern(context), fused(fused) {}

  LogicalResult matchAndRewrite(SelectOp op,
                                PatternRewriter &rewriter) const override {
    Value condition = op.getCondition(), zero = op.getLhs(), kept = op.getRhs();
    if (auto inverted = condition.getDefiningOp<NotOp>()) {
      condition = inverted.getInput();
      std::swap(zero, kept);
    }
    auto isNan = condition.getDefiningOp<IsNanOp>();
    auto softmax = kept.getDefiningOp<SoftmaxOp>();
    if (!isNan || !softmax || isNan.getInput() != kept)
      return rewriter.notifyMatchFailure(op, "does not guard a softmax");
    if (softmax.getGuard() || softmax.getLog())
      return rewriter.notifyMatchFailure(op, "softmax is no plain one");
    std::optional<double> other = scalarOf(zero);
    if (!other || *other != 0 || kept.getType() != op.getType())
      return rewriter.notifyMatchFailure(op, "does not put 0 for NaN");
    auto guarded = SoftmaxOp::create(
        rewriter, fuseLocations(op.getContext(), {softmax, isNan, op}),
        op.getType(), softmax.getInput(), /*guard=*/true, /*log=*/false);
    rewriter.replaceOp(op, guarded);
    if (fused)
      ++*fused;
    return success();
  }

  Pass::Statistic *fused;
};

/// The reduction of `of` over its last dim that `value` is.
ReduceOp matchLastReduce(Value value, ReduceKind kind, Value of) {
  auto reduce = value.getDefiningOp<ReduceOp>();
  if (reduce && reduce.getKind() == kind && reduce.getInput() == of &&
      trailingDims(reduce) == 1)
    return reduce;
  return nullptr;
}

/// exp(x - max(x)) / sum(exp(x - max(x))).
template <typename OpTy>
struct FuseSpelled : OpRewritePattern<OpTy> {
  FuseSpelled(MLIRContext *context, Pass::Statistic *fused)
      : OpRewritePattern<OpTy>(context), fused(fused) {}

  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    for (auto [e, s] : {std::pair(op.getLhs(), op.getRhs()),
                        std::pair(op.getRhs(), op.getLhs())}) {
      Value sum = s;
      if (isa<MulOp>(op)) {
        auto reciprocal = s.template getDefiningOp<ReciprocalOp>();
        if (!reciprocal)
          continue;
        sum = reciprocal.getInput();
      } else if (e != op.getLhs()) {
        continue; // a quotient goes one way
      }
      auto exp = e.template getDefiningOp<ExpOp>();
      ReduceOp total = matchLastReduce(sum, ReduceKind::sum, e);
      auto sub = exp ? exp.getInput().template getDefiningOp<SubOp>() : nullptr;
      if (!total || !sub || sub.getLhs().getType() != op.getType())
        continue;
      ReduceOp top =
          matchLastReduce(sub.getRhs(), ReduceKind::max, sub.getLhs());
      if (!top)
        continue;
      auto softmax = SoftmaxOp::create(
          rewriter, fuseLocations(op.getContext(), {top, sub, exp, total, op}),
          op.getType(), sub.getLhs(), /*guard=*/false, /*log=*/false);
      rewriter.replaceOp(op, softmax);
      if (fused)
        ++*fused;
      return success();
    }
    return rewriter.notifyMatchFailure(op, "is no softmax");
  }

  Pass::Statistic *fused;
};

struct FuseSoftmaxPass : tenon::impl::FuseSoftmaxPassBase<FuseSoftmaxPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateFuseSoftmaxPatterns(patterns, &numFused);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace

void tenon::populateFuseSoftmaxPatterns(RewritePatternSet &patterns,
                                        Pass::Statistic *fused) {
  patterns.add<FuseGuard, FuseSpelled<DivOp>, FuseSpelled<MulOp>>(
      patterns.getContext(), fused);
}
