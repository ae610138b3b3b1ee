//===- FuseSilu.cpp - recover SiLU ----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonArith.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Patterns.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tenon {
#define GEN_PASS_DEF_FUSESILUPASS
#include "dialects/Tenon/Transforms/FuseSilu.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;
using namespace tenon::match;

namespace {

/// x * sigmoid(x), either way round.
struct FuseMulSigmoid : OpRewritePattern<MulOp> {
  FuseMulSigmoid(MLIRContext *context, Pass::Statistic *fused)
      : OpRewritePattern(context), fused(fused) {}

  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    for (auto [x, s] : {std::pair(op.getLhs(), op.getRhs()),
                        std::pair(op.getRhs(), op.getLhs())}) {
      auto sigmoid = s.getDefiningOp<SigmoidOp>();
      if (!sigmoid || sigmoid.getInput() != x || x.getType() != op.getType())
        continue;
      auto silu = SiluOp::create(rewriter,
                                 fuseLocations(op.getContext(), {sigmoid, op}),
                                 op.getType(), x);
      rewriter.replaceOp(op, silu);
      if (fused)
        ++*fused;
      return success();
    }
    return rewriter.notifyMatchFailure(op, "is not x * sigmoid(x)");
  }

  Pass::Statistic *fused;
};

/// x / (1 + exp(-x)).
struct FuseDivExp : OpRewritePattern<DivOp> {
  FuseDivExp(MLIRContext *context, Pass::Statistic *fused)
      : OpRewritePattern(context), fused(fused) {}

  LogicalResult matchAndRewrite(DivOp op,
                                PatternRewriter &rewriter) const override {
    Value x = op.getLhs();
    auto add = op.getRhs().getDefiningOp<AddOp>();
    if (!add || x.getType() != op.getType())
      return rewriter.notifyMatchFailure(op, "divisor is no sum");
    Value term = isScalar(add.getLhs(), 1)   ? add.getRhs()
                 : isScalar(add.getRhs(), 1) ? add.getLhs()
                                             : Value();
    auto exp = term ? term.getDefiningOp<ExpOp>() : nullptr;
    auto neg = exp ? exp.getInput().getDefiningOp<NegOp>() : nullptr;
    if (!neg || neg.getInput() != x)
      return rewriter.notifyMatchFailure(op, "divisor is not 1 + exp(-x)");
    auto silu = SiluOp::create(
        rewriter, fuseLocations(op.getContext(), {neg, exp, add, op}),
        op.getType(), x);
    rewriter.replaceOp(op, silu);
    if (fused)
      ++*fused;
    return success();
  }

  Pass::Statistic *fused;
};

struct FuseSiluPass : tenon::impl::FuseSiluPassBase<FuseSiluPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateFuseSiluPatterns(patterns, &numFused);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace

void tenon::populateFuseSiluPatterns(RewritePatternSet &patterns,
                                     Pass::Statistic *fused) {
  patterns.add<FuseMulSigmoid, FuseDivExp>(patterns.getContext(), fused);
}
