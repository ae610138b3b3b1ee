//===- FoldConstants.cpp - compute ops on small constants -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Not folders of the ops: folders would also compute with what a person wants
// to see in the IR, and cannot look into resource blobs.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonSmallTensor.h"
#include "dialects/Tenon/IR/TenonValue.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"

namespace tenon {
#define GEN_PASS_DEF_FOLDCONSTANTSPASS
#include "dialects/Tenon/Transforms/FoldConstants.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {

constexpr int64_t maxElements = 4096;

/// The constant that the op computes, or null.
DenseElementsAttr compute(Operation *op) {
  if (op->getNumResults() != 1 || op->getNumOperands() == 0)
    return {};
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !type.hasStaticShape() || type.getNumElements() > maxElements)
    return {};
  SmallVector<SmallTensor> operands;
  for (Value operand : op->getOperands()) {
    DenseElementsAttr constant = match::smallConstant(operand, maxElements);
    std::optional<SmallTensor> tensor =
        constant ? SmallTensor::unpack(constant) : std::nullopt;
    if (!tensor)
      return {};
    operands.push_back(std::move(*tensor));
  }
  std::optional<SmallTensor> result = evaluateOp(op, operands);
  return result ? result->pack() : DenseElementsAttr();
}

struct FoldConstantsPass
    : tenon::impl::FoldConstantsPassBase<FoldConstantsPass> {
  void runOnOperation() override {
    OpBuilder builder(&getContext());
    // In order: an op that folds makes its users' operands constant.
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (!isa<TenonDialect>(op->getDialect()))
        return;
      DenseElementsAttr value = compute(op);
      if (!value)
        return;
      noteApplied(getArgument(), op, "folded");
      builder.setInsertionPoint(op);
      Value constant = ConstantOp::create(builder, op->getLoc(), value);
      op->getResult(0).replaceAllUsesWith(constant);
      op->erase();
    });
  }
};

} // namespace
