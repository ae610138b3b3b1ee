//===- InputUses.cpp - what integer inputs are used as --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Follows an input through kernels, loops and what only moves or casts it. For
// an index the smallest table counts. A mask is one that some use takes as a
// truth (a cast to bool, a comparison with 0 or 1, a large negative number
// times 1 - mask), while no use takes it as a number: a scale, a length, a dim.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Program/InputUses.h"

#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace tenon {

namespace {

/// What a kernel's argument is outside, and what is moved is moved from.
Value sourceOf(Value v) {
  while (true) {
    auto argument = dyn_cast<BlockArgument>(v);
    auto kernel = argument
                      ? dyn_cast<KernelOp>(v.getParentBlock()->getParentOp())
                      : KernelOp();
    if (kernel)
      v = kernel.getInputs()[argument.getArgNumber()];
    else if (Operation *op = v.getDefiningOp();
             isReshape(op) || isa_and_nonnull<CastOp, BroadcastToOp>(op))
      v = op->getOperand(0);
    else
      return v;
  }
}

std::optional<double> scalarOf(Value v) { return match::scalarOf(sourceOf(v)); }

bool isConstant(Value v) { return matchPattern(sourceOf(v), m_Constant()); }

/// Is it made from positions?
bool isPosition(Value v, unsigned depth = 0) {
  v = sourceOf(v);
  Operation *op = v.getDefiningOp();
  if (!op || depth > 4)
    return false;
  return isa<IotaOp>(op) || (isa<AddOp, SubOp>(op) &&
                             llvm::any_of(op->getOperands(), [&](Value o) {
                               return isPosition(o, depth + 1);
                             }));
}

/// Is it compared with positions somewhere?
bool isLength(Value v, unsigned depth = 0) {
  return depth < 16 &&
         llvm::any_of(
             v.getUses(),
             [&](OpOperand &use) {
               Operation *op = use.getOwner();
               unsigned number = use.getOperandNumber();
               if (auto kernel = dyn_cast<KernelOp>(op))
                 return isLength(kernel.getBody().front().getArgument(number),
                                 depth + 1);
               if (isa<YieldOp>(op) && isa<KernelOp>(op->getParentOp()))
                 return isLength(op->getParentOp()->getResult(number),
                                 depth + 1);
               if (isa<CompareOp>(op))
                 return isPosition(op->getOperand(1 - number));
               return (isReshape(op) || isTranspose(op) || isSlice(op) ||
                       isa<CastOp, BroadcastToOp, AddOp, SubOp, MinOp, MaxOp>(
                           op)) &&
                      isLength(op->getResult(0), depth + 1);
             });
}

/// What is added to scores so that they do not count.
constexpr double kLarge = 1e3;

class Walk {
public:
  InputUses run(Value input) {
    isBool = getElementTypeOrSelf(input).isInteger(1);
    follow(input);
    // A mask times itself, for each pair of elements, is one as well.
    do {
      while (next < values.size()) {
        Value v = values[next++];
        for (OpOperand &use : v.getUses())
          visit(use);
      }
      for (auto [other, product] : products)
        if (values.contains(other))
          follow(product);
    } while (next < values.size());
    for (auto [other, product] : products)
      isNumber |= !values.contains(other) && isConstant(other);
    result.isMask = isTruth && !isNumber && result.idBound == 0;
    return result;
  }

private:
  void follow(Value v) { values.insert(v); }
  void takeBound(int64_t bound) {
    if (bound > 0 && (result.idBound == 0 || bound < result.idBound))
      result.idBound = bound;
  }
  void visit(OpOperand &use);
  bool visitMove(OpOperand &use);
  bool visitArithmetic(OpOperand &use);
  bool visitTruth(OpOperand &use);
  void visitProduct(Value other, Value product);

  InputUses result;
  bool isBool = false, isTruth = false, isNumber = false;
  llvm::SetVector<Value> values;
  size_t next = 0;
  // What it is multiplied with, and the product.
  SmallVector<std::pair<Value, Value>> products;
  bool belowZero = false; // a mask minus 1 is among the values
};

/// What hands the same elements on.
bool Walk::visitMove(OpOperand &use) {
  Operation *op = use.getOwner();
  unsigned number = use.getOperandNumber();
  if (auto kernel = dyn_cast<KernelOp>(op)) {
    follow(kernel.getBody().front().getArgument(number));
  } else if (auto loop = dyn_cast<LoopOp>(op)) {
    unsigned first = loop.getConditional() ? 1 : 0;
    if (number < first) {
      isTruth = true;
    } else {
      follow(loop.getBody().front().getArgument(number - first + 1));
      follow(loop.getResult(number - first));
    }
  } else if (auto yield = dyn_cast<YieldOp>(op)) {
    if (auto kernel = dyn_cast<KernelOp>(op->getParentOp())) {
      follow(kernel.getResult(number));
    } else if (auto loop = dyn_cast<LoopOp>(op->getParentOp())) {
      unsigned first = loop.getConditional() ? 1 : 0;
      if (number >= first)
        follow(loop.getResult(number - first));
    }
  } else if (isReshape(op) || isTranspose(op) || isSlice(op) ||
             isa<BroadcastToOp, ConcatOp, MergeOp>(op)) {
    follow(op->getResult(0));
  } else if (isa<PadOp, GatherOp, GatherElementsOp, GatherNDOp>(op) &&
             number == 0) {
    follow(op->getResult(0));
  } else if (auto cast = dyn_cast<CastOp>(op)) {
    if (getElementTypeOrSelf(cast.getType()).isInteger(1) && !isBool)
      isTruth = true;
    else
      follow(cast.getResult());
  } else {
    return false;
  }
  return true;
}

void Walk::visitProduct(Value other, Value product) {
  std::optional<double> factor = scalarOf(other);
  if (factor == 1.0)
    follow(product);
  else if (factor && *factor <= -kLarge)
    isTruth = true;
  else
    products.push_back({other, product});
}

/// What a mask's 0 and 1 go through on their way to a truth.
bool Walk::visitArithmetic(OpOperand &use) {
  Operation *op = use.getOwner();
  unsigned number = use.getOperandNumber();
  if (op->getNumOperands() != 2 || op->getNumResults() != 1)
    return false;
  Value other = op->getOperand(1 - number), out = op->getResult(0);
  std::optional<double> scalar = scalarOf(other);
  bool flag = scalar == 0.0 || scalar == 1.0;
  if (isa<MulOp>(op)) {
    if (belowZero && scalar && *scalar >= kLarge)
      isTruth = true; // (mask - 1) * large
    else
      visitProduct(other, out);
  } else if (isa<SubOp>(op) && scalar == 1.0) {
    belowZero |= number == 0;
    follow(out); // 1 - mask is one as well
  } else if (isa<MinOp, MaxOp>(op) && flag) {
    follow(out);
  } else if (auto compare = dyn_cast<CompareOp>(op)) {
    auto steps = sourceOf(other).getDefiningOp<IotaOp>();
    if (steps && steps.getStart() == "0" && steps.getStep() == "1" &&
        compare.getKind() == CompareKind::eq) { // a one-hot code
      takeBound(getDims(steps.getResult())[0].constant().value_or(0));
      isNumber = true;
    } else if (scalar && *scalar >= 0 && *scalar <= 1)
      isTruth = true;
    else
      isNumber = true;
  } else if (isa<DivOp>(op) && number == 0 && !isConstant(other)) {
    return true; // a share of the sum
  } else if (isa<MatMulOp, PackedMatMulOp>(op) && !isConstant(other)) {
    return true; // a sum of what counts
  } else {
    return false;
  }
  return true;
}

bool Walk::visitTruth(OpOperand &use) {
  Operation *op = use.getOwner();
  if (isa<SelectOp>(op)) {
    if (use.getOperandNumber() == 0)
      isTruth = true;
    else
      follow(op->getResult(0));
  } else if (isa<NotOp, AndOp, OrOp, XorOp, CompactOp>(op)) {
    isTruth = true;
  } else if (auto reduce = dyn_cast<ReduceOp>(op)) {
    // How many count, or whether any does.
    isTruth |= isBool || (reduce.getKind() == ReduceKind::sum &&
                          isLength(reduce.getResult()));
  } else {
    return isa<CumulateOp, ArgReduceOp>(op);
  }
  return true;
}

void Walk::visit(OpOperand &use) {
  Operation *op = use.getOwner();
  if (isa<func::ReturnOp>(op)) // what it is is not known there
    return;
  if (use.getOperandNumber() == 1 && isa<GatherOp>(op)) {
    auto gather = cast<GatherOp>(op);
    takeBound(
        getDims(gather.getInput())[gather.getAxis()].constant().value_or(0));
    isNumber = true;
    return;
  }
  if (!visitMove(use) && !visitArithmetic(use) && !visitTruth(use))
    isNumber = true;
}

} // namespace

InputUses usesOfInput(BlockArgument input) { return Walk().run(input); }

} // namespace tenon
