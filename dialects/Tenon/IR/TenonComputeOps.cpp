//===- TenonComputeOps.cpp - reductions, norms, contractions --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Inference and verifiers of the ops of TenonReduce.td, TenonNorm.td and
// TenonContract.td.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonInfer.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonTiling.h"

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// ReduceOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(ReduceOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  if (failed(input))
    return failure();
  if (!op.getAxesAttr())
    return joiner.error("expected axes, found none");
  int64_t previous = -1;
  llvm::SmallBitVector reduced(input->size());
  for (int64_t axis : op.getAxes()) {
    if (axis <= previous || axis >= int64_t(input->size()))
      return joiner.error("expected rising axes in [0, ", input->size(),
                          "), found ", op.getAxesAttr());
    previous = axis;
    reduced.set(axis);
  }
  Dims dims;
  for (auto [i, dim] : llvm::enumerate(*input)) {
    if (!reduced[i])
      dims.push_back(dim);
    else if (op.getKeepdims())
      dims.push_back(SymExpr(1));
  }
  return dims;
}
TENON_INFER(ReduceOp, firstElement(adaptor.getOperands()))

LogicalResult ReduceOp::verify() {
  bool logical = getKind() == ReduceKind::all || getKind() == ReduceKind::any;
  Type element = getInput().getType().getElementType();
  if (element.isInteger(1) != logical)
    return emitOpError() << "expected " << (logical ? "a bool" : "a number")
                         << " element type for "
                         << stringifyReduceKind(getKind()) << ", found "
                         << element;
  return success();
}

//===----------------------------------------------------------------------===//
// ArgReduceOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(ArgReduceOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> dims = joiner.dimsOf(op.getInput(), "input");
  if (failed(dims))
    return failure();
  FailureOr<int64_t> axis = joiner.axis(op.getAxisAttr(), dims->size());
  if (failed(axis))
    return failure();
  if (op.getKeepdims())
    (*dims)[*axis] = SymExpr(1);
  else
    dims->erase(dims->begin() + *axis);
  return dims;
}
TENON_INFER(ArgReduceOp, IntegerType::get(context, 64))

//===----------------------------------------------------------------------===//
// CumulateOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(CumulateOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> dims = joiner.dimsOf(op.getInput(), "input");
  if (failed(dims) || failed(joiner.axis(op.getAxisAttr(), dims->size())))
    return failure();
  return dims;
}
TENON_INFER(CumulateOp, firstElement(adaptor.getOperands()))

LogicalResult CumulateOp::verify() {
  if (getKind() != ReduceKind::sum && getKind() != ReduceKind::prod)
    return emitOpError() << "expected sum or prod, found "
                         << stringifyReduceKind(getKind());
  return success();
}

//===----------------------------------------------------------------------===//
// TopKOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(TopKOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> dims = joiner.dimsOf(op.getInput(), "input");
  if (failed(dims))
    return failure();
  if (dims->empty())
    return joiner.error("expected an input of rank >= 1, found rank 0");
  std::optional<SymExpr> k =
      op.getKAttr() ? SymExpr::parse(op.getK()) : std::nullopt;
  if (!k)
    return joiner.error("expected a dim expression for k, found \"",
                        op.getKAttr() ? op.getK() : StringRef(), "\"");
  SymExpr rest = dims->back() - *k;
  if (k->constant().value_or(0) < 0 || rest.constant().value_or(0) < 0)
    return joiner.error("expected k in [0, ", dims->back().str(), "], found ",
                        k->str());
  if (!k->isNonNegative())
    joiner.require(CheckKind::le, SymExpr(0), *k);
  if (!rest.isNonNegative())
    joiner.require(CheckKind::le, *k, dims->back());
  dims->back() = *k;
  return dims;
}
TENON_INFER(TopKOp, IntegerType::get(context, 64))

//===----------------------------------------------------------------------===//
// LinearAttentionOp
//===----------------------------------------------------------------------===//

/// Joins `dims` with those of a parameter; where `may` has a bit, its dim may
/// be 1 instead.
static LogicalResult joinParameter(Value parameter, StringRef what,
                                   ArrayRef<SymExpr> expected, unsigned may,
                                   ShapeJoiner &joiner) {
  if (!parameter)
    return success();
  FailureOr<Dims> dims = joiner.dimsOf(parameter, what);
  if (failed(dims))
    return failure();
  if (dims->size() != expected.size())
    return joiner.error("expected ", what, " of rank ", expected.size(),
                        ", found rank ", dims->size());
  for (auto [i, pair] : llvm::enumerate(llvm::zip(*dims, expected))) {
    auto &[dim, like] = pair;
    if ((may >> i & 1) && dim == SymExpr(1))
      continue;
    if (failed(joiner.equal(dim, like, "dim " + Twine(i) + " of " + what)))
      return failure();
  }
  return success();
}

static FailureOr<Dims> inferDims(LinearAttentionOp::Adaptor op,
                                 ShapeJoiner &joiner) {
  FailureOr<Dims> query = joiner.dimsOf(op.getQuery(), "query");
  FailureOr<Dims> value = joiner.dimsOf(op.getValue(), "value");
  if (failed(query) || failed(value))
    return failure();
  if (query->size() != 5 || value->size() != 4)
    return joiner.error("expected a query of rank 5 and a value of rank 4, "
                        "found ranks ",
                        query->size(), " and ", value->size());
  ArrayRef<SymExpr> q = *query;
  const SymExpr &B = q[0], &T = q[1], &H = q[2], &G = q[3], &dk = q[4],
                &dv = value->back();
  if (!G.isConstant() || *G.constant() < 1)
    return joiner.error("expected a static dim 3 of query, found ", G.str());
  if (failed(joinParameter(op.getKey(), "key", {B, T, H, dk}, 0, joiner)) ||
      failed(joinParameter(op.getValue(), "value", {B, T, H, dv}, 0, joiner)) ||
      failed(
          joinParameter(op.getState(), "state", {B, H, dk, dv}, 0, joiner)) ||
      failed(joinParameter(op.getDecay(), "decay", {B, T, H, dk}, 8, joiner)) ||
      failed(joinParameter(op.getBeta(), "beta", {B, T, H, SymExpr(1)}, 4,
                           joiner)))
    return failure();
  return Dims{B, H, dk + T * G, dv};
}
TENON_INFER(LinearAttentionOp, Float32Type::get(context))

//===----------------------------------------------------------------------===//
// RecurrentOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(RecurrentOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> inputs = joiner.dimsOf(op.getInputs(), "inputs");
  FailureOr<Dims> weight = joiner.dimsOf(op.getWeight(), "weight");
  if (failed(inputs) || failed(weight))
    return failure();
  FormatAttr format = op.getFormatAttr();
  auto isRank = [&](size_t rank) {
    return format ? rank == 2 : rank == 3 || rank == 4;
  };
  if (inputs->size() != 3 || !isRank(weight->size()))
    return joiner.error("expected inputs of rank 3 and a weight of rank ",
                        format ? "2" : "3 or 4", ", found ranks ",
                        inputs->size(), " and ", weight->size());
  CellKind kind = op.getKindAttr() ? op.getKind() : CellKind::rnn;
  int64_t units = op.getUnitsAttr() ? op.getUnits() : 0;
  int64_t gates = kind == CellKind::lstm ? 4 : kind == CellKind::gru ? 3 : 1;
  int64_t panelsOfWay = llvm::divideCeil(gates * units, kPanelColumns);
  std::optional<int64_t> ways = weight->front().constant();
  if (ways && format && units > 0)
    ways = *ways % panelsOfWay ? 0 : *ways / panelsOfWay;
  if (units < 1 || units > (1 << 24) || !ways || *ways < 1 || *ways > 2)
    return joiner.error(
        "expected 1 or 2 directions of at least one unit, found ",
        weight->front().str(), " of ", units);
  if (op.getCell() && kind != CellKind::lstm)
    return joiner.error("expected no cell state but of an lstm");
  const SymExpr &T = (*inputs)[0], &B = (*inputs)[1];
  SymExpr D = *ways, H = units, width = gates * units;
  Dims panels{D, panelsOfWay, H, kPanelColumns};
  Dims rows{D, width, H}, columns{D, H, width};
  if (format)
    columns = {SymExpr(*ways * panelsOfWay), format.bytesOfPanel(units)};
  if (op.getPeephole() && kind != CellKind::lstm)
    return joiner.error("expected no peephole but of an lstm");
  bool quantized = !getElementTypeOrSelf(op.getWeight()).isF32();
  ArrayRef<SymExpr> expected = quantized             ? columns
                               : weight->size() == 3 ? rows
                                                     : panels;
  if (failed(joinParameter(op.getInputs(), "inputs", {T, B, D * width}, 0,
                           joiner)) ||
      failed(joinParameter(op.getWeight(), "weight", expected, 0, joiner)) ||
      failed(joinParameter(op.getBias(), "bias", {D, width}, 0, joiner)) ||
      failed(joinParameter(op.getHidden(), "hidden", {D, B, H}, 0, joiner)) ||
      failed(joinParameter(op.getCell(), "cell", {D, B, H}, 0, joiner)) ||
      failed(joinParameter(op.getLengths(), "lengths", {B}, 0, joiner)) ||
      failed(joinParameter(op.getPeephole(), "peephole", {D, 3 * units}, 0,
                           joiner)) ||
      failed(joinParameter(op.getScale(), "scale", {D, width}, 2, joiner)) ||
      failed(joinParameter(op.getZero(), "zero", {D, width}, 2, joiner)) ||
      failed(joinParameter(op.getSums(), "sums", {D, width}, 0, joiner)))
    return failure();
  return Dims{T + SymExpr(kind == CellKind::lstm ? 2 : 1), D, B, H};
}
TENON_INFER(RecurrentOp, Float32Type::get(context))

int64_t RecurrentOp::getNumPanels() {
  return llvm::divideCeil(getNumGates() * int64_t(getUnits()), kPanelColumns);
}

StringRef RecurrentOp::getActivation(size_t i) {
  if (ArrayAttr names = getActivationsAttr())
    return cast<StringAttr>(names[i]).getValue();
  bool isGate = getKind() != CellKind::rnn && i == 0;
  return isGate ? "sigmoid" : "tanh";
}

std::pair<double, double> RecurrentOp::getParametersOf(size_t i) {
  std::optional<ArrayRef<double>> all = getParameters();
  return all ? std::pair((*all)[2 * i], (*all)[2 * i + 1])
             : std::pair(0.0, 0.0);
}

LogicalResult RecurrentOp::verify() {
  static constexpr StringLiteral known[] = {
      "affine", "elu",         "hard_sigmoid",    "leaky_relu",
      "relu",   "sigmoid",     "softplus",        "softsign",
      "tanh",   "scaled_tanh", "thresholded_relu"};
  size_t expected = getNumActivations();
  if (ArrayAttr names = getActivationsAttr()) {
    if (names.size() != expected)
      return emitOpError("expected ")
             << expected << " activations, found " << names.size();
    for (auto name : names.getAsRange<StringAttr>())
      if (!llvm::is_contained(known, name.getValue()))
        return emitOpError("knows no activation ") << name;
  }
  std::optional<ArrayRef<double>> parameters = getParameters();
  if (parameters && parameters->size() != 2 * expected)
    return emitOpError("expected ")
           << 2 * expected << " parameters, found " << parameters->size();
  if (std::optional<ArrayRef<int64_t>> order = getOrder()) {
    SmallVector<int64_t> sorted(*order);
    llvm::sort(sorted);
    bool all = llvm::equal(sorted, llvm::seq(getNumGates()));
    if (!all || (getResetsFirst() && order->back() != 2))
      return emitOpError("expected an order of ")
             << getNumGates() << " gates, that of a gru that resets first "
             << "with the candidate last";
  }
  if (getCoupled() && getKind() != CellKind::lstm)
    return emitOpError("expected no coupled gates but of an lstm");
  if (getResetsFirst() && getKind() != CellKind::gru)
    return emitOpError("expected no reset but of a gru");
  bool quantized = !getElementTypeOrSelf(getWeight()).isF32();
  if (quantized != bool(getScale()) || (getZero() && !quantized))
    return emitOpError("expected a scale, and maybe a zero point, of a weight "
                       "of integers alone");
  FormatAttr format = getFormatAttr();
  if (bool(format) != bool(getSums()) || (format && !quantized))
    return emitOpError("expected the sums of columns beside a format, and a "
                       "weight of integers");
  if (format &&
      (!format.isInteger() ||
       (getZero() &&
        !getElementTypeOrSelf(getZero().getType()).isSignlessInteger())))
    return emitOpError("expected a format of i8, and zero points of i8");
  if (quantized && getKind() == CellKind::gru && getResetsFirst())
    return emitOpError("expected no quantised weight of a gru that resets "
                       "first");
  return success();
}

//===----------------------------------------------------------------------===//
// SoftmaxOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(SoftmaxOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> dims = joiner.dimsOf(op.getInput(), "input");
  if (succeeded(dims) && dims->empty())
    return joiner.error("expected an input of rank >= 1, found rank 0");
  return dims;
}
TENON_INFER(SoftmaxOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// LayerNormOp, RmsNormOp
//===----------------------------------------------------------------------===//

/// The last `count` dims of the input are joined with those of each parameter.
static FailureOr<Dims> inferNorm(Value inputValue, IntegerAttr count,
                                 ArrayRef<Value> parameters,
                                 ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(inputValue, "input");
  if (failed(input))
    return failure();
  int64_t rank = input->size();
  if (!count || count.getInt() < 1 || count.getInt() > rank)
    return joiner.error("expected dims in [1, ", rank, "], found ",
                        count ? count.getInt() : 0);
  for (Value parameter : parameters) {
    if (!parameter)
      continue;
    FailureOr<Dims> dims = joiner.dimsOf(parameter, "scale and bias");
    if (failed(dims))
      return failure();
    if (int64_t(dims->size()) != count.getInt())
      return joiner.error("expected scale and bias of rank ", count.getInt(),
                          ", found rank ", dims->size());
    if (getElementTypeOrSelf(parameter) != getElementTypeOrSelf(inputValue))
      return joiner.error(
          "expected scale and bias of the input's element type ",
          getElementTypeOrSelf(inputValue), ", found ",
          getElementTypeOrSelf(parameter));
    for (auto [i, dim] : llvm::enumerate(*dims)) {
      SymExpr &normalised = (*input)[rank - dims->size() + i];
      FailureOr<SymExpr> joined =
          joiner.equal(normalised, dim,
                       "normalised dim " + Twine(i) + " and scale's or bias'");
      if (failed(joined))
        return failure();
      normalised = *joined;
    }
  }
  return input;
}

static LogicalResult verifyEpsilon(Operation *op, const APFloat &epsilon) {
  if (epsilon.isNegative() || !epsilon.isFinite())
    return op->emitOpError() << "expected a finite epsilon >= 0, found "
                             << epsilon.convertToDouble();
  return success();
}

static FailureOr<Dims> inferDims(LayerNormOp::Adaptor op, ShapeJoiner &joiner) {
  return inferNorm(op.getInput(), op.getDimsAttr(),
                   {op.getScale(), op.getBias()}, joiner);
}
TENON_INFER(LayerNormOp, firstElement(adaptor.getOperands()))

LogicalResult LayerNormOp::verify() {
  if (getBias() && !getScale())
    return emitOpError() << "expected a scale beside the bias, found none";
  return verifyEpsilon(*this, getEpsilon());
}

static FailureOr<Dims> inferDims(RmsNormOp::Adaptor op, ShapeJoiner &joiner) {
  return inferNorm(op.getInput(), op.getDimsAttr(), {op.getScale()}, joiner);
}
TENON_INFER(RmsNormOp, firstElement(adaptor.getOperands()))

LogicalResult RmsNormOp::verify() { return verifyEpsilon(*this, getEpsilon()); }

//===----------------------------------------------------------------------===//
// MatMulOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(MatMulOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> lhs = joiner.dimsOf(op.getLhs(), "lhs");
  FailureOr<Dims> rhs = joiner.dimsOf(op.getRhs(), "rhs");
  if (failed(lhs) || failed(rhs))
    return failure();
  if (lhs->size() < 2 || rhs->size() < 2)
    return joiner.error("expected operands of rank >= 2, found ranks ",
                        lhs->size(), " and ", rhs->size());
  if (op.getTransposeA())
    std::swap(lhs->back(), lhs->end()[-2]);
  if (op.getTransposeB())
    std::swap(rhs->back(), rhs->end()[-2]);
  SymExpr m = lhs->end()[-2], n = rhs->back();
  if (failed(joiner.equal(lhs->back(), rhs->end()[-2],
                          "the dims that are summed over")))
    return failure();
  Dims batches[] = {Dims(lhs->begin(), lhs->end() - 2),
                    Dims(rhs->begin(), rhs->end() - 2)};
  FailureOr<Dims> dims = joiner.broadcast(batches);
  if (failed(dims))
    return failure();
  dims->push_back(m);
  dims->push_back(n);
  return dims;
}
TENON_INFER(MatMulOp, firstElement(adaptor.getOperands()))

LogicalResult MatMulOp::verify() {
  Type lhs = getLhs().getType().getElementType();
  Type rhs = getRhs().getType().getElementType();
  if (lhs != rhs)
    return emitOpError() << "expected operands of one element type, found "
                         << lhs << " and " << rhs;
  return success();
}

//===----------------------------------------------------------------------===//
// ConvOp
//===----------------------------------------------------------------------===//

LogicalResult inRange(ArrayRef<int64_t> values, int64_t least, StringRef what,
                      ShapeJoiner &joiner) {
  constexpr int64_t most = int64_t(1) << 31; // products stay far from overflow
  for (int64_t value : values)
    if (value < least || value > most)
      return joiner.error("expected ", what, " in [", least, ", ", most,
                          "], found ", value);
  return success();
}

FailureOr<Dims>
windowPositions(ArrayRef<SymExpr> spatial, ArrayRef<SymExpr> kernel,
                DenseI64ArrayAttr stridesAttr, DenseI64ArrayAttr padsAttr,
                DenseI64ArrayAttr dilationsAttr, ShapeJoiner &joiner) {
  size_t rank = spatial.size();
  auto strides = joiner.perDim(stridesAttr, rank, "strides");
  auto pads = joiner.perDim(padsAttr, 2 * rank, "pads");
  auto dilations = joiner.perDim(dilationsAttr, rank, "dilations");
  if (failed(strides) || failed(pads) || failed(dilations) ||
      failed(inRange(*strides, 1, "strides", joiner)) ||
      failed(inRange(*pads, 0, "pads", joiner)) ||
      failed(inRange(*dilations, 1, "dilations", joiner)))
    return failure();
  Dims positions;
  for (size_t i = 0; i < rank; ++i) {
    SymExpr span = SymExpr((*dilations)[i]) * (kernel[i] - SymExpr(1));
    SymExpr room = spatial[i] + SymExpr((*pads)[i]) +
                   SymExpr((*pads)[i + rank]) - span - SymExpr(1);
    positions.push_back(
        SymExpr::apply(SymExpr::Fn::FloorDiv, room, SymExpr((*strides)[i])) +
        SymExpr(1));
  }
  return positions;
}

static FailureOr<Dims> inferDims(ConvOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> weight = joiner.dimsOf(op.getWeight(), "weight");
  if (failed(input) || failed(weight))
    return failure();
  if (input->size() < 3 || weight->size() != input->size())
    return joiner.error("expected input and weight of one rank >= 3, found "
                        "ranks ",
                        input->size(), " and ", weight->size());
  FailureOr<Dims> positions = windowPositions(
      ArrayRef(*input).drop_front(2), ArrayRef(*weight).drop_front(2),
      op.getStridesAttr(), op.getPadsAttr(), op.getDilationsAttr(), joiner);
  if (failed(positions))
    return failure();
  if (!op.getGroupAttr())
    return joiner.error("expected a group, found none");
  int64_t group = op.getGroup();
  if (failed(inRange(group, 1, "group", joiner)) ||
      failed(joiner.equal((*input)[1], (*weight)[1] * SymExpr(group),
                          "the input's channels and weight's times group")))
    return failure();
  if ((*weight)[0].constant().value_or(0) % group != 0)
    return joiner.error("expected output channels divisible by group ", group,
                        ", found ", (*weight)[0].str());
  Dims dims{(*input)[0], (*weight)[0]};
  dims.append(positions->begin(), positions->end());
  return dims;
}
TENON_INFER(ConvOp, firstElement(adaptor.getOperands()))

LogicalResult ConvOp::verify() {
  Type input = getInput().getType().getElementType();
  Type weight = getWeight().getType().getElementType();
  if (input != weight)
    return emitOpError() << "expected operands of one element type, found "
                         << input << " and " << weight;
  return success();
}

} // namespace tenon
