//===- TenonControlOps.cpp - what the run itself decides ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Inference, verifiers and folders of TenonControl.td's ops, in its order.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonInfer.h"

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// MergeOp
//===----------------------------------------------------------------------===//

FailureOr<Dims> inferDims(MergeOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> onTrue = joiner.dimsOf(op.getOnTrue(), "onTrue");
  FailureOr<Dims> onFalse = joiner.dimsOf(op.getOnFalse(), "onFalse");
  if (failed(onTrue) || failed(onFalse))
    return failure();
  if (onTrue->size() != onFalse->size())
    return joiner.error("expected branches of one rank, found ranks ",
                        onTrue->size(), " and ", onFalse->size());
  return joiner.perDim(op.getDimsAttr(), onTrue->size(), "dims");
}
TENON_INFER(MergeOp, firstElement(adaptor.getOperands()))

LogicalResult MergeOp::verify() {
  Type onTrue = getElementTypeOrSelf(getOnTrue().getType());
  Type onFalse = getElementTypeOrSelf(getOnFalse().getType());
  if (onTrue != onFalse)
    return emitOpError() << "expected branches of one element type, found "
                         << onTrue << " and " << onFalse;
  return verifyExpr(*this, getCondition());
}

OpFoldResult MergeOp::fold(FoldAdaptor) {
  std::optional<SymExpr> condition = SymExpr::parse(getCondition().str());
  if (!condition)
    return {};
  if (auto constant = condition->constant()) {
    Value taken = *constant ? getOnTrue() : getOnFalse();
    return taken.getType() == getType() ? taken : Value();
  }
  if (getOnTrue() == getOnFalse() && getOnTrue().getType() == getType())
    return getOnTrue();
  return {};
}

} // namespace tenon
