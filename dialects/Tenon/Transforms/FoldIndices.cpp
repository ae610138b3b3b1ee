//===- FoldIndices.cpp - masks and positions from ranges ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonIndexValue.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Pass/Pass.h"
#include <cstring>

namespace tenon {
#define GEN_PASS_DEF_FOLDINDICESPASS
#include "dialects/Tenon/Transforms/FoldIndices.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {

struct FoldIndices {
  explicit FoldIndices(OpBuilder &b) : b(b) {}

  OpBuilder &b;
  IndexEvaluator values;

  Value fold(Operation *op);

private:
  Value constant(Location loc, Type element, int64_t value, size_t rank);
  Value number(Location loc, ArrayRef<SymExpr> dims, const IndexValue &value,
               Type type);
  Value materialize(Operation *op, const IndexValue &value);
  Value step(Location loc, ArrayRef<SymExpr> dims, size_t k,
             const SymExpr &start, const SymExpr &coefficient, Type type);
  Value foldViewOfMask(Operation *op);
  Value foldCertainOperand(Operation *op);
  Value foldWholeGather(GatherNDOp op);
  Value foldTriangle(ConstantOp op);
  Value broadcast(Location loc, Value v, ArrayRef<SymExpr> dims);
  DimsAttr attr(ArrayRef<SymExpr> dims) {
    return DimsAttr::get(b.getContext(), dims);
  }
};

Value FoldIndices::broadcast(Location loc, Value v, ArrayRef<SymExpr> dims) {
  if (ArrayRef(getDims(v)) == dims)
    return v;
  return BroadcastToOp::create(b, loc, v, attr(dims));
}

/// start + coefficient * i[k], of dims 1 but for dim k.
Value FoldIndices::step(Location loc, ArrayRef<SymExpr> dims, size_t k,
                        const SymExpr &start, const SymExpr &coefficient,
                        Type type) {
  Value v = IotaOp::create(b, loc, start.str(), coefficient.str(),
                           dims[k].str(), type);
  SmallVector<SymExpr> own(dims.size(), SymExpr(1));
  own[k] = dims[k];
  return own.size() == 1 ? v : Value(ReshapeOp::create(b, loc, v, attr(own)));
}

Value FoldIndices::constant(Location loc, Type element, int64_t value,
                            size_t rank) {
  auto type = RankedTensorType::get(SmallVector<int64_t>(rank, 1), element);
  APInt bits(element.getIntOrFloatBitWidth(), uint64_t(value),
             /*isSigned=*/false, /*implicitTrunc=*/true);
  return ConstantOp::create(
      b, loc, DenseElementsAttr::get(type, IntegerAttr::get(element, bits)));
}

/// The affine sum, of dims 1 where it does not vary.
Value FoldIndices::number(Location loc, ArrayRef<SymExpr> dims,
                          const IndexValue &value, Type type) {
  Value sum;
  SymExpr start = value.offset;
  for (auto [k, coefficient] : llvm::enumerate(value.coefficients)) {
    if (coefficient == SymExpr(0))
      continue;
    Value term = step(loc, dims, k, start, coefficient, type);
    start = SymExpr(0);
    sum = sum ? AddOp::create(b, loc, sum, term).getResult() : term;
  }
  if (sum)
    return sum;
  if (auto c = value.offset.constant())
    return constant(loc, type, *c, dims.size());
  Value v = DimsValueOp::create(b, loc, attr({value.offset}),
                                TypeAttr::get(type), b.getUnitAttr());
  return ReshapeOp::create(b, loc, v,
                           attr(SmallVector<SymExpr>(dims.size(), SymExpr(1))));
}

Value FoldIndices::materialize(Operation *op, const IndexValue &value) {
  Type element = getElementTypeOrSelf(op->getResult(0).getType());
  SmallVector<SymExpr> dims = getDims(op->getResult(0));
  Location loc = op->getLoc();
  if (auto c = value.offset.constant();
      c && element.isInteger(32) && *c != int32_t(*c))
    return nullptr;
  if (!value.predicate)
    return broadcast(loc, number(loc, dims, value, element), dims);
  // What is added on the left, what is taken away on the right.
  IndexValue left{0, {}, {}}, right{0, {}, {}};
  for (const SymExpr &c : value.coefficients) {
    bool positive = c.isNonNegative();
    left.coefficients.push_back(positive ? c : SymExpr(0));
    right.coefficients.push_back(positive ? SymExpr(0) : SymExpr(0) - c);
  }
  if (value.offset.isNonNegative())
    left.offset = value.offset;
  else
    right.offset = SymExpr(0) - value.offset;
  Type i64 = b.getI64Type();
  return broadcast(loc,
                   CompareOp::create(b, loc, *value.predicate,
                                     number(loc, dims, left, i64),
                                     number(loc, dims, right, i64)),
                   dims);
}

/// A view of select(mask, x, y) with numbers x and y: a select of the view of
/// the mask.
Value FoldIndices::foldViewOfMask(Operation *op) {
  auto select = op->getOperand(0).getDefiningOp<SelectOp>();
  if (!select || !isa<SliceOp, ReshapeOp, BroadcastToOp, TransposeOp>(op))
    return nullptr;
  SmallVector<Value> numbers;
  for (Value v : {select.getLhs(), select.getRhs()}) {
    auto c = v.getDefiningOp<ConstantOp>();
    auto splat = c ? dyn_cast<SplatElementsAttr>(c.getValue()) : nullptr;
    if (!splat)
      return nullptr;
    auto type = RankedTensorType::get({}, splat.getElementType());
    numbers.push_back(ConstantOp::create(
        b, op->getLoc(),
        DenseElementsAttr::get(type, splat.getSplatValue<Attribute>())));
  }
  SmallVector<SymExpr> from = getDims(select.getResult()),
                       to = getDims(op->getResult(0));
  std::optional<IndexValue> mask = values.lookup(select.getCondition());
  if (mask)
    mask = broadcastIndexValue(*mask, getDims(select.getCondition()), from);
  if (!mask || !mask->predicate)
    return nullptr;
  Value condition = broadcast(op->getLoc(), select.getCondition(), from);
  Operation *view = b.clone(*op);
  view->setOperand(0, condition);
  view->getResult(0).setType(getTensorType(to, b.getI1Type()));
  mask = values.lookup(view->getResult(0));
  if (!mask || !mask->predicate)
    return nullptr;
  return broadcast(op->getLoc(),
                   SelectOp::create(b, op->getLoc(), materialize(view, *mask),
                                    numbers[0], numbers[1]),
                   to);
}

/// and(true, x), or(false, x) and select(certain, x, y) where x or the certain
/// operand is broadcast, which the folders leave alone.
Value FoldIndices::foldCertainOperand(Operation *op) {
  SmallVector<SymExpr> dims = getDims(op->getResult(0));
  auto certain = [&](Value v) -> std::optional<int64_t> {
    std::optional<IndexValue> value = values.lookup(v);
    return value ? value->constant() : std::nullopt;
  };
  auto take = [&](Value v) -> Value {
    // Not where a dim of x may be 1 and that of the result another.
    return isBroadcastOf(getDims(v), dims) ? broadcast(op->getLoc(), v, dims)
                                           : Value();
  };
  if (auto select = dyn_cast<SelectOp>(op)) {
    std::optional<int64_t> c = certain(select.getCondition());
    return c ? take(*c ? select.getLhs() : select.getRhs()) : Value();
  }
  if (!isa<AndOp, OrOp>(op))
    return nullptr;
  int64_t neutral = isa<AndOp>(op);
  for (unsigned i : {0, 1})
    if (certain(op->getOperand(i)) == neutral)
      return take(op->getOperand(1 - i));
  return nullptr;
}

/// gather_nd whose tuples walk over all of the input in order: a view of it.
Value FoldIndices::foldWholeGather(GatherNDOp op) {
  SmallVector<SymExpr> from = getDims(op.getInput()),
                       to = getDims(op.getResult()),
                       tuples = getDims(op.getIndices());
  if (op.getBatchDims() != 0 ||
      tuples.back().constant() != (int64_t)from.size())
    return nullptr;
  tuples.pop_back();
  // Dim k of the input lies along dim along[k] of the result.
  SmallVector<SymExpr> view(to.size(), SymExpr(1));
  size_t next = 0;
  for (auto [k, dim] : llvm::enumerate(from)) {
    std::optional<IndexValue> at = values.component(op.getIndices(), k);
    if (!at || at->offset != SymExpr(0))
      return nullptr;
    std::optional<size_t> along;
    for (auto [i, c] : llvm::enumerate(at->coefficients)) {
      if (c == SymExpr(0))
        continue;
      if (along || c != SymExpr(1))
        return nullptr;
      along = i;
    }
    if (!along) {
      if (dim.constant() == 1)
        continue; // always its one element
      return nullptr;
    }
    if (*along < next || tuples[*along] != dim)
      return nullptr;
    view[*along] = dim;
    next = *along + 1;
  }
  Value v = ReshapeOp::create(b, op.getLoc(), op.getInput(), attr(view));
  return broadcast(op.getLoc(), v, to);
}

/// A constant matrix that has one number at and below the diagonal and another
/// above it, as exporters store causal masks: select(column <= row, ...).
Value FoldIndices::foldTriangle(ConstantOp op) {
  auto type = cast<RankedTensorType>(op.getType());
  int64_t rank = type.getRank();
  if (rank < 2 || type.getNumElements() < 16)
    return nullptr;
  int64_t n = type.getDimSize(rank - 1);
  Type element = type.getElementType();
  if (type.getDimSize(rank - 2) != n || type.getNumElements() != n * n ||
      !(element.isInteger(1) || element.isInteger(8) || element.isF32()))
    return nullptr;
  size_t size = element.isF32() ? 4 : 1;
  ArrayRef<char> bytes = match::bytesOf(op.getValue());
  SmallVector<char> unpacked;
  if (bytes.empty() && element.isInteger(1)) {
    auto dense = dyn_cast<DenseIntElementsAttr>(op.getValue());
    if (!dense || dense.isSplat())
      return nullptr;
    for (bool v : dense.getValues<bool>())
      unpacked.push_back(v);
    bytes = unpacked;
  }
  if (bytes.size() != size * n * n)
    return nullptr;
  const char *below = bytes.data(), *above = bytes.data() + size;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      if (memcmp(bytes.data() + (i * n + j) * size, j <= i ? below : above,
                 size) != 0)
        return nullptr;
  if (memcmp(below, above, size) == 0)
    return nullptr;
  Location loc = op.getLoc();
  SmallVector<SymExpr> dims = getDims(type);
  Type i64 = b.getI64Type();
  Value keep =
      CompareOp::create(b, loc, CompareKind::le,
                        step(loc, dims, rank - 1, SymExpr(0), SymExpr(1), i64),
                        step(loc, dims, rank - 2, SymExpr(0), SymExpr(1), i64));
  if (element.isInteger(1))
    return *below ? keep : Value(NotOp::create(b, loc, keep));
  auto scalar = [&](const char *at) -> Value {
    auto attr = DenseElementsAttr::getFromRawBuffer(
        RankedTensorType::get({}, element), ArrayRef(at, size));
    return ConstantOp::create(b, loc, attr);
  };
  return SelectOp::create(b, loc, keep, scalar(below), scalar(above));
}

Value FoldIndices::fold(Operation *op) {
  if (auto constant = dyn_cast<ConstantOp>(op))
    return foldTriangle(constant);
  if (!isa<TenonDialect>(op->getDialect()) || op->getNumResults() != 1)
    return nullptr;
  std::optional<IndexValue> value = values.lookup(op->getResult(0));
  // What the values are made of, and views of it, are left as they are.
  if (isa<IotaOp, DimsValueOp, ReshapeOp, BroadcastToOp, TransposeOp>(op))
    return value || op->getNumOperands() == 0 ? Value() : foldViewOfMask(op);
  if (value)
    return value->predicate && isa<CompareOp>(op) ? Value()
                                                  : materialize(op, *value);
  if (Value folded = foldCertainOperand(op))
    return folded;
  if (auto gather = dyn_cast<GatherNDOp>(op))
    return foldWholeGather(gather);
  return isa<SliceOp>(op) ? foldViewOfMask(op) : Value();
}

struct FoldIndicesPass : tenon::impl::FoldIndicesPassBase<FoldIndicesPass> {
  void runOnOperation() override {
    OpBuilder builder(&getContext());
    FoldIndices indices(builder);
    SmallVector<Operation *> ops, replaced;
    getOperation().walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops) {
      builder.setInsertionPoint(op);
      Value folded = indices.fold(op);
      if (!folded || folded.getType() != op->getResult(0).getType())
        continue;
      noteApplied(getArgument(), op, "folded");
      op->getResult(0).replaceAllUsesWith(folded);
      replaced.push_back(op);
    }
    // At the end: the evaluator remembers values by their address.
    for (Operation *op : llvm::reverse(replaced))
      op->erase();
  }
};

} // namespace
