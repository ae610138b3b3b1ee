//===- FuseSilu.cpp - recover SiLU ----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Patterns.h"
#include "dialects/Tenon/Transforms/Remarks.h"

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
  using OpRewritePattern::OpRewritePattern;

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
      return success();
    }
    return rewriter.notifyMatchFailure(op, "is not x * sigmoid(x)");
  }
};

/// x / (1 + exp(-x)).
struct FuseDivExp : OpRewritePattern<DivOp> {
  using OpRewritePattern::OpRewritePattern;

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
    return success();
  }
};

struct FuseSiluPass : tenon::impl::FuseSiluPassBase<FuseSiluPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateFuseSiluPatterns(patterns);
    if (failed(applyPatterns(*this, getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace

void tenon::populateFuseSiluPatterns(RewritePatternSet &patterns) {
  patterns.add<FuseMulSigmoid, FuseDivExp>(patterns.getContext());
}
