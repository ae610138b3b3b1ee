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
#include "dialects/Tenon/IR/Ops/ReadDims.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonInfer.h"
#include "dialects/Tenon/IR/TenonKernel.h"

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// MergeOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(MergeOp::Adaptor op, ShapeJoiner &joiner) {
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
         isOneElement(getDims(tensor));
}

static StringRef nameOfElement(StringRef symbol) {
  return symbol.take_until([](char c) { return c == '['; });
}

BodySymbols::BodySymbols(Block &body, StringRef loop) {
  auto add = [&](StringRef name) {
    names.insert(nameOfElement(SymExpr::element(name, 0).str()));
  };
  add(loop);
  body.walk([&](Operation *op) {
    if (auto read = dyn_cast<ReadDimsOp>(op))
      add(read.getName());
    else if (auto inner = dyn_cast<LoopOp>(op))
      add(inner.getName());
  });
}

bool BodySymbols::in(const SymExpr &e) const {
  std::vector<std::string> symbols;
  e.collectSymbols(symbols);
  return llvm::any_of(symbols, [&](StringRef symbol) {
    return SymExpr::isElement(symbol) && names.contains(nameOfElement(symbol));
  });
}

bool BodySymbols::in(Attribute attr) const {
  if (auto dims = dyn_cast<DimsAttr>(attr))
    return llvm::any_of(dims.getSymExprs(),
                        [&](const SymExpr &e) { return in(e); });
  auto text = dyn_cast<StringAttr>(attr);
  std::optional<SymExpr> e =
      text ? SymExpr::parse(std::string_view(text.getValue())) : std::nullopt;
  return e && in(*e);
}

OperandRange LoopOp::initialHanded() {
  return getInputs().drop_front(getConditional() ? 1 : 0);
}

OperandRange LoopOp::yieldedHanded() {
  auto yield = cast<YieldOp>(getBody().front().getTerminator());
  return yield.getValues()
      .drop_front(getConditional() ? 1 : 0)
      .take_front(numHanded());
}

SmallVector<LoopOp::Place> LoopOp::changingDims() {
  SmallVector<Place> places;
  for (unsigned i = 0; i < numHanded(); ++i)
    for (auto [d, dim] :
         llvm::enumerate(getDims(getBody().front().getArgument(i + 1))))
      if (dim == sizeInside(getName(), places.size()))
        places.push_back({i, unsigned(d)});
  return places;
}

/// Each dim of a handed value is static or of any text, and stays, or is one
/// that changes: then the result has its name for behind the loop, and all that
/// share it are equal.
static LogicalResult verifyHanded(LoopOp loop) {
  Block &block = loop.getBody().front();
  StringRef name = loop.getName();
  const BodySymbols own(block, name);
  struct Sizes {
    SymExpr initial, next;
  };
  SmallVector<Sizes> changing;
  for (unsigned i = 0; i < loop.numHanded(); ++i) {
    Value argument = block.getArgument(i + 1), result = loop.getResult(i);
    Value initial = loop.initialHanded()[i], next = loop.yieldedHanded()[i];
    SmallVector<SymExpr> inside = getDims(argument), behind = getDims(result);
    SmallVector<SymExpr> first = getDims(initial), then = getDims(next);
    for (Value other : {initial, next, result})
      if (getElementTypeOrSelf(other.getType()) !=
              getElementTypeOrSelf(argument.getType()) ||
          getDims(other).size() != inside.size())
        return loop.emitOpError()
               << "expected handed value " << i
               << " to keep its element type and rank, as in "
               << argument.getType() << ", found " << other.getType();
    for (size_t d = 0; d < inside.size(); ++d) {
      size_t at = 0; // which of those that change; as many as there are: a new
      while (at < changing.size() && inside[d] != LoopOp::sizeInside(name, at))
        ++at;
      if (inside[d] != LoopOp::sizeInside(name, at)) {
        // It stays: where two are static they are equal.
        if (own.in(inside[d]))
          return loop.emitOpError()
                 << "expected dim " << d << " of argument " << i + 1
                 << " to be outside of the loop, or \""
                 << LoopOp::sizeInside(name, changing.size()).str()
                 << "\", found \"" << inside[d].str() << '"';
        for (auto [value, dim] :
             {std::pair(initial, first[d]), std::pair(next, then[d]),
              std::pair(result, behind[d])})
          if (dim.isConstant() && inside[d].isConstant() && dim != inside[d])
            return loop.emitOpError()
                   << "expected handed value " << i << " to keep its type "
                   << argument.getType() << ", found " << value.getType();
        continue;
      }
      if (behind[d] != LoopOp::sizeBehind(name, at))
        return loop.emitOpError()
               << "expected dim " << d << " of result " << i << " to be \""
               << LoopOp::sizeBehind(name, at).str() << "\", found \""
               << behind[d].str() << '"';
      if (at == changing.size())
        changing.push_back({first[d], then[d]});
      else if (changing[at].initial != first[d] || changing[at].next != then[d])
        return loop.emitOpError()
               << "expected dims named \"" << inside[d].str()
               << "\" to begin and change alike, found "
               << changing[at].initial.str() << ", then "
               << changing[at].next.str() << " and " << first[d].str()
               << ", then " << then[d].str();
    }
  }
  return success();
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
  if (failed(verifyHanded(*this)))
    return failure();
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

static FailureOr<Dims> inferDims(CompactOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> flags = joiner.dimsOf(op.getFlags(), "flags");
  if (failed(flags))
    return failure();
  if (flags->size() != 1)
    return joiner.error("expected flags of rank 1, found rank ", flags->size());
  return Dims{flags->front() + SymExpr(1)};
}
TENON_INFER(CompactOp, IntegerType::get(context, 64))

static FailureOr<Dims> inferDims(UniqueOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  if (failed(input))
    return failure();
  if (input->size() != 2)
    return joiner.error("expected an input of rank 2, found rank ",
                        input->size());
  return Dims{input->front() * SymExpr(3) + SymExpr(1)};
}
TENON_INFER(UniqueOp, IntegerType::get(context, 64))

static FailureOr<Dims> inferDims(NonMaxSuppressionOp::Adaptor op,
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
    if (!isOneElement(threshold))
      return emitOpError() << "expected thresholds of one element, found "
                           << threshold.getType();
  return verifyExpr(*this, getMost());
}

} // namespace tenon
