//===- TenonDataOps.cpp - constants, shapes, data movement ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Inference and verifiers of the ops of TenonValue.td, TenonView.td and
// TenonGather.td, and of those of TenonCast.td that are not elementwise.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/ReadDims.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonFoldDims.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonInfer.h"

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// ConstantOp
//===----------------------------------------------------------------------===//

LogicalResult ConstantOp::inferReturnTypes(MLIRContext *,
                                           std::optional<Location> location,
                                           Adaptor adaptor,
                                           SmallVectorImpl<Type> &inferred) {
  ShapeJoiner joiner(getOperationName(), location);
  ElementsAttr value = adaptor.getValueAttr();
  if (!value)
    return joiner.error("expected a value, found none");
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.hasStaticShape() || type.getEncoding())
    return joiner.error("expected a value of plain tensor type, found ",
                        value.getType());
  return joiner.finish(getDims(type), type.getElementType(), inferred);
}

void ConstantOp::recordChecks(ShapeJoiner &) {}

//===----------------------------------------------------------------------===//
// DimsValueOp
//===----------------------------------------------------------------------===//

LogicalResult DimsValueOp::inferReturnTypes(MLIRContext *,
                                            std::optional<Location> location,
                                            Adaptor adaptor,
                                            SmallVectorImpl<Type> &inferred) {
  ShapeJoiner joiner(getOperationName(), location);
  if (!adaptor.getExprsAttr() || !adaptor.getElementTypeAttr())
    return joiner.error("expected expressions and an element type");
  Dims dims;
  if (!adaptor.getScalar())
    dims.push_back(SymExpr(adaptor.getExprs().getExprs().size()));
  return joiner.finish(dims, adaptor.getElementType(), inferred);
}

void DimsValueOp::recordChecks(ShapeJoiner &) {}

LogicalResult DimsValueOp::verify() {
  if (!isa<IntegerType>(getElementType()) || getElementType().isInteger(1))
    return emitOpError() << "expected an integer element type, found "
                         << getElementType();
  size_t count = getExprs().getExprs().size();
  if (getScalar() && count != 1)
    return emitOpError() << "expected one expression for a scalar, found "
                         << count;
  return success();
}

//===----------------------------------------------------------------------===//
// CheckOp
//===----------------------------------------------------------------------===//

LogicalResult verifyExpr(Operation *op, StringRef text) {
  std::optional<SymExpr> expr = SymExpr::parse(text);
  if (!expr)
    return op->emitOpError()
           << "expected a dim expression, found \"" << text << "\"";
  std::string canonical = expr->str();
  if (text != canonical)
    return op->emitOpError() << "expected the canonical dim expression \""
                             << canonical << "\", found \"" << text << "\"";
  return success();
}

LogicalResult CheckOp::verify() {
  return failure(failed(verifyExpr(*this, getLhs())) ||
                 failed(verifyExpr(*this, getRhs())) ||
                 (getWhen() && failed(verifyExpr(*this, *getWhen()))));
}

//===----------------------------------------------------------------------===//
// ReadDimsOp
//===----------------------------------------------------------------------===//

LogicalResult ReadDimsOp::verify() {
  StringRef name = getName();
  bool isCount = name.consume_front("#");
  if (name.empty() || SymExpr::sanitizeSymbol(name) != name)
    return emitOpError() << "expected a name of letters, digits and _.:/, "
                         << "found \"" << getName() << "\"";
  if (isCount && !getBound())
    return emitOpError() << "expected a bound for \"" << getName()
                         << "\", which is never negative, found none";
  if (!hasReadableElements(getInput().getType()))
    return emitOpError() << "expected numbers or bools of static dims, found "
                         << getInput().getType();
  for (auto text : {getBound(), getWhen()})
    if (text && failed(verifyExpr(*this, *text)))
      return failure();
  return success();
}

//===----------------------------------------------------------------------===//
// ReshapeOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(ReshapeOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  if (failed(input))
    return failure();
  if (!op.getDimsAttr())
    return joiner.error("expected dims, found none");
  Dims dims = op.getDims().getSymExprs();
  SymExpr before = productOf(*input), after = productOf(dims);
  if (before == after)
    return dims;
  if (before.isConstant() && after.isConstant())
    return joiner.error("expected dims with ", before.str(),
                        " elements like the input's, found ", after.str());
  joiner.require(CheckKind::eq, before, after);
  return dims;
}
TENON_INFER(ReshapeOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// BroadcastToOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(BroadcastToOp::Adaptor op,
                                 ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  if (failed(input))
    return failure();
  if (!op.getDimsAttr())
    return joiner.error("expected dims, found none");
  Dims dims = op.getDims().getSymExprs();
  if (input->size() > dims.size())
    return joiner.error("expected at least ", input->size(),
                        " dims like the input's, found ", dims.size());
  for (auto [i, from] : llvm::enumerate(*input)) {
    size_t at = dims.size() - input->size() + i;
    const SymExpr &to = dims[at];
    if (from == to || from == SymExpr(1))
      continue;
    if (from.isConstant() && to.isConstant())
      return joiner.error("expected dim ", at, " of the result to be ",
                          from.str(), " like the input's, found ", to.str());
    // `from` must be 1 or `to`.
    SymExpr joined = SymExpr::apply(SymExpr::Fn::Bcast, from, to);
    if (from.isConstant())
      joiner.require(CheckKind::eq, to, from);
    else if (to.isConstant() && joined == to)
      joiner.require(CheckKind::bcast, from, to);
    else if (joined != to)
      joiner.require(CheckKind::eq, joined, to);
  }
  return dims;
}
TENON_INFER(BroadcastToOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// TransposeOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(TransposeOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  if (failed(input))
    return failure();
  FailureOr<ArrayRef<int64_t>> perm =
      joiner.perDim(op.getPermAttr(), input->size(), "numbers in perm");
  if (failed(perm))
    return failure();
  Dims dims;
  llvm::SmallBitVector seen(input->size());
  for (int64_t from : *perm) {
    if (from < 0 || from >= int64_t(input->size()) || seen[from])
      return joiner.error("expected a permutation of 0 to ",
                          int64_t(input->size()) - 1, ", found ",
                          op.getPermAttr());
    seen.set(from);
    dims.push_back((*input)[from]);
  }
  return dims;
}
TENON_INFER(TransposeOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// SliceOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(SliceOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  if (failed(input))
    return failure();
  size_t rank = input->size();
  FailureOr<Dims> starts = joiner.perDim(op.getStartsAttr(), rank, "starts");
  FailureOr<ArrayRef<int64_t>> steps =
      joiner.perDim(op.getStepsAttr(), rank, "steps");
  FailureOr<Dims> dims = joiner.perDim(op.getDimsAttr(), rank, "dims");
  if (failed(starts) || failed(steps) || failed(dims))
    return failure();
  for (size_t i = 0; i < rank; ++i) {
    if ((*steps)[i] == 0)
      return joiner.error("expected steps other than 0, found 0 in dim ", i);
    std::optional<int64_t> start = (*starts)[i].constant();
    std::optional<int64_t> size = (*dims)[i].constant();
    std::optional<int64_t> limit = (*input)[i].constant();
    if (!start || !size || !limit || *size <= 0)
      continue;
    // The first and last elements that are read; unequal signs overflow only
    // far outside.
    int64_t last;
    if (__builtin_mul_overflow(*size - 1, (*steps)[i], &last) ||
        __builtin_add_overflow(last, *start, &last))
      last = -1;
    if (*start < 0 || *start >= *limit || last < 0 || last >= *limit)
      return joiner.error("expected elements in [0, ", *limit, ") of dim ", i,
                          ", found ", *start, " to ", last);
  }
  return dims;
}
TENON_INFER(SliceOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// ConcatOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(ConcatOp::Adaptor op, ShapeJoiner &joiner) {
  if (op.getInputs().empty())
    return joiner.error("expected at least one input, found none");
  FailureOr<Dims> dims = joiner.dimsOf(op.getInputs().front(), "each input");
  if (failed(dims))
    return failure();
  FailureOr<int64_t> axis = joiner.axis(op.getAxisAttr(), dims->size());
  if (failed(axis))
    return failure();
  Type element = firstElement(op.getInputs());
  for (Value input : op.getInputs().drop_front()) {
    FailureOr<Dims> next = joiner.dimsOf(input, "each input");
    if (failed(next))
      return failure();
    if (next->size() != dims->size())
      return joiner.error("expected inputs of one rank, found ranks ",
                          dims->size(), " and ", next->size());
    if (getElementTypeOrSelf(input) != element)
      return joiner.error("expected inputs of one element type, found ",
                          element, " and ", getElementTypeOrSelf(input));
    for (size_t i = 0; i < dims->size(); ++i) {
      if (int64_t(i) == *axis) {
        (*dims)[i] = (*dims)[i] + (*next)[i];
        continue;
      }
      FailureOr<SymExpr> joined = joiner.equal(
          (*dims)[i], (*next)[i], "dim " + Twine(i) + " of all inputs");
      if (failed(joined))
        return failure();
      (*dims)[i] = *joined;
    }
  }
  return dims;
}
TENON_INFER(ConcatOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// BitCastOp, UnpackOp, PackOp
//===----------------------------------------------------------------------===//

LogicalResult BitCastOp::verify() {
  Type from = getInput().getType().getElementType();
  if (storedBits(from) != storedBits(getTo()))
    return emitOpError() << "expected a type of " << storedBits(from)
                         << " bits like " << from << ", found " << getTo();
  return success();
}

LogicalResult LookUpOp::verify() {
  constexpr size_t codes = 256;
  if (getTable().size() != codes)
    return emitOpError() << "expected a table of " << codes
                         << " codes, found one of " << getTable().size();
  return success();
}

static SymExpr bytesFor(const SymExpr &count, Type element) {
  return SymExpr::apply(SymExpr::Fn::CeilDiv, count,
                        SymExpr(8 / storedBits(element)));
}

static FailureOr<Dims> inferDims(UnpackOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> bytes = joiner.dimsOf(op.getInput(), "input");
  if (failed(bytes))
    return failure();
  std::optional<SymExpr> size;
  if (op.getSizeAttr())
    size = SymExpr::parse(op.getSize());
  if (!size)
    return joiner.error("expected a dim expression for the size, found ",
                        op.getSizeAttr());
  Type element = op.getElementTypeAttr() ? op.getElementType() : Type();
  if (!element || !isSupportedElementType(element) || !isPackedType(element))
    return joiner.error("expected an element type of 2 or 4 bits, found ",
                        element);
  if (bytes->size() != 1)
    return joiner.error("expected an input of rank 1, found rank ",
                        bytes->size());
  if (failed(joiner.equal(bytesFor(*size, element), bytes->front(),
                          "the bytes of `size` elements and the input's")))
    return failure();
  return Dims{*size};
}
TENON_INFER(UnpackOp,
            adaptor.getElementTypeAttr() ? adaptor.getElementType() : Type())

static FailureOr<Dims> inferDims(PackOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> dims = joiner.dimsOf(op.getInput(), "input");
  if (failed(dims))
    return failure();
  Type element = getElementTypeOrSelf(op.getInput());
  if (!isSupportedElementType(element) || !isPackedType(element))
    return joiner.error("expected elements of 2 or 4 bits, found ", element);
  if (dims->size() != 1)
    return joiner.error("expected an input of rank 1, found rank ",
                        dims->size());
  return Dims{bytesFor(dims->front(), element)};
}
TENON_INFER(PackOp, IntegerType::get(context, 8, IntegerType::Unsigned))

//===----------------------------------------------------------------------===//
// PadOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(PadOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> value = joiner.dimsOf(op.getValue(), "value");
  if (failed(input) || failed(value))
    return failure();
  FailureOr<Dims> low =
      joiner.perDim(op.getLowAttr(), input->size(), "low amounts");
  FailureOr<Dims> high =
      joiner.perDim(op.getHighAttr(), input->size(), "high amounts");
  if (failed(low) || failed(high))
    return failure();
  if (!value->empty() || getElementTypeOrSelf(op.getValue()) !=
                             getElementTypeOrSelf(op.getInput()))
    return joiner.error("expected a scalar value of the input's element type, "
                        "found ",
                        op.getValue().getType());
  for (size_t i = 0; i < input->size(); ++i)
    (*input)[i] = (*input)[i] + (*low)[i] + (*high)[i];
  return input;
}
TENON_INFER(PadOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// IotaOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(IotaOp::Adaptor op, ShapeJoiner &joiner) {
  if (!op.getSizeAttr() || !op.getElementTypeAttr())
    return joiner.error("expected a size and an element type");
  std::optional<SymExpr> size = SymExpr::parse(op.getSize());
  if (!size)
    return joiner.error("expected a dim expression, found \"", op.getSize(),
                        "\"");
  return Dims{*size};
}
TENON_INFER(IotaOp,
            adaptor.getElementTypeAttr() ? adaptor.getElementType() : Type())

LogicalResult IotaOp::verify() {
  if (getElementType().isInteger(1))
    return emitOpError() << "expected a number element type, found "
                         << getElementType();
  return failure(failed(verifyExpr(*this, getStart())) ||
                 failed(verifyExpr(*this, getStep())) ||
                 failed(verifyExpr(*this, getSize())));
}

//===----------------------------------------------------------------------===//
// GatherOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(GatherOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> indices = joiner.dimsOf(op.getIndices(), "indices");
  if (failed(input) || failed(indices))
    return failure();
  FailureOr<int64_t> axis = joiner.axis(op.getAxisAttr(), input->size());
  if (failed(axis))
    return failure();
  Dims dims(input->begin(), input->begin() + *axis);
  dims.append(indices->begin(), indices->end());
  dims.append(input->begin() + *axis + 1, input->end());
  return dims;
}
TENON_INFER(GatherOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// GatherElementsOp
//===----------------------------------------------------------------------===//

/// Dim i of indices covers a part of the input's, or all of it.
static LogicalResult requireAtMost(size_t i, const SymExpr &part,
                                   const SymExpr &whole, ShapeJoiner &joiner) {
  if (part == whole || (whole - part).isNonNegative())
    return success();
  if (part.isConstant() && whole.isConstant())
    return joiner.error("expected dim ", i, " of indices to be at most ",
                        whole.str(), ", found ", part.str());
  joiner.require(CheckKind::le, part, whole);
  return success();
}

static FailureOr<Dims> inferDims(GatherElementsOp::Adaptor op,
                                 ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> indices = joiner.dimsOf(op.getIndices(), "indices");
  if (failed(input) || failed(indices))
    return failure();
  FailureOr<int64_t> axis = joiner.axis(op.getAxisAttr(), input->size());
  if (failed(axis))
    return failure();
  if (indices->size() != input->size())
    return joiner.error("expected indices of rank ", input->size(),
                        " like the input's, found rank ", indices->size());
  for (auto [i, pair] : llvm::enumerate(llvm::zip(*indices, *input))) {
    auto &[part, whole] = pair;
    if (int64_t(i) != *axis && failed(requireAtMost(i, part, whole, joiner)))
      return failure();
  }
  return indices;
}
TENON_INFER(GatherElementsOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// GatherNDOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(GatherNDOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> indices = joiner.dimsOf(op.getIndices(), "indices");
  if (failed(input) || failed(indices))
    return failure();
  if (indices->empty() || input->empty())
    return joiner.error("expected input and indices of rank >= 1, found ranks ",
                        input->size(), " and ", indices->size());
  if (!op.getBatchDimsAttr())
    return joiner.error("expected batch_dims, found none");
  int64_t batch = op.getBatchDims();
  int64_t limit = std::min(input->size(), indices->size() - 1);
  if (batch < 0 || batch > limit)
    return joiner.error("expected batch_dims in [0, ", limit, "], found ",
                        batch);
  std::optional<int64_t> tuple = indices->back().constant();
  int64_t most = int64_t(input->size()) - batch;
  if (!tuple || *tuple < 1 || *tuple > most)
    return joiner.error("expected index tuples of 1 to ", most,
                        " numbers in the last dim of indices, found ",
                        indices->back().str());
  Dims dims;
  for (int64_t i = 0; i < batch; ++i) {
    FailureOr<SymExpr> joined =
        joiner.equal((*input)[i], (*indices)[i], "batch dim " + Twine(i));
    if (failed(joined))
      return failure();
    dims.push_back(*joined);
  }
  dims.append(indices->begin() + batch, indices->end() - 1);
  dims.append(input->begin() + batch + *tuple, input->end());
  return dims;
}
TENON_INFER(GatherNDOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// ScatterElementsOp, ScatterNDOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(ScatterElementsOp::Adaptor op,
                                 ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> indices = joiner.dimsOf(op.getIndices(), "indices");
  FailureOr<Dims> updates = joiner.dimsOf(op.getUpdates(), "updates");
  if (failed(input) || failed(indices) || failed(updates))
    return failure();
  FailureOr<int64_t> axis = joiner.axis(op.getAxisAttr(), input->size());
  if (failed(axis))
    return failure();
  if (indices->size() != input->size() || updates->size() != input->size())
    return joiner.error("expected indices and updates of rank ", input->size(),
                        " like the input's, found ranks ", indices->size(),
                        " and ", updates->size());
  for (size_t i = 0; i < input->size(); ++i) {
    const SymExpr &part = (*indices)[i], &whole = (*input)[i];
    if (failed(joiner.equal(part, (*updates)[i],
                            "dim " + Twine(i) + " of indices and updates")))
      return failure();
    if (int64_t(i) != *axis && failed(requireAtMost(i, part, whole, joiner)))
      return failure();
  }
  return input;
}
TENON_INFER(ScatterElementsOp, firstElement(adaptor.getOperands()))

static FailureOr<Dims> inferDims(ScatterNDOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> indices = joiner.dimsOf(op.getIndices(), "indices");
  FailureOr<Dims> updates = joiner.dimsOf(op.getUpdates(), "updates");
  if (failed(input) || failed(indices) || failed(updates))
    return failure();
  if (indices->empty() || input->empty())
    return joiner.error("expected input and indices of rank >= 1, found ranks ",
                        input->size(), " and ", indices->size());
  std::optional<int64_t> tuple = indices->back().constant();
  if (!tuple || *tuple < 1 || *tuple > int64_t(input->size()))
    return joiner.error("expected index tuples of 1 to ", input->size(),
                        " numbers in the last dim of indices, found ",
                        indices->back().str());
  Dims expected(indices->begin(), indices->end() - 1);
  expected.append(input->begin() + *tuple, input->end());
  if (updates->size() != expected.size())
    return joiner.error("expected updates of rank ", expected.size(),
                        ", found rank ", updates->size());
  for (size_t i = 0; i < expected.size(); ++i)
    if (failed(joiner.equal(expected[i], (*updates)[i],
                            "dim " + Twine(i) + " of updates")))
      return failure();
  return input;
}
TENON_INFER(ScatterNDOp, firstElement(adaptor.getOperands()))

static LogicalResult verifyCarried(Operation *op,
                                   std::optional<StringRef> carried) {
  return carried ? verifyExpr(op, *carried) : success();
}

/// Updates are of the input's type; bools have no arithmetic.
template <typename OpTy>
static LogicalResult verifyScatter(OpTy op) {
  if (failed(verifyCarried(op, op.getCarried())))
    return failure();
  Type input = op.getInput().getType().getElementType();
  Type updates = op.getUpdates().getType().getElementType();
  if (input != updates)
    return op.emitOpError()
           << "expected input and updates of one element type, found " << input
           << " and " << updates;
  if ((input.isInteger(1) || isStorageType(input)) &&
      op.getKind() != ScatterKind::none)
    return op.emitOpError()
           << "expected a number element type for "
           << stringifyScatterKind(op.getKind()) << ", found " << input;
  return success();
}
LogicalResult ScatterElementsOp::verify() { return verifyScatter(*this); }
LogicalResult ScatterNDOp::verify() { return verifyScatter(*this); }

//===----------------------------------------------------------------------===//
// AppendOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(AppendOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> fresh = joiner.dimsOf(op.getFresh(), "fresh");
  FailureOr<Dims> rows = joiner.dimsOf(op.getRows(), "rows");
  if (failed(input) || failed(fresh) || failed(rows))
    return failure();
  FailureOr<int64_t> axis = joiner.axis(op.getAxisAttr(), input->size());
  if (failed(axis))
    return failure();
  if (*axis == 0 || fresh->size() != input->size() || rows->size() != 2)
    return joiner.error("expected an axis behind the first dim, operands of "
                        "one rank and rows of rank 2, found axis ",
                        *axis, " and ranks ", input->size(), ", ",
                        fresh->size(), " and ", rows->size());
  auto length =
      op.getLengthAttr() ? SymExpr::parse(op.getLength().str()) : std::nullopt;
  if (!length)
    return joiner.error("expected a length");
  for (size_t i = 0; i < input->size(); ++i)
    if (int64_t(i) != *axis) {
      FailureOr<SymExpr> joined = joiner.equal(
          (*input)[i], (*fresh)[i], "dim " + Twine(i) + " of input and fresh");
      if (failed(joined))
        return failure();
      (*input)[i] = *joined;
    }
  if ((*rows)[0].constant() != 1 &&
      failed(joiner.equal((*rows)[0], (*input)[0], "dim 0 of rows")))
    return failure();
  if (failed(joiner.equal((*rows)[1], (*fresh)[*axis], "dim 1 of rows")))
    return failure();
  (*input)[*axis] = *length;
  return input;
}
TENON_INFER(AppendOp, firstElement(adaptor.getOperands()))

LogicalResult AppendOp::verify() {
  Type input = getInput().getType().getElementType();
  Type fresh = getFresh().getType().getElementType();
  if (input != fresh)
    return emitOpError()
           << "expected input and fresh of one element type, found " << input
           << " and " << fresh;
  return failure(failed(verifyExpr(*this, getLength())) ||
                 failed(verifyCarried(*this, getCarried())));
}

} // namespace tenon
