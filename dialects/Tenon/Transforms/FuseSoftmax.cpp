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
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Patterns.h"
#include "dialects/Tenon/Transforms/Remarks.h"

namespace tenon {
#define GEN_PASS_DEF_FUSESOFTMAXPASS
#include "dialects/Tenon/Transforms/FuseSoftmax.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;
using namespace tenon::match;

namespace {

/// select(is_nan(s), 0, s) and select(not(is_nan(s)), s, 0), s a softmax.
struct FuseGuard : OpRewritePattern<SelectOp> {
  using OpRewritePattern::OpRewritePattern;

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
    return success();
  }
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
  using OpRewritePattern<OpTy>::OpRewritePattern;

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
      return success();
    }
    return rewriter.notifyMatchFailure(op, "is no softmax");
  }
};

/// matmul(select(c, 0, softmax), v) with one c for a row: a select of products.
/// Where v is not finite, 0 is right and 0 * v was not.
struct SinkRowSelect : OpRewritePattern<MatMulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatMulOp op,
                                PatternRewriter &rewriter) const override {
    auto select = op.getLhs().getDefiningOp<SelectOp>();
    if (!select || !select.getResult().hasOneUse() || op.getTransposeA())
      return rewriter.notifyMatchFailure(op, "does not multiply a select");
    bool zeroFirst = isZero(select.getLhs());
    Value zero = zeroFirst ? select.getLhs() : select.getRhs(),
          kept = zeroFirst ? select.getRhs() : select.getLhs();
    if (!isZero(zero) || !kept.getDefiningOp<SoftmaxOp>() ||
        kept.getType() != select.getType())
      return rewriter.notifyMatchFailure(op, "does not put 0 in a softmax");
    SmallVector<SymExpr> rows = getDims(select.getCondition()),
                         dims = getDims(op.getResult());
    if (rows.empty() || rows.back().constant() != 1)
      return rewriter.notifyMatchFailure(op, "does not select whole rows");
    if (!isBroadcastOf(rows, dims))
      return rewriter.notifyMatchFailure(op, "dims are not the product's");
    Location loc = fuseLocations(op.getContext(), {select, op});
    Value product =
        MatMulOp::create(rewriter, loc, op.getType(), kept, op.getRhs(),
                         op.getTransposeA(), op.getTransposeB());
    Type element = getElementTypeOrSelf(op.getType());
    Value nothing = createConstant(
        rewriter, loc,
        DenseElementsAttr::get(RankedTensorType::get({}, element),
                               rewriter.getFloatAttr(element, 0)));
    rewriter.replaceOpWithNewOp<SelectOp>(
        op, op.getType(), select.getCondition(), zeroFirst ? nothing : product,
        zeroFirst ? product : nothing);
    return success();
  }

  static bool isZero(Value v) {
    std::optional<double> number = scalarOf(v);
    return number && *number == 0;
  }
};

struct FuseSoftmaxPass : tenon::impl::FuseSoftmaxPassBase<FuseSoftmaxPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateFuseSoftmaxPatterns(patterns);
    if (failed(applyPatterns(*this, getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace

void tenon::populateFuseSoftmaxPatterns(RewritePatternSet &patterns) {
  patterns
      .add<FuseGuard, FuseSpelled<DivOp>, FuseSpelled<MulOp>, SinkRowSelect>(
          patterns.getContext());
}
