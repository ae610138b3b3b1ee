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
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace tenon;

//===----------------------------------------------------------------------===//
// The commonest ops
//===----------------------------------------------------------------------===//

bool tenon::isReshape(Operation *op) { return isa_and_nonnull<ReshapeOp>(op); }

bool tenon::isTranspose(Operation *op) {
  return isa_and_nonnull<TransposeOp>(op);
}

bool tenon::isSlice(Operation *op) { return isa_and_nonnull<SliceOp>(op); }

ArrayRef<int64_t> tenon::permOf(Operation *op) {
  return cast<TransposeOp>(op).getPerm();
}

Value tenon::skipReshapes(Value v) {
  while (auto view = v.getDefiningOp<ReshapeOp>())
    v = view.getInput();
  return v;
}

Value tenon::createConstant(OpBuilder &builder, Location loc,
                            ElementsAttr value) {
  return ConstantOp::create(builder, loc, value);
}

Value tenon::createReshape(OpBuilder &builder, Location loc, Value v,
                           ArrayRef<SymExpr> dims) {
  return ReshapeOp::create(builder, loc, v,
                           DimsAttr::get(builder.getContext(), dims));
}

Value tenon::createTranspose(OpBuilder &builder, Location loc, Value v,
                             ArrayRef<int64_t> perm) {
  return TransposeOp::create(builder, loc, v, perm);
}

Value tenon::createSlice(OpBuilder &builder, Location loc, Value v,
                         ArrayRef<SymExpr> starts, ArrayRef<int64_t> steps,
                         ArrayRef<SymExpr> dims) {
  MLIRContext *context = builder.getContext();
  return SliceOp::create(builder, loc, v, DimsAttr::get(context, starts),
                         builder.getDenseI64ArrayAttr(steps),
                         DimsAttr::get(context, dims));
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

OpFoldResult NotOp::fold(FoldAdaptor) {
  // not(not(x)) = x
  if (auto inner = getInput().getDefiningOp<NotOp>())
    return inner.getInput();
  return {};
}

/// and/or with a constant: `neutral` leaves the other operand, its opposite is
/// the result. Only where the operand has the result's type, so no broadcast.
static OpFoldResult foldLogic(Operation *op, bool neutral) {
  for (unsigned i : {0u, 1u}) {
    DenseElementsAttr constant;
    Value other = op->getOperand(1 - i);
    if (!matchPattern(op->getOperand(i), m_Constant(&constant)) ||
        !constant.isSplat())
      continue;
    if (constant.getSplatValue<bool>() == neutral) {
      if (other.getType() == op->getResult(0).getType())
        return other;
    } else if (constant.getType() == op->getResult(0).getType()) {
      return constant;
    }
  }
  return {};
}

OpFoldResult AndOp::fold(FoldAdaptor) { return foldLogic(*this, true); }
OpFoldResult OrOp::fold(FoldAdaptor) { return foldLogic(*this, false); }

OpFoldResult CastOp::fold(FoldAdaptor) {
  if (getInput().getType() == getType())
    return getInput();
  return {};
}

OpFoldResult BitCastOp::fold(FoldAdaptor) {
  if (getInput().getType() == getType())
    return getInput();
  return {};
}

OpFoldResult SelectOp::fold(FoldAdaptor adaptor) {
  if (getLhs() == getRhs() && getLhs().getType() == getType())
    return getLhs();
  auto condition = dyn_cast_or_null<DenseElementsAttr>(adaptor.getCondition());
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

/// Folds and the canonicalizer turn attributes back into ops here.
Operation *TenonDialect::materializeConstant(OpBuilder &builder,
                                             Attribute value, Type type,
                                             Location loc) {
  auto elements = dyn_cast<ElementsAttr>(value);
  if (!elements || elements.getType() != type ||
      !isa<RankedTensorType>(elements.getType()))
    return nullptr;
  return ConstantOp::create(builder, loc, type, elements);
}

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
/// Does the transpose swap exactly the last two dims?
bool swapsLastTwo(TransposeOp op) {
  ArrayRef<int64_t> perm = op.getPerm();
  size_t rank = perm.size();
  if (rank < 2 || perm[rank - 1] != int64_t(rank) - 2)
    return false;
  for (size_t i = 0; i + 2 < rank; ++i)
    if (perm[i] != int64_t(i))
      return false;
  return true;
}

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

namespace {
/// A reshape of leading dims goes before a swap of the last two: exporters
/// join batch and heads around the transpose of K, which then reaches the
/// matmul.
struct ReshapeOfSwap : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    auto swap = op.getInput().getDefiningOp<TransposeOp>();
    if (!swap || !swapsLastTwo(swap) || !swap->hasOneUse())
      return rewriter.notifyMatchFailure(op, "input swaps no last two dims");
    SmallVector<SymExpr> dims = getDims(op.getType());
    SmallVector<SymExpr> from = getDims(swap.getType());
    if (dims.size() < 2 || dims.back() != from.back() ||
        dims.end()[-2] != from.end()[-2])
      return rewriter.notifyMatchFailure(op, "reshapes the swapped dims");
    std::swap(dims.back(), dims.end()[-2]);
    auto reshaped = ReshapeOp::create(
        rewriter, op.getLoc(),
        getTensorType(dims, op.getType().getElementType()), swap.getInput(),
        DimsAttr::get(op.getContext(), dims));
    SmallVector<int64_t> perm = llvm::to_vector(
        llvm::seq<int64_t>(0, static_cast<int64_t>(dims.size())));
    std::swap(perm.back(), perm.end()[-2]);
    rewriter.replaceOp(op, TransposeOp::create(rewriter, swap.getLoc(),
                                               op.getType(), reshaped, perm));
    return success();
  }
};
} // namespace

void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                            MLIRContext *context) {
  patterns.add<ReshapeOfReshape, ReshapeOfSwap>(context);
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

OpFoldResult PackOp::fold(FoldAdaptor) {
  // Of whole bytes only: what fills up the last one need not be zeros.
  auto unpack = getInput().getDefiningOp<UnpackOp>();
  std::optional<SymExpr> size =
      unpack ? SymExpr::parse(unpack.getSize()) : std::nullopt;
  unsigned bits = storedBits(getInput().getType().getElementType());
  if (size && size->divideExactly(SymExpr(8 / bits)) &&
      unpack.getInput().getType() == getType())
    return unpack.getInput();
  return {};
}

//===----------------------------------------------------------------------===//
// MatMulOp
//===----------------------------------------------------------------------===//

/// `value` with its last two dims swapped, where that removes a transpose:
/// the input of one, or an elementwise op of one and scalars (exporters scale
/// K after its transpose), which is then created anew before it.
static Value takeSwapped(PatternRewriter &rewriter, Value value) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return {};
  if (auto transpose = dyn_cast<TransposeOp>(op))
    return swapsLastTwo(transpose) ? transpose.getInput() : Value();
  if (!op->hasTrait<::tenon::OpTrait::Elementwise>() || !op->hasOneUse())
    return {};
  TransposeOp transpose;
  unsigned position = 0;
  for (OpOperand &operand : op->getOpOperands()) {
    auto type = cast<RankedTensorType>(operand.get().getType());
    auto inner = operand.get().getDefiningOp<TransposeOp>();
    if (!transpose && inner && swapsLastTwo(inner)) {
      transpose = inner;
      position = operand.getOperandNumber();
    } else if (!type.hasStaticShape() || type.getNumElements() != 1 ||
               type.getRank() >
                   cast<RankedTensorType>(value.getType()).getRank()) {
      return {};
    }
  }
  if (!transpose || getDims(transpose.getType()) != getDims(value))
    return {};
  Operation *clone = rewriter.clone(*op);
  clone->setOperand(position, transpose.getInput());
  clone->getResult(0).setType(getTensorType(getDims(transpose.getInput()),
                                            getElementTypeOrSelf(value)));
  return clone->getResult(0);
}

namespace {
/// matmul(transpose(a), b) = matmul(a transposed, b), either side.
struct MatMulOfTranspose : OpRewritePattern<MatMulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MatMulOp op,
                                PatternRewriter &rewriter) const override {
    Value lhs = takeSwapped(rewriter, op.getLhs());
    Value rhs = takeSwapped(rewriter, op.getRhs());
    if (!lhs && !rhs)
      return rewriter.notifyMatchFailure(op,
                                         "no operand swaps its last two dims");
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
