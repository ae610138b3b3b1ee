//===- RowGathers.cpp - what is gathered from along its rows --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/RowGathers.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Form/Views.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace tenon {

/// Elements of a row that one of the result is made of: a filter's taps.
static constexpr size_t kTaps = 8;
/// Rows of fewer elements fill no vector.
static constexpr int64_t kFewElements = 8;

/// Is `v` computed of what is gathered along its rows?
static bool isGatheredAlongRows(Value v) {
  llvm::SetVector<Value> values;
  values.insert(v);
  for (size_t i = 0; i < values.size(); ++i) {
    Operation *op = values[i].getDefiningOp();
    auto gather = dyn_cast_if_present<GatherOp>(op);
    if (gather && gather.getAxis() + 1 == getDims(v).size())
      return true;
    if (op && op->hasTrait<OpTrait::Elementwise>())
      values.insert(op->operand_begin(), op->operand_end());
  }
  return false;
}

Value findMapOfRows(Value v, const DenseSet<Value> &stored,
                    function_ref<bool(Operation *)> mayFuse) {
  llvm::SetVector<Value> reached;
  size_t rank = getDims(v).size();
  bool areWhole = false; // are whole rows gathered?
  for (OpOperand &use : v.getUses()) {
    auto gather = dyn_cast<GatherOp>(use.getOwner());
    if (!gather || use.getOperandNumber() != 0 ||
        getDims(gather.getIndices()).size() != 1)
      return {};
    bool isWhole = gather.getAxis() + 2 == rank;
    if ((!isWhole && gather.getAxis() + 1 != rank) ||
        (!reached.empty() && isWhole != areWhole))
      return {};
    areWhole = isWhole;
    reached.insert(gather.getResult());
  }
  if (reached.empty() || reached.size() > kTaps ||
      (areWhole && (reached.size() == 1 || !isGatheredAlongRows(v))))
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

/// May an element of the use's result be computed of one of the same row?
static bool keepsRow(OpOperand &use) {
  Operation *user = use.getOwner();
  if (auto reshape = dyn_cast<ReshapeOp>(user))
    return isSimpleReshape(reshape);
  if (auto gather = dyn_cast<GatherElementsOp>(user))
    return use.getOperandNumber() == 1 &&
           gather.getAxis() + 1 == getDims(gather.getResult()).size();
  return isa<BroadcastToOp, SliceOp>(user) ||
         user->hasTrait<OpTrait::Elementwise>();
}

/// Are the ops that the map of `root` computes at most `most`? Those that may
/// yet be stored count.
static bool isSmallMap(Value root, size_t most, const DenseSet<Value> &stored,
                       function_ref<bool(Operation *)> mayFuse) {
  llvm::SetVector<Operation *> ops;
  ops.insert(root.getDefiningOp());
  for (size_t i = 0; i < ops.size() && ops.size() <= most; ++i)
    for (Value o : ops[i]->getOperands())
      if (Operation *op = o.getDefiningOp();
          op && !isa<ConstantOp>(op) && !stored.contains(o) && mayFuse(op))
        ops.insert(op);
  return ops.size() <= most;
}

bool isOfOneMap(Value v, const DenseSet<Value> &stored,
                function_ref<bool(Operation *)> mayFuse) {
  constexpr int64_t kLong = 64;
  constexpr size_t kOps = 128;
  SmallVector<SymExpr> dims = getDims(v);
  if (dims.size() < 2 || dims.back().constant().value_or(0) < kLong)
    return false;
  Value root;
  bool areAlike = true, inBatch = true;
  llvm::SetVector<Value> reached;
  reached.insert(v);
  for (size_t i = 0; i < reached.size() && i < kOps; ++i) {
    Value x = reached[i];
    SmallVector<SymExpr> own = getDims(x);
    if (!mayFuse(x.getDefiningOp()) || own.size() < 2 ||
        own.back() != dims.back())
      return false;
    areAlike &= own == dims;
    inBatch &= own.front() == dims.front();
    if (stored.contains(x)) {
      if (root && root != x)
        return false;
      root = x;
      continue;
    }
    for (OpOperand &use : x.getUses()) {
      if (!keepsRow(use))
        return false;
      reached.insert(use.getOwner()->getResult(0));
    }
  }
  if (!root || reached.size() > kOps ||
      !isSmallMap(root, kOps, stored, mayFuse))
    return false;
  return areAlike ||
         isOneElement(
             ArrayRef(getDims(root)).drop_back().drop_front(inBatch ? 1 : 0));
}

/// Is it computed of windows of three elements a row, or more?
static bool isMadeOfWindows(Value v) {
  auto joins = [](Operation *op, auto isJoined) {
    return isa_and_present<AddOp, MaxOp, MinOp>(op) &&
           isJoined(op->getOperand(0)) &&
           isa_and_present<SliceOp>(op->getOperand(1).getDefiningOp());
  };
  llvm::SetVector<Value> values;
  values.insert(v);
  for (size_t i = 0; i < values.size(); ++i) {
    Operation *op = values[i].getDefiningOp();
    if (!op || !op->hasTrait<OpTrait::Elementwise>())
      continue;
    bool isWindow = joins(op, [&](Value row) {
      return joins(row.getDefiningOp(), [](Value o) {
        return isa_and_present<SliceOp>(o.getDefiningOp());
      });
    });
    if (isWindow)
      return true;
    for (Value o : op->getOperands())
      if (getDims(o) == getDims(v))
        values.insert(o);
  }
  return false;
}

bool isReadByWindows(Value v, unsigned cost) {
  constexpr unsigned kCost = 4; // a square, and what moves it
  auto pad = v.getDefiningOp<PadOp>();
  return pad && (cost <= kCost || isMadeOfWindows(pad.getInput())) &&
         llvm::all_of(v.getUsers(), [&](Operation *user) {
           return isa<SliceOp>(user) && user->getBlock() == pad->getBlock() &&
                  user->hasOneUse() &&
                  isa<AddOp, MaxOp, MinOp>(*user->getUsers().begin());
         });
}

/// The slices of one value that `v`, of ops as `op`, joins: all of them in
/// steps of `dim` alone, from what lies first along other dims. Empty where it
/// is none, or others read what is between.
static SmallVector<SliceOp> joinedSlices(Value v, Operation *op, size_t dim) {
  SmallVector<Value> values{v};
  SmallVector<SliceOp> slices;
  while (!values.empty()) {
    Value x = values.pop_back_val();
    Operation *def = x.getDefiningOp();
    if (def && def->getName() == op->getName() && getDims(x) == getDims(v) &&
        (x == v || x.hasOneUse())) {
      llvm::append_range(values, def->getOperands());
      continue;
    }
    auto slice = dyn_cast_if_present<SliceOp>(def);
    if (!slice)
      return {};
    slices.push_back(slice);
  }
  for (SliceOp slice : slices) {
    SmallVector<SymExpr> starts = slice.getStarts().getSymExprs(),
                         in = getDims(slice.getInput());
    if (slice.getInput() != slices.front().getInput() ||
        slice.getSteps() != slices.front().getSteps())
      return {};
    for (size_t k = 0; k < in.size(); ++k)
      if (k != dim && (starts[k] != SymExpr(0) || slice.getSteps()[k] != 1 ||
                       getDims(v)[k] != in[k]))
        return {};
    if (!starts[dim].constant())
      return {};
  }
  return slices;
}

bool areColumnsOfWindows(Value v, const DenseSet<Value> &stored) {
  constexpr int64_t kShortRow = 12;
  Operation *op = v.getDefiningOp();
  SmallVector<SymExpr> dims = getDims(v);
  if (!isa<AddOp, MaxOp, MinOp>(op) || dims.size() < 2 || v.hasOneUse() ||
      !getElementTypeOrSelf(v.getType()).isF32())
    return false;
  // Up to what joins the columns.
  auto last = dyn_cast<SliceOp>(*v.getUsers().begin());
  if (!last)
    return false;
  Value window = last.getResult();
  while (window.hasOneUse() &&
         (window == last.getResult() || !stored.contains(window)) &&
         (*window.getUsers().begin())->getName() == op->getName())
    window = (*window.getUsers().begin())->getResult(0);
  SmallVector<SliceOp> rows = joinedSlices(v, op, dims.size() - 2),
                       columns = joinedSlices(window, op, dims.size() - 1);
  if (rows.size() < 2 || columns.size() < 2 || columns[0].getInput() != v ||
      size_t(std::distance(v.use_begin(), v.use_end())) != columns.size() ||
      !llvm::all_of(columns, [](SliceOp s) { return s->hasOneUse(); }) ||
      !llvm::all_of(rows, [](SliceOp s) { return s->hasOneUse(); }))
    return false;
  Value image = rows[0].getInput();
  if (auto pad = image.getDefiningOp<PadOp>()) {
    if (pad.getMode() != PadMode::constant)
      return false;
    image = pad.getInput();
  }
  int64_t down = rows[0].getSteps()[dims.size() - 2],
          across = columns[0].getSteps().back();
  if (across < 1 || across > 2 || down < 1 ||
      (down >= int64_t(rows.size()) && across >= int64_t(columns.size())) ||
      getDims(image).back().constant().value_or(0) < kShortRow ||
      getDims(window).back().constant().value_or(0) < kFewElements)
    return false;
  // The kernel ends with what is elementwise of them.
  Value root = window;
  while (!stored.contains(root)) {
    Operation *user = root.hasOneUse() ? *root.getUsers().begin() : nullptr;
    if (!user || !user->hasTrait<OpTrait::Elementwise>() ||
        getDims(user->getResult(0)) != getDims(window))
      return false;
    root = user->getResult(0);
  }
  return true;
}

bool areWindowsToStore(Value v, Operation *user) {
  bool isJoined = isa<ConcatOp, PadOp>(user) ||
                  (isa<ReshapeOp>(user) &&
                   llvm::any_of(user->getUsers(), [](Operation *join) {
                     return isa<ConcatOp>(join);
                   }));
  auto turn = dyn_cast<TransposeOp>(user);
  bool isTurned =
      turn && turn.getPerm().back() + 1 != int64_t(getDims(v).size());
  return (isJoined || isTurned) && isMadeOfWindows(v);
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
