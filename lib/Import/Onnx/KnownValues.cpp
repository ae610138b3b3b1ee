//===- KnownValues.cpp - integers computed from dims, at import -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KnownValues.h"

#include "dialects/Tenon/IR/TenonOps.h"
#include "dialects/Tenon/IR/TenonSmallTensor.h"

using namespace mlir;

namespace tenon::onnximport {

// Shapes have few elements; what is larger is computed by the graph passes.
constexpr int64_t maxElements = 16;

/// What an op on small constants computes: a shape may come from floats, as in
/// a table's side from the square root of its length.
static Value foldConstants(OpBuilder &builder, Operation *op) {
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (op->getNumResults() != 1 || !type || !type.hasStaticShape() ||
      type.getNumElements() > maxElements)
    return {};
  SmallVector<SmallTensor> operands;
  for (Value operand : op->getOperands()) {
    auto constant = operand.getDefiningOp<ConstantOp>();
    auto dense = constant ? dyn_cast<DenseElementsAttr>(constant.getValue())
                          : DenseElementsAttr();
    if (!dense || dense.getNumElements() > maxElements)
      return {};
    std::optional<SmallTensor> tensor = SmallTensor::unpack(dense);
    if (!tensor)
      return {};
    operands.push_back(std::move(*tensor));
  }
  std::optional<SmallTensor> result = evaluateOp(op, operands);
  if (!result)
    return {};
  return ConstantOp::create(builder, op->getLoc(), result->pack());
}

Value KnownValues::simplify(OpBuilder &builder, Operation *op) {
  Value result = op->getResult(0);
  Value folded = evaluator.fold(builder, op);
  if (!folded)
    folded = foldConstants(builder, op);
  if (!folded)
    return result;
  evaluator.forget(result);
  op->erase();
  return folded;
}

} // namespace tenon::onnximport
