//===- FuseNorms.cpp - recover layer norm and RMS norm --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   1. d / sqrt(mean(d^2) + epsilon)  ->  layer_norm(x) where d = x - mean(x),
//                                         rms_norm(d) otherwise
//   2. norm(x) * scale                ->  norm(x) scale
//   3. layer_norm(x) scale + bias     ->  layer_norm(x) scale bias
//   4. d = x - mean(x)                ->  d - mean(d)
//
// Step 4 where d is squared (a variance of its own: over other dims, in another
// spelling): a float's mean may be further off than x spreads. The first
// difference is exact then, and the second takes away what it is off.
// Steps 2 and 3 only where the plain norm has no other use, so that nothing is
// computed twice.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Pow.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Patterns.h"
#include "dialects/Tenon/Transforms/Remarks.h"

namespace tenon {
#define GEN_PASS_DEF_FUSENORMSPASS
#include "dialects/Tenon/Transforms/FuseNorms.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;
using namespace tenon::match;

namespace {

using Ops = SmallVector<Operation *>;

/// v of sqrt(v) or pow(v, 1/2).
Value matchSqrt(Value value, Ops &ops) {
  ops.push_back(value.getDefiningOp());
  if (auto sqrt = value.getDefiningOp<SqrtOp>())
    return sqrt.getInput();
  if (auto pow = value.getDefiningOp<PowOp>();
      pow && isScalar(pow.getRhs(), .5))
    return pow.getLhs();
  return {};
}

/// v of 1/sqrt(v), as reciprocal, quotient or power.
Value matchRsqrt(Value value, Ops &ops) {
  ops.push_back(value.getDefiningOp());
  if (auto reciprocal = value.getDefiningOp<ReciprocalOp>())
    return matchSqrt(reciprocal.getInput(), ops);
  if (auto div = value.getDefiningOp<DivOp>(); div && isScalar(div.getLhs(), 1))
    return matchSqrt(div.getRhs(), ops);
  if (auto pow = value.getDefiningOp<PowOp>();
      pow && isScalar(pow.getRhs(), -.5))
    return pow.getLhs();
  return {};
}

/// d of d^2.
Value matchSquare(Value value, Ops &ops) {
  ops.push_back(value.getDefiningOp());
  if (auto pow = value.getDefiningOp<PowOp>(); pow && isScalar(pow.getRhs(), 2))
    return pow.getLhs();
  if (auto mul = value.getDefiningOp<MulOp>();
      mul && mul.getLhs() == mul.getRhs())
    return mul.getLhs();
  return {};
}

/// Are both the same value, or two subtractions of the same operands?
bool isSameDifference(Value a, Value b) {
  if (a == b)
    return true;
  auto x = a.getDefiningOp<SubOp>(), y = b.getDefiningOp<SubOp>();
  return x && y && x.getLhs() == y.getLhs() && x.getRhs() == y.getRhs();
}

struct Norm {
  Value input;
  double epsilon;
  int64_t dims;
  bool centred; // layer norm
};

/// `d` with mean(d^2) + epsilon = `variance`.
std::optional<Norm> matchNorm(Value d, Value variance, Ops &ops) {
  auto add = variance ? variance.getDefiningOp<AddOp>() : nullptr;
  if (!add)
    return std::nullopt;
  std::optional<double> epsilon = scalarOf(add.getRhs());
  Value meanValue = add.getLhs();
  if (!epsilon) {
    epsilon = scalarOf(add.getLhs());
    meanValue = add.getRhs();
  }
  auto mean = meanValue.getDefiningOp<ReduceOp>();
  if (!epsilon || !(*epsilon >= 0) || !mean ||
      mean.getKind() != ReduceKind::mean)
    return std::nullopt;
  int64_t dims = trailingDims(mean);
  ops.append({add, mean});
  Value square = matchSquare(mean.getInput(), ops);
  if (dims == 0 || !square || !isSameDifference(square, d))
    return std::nullopt;
  Norm norm{d, *epsilon, dims, false};
  if (auto sub = d.getDefiningOp<SubOp>()) {
    auto centre = sub.getRhs().getDefiningOp<ReduceOp>();
    if (centre && centre.getKind() == ReduceKind::mean &&
        centre.getInput() == sub.getLhs() && trailingDims(centre) == dims &&
        sub.getLhs().getType() == d.getType()) {
      ops.append({sub, centre});
      norm.input = sub.getLhs();
      norm.centred = true;
    }
  }
  return norm;
}

/// The product or quotient at the end of step 1.
template <typename OpTy>
struct FuseNorm : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;

  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    for (auto [d, rest] : {std::pair(op.getLhs(), op.getRhs()),
                           std::pair(op.getRhs(), op.getLhs())}) {
      if (isa<DivOp>(op) && d != op.getLhs())
        continue;
      Ops ops;
      Value variance =
          isa<DivOp>(op) ? matchSqrt(rest, ops) : matchRsqrt(rest, ops);
      std::optional<Norm> norm = matchNorm(d, variance, ops);
      if (!norm || norm->input.getType() != op.getType())
        continue;
      ops.push_back(op);
      Location loc = fuseLocations(op.getContext(), ops);
      APFloat epsilon(norm->epsilon);
      Value result;
      if (norm->centred)
        result = LayerNormOp::create(rewriter, loc, op.getType(), norm->input,
                                     /*scale=*/Value(), /*bias=*/Value(),
                                     epsilon, norm->dims);
      else
        result = RmsNormOp::create(rewriter, loc, op.getType(), norm->input,
                                   /*scale=*/Value(), epsilon, norm->dims);
      rewriter.replaceOp(op, result);
      return success();
    }
    return rewriter.notifyMatchFailure(op, "is not d / sqrt(mean(d^2) + e)");
  }
};

/// `parameter` as a tensor of exactly the last `dims` dims of `type`, dropping
/// leading 1s; null where it is anything else.
Value asParameter(PatternRewriter &rewriter, Value parameter,
                  RankedTensorType type, int64_t dims) {
  auto own = dyn_cast<RankedTensorType>(parameter.getType());
  if (!own || own.getElementType() != type.getElementType() ||
      own.getRank() < dims)
    return {};
  SmallVector<SymExpr> have = getDims(parameter), all = getDims(type);
  auto wanted = ArrayRef(all).take_back(dims);
  size_t extra = have.size() - dims;
  if (ArrayRef(have).drop_front(extra) != wanted ||
      own.getRank() > type.getRank())
    return {};
  for (const SymExpr &dim : ArrayRef(have).take_front(extra))
    if (dim != SymExpr(1))
      return {};
  if (extra == 0)
    return parameter;
  return createReshape(rewriter, parameter.getLoc(), parameter, wanted);
}

/// Step 2, for either norm.
struct AbsorbScale : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    for (auto [value, factor] : {std::pair(op.getLhs(), op.getRhs()),
                                 std::pair(op.getRhs(), op.getLhs())}) {
      if (!value.hasOneUse() || value.getType() != op.getType())
        continue;
      if (auto norm = value.getDefiningOp<LayerNormOp>();
          norm && !norm.getScale()) {
        Value scale =
            asParameter(rewriter, factor, norm.getType(), norm.getDims());
        if (!scale)
          continue;
        auto loc = fuseLocations(op.getContext(), {norm, op});
        rewriter.replaceOp(
            op, LayerNormOp::create(rewriter, loc, op.getType(),
                                    norm.getInput(), scale, /*bias=*/Value(),
                                    norm.getEpsilon(), norm.getDims()));
        return success();
      }
      if (auto norm = value.getDefiningOp<RmsNormOp>();
          norm && !norm.getScale()) {
        Value scale =
            asParameter(rewriter, factor, norm.getType(), norm.getDims());
        if (!scale)
          continue;
        auto loc = fuseLocations(op.getContext(), {norm, op});
        rewriter.replaceOp(
            op, RmsNormOp::create(rewriter, loc, op.getType(), norm.getInput(),
                                  scale, norm.getEpsilon(), norm.getDims()));
        return success();
      }
    }
    return rewriter.notifyMatchFailure(op, "does not scale a norm");
  }
};

/// Step 3.
struct AbsorbBias : OpRewritePattern<AddOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AddOp op,
                                PatternRewriter &rewriter) const override {
    for (auto [value, term] : {std::pair(op.getLhs(), op.getRhs()),
                               std::pair(op.getRhs(), op.getLhs())}) {
      auto norm = value.getDefiningOp<LayerNormOp>();
      if (!norm || !norm.getScale() || norm.getBias() || !value.hasOneUse() ||
          value.getType() != op.getType())
        continue;
      Value bias = asParameter(rewriter, term, norm.getType(), norm.getDims());
      if (!bias)
        continue;
      auto loc = fuseLocations(op.getContext(), {norm, op});
      rewriter.replaceOp(
          op, LayerNormOp::create(rewriter, loc, op.getType(), norm.getInput(),
                                  norm.getScale(), bias, norm.getEpsilon(),
                                  norm.getDims()));
      return success();
    }
    return rewriter.notifyMatchFailure(op, "adds no bias to a layer norm");
  }
};

/// Is it x - mean(x)?
bool isCentring(SubOp op) {
  auto mean = op ? op.getRhs().getDefiningOp<ReduceOp>() : nullptr;
  return mean && mean.getKind() == ReduceKind::mean && mean.getKeepdims() &&
         mean.getInput() == op.getLhs() &&
         op.getLhs().getType() == op.getType() &&
         isa<FloatType>(op.getType().getElementType());
}

/// Step 4.
struct CentreAgain : OpRewritePattern<SubOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SubOp op,
                                PatternRewriter &rewriter) const override {
    if (!isCentring(op) || isCentring(op.getLhs().getDefiningOp<SubOp>()))
      return rewriter.notifyMatchFailure(op, "is not the first x - mean(x)");
    bool squared = llvm::any_of(op->getUsers(), [&](Operation *user) {
      Ops ops;
      return user->getNumResults() == 1 &&
             matchSquare(user->getResult(0), ops) == op.getResult();
    });
    if (!squared)
      return rewriter.notifyMatchFailure(op, "is not squared");
    auto mean = op.getRhs().getDefiningOp<ReduceOp>();
    rewriter.setInsertionPointAfter(op);
    auto again = cast<ReduceOp>(rewriter.clone(*mean));
    again->setOperand(0, op.getResult());
    auto centred =
        SubOp::create(rewriter, op.getLoc(), op.getType(), op, again);
    again->removeAttr("tenon.value");
    if (Attribute name = op->removeAttr("tenon.value"))
      centred->setAttr("tenon.value", name);
    rewriter.replaceUsesWithIf(op.getResult(), centred, [&](OpOperand &use) {
      return use.getOwner() != again && use.getOwner() != centred;
    });
    return success();
  }
};

struct FuseNormsPass : tenon::impl::FuseNormsPassBase<FuseNormsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateFuseNormsPatterns(patterns);
    if (failed(applyPatterns(*this, getOperation(), std::move(patterns))))
      return signalPassFailure();
    // What is left is no layer norm.
    RewritePatternSet rest(&getContext());
    rest.add<CentreAgain>(&getContext());
    if (failed(applyPatterns(*this, getOperation(), std::move(rest))))
      signalPassFailure();
  }
};

} // namespace

void tenon::populateFuseNormsPatterns(RewritePatternSet &patterns) {
  patterns.add<FuseNorm<MulOp>, FuseNorm<DivOp>>(patterns.getContext());
  patterns.add<AbsorbScale, AbsorbBias>(patterns.getContext());
}
