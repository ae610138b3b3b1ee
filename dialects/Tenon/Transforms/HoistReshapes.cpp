//===- HoistReshapes.cpp - move reshapes above what they hide -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"

namespace tenon {
#define GEN_PASS_DEF_HOISTRESHAPESPASS
#include "dialects/Tenon/Transforms/HoistReshapes.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {

/// `value` with the leading dims of `dims` and its own last dim.
Value reshapeRows(PatternRewriter &rewriter, Location loc, Value value,
                  ArrayRef<SymExpr> dims) {
  SmallVector<SymExpr> own(dims);
  own.back() = getDims(value).back();
  return ReshapeOp::create(rewriter, loc, value,
                           DimsAttr::get(rewriter.getContext(), own));
}

/// reshape(op(x, y)) that only splits or joins rows: op(reshape(x),
/// reshape(y)).
struct HoistRowReshape : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ReshapeOp reshape,
                                PatternRewriter &rewriter) const override {
    Operation *op = reshape.getInput().getDefiningOp();
    SmallVector<SymExpr> from = getDims(reshape.getInput()),
                         to = getDims(reshape.getResult());
    if (!op || !reshape.getInput().hasOneUse() || op->getNumResults() != 1)
      return rewriter.notifyMatchFailure(reshape, "nothing to hoist above");
    if (from.size() < 2 || to.size() < 2 || from.back() != to.back())
      return rewriter.notifyMatchFailure(reshape, "changes the last dim");
    SmallVector<Value> operands;
    Location loc = reshape.getLoc();
    if (auto matmul = dyn_cast<MatMulOp>(op)) {
      // A transposed left operand has its rows in the last dim.
      if (matmul.getTransposeA() || getDims(matmul.getRhs()).size() != 2 ||
          getDims(matmul.getLhs()).size() != from.size())
        return rewriter.notifyMatchFailure(reshape, "rows have no weights");
      operands = {reshapeRows(rewriter, loc, matmul.getLhs(), to),
                  matmul.getRhs()};
    } else if (op->hasTrait<tenon::OpTrait::Elementwise>()) {
      // Operands are whole, or vary along the last dim at most.
      auto isRow = [](Value v) { return getDims(v).size() < 2; };
      for (Value v : op->getOperands())
        if (!isRow(v) && getDims(v) != from)
          return rewriter.notifyMatchFailure(reshape, "broadcasts rows");
      for (Value v : op->getOperands())
        operands.push_back(isRow(v) ? v : reshapeRows(rewriter, loc, v, to));
    } else {
      return rewriter.notifyMatchFailure(reshape, "not elementwise");
    }
    Operation *hoistedOp = rewriter.clone(*op);
    hoistedOp->setOperands(operands);
    hoistedOp->getResult(0).setType(reshape.getType());
    rewriter.replaceOp(reshape, hoistedOp);
    return success();
  }
};

/// op(x, broadcast_to(y)) where x has all dims already: op(x, y). Of a slope
/// per channel, spread as exporters from TFLite do, a layout chosen for
/// products would need a transposition.
struct LeaveOutBroadcast : OpRewritePattern<BroadcastToOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(BroadcastToOp broadcast,
                                PatternRewriter &rewriter) const override {
    SmallVector<SymExpr> from = getDims(broadcast.getInput()),
                         to = getDims(broadcast.getResult());
    for (auto [dim, spread] : llvm::zip(llvm::reverse(from), llvm::reverse(to)))
      if (dim != SymExpr(1) && dim != spread)
        return rewriter.notifyMatchFailure(broadcast, "checks a dim");
    auto hasAllDims = [&](OpOperand &use) {
      Operation *op = use.getOwner();
      return op->hasTrait<tenon::OpTrait::Elementwise>() &&
             llvm::any_of(op->getOperands(), [&](Value v) {
               return v != broadcast.getResult() && getDims(v) == to;
             });
    };
    if (llvm::none_of(broadcast->getUses(), hasAllDims))
      return rewriter.notifyMatchFailure(broadcast, "no other has its dims");
    rewriter.replaceUsesWithIf(broadcast, broadcast.getInput(), hasAllDims);
    return success();
  }
};

struct HoistReshapesPass
    : tenon::impl::HoistReshapesPassBase<HoistReshapesPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<HoistRowReshape, LeaveOutBroadcast>(&getContext());
    ReshapeOp::getCanonicalizationPatterns(patterns, &getContext());
    // Values with several users lose them one op per iteration, so a long
    // chain takes many. Where that is cut short, a reshape stays in place.
    GreedyRewriteConfig config;
    config.setMaxIterations(100);
    (void)applyPatterns(*this, getOperation(), std::move(patterns), config);
  }
};

} // namespace
