//===- RowGathers.cpp - what is gathered from along its rows --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/RowGathers.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace tenon {

/// Elements of a row that one of the result is made of: a filter's taps.
static constexpr size_t kTaps = 8;
/// Rows of fewer elements fill no vector.
static constexpr int64_t kFewElements = 8;

Value findMapOfRows(Value v, const DenseSet<Value> &stored,
                    function_ref<bool(Operation *)> mayFuse) {
  llvm::SetVector<Value> reached;
  for (OpOperand &use : v.getUses()) {
    auto gather = dyn_cast<GatherOp>(use.getOwner());
    if (!gather || use.getOperandNumber() != 0 ||
        gather.getAxis() != getDims(v).size() - 1 ||
        getDims(gather.getIndices()).size() != 1)
      return {};
    reached.insert(gather.getResult());
  }
  if (reached.empty() || reached.size() > kTaps)
    return {};
  SmallVector<SymExpr> dims = getDims(reached.front());
  if (dims.back().constant().value_or(kFewElements) < kFewElements ||
      isOneElement(ArrayRef(dims).drop_back()))
    return {};
  Value root;
  for (size_t i = 0; i < reached.size(); ++i) {
    Value x = reached[i];
    if (getDims(x) != dims || !mayFuse(x.getDefiningOp()))
      return {};
    if (stored.contains(x)) {
      if (root && root != x)
        return {};
      root = x;
      continue;
    }
    for (Operation *user : x.getUsers()) {
      if (!user->hasTrait<OpTrait::Elementwise>())
        return {};
      reached.insert(user->getResult(0));
    }
  }
  return root;
}

/// The dims that are not 1.
static SmallVector<SymExpr> sizesOf(Value v) {
  SmallVector<SymExpr> dims = getDims(v);
  llvm::erase_if(dims, [](const SymExpr &d) { return d.constant() == 1; });
  return dims;
}

Value findSource(Value v, Operation *user,
                 const DenseMap<Value, unsigned> &treeCost) {
  constexpr unsigned kCost = 2; // what several compute anew
  Value source, at = v;
  while (Operation *op = at.getDefiningOp()) {
    if (!isa<BroadcastToOp, ReshapeOp, SliceOp>(op))
      break;
    Value in = op->getOperand(0);
    bool isPart =
        isa<SliceOp>(op) && !in.hasOneUse() && treeCost.lookup(in) > kCost;
    bool isRepeated = isa<BroadcastToOp>(op) && isa<GatherElementsOp>(user) &&
                      isBroadcastOf(getDims(in), getDims(at));
    if (isPart || isRepeated)
      source = in;
    else if (!isa<ReshapeOp>(op) || sizesOf(in) != sizesOf(at))
      break;
    at = in;
  }
  return source;
}

bool isReadByWindows(Value v, unsigned cost) {
  constexpr unsigned kCost = 4; // a square, and what moves it
  auto pad = v.getDefiningOp<PadOp>();
  return pad && cost <= kCost &&
         llvm::all_of(v.getUsers(), [&](Operation *user) {
           return isa<SliceOp>(user) && user->getBlock() == pad->getBlock() &&
                  user->hasOneUse() &&
                  isa<AddOp, MaxOp, MinOp>(*user->getUsers().begin());
         });
}

bool isGatherOfRows(Operation *op) {
  auto gather = dyn_cast<GatherOp>(op);
  if (!gather)
    return false;
  SmallVector<SymExpr> in = getDims(gather.getInput()),
                       out = getDims(gather.getResult());
  return gather.getAxis() + 1 < in.size() &&
         in.back().constant().value_or(0) >= kFewElements &&
         (productOf(out) - productOf(in)).isNonNegative();
}

bool isMadeOfRows(Value v) {
  auto turn = v.hasOneUse() ? dyn_cast<TransposeOp>(*v.getUsers().begin())
                            : TransposeOp();
  if (!turn || turn.getPerm().back() + 1 == int64_t(getDims(v).size()))
    return false;
  llvm::SetVector<Value> values;
  values.insert(v);
  for (size_t i = 0; i < values.size(); ++i) {
    Operation *op = values[i].getDefiningOp();
    if (op && isGatherOfRows(op))
      return true;
    if (op && op->hasTrait<OpTrait::Elementwise>())
      values.insert(op->operand_begin(), op->operand_end());
  }
  return false;
}

} // namespace tenon
