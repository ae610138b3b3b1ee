//===- TenonFolds.cpp - folders and canonicalisation ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A value is only replaced by one of exactly its type: two types that differ
// in a dim's text differ in what is known about that dim.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonOps.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace tenon;

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

OpFoldResult NotOp::fold(FoldAdaptor) {
  // not(not(x)) = x
  if (auto inner = getInput().getDefiningOp<NotOp>())
    return inner.getInput();
  return {};
}

OpFoldResult CastOp::fold(FoldAdaptor) {
  if (getInput().getType() == getType())
    return getInput();
  return {};
}

OpFoldResult SelectOp::fold(FoldAdaptor adaptor) {
  if (getLhs() == getRhs() && getLhs().getType() == getType())
    return getLhs();
  auto condition =
      dyn_cast_or_null<DenseElementsAttr>(adaptor.getCondition());
  if (!condition || !condition.isSplat())
    return {};
  Value taken = condition.getSplatValue<bool>() ? getLhs() : getRhs();
  if (taken.getType() != getType())
    return {};
  return taken;
}

//===----------------------------------------------------------------------===//
// Constants and shapes
//===----------------------------------------------------------------------===//

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

OpFoldResult DimsValueOp::fold(FoldAdaptor) {
  SmallVector<APInt> values;
  auto type = getType();
  unsigned width = type.getElementTypeBitWidth();
  for (const SymExpr &expr : getExprs().getSymExprs()) {
    std::optional<int64_t> value = expr.constant();
    if (!value)
      return {};
    values.push_back(APInt(64, *value).sextOrTrunc(width));
  }
  return DenseElementsAttr::get(type, values);
}

//===----------------------------------------------------------------------===//
// ReshapeOp
//===----------------------------------------------------------------------===//

OpFoldResult ReshapeOp::fold(FoldAdaptor adaptor) {
  if (getInput().getType() == getType())
    return getInput();
  auto type = getType();
  if (auto value = dyn_cast_or_null<DenseElementsAttr>(adaptor.getInput());
      value && type.hasStaticShape() &&
      value.getNumElements() == type.getNumElements())
    return value.reshape(type);
  return {};
}

namespace {
/// reshape(reshape(x)) = reshape(x)
struct ReshapeOfReshape : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<ReshapeOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "input is no reshape");
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), inner.getInput(),
                                           op.getDims());
    return success();
  }
};
} // namespace

void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                            MLIRContext *context) {
  patterns.add<ReshapeOfReshape>(context);
}

OpFoldResult BroadcastToOp::fold(FoldAdaptor) {
  // A broadcast constant stays one element: broadcasting is free in a kernel,
  // a large constant is not.
  if (getInput().getType() == getType())
    return getInput();
  return {};
}

//===----------------------------------------------------------------------===//
// TransposeOp
//===----------------------------------------------------------------------===//

OpFoldResult TransposeOp::fold(FoldAdaptor adaptor) {
  bool identity = true;
  for (auto [i, from] : llvm::enumerate(getPerm()))
    identity &= int64_t(i) == from;
  if (identity && getInput().getType() == getType())
    return getInput();
  auto value = dyn_cast_or_null<DenseElementsAttr>(adaptor.getInput());
  if (value && value.isSplat() && getType().hasStaticShape())
    return value.resizeSplat(getType());
  return {};
}

namespace {
/// transpose(transpose(x, p), q) = transpose(x, p[q])
struct TransposeOfTranspose : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<TransposeOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "input is no transpose");
    SmallVector<int64_t> perm;
    for (int64_t from : op.getPerm())
      perm.push_back(inner.getPerm()[from]);
    rewriter.replaceOpWithNewOp<TransposeOp>(op, op.getType(), inner.getInput(),
                                             perm);
    return success();
  }
};

/// A transpose that keeps the order of the dims other than 1 moves no element:
/// it is a reshape.
struct TransposeOfUnitDims : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op,
                                PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> shape = op.getInput().getType().getShape();
    int64_t previous = -1;
    for (int64_t from : op.getPerm()) {
      if (shape[from] == 1)
        continue;
      if (from < previous)
        return rewriter.notifyMatchFailure(op, "moves dims other than 1");
      previous = from;
    }
    auto dims = DimsAttr::get(op.getContext(), getDims(op.getType()));
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), op.getInput(),
                                           dims);
    return success();
  }
};
} // namespace

void TransposeOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                              MLIRContext *context) {
  patterns.add<TransposeOfTranspose, TransposeOfUnitDims>(context);
}

//===----------------------------------------------------------------------===//
// SliceOp, ConcatOp
//===----------------------------------------------------------------------===//

OpFoldResult SliceOp::fold(FoldAdaptor adaptor) {
  if (auto value = dyn_cast_or_null<DenseElementsAttr>(adaptor.getInput());
      value && value.isSplat() && getType().hasStaticShape())
    return value.resizeSplat(getType());
  // All of the input, from 0 in steps of 1.
  if (getInput().getType() != getType())
    return {};
  for (const SymExpr &start : getStarts().getSymExprs())
    if (start != SymExpr(0))
      return {};
  for (int64_t step : getSteps())
    if (step != 1)
      return {};
  return getInput();
}

OpFoldResult ConcatOp::fold(FoldAdaptor) {
  if (getInputs().size() == 1 && getInputs().front().getType() == getType())
    return getInputs().front();
  return {};
}

//===----------------------------------------------------------------------===//
// MatMulOp
//===----------------------------------------------------------------------===//

/// The input of `value` when it is a transpose of exactly the last two dims.
static Value skipLastTwoSwapped(Value value) {
  auto transpose = value.getDefiningOp<TransposeOp>();
  if (!transpose || transpose.getPerm().size() < 2)
    return {};
  ArrayRef<int64_t> perm = transpose.getPerm();
  size_t rank = perm.size();
  for (size_t i = 0; i + 2 < rank; ++i)
    if (perm[i] != int64_t(i))
      return {};
  if (perm[rank - 1] != int64_t(rank) - 2)
    return {};
  return transpose.getInput();
}

namespace {
/// matmul(transpose(a), b) = matmul(a transposed, b), either side.
struct MatMulOfTranspose : OpRewritePattern<MatMulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MatMulOp op,
                                PatternRewriter &rewriter) const override {
    Value lhs = skipLastTwoSwapped(op.getLhs());
    Value rhs = skipLastTwoSwapped(op.getRhs());
    if (!lhs && !rhs)
      return rewriter.notifyMatchFailure(
          op, "no operand swaps its last two dims");
    bool transposeA = op.getTransposeA() != bool(lhs);
    bool transposeB = op.getTransposeB() != bool(rhs);
    rewriter.replaceOpWithNewOp<MatMulOp>(
        op, op.getType(), lhs ? lhs : op.getLhs(), rhs ? rhs : op.getRhs(),
        transposeA, transposeB);
    return success();
  }
};
} // namespace

void MatMulOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                           MLIRContext *context) {
  patterns.add<MatMulOfTranspose>(context);
}
