//===- ChannelParts.cpp - images in parts, in windows and whole -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Split attention (ResNeSt) views the channels as branches of fewer, and adds
// these up: [N, parts * C, spatial...] as [N, parts, C, spatial...]. Windows
// are positions in another order, and a norm over an image asks for no order.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "lib/Codegen/Form/ChannelsLast.h"

using namespace mlir;

namespace tenon {

/// What `v` views the channels of in parts, or null.
static Value splitOf(Value v) {
  auto view = v.getDefiningOp<ReshapeOp>();
  if (!view)
    return {};
  SmallVector<SymExpr> whole = getDims(view.getInput()), dims = getDims(v);
  bool isSplit = dims.size() >= 4 && whole.size() + 1 == dims.size() &&
                 whole[0] == dims[0] && whole[1] == dims[1] * dims[2] &&
                 ArrayRef(whole).drop_front(2) == ArrayRef(dims).drop_front(3);
  return isSplit ? view.getInput() : Value();
}

/// An op of such a view and of numbers: one of what is viewed.
bool ChannelsLast::sinkSplit(Operation *op) {
  Value split, whole;
  for (Value v : op->getOperands()) {
    if (getDims(v).empty())
      continue;
    whole = split ? Value() : splitOf(v);
    if (!whole || !known.lookup(whole))
      return false;
    split = v;
  }
  if (!split)
    return false;
  OpBuilder b(op);
  Operation *moved = b.clone(*op);
  for (OpOperand &use : moved->getOpOperands())
    if (use.get() == split)
      use.set(whole);
  Value result = moved->getResult(0);
  result.setType(getTensorType(getDims(whole), getElementTypeOrSelf(result)));
  auto view = ReshapeOp::create(
      b, op->getLoc(), result,
      DimsAttr::get(b.getContext(), getDims(op->getResult(0))));
  replace(op, view);
  move(moved, [&](Value v) { return known.lookup(v); });
  return true;
}

/// Sums of parts, each perhaps times something for each channel: of rows
/// [N, positions, parts, C].
ChannelsLast::Form ChannelsLast::sinkParts(ReduceOp op) {
  SmallVector<SymExpr> dims = getDims(op.getInput());
  Value split = op.getInput(), scales;
  if (auto scaled = split.getDefiningOp<MulOp>()) {
    bool isFirst = bool(splitOf(scaled.getLhs()));
    split = isFirst ? scaled.getLhs() : scaled.getRhs();
    scales = isFirst ? scaled.getRhs() : scaled.getLhs();
  }
  Value whole = splitOf(split);
  if (!whole || getDims(split) != dims || op.getKeepdims() ||
      op.getAxes() != ArrayRef<int64_t>{1} || !hasChannels(op.getResult()))
    return {};
  SmallVector<SymExpr> each(dims.begin(), dims.begin() + 3);
  each.resize(dims.size(), SymExpr(1));
  if (scales && getDims(scales) != each)
    return {};
  Value rows = knownRows(whole);
  if (!rows)
    return {};
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value parts = createReshape(b, loc, rows,
                              {dims[0], getDims(rows)[1], dims[1], dims[2]});
  if (scales)
    parts = MulOp::create(
        b, loc, parts,
        createReshape(b, loc, scales, {dims[0], SymExpr(1), dims[1], dims[2]}));
  return {ReduceOp::create(b, loc, op.getKind(), parts,
                           b.getDenseI64ArrayAttr({2}), false),
          {}};
}

/// Spatial dims in another order.
void ChannelsLast::sinkPositions(TransposeOp op) {
  Value image = knownImage(op.getInput());
  if (!image)
    return;
  SmallVector<int64_t> perm{0};
  for (int64_t d : op.getPerm().drop_front(2))
    perm.push_back(d - 1);
  perm.push_back(perm.size());
  OpBuilder b(op);
  finish(op, {{}, TransposeOp::create(b, op.getLoc(), image, perm)});
}

/// A norm over all elements of each image, one by one, and what it is times and
/// plus (GroupNormalization of one group).
ChannelsLast::Form ChannelsLast::sinkNorm(ReshapeOp op) {
  SmallVector<SymExpr> to = getDims(op.getResult());
  SmallVector<Operation *> ops; // the last one first
  Value v = op.getInput();
  LayerNormOp norm;
  while (!norm) {
    Operation *def = v.getDefiningOp();
    if (!def || !def->hasOneUse() || def->hasAttr("tenon.value"))
      return {};
    ops.push_back(def);
    norm = dyn_cast<LayerNormOp>(def);
    if (norm)
      break;
    Value next;
    for (Value operand : def->getOperands())
      if (!isOneElement(operand)) {
        if (next)
          return {};
        next = operand;
      }
    if (!next || !def->hasTrait<OpTrait::Elementwise>())
      return {};
    v = next;
  }
  auto flat = norm->getOperand(0).getDefiningOp<ReshapeOp>();
  if (!flat || norm->getNumOperands() != 1 || to.size() < 3)
    return {};
  SmallVector<SymExpr> from = getDims(flat.getInput()),
                       row = getDims(flat.getResult());
  auto countOf = [](ArrayRef<SymExpr> dims) {
    return productOf(dims.drop_front(2));
  };
  if (from.size() < 3 || from[0] != to[0] || from[1] != to[1] ||
      countOf(from) != countOf(to) || norm.getDims() != 1 || row[0] != to[0] ||
      row.back() != to[1] * countOf(to))
    return {};
  Value rows = knownRows(flat.getInput());
  if (!rows)
    return {};
  OpBuilder b(op);
  Value result = createReshape(b, op.getLoc(), rows, row);
  Value before = flat.getResult();
  for (Operation *step : llvm::reverse(ops)) {
    Operation *moved = b.clone(*step);
    moved->replaceUsesOfWith(before, result);
    before = step->getResult(0);
    result = moved->getResult(0);
  }
  return {createReshape(b, op.getLoc(), result, getDims(rows)), {}};
}

} // namespace tenon
