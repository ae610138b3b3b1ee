//===- RowGathers.cpp - what is gathered from along its rows --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/RowGathers.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonView.h"
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
      productOf(ArrayRef(dims).drop_back()) == SymExpr(1))
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

Value findSource(Value v, Operation *user,
                 const DenseMap<Value, unsigned> &treeCost) {
  constexpr unsigned kCost = 2; // what several compute anew
  Value source = v;
  while (Operation *op = source.getDefiningOp()) {
    if (!isa<BroadcastToOp, SliceOp>(op))
      break;
    Value in = op->getOperand(0);
    bool isPart =
        isa<SliceOp>(op) && !in.hasOneUse() && treeCost.lookup(in) > kCost;
    bool isRepeated = isa<BroadcastToOp>(op) && isa<GatherElementsOp>(user) &&
                      isBroadcastOf(getDims(in), getDims(source));
    if (!isPart && !isRepeated)
      break;
    source = in;
  }
  return source == v ? Value() : source;
}

} // namespace tenon
