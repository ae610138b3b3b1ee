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

//===----------------------------------------------------------------------===//
// LoopOp
//===----------------------------------------------------------------------===//

static bool isScalar(Type type, unsigned width) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && tensor.getElementType().isSignlessInteger(width) &&
         productOf(getDims(tensor)) == SymExpr(1);
}

LogicalResult LoopOp::verify() {
  Block &block = getBody().front();
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield)
    return emitOpError() << "expected tenon.yield at the end of the body";
  if (getConditional() && getInputs().empty())
    return emitOpError() << "expected a condition, found no inputs";
  unsigned first = getConditional() ? 1 : 0, handed = numHanded();
  if (getNumResults() < handed || block.getNumArguments() != handed + 1 ||
      yield.getValues().size() != first + getNumResults())
    return emitOpError() << "expected " << handed
                         << " handed values in results, arguments and yield, "
                            "found "
                         << getNumResults() << ", "
                         << int64_t(block.getNumArguments()) - 1 << " and "
                         << int64_t(yield.getValues().size()) - first;
  if (!isScalar(block.getArgument(0).getType(), 64))
    return emitOpError() << "expected the iteration's number as i64, found "
                         << block.getArgument(0).getType();
  if (first && (!isScalar(getInputs().front().getType(), 1) ||
                !isScalar(yield.getValues().front().getType(), 1)))
    return emitOpError() << "expected conditions of one bool, found "
                         << getInputs().front().getType() << " and "
                         << yield.getValues().front().getType();
  for (unsigned i = 0; i < handed; ++i) {
    Type type = block.getArgument(i + 1).getType();
    for (Type other :
         {getInputs()[first + i].getType(),
          yield.getValues()[first + i].getType(), getResult(i).getType()})
      if (!areCompatibleTypes(type, other))
        return emitOpError()
               << "expected handed value " << i << " to keep its type " << type
               << ", found " << other;
  }
  for (unsigned i = handed; i < getNumResults(); ++i) {
    Value row = yield.getValues()[first + i];
    SmallVector<SymExpr> dims = getDims(row), stacked = getDims(getResult(i));
    if (stacked.size() != dims.size() + 1 ||
        getElementTypeOrSelf(row.getType()) !=
            getElementTypeOrSelf(getResult(i).getType()))
      return emitOpError() << "expected stacked rows of type " << row.getType()
                           << ", found " << getResult(i).getType();
  }
  return failure(failed(verifyExpr(*this, getTrips())) ||
                 (getWhen() && failed(verifyExpr(*this, *getWhen()))));
}

//===----------------------------------------------------------------------===//
// CompactOp, UniqueOp, NonMaxSuppressionOp
//===----------------------------------------------------------------------===//

FailureOr<Dims> inferDims(CompactOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> flags = joiner.dimsOf(op.getFlags(), "flags");
  if (failed(flags))
    return failure();
  if (flags->size() != 1)
    return joiner.error("expected flags of rank 1, found rank ", flags->size());
  return Dims{flags->front() + SymExpr(1)};
}
TENON_INFER(CompactOp, IntegerType::get(context, 64))

FailureOr<Dims> inferDims(UniqueOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  if (failed(input))
    return failure();
  if (input->size() != 2)
    return joiner.error("expected an input of rank 2, found rank ",
                        input->size());
  return Dims{input->front() * SymExpr(3) + SymExpr(1)};
}
TENON_INFER(UniqueOp, IntegerType::get(context, 64))

FailureOr<Dims> inferDims(NonMaxSuppressionOp::Adaptor op,
                          ShapeJoiner &joiner) {
  FailureOr<Dims> boxes = joiner.dimsOf(op.getBoxes(), "boxes");
  FailureOr<Dims> scores = joiner.dimsOf(op.getScores(), "scores");
  if (failed(boxes) || failed(scores))
    return failure();
  if (boxes->size() != 3 || scores->size() != 3)
    return joiner.error("expected boxes and scores of rank 3, found ranks ",
                        boxes->size(), " and ", scores->size());
  std::optional<SymExpr> most;
  if (op.getMostAttr())
    most = SymExpr::parse(op.getMost().str());
  if (!most)
    return joiner.error("expected a dim expression for `most`, found ",
                        op.getMostAttr());
  FailureOr<SymExpr> batches =
      joiner.equal((*boxes)[0], (*scores)[0], "the batches");
  FailureOr<SymExpr> count =
      joiner.equal((*boxes)[1], (*scores)[2], "the numbers of boxes");
  if (failed(batches) || failed(count) ||
      failed(joiner.equal((*boxes)[2], SymExpr(4), "a box's numbers and 4")))
    return failure();
  using Fn = SymExpr::Fn;
  SymExpr perClass = SymExpr::apply(
      Fn::Min, SymExpr::apply(Fn::Max, *most, SymExpr(0)), *count);
  return Dims{*batches * (*scores)[1] * perClass * SymExpr(3) + SymExpr(1)};
}
TENON_INFER(NonMaxSuppressionOp, IntegerType::get(context, 64))

LogicalResult NonMaxSuppressionOp::verify() {
  for (Value threshold : {getOverlapThreshold(), getScoreThreshold()})
    if (productOf(getDims(threshold)) != SymExpr(1))
      return emitOpError() << "expected thresholds of one element, found "
                           << threshold.getType();
  return verifyExpr(*this, getMost());
}

} // namespace tenon
