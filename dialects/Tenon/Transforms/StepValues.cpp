//===- StepValues.cpp - a loop's values in all of its steps ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/Transforms/StepValues.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace tenon {

static DimsAttr attr(MLIRContext *context, ArrayRef<SymExpr> dims) {
  return DimsAttr::get(context, dims);
}

StepValues::StepValues(LoopOp loop) : loop(loop) {
  if (std::optional<SymExpr> parsed = SymExpr::parse(loop.getTrips()))
    trips = *parsed;
}

SymExpr StepValues::getRow() const {
  SymExpr number = SymExpr::element(LoopOp(loop).getName(), 0);
  return isBackward() ? trips - SymExpr(1) - number : number;
}

void StepValues::erase() {
  for (Operation *op : llvm::reverse(ops))
    if (op->use_empty())
      op->erase();
  ops.clear();
  known.clear();
}

bool StepValues::isInside(Value v) {
  return loop.getBody().isAncestor(v.getParentRegion());
}

/// All rows are taken the same way.
bool StepValues::goes(bool backwards) {
  if (!backward)
    backward = backwards;
  return *backward == backwards;
}

bool StepValues::isRow(const SymExpr &start) {
  SymExpr number = SymExpr::element(loop.getName(), 0);
  if (start == number)
    return goes(false);
  return start == trips - SymExpr(1) - number && goes(true);
}

/// The iteration's number, or what is left of the last one.
bool StepValues::isRow(Value index) {
  Value number = loop.getBody().front().getArgument(0);
  if (index == number)
    return goes(false);
  if (auto dims = index.getDefiningOp<DimsValueOp>())
    return dims.getScalar() && isRow(dims.getExprs().getSymExprs().front());
  auto rest = index.getDefiningOp<SubOp>();
  if (!rest || rest.getRhs() != number)
    return false;
  SymExpr last = trips - SymExpr(1);
  if (auto dims = rest.getLhs().getDefiningOp<DimsValueOp>())
    return dims.getScalar() && dims.getExprs().getSymExprs().front() == last &&
           goes(true);
  std::optional<double> value = match::scalarOf(rest.getLhs());
  return value && last.constant() && double(*last.constant()) == *value &&
         goes(true);
}

SmallVector<SymExpr> StepValues::ofSteps(ArrayRef<SymExpr> dims) const {
  SmallVector<SymExpr> all{trips};
  all.append(dims.begin(), dims.end());
  return all;
}

Value StepValues::made(Value v) {
  ops.push_back(v.getDefiningOp());
  return v;
}

Value StepValues::reshape(Value v, ArrayRef<SymExpr> dims) {
  if (getDims(v) == dims)
    return v;
  OpBuilder b(loop);
  return made(createReshape(b, loop.getLoc(), v, dims));
}

Value StepValues::inFront(Value v, int64_t axis) {
  if (axis == 0)
    return v;
  SmallVector<int64_t> perm{axis};
  for (int64_t i = 0, rank = getDims(v).size(); i < rank; ++i)
    if (i != axis)
      perm.push_back(i);
  OpBuilder b(loop);
  return made(createTranspose(b, loop.getLoc(), v, perm));
}

/// What an op takes a step's row of; null if it does something else.
Value StepValues::scanned(Operation *op) {
  if (auto gather = dyn_cast<GatherOp>(op)) {
    Value from = gather.getInput();
    int64_t axis = gather.getAxis();
    if (isInside(from) || getDims(from)[axis] != trips ||
        !getDims(gather.getIndices()).empty() || !isRow(gather.getIndices()))
      return nullptr;
    return inFront(from, axis);
  }
  auto slice = dyn_cast<SliceOp>(op);
  if (!slice || isInside(slice.getInput()) ||
      llvm::any_of(slice.getSteps(), [](int64_t s) { return s != 1; }))
    return nullptr;
  SmallVector<SymExpr> from = getDims(slice.getInput()),
                       to = getDims(slice.getResult()),
                       starts(slice.getStarts().getSymExprs());
  int64_t axis = -1;
  for (size_t i = 0; i < from.size(); ++i) {
    if (starts[i] == SymExpr(0) && from[i] == to[i])
      continue;
    if (axis >= 0 || from[i] != trips || to[i] != SymExpr(1) ||
        !isRow(starts[i]))
      return nullptr;
    axis = i;
  }
  return axis < 0 ? nullptr
                  : reshape(inFront(slice.getInput(), axis), ofSteps(to));
}

std::optional<StepValues::All> StepValues::lift(Value v) {
  if (!isInside(v))
    return All{v, false};
  if (auto it = known.find(v); it != known.end())
    return it->second;
  Operation *op = v.getDefiningOp();
  if (!op || op->getNumRegions() || op->getNumResults() != 1 || !isPure(op))
    return std::nullopt;
  std::optional<All> all;
  if (Value rows = scanned(op))
    all = All{rows, true};
  else
    all = compute(op);
  if (all)
    known[v] = *all;
  return all;
}

/// The op on the values of all steps.
std::optional<StepValues::All> StepValues::compute(Operation *op) {
  SmallVector<SymExpr> dims = getDims(op->getResult(0));
  if (llvm::any_of(dims, [&](const SymExpr &d) { return symbols.in(d); }) ||
      llvm::any_of(op->getAttrs(), [&](NamedAttribute attr) {
        return symbols.in(attr.getValue());
      }))
    return std::nullopt;
  SmallVector<All> operands;
  for (Value operand : op->getOperands()) {
    std::optional<All> all = lift(operand);
    if (!all)
      return std::nullopt;
    operands.push_back(*all);
  }
  OpBuilder b(loop);
  auto clone = [&](ValueRange values, ArrayRef<SymExpr> dims) {
    IRMapping map;
    map.map(op->getOperands(), values);
    Value result = b.clone(*op, map)->getResult(0);
    result.setType(getTensorType(dims, getElementTypeOrSelf(result.getType())));
    return made(result);
  };
  SmallVector<Value> values;
  for (const All &operand : operands)
    values.push_back(operand.value);
  if (llvm::none_of(operands, [](const All &o) { return o.perStep; })) {
    if (isa<GatherOp, GatherElementsOp, GatherNDOp>(op))
      return std::nullopt; // it may end a run that has no iteration
    return All{clone(values, dims), false};
  }
  SmallVector<SymExpr> steps = ofSteps(dims);
  auto *context = b.getContext();
  Location loc = op->getLoc();
  if (op->hasTrait<OpTrait::Elementwise>()) {
    for (auto [operand, value] : llvm::zip_equal(operands, values)) {
      if (!operand.perStep)
        continue;
      SmallVector<SymExpr> own = getDims(value); // behind the steps, as many
      while (own.size() < steps.size())
        own.insert(own.begin() + 1, SymExpr(1));
      value = reshape(value, own);
    }
    return All{clone(values, steps), true};
  }
  if (auto product = dyn_cast<MatMulOp>(op)) {
    if (!operands[0].perStep || operands[1].perStep ||
        product.getTransposeA() || getDims(values[1]).size() != 2)
      return std::nullopt;
    return All{clone(values, steps), true};
  }
  if (isReshape(op))
    return All{reshape(values[0], steps), true};
  if (isa<BroadcastToOp>(op)) {
    SmallVector<SymExpr> own = getDims(values[0]);
    while (own.size() < steps.size())
      own.insert(own.begin() + 1, SymExpr(1));
    return All{made(BroadcastToOp::create(b, loc, reshape(values[0], own),
                                          attr(context, steps))),
               true};
  }
  if (auto slice = dyn_cast<SliceOp>(op)) {
    SmallVector<int64_t> by{1};
    llvm::append_range(by, slice.getSteps());
    SmallVector<SymExpr> starts{SymExpr(0)};
    llvm::append_range(starts, slice.getStarts().getSymExprs());
    return All{
        made(SliceOp::create(b, loc, values[0], attr(context, starts),
                             b.getDenseI64ArrayAttr(by), attr(context, steps))),
        true};
  }
  return std::nullopt;
}

} // namespace tenon
