//===- NodeImporter.cpp - what an operator's import function sees ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/NodeImporter.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "lib/Import/Onnx/Library/OnnxLibrary.h"
#include "lib/Import/Onnx/Node/Choices.h"
#include "lib/Import/Onnx/Node/InputValues.h"
#include "lib/Import/Onnx/Node/Weights.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/OperationSupport.h"
#include "onnx/onnx_pb.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace tenon::onnximport {

NodeImporter::NodeImporter(ImportState &state, const onnx::NodeProto &proto,
                           int64_t opset, Location loc, ArrayRef<Value> inputs)
    : state(state), builder(state.builder), proto(proto), opset(opset),
      loc(loc), inputs(inputs), results(proto.output_size()) {}

bool hasArity(const onnx::GraphProto &graph, int inputs, int outputs) {
  return graph.input_size() == inputs && graph.output_size() == outputs;
}

const std::string &NodeImporter::opType() const { return proto.op_type(); }

const std::string &NodeImporter::domain() const { return proto.domain(); }

StringRef NodeImporter::outputName(unsigned i) const {
  return i < numOutputs() ? StringRef(proto.output(i)) : StringRef();
}

void NodeImporter::out(unsigned i, Value value) {
  if (i < results.size())
    results[i] = value;
}

bool NodeImporter::requireInputs(std::initializer_list<unsigned> at) {
  for (unsigned i : at)
    if (!has(i)) {
      error("input " + Twine(i) + " is missing");
      return false;
    }
  return true;
}

Value NodeImporter::error(const Twine &text) {
  if (message.empty())
    message = text.str();
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Packed tensors
//===----------------------------------------------------------------------===//

SymExpr packedBytes(RankedTensorType type) {
  return SymExpr::apply(SymExpr::Fn::CeilDiv, productOf(getDims(type)),
                        SymExpr(8 / storedBits(type.getElementType())));
}

static Value reshapeTo(OpBuilder &builder, Location loc, Value v,
                       ArrayRef<SymExpr> dims) {
  if (!v || getDims(v) == SmallVector<SymExpr>(dims))
    return v;
  FailureOr<ReshapeOp> reshaped = tryCreate<ReshapeOp>(
      builder, loc, {v},
      {builder.getNamedAttr("dims",
                            DimsAttr::get(builder.getContext(), dims))});
  return succeeded(reshaped) ? Value(*reshaped) : Value();
}

Value unpackTensor(OpBuilder &builder, Location loc, Value bytes,
                   RankedTensorType type) {
  SymExpr size = productOf(getDims(type));
  FailureOr<UnpackOp> elements = tryCreate<UnpackOp>(
      builder, loc, {bytes},
      {builder.getNamedAttr("size", builder.getStringAttr(size.str())),
       builder.getNamedAttr("elementType",
                            TypeAttr::get(type.getElementType()))});
  if (mlir::failed(elements))
    return nullptr;
  return reshapeTo(builder, loc, *elements, getDims(type));
}

Value packTensor(OpBuilder &builder, Location loc, Value value) {
  value = reshapeTo(builder, loc, value, {productOf(getDims(value))});
  if (!value)
    return nullptr;
  FailureOr<PackOp> packed = tryCreate<PackOp>(builder, loc, {value}, {});
  return succeeded(packed) ? Value(*packed) : Value();
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

const onnx::AttributeProto *NodeImporter::attr(StringRef name) const {
  for (const auto &attribute : proto.attribute())
    if (StringRef(attribute.name()) == name)
      return &attribute;
  return nullptr;
}

const onnx::GraphProto *NodeImporter::getGraph(StringRef name) const {
  const auto *a = attr(name);
  return a ? &a->g() : nullptr;
}

int64_t NodeImporter::getInt(StringRef name, int64_t otherwise) const {
  const auto *a = attr(name);
  return a && a->type() == onnx::AttributeProto::INT ? a->i() : otherwise;
}

double NodeImporter::getFloat(StringRef name, double otherwise) const {
  const auto *a = attr(name);
  return a && a->type() == onnx::AttributeProto::FLOAT ? a->f() : otherwise;
}

std::string NodeImporter::getString(StringRef name, StringRef otherwise) const {
  const auto *a = attr(name);
  return a && a->type() == onnx::AttributeProto::STRING ? a->s()
                                                        : otherwise.str();
}

std::optional<Ints> NodeImporter::getInts(StringRef name) const {
  const auto *a = attr(name);
  if (!a || a->type() != onnx::AttributeProto::INTS)
    return std::nullopt;
  return Ints(a->ints().begin(), a->ints().end());
}

SmallVector<float> NodeImporter::getFloats(StringRef name) const {
  const auto *a = attr(name);
  return a ? SmallVector<float>(a->floats().begin(), a->floats().end())
           : SmallVector<float>();
}

SmallVector<std::string> NodeImporter::getStrings(StringRef name) const {
  const auto *a = attr(name);
  return a ? SmallVector<std::string>(a->strings().begin(), a->strings().end())
           : SmallVector<std::string>();
}

std::optional<Ints> NodeImporter::getIntsAttrOrInput(StringRef name,
                                                     unsigned input) {
  if (!has(input))
    return getInts(name);
  return constInts(in(input), name);
}

std::optional<Dims> NodeImporter::getDimsAttrOrInput(StringRef name,
                                                     unsigned input) {
  if (has(input))
    return knownDims(in(input), name);
  std::optional<Ints> ints = getInts(name);
  return ints ? std::optional(Dims(ints->begin(), ints->end())) : std::nullopt;
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

RankedTensorType NodeImporter::type(Value v) {
  return v ? mlir::cast<RankedTensorType>(v.getType()) : RankedTensorType();
}
Type NodeImporter::elem(Value v) {
  return v ? type(v).getElementType() : Type();
}
bool NodeImporter::isFloat(Value v) { return v && isa<FloatType>(elem(v)); }
bool NodeImporter::isBool(Value v) { return v && elem(v).isInteger(1); }
int64_t NodeImporter::rank(Value v) { return v ? type(v).getRank() : 0; }
Dims NodeImporter::dims(Value v) {
  // After an error dims are still taken by number: as many as there can be.
  constexpr unsigned kMaxRank = 8;
  return v ? getDims(v) : Dims(kMaxRank, SymExpr(1));
}

Type NodeImporter::elementType(int32_t onnxType) {
  Type type = builtinType(builder.getContext(), onnxType);
  if (!type)
    error("data type " + dataTypeName(onnxType) + " is not supported");
  return type;
}

Type NodeImporter::elementType(StringRef onnxType) {
  onnx::TensorProto::DataType type;
  if (onnx::TensorProto::DataType_Parse(onnxType.str(), &type))
    return elementType(int32_t(type));
  error("data type '" + onnxType + "' is unknown");
  return nullptr;
}

int64_t NodeImporter::axis(int64_t axis, int64_t rank) {
  int64_t positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank) {
    error("axis " + Twine(axis) + " is outside the rank: expected -" +
          Twine(rank) + " to " + Twine(rank - 1));
    return 0;
  }
  return positive;
}

Ints NodeImporter::axes(ArrayRef<int64_t> given, int64_t rank) {
  Ints result;
  for (int64_t a : given)
    result.push_back(axis(a, rank));
  llvm::sort(result);
  if (std::adjacent_find(result.begin(), result.end()) != result.end())
    error("an axis is given twice");
  if (failed())
    return {};
  return result;
}

//===----------------------------------------------------------------------===//
// Known values
//===----------------------------------------------------------------------===//

std::optional<Dims> NodeImporter::knownDims(Value v, StringRef what) {
  if (!v)
    return std::nullopt;
  const KnownValue *value = state.known.demand(v);
  if (!value) {
    error("'" + what +
          "' depends on data: expected a constant or a value computed from "
          "the inputs' dims and integers");
    return std::nullopt;
  }
  return value->elements;
}

SymExpr NodeImporter::readNumber(Value v, const SymExpr &bound) {
  std::optional<KnownValue> value;
  if (v)
    value = state.known.read(v, bound.str());
  if (!value || value->elements.empty()) {
    error("the number of results cannot be read");
    return SymExpr(0);
  }
  return value->elements.front();
}

std::optional<Ints> NodeImporter::constInts(Value v, StringRef what) {
  std::optional<Dims> elements = knownDims(v, what);
  if (!elements)
    return std::nullopt;
  Ints result;
  for (const SymExpr &element : *elements) {
    std::optional<int64_t> constant = element.constant();
    if (!constant) {
      error("'" + what + "' must be constant, found " + element.str() +
            whatSettles(state, element));
      return std::nullopt;
    }
    result.push_back(*constant);
  }
  return result;
}

std::optional<Ints> NodeImporter::constants(ArrayRef<SymExpr> elements) {
  Ints result;
  for (const SymExpr &element : elements) {
    std::optional<int64_t> constant = element.constant();
    if (!constant)
      return std::nullopt;
    result.push_back(*constant);
  }
  return result;
}

std::optional<double> NodeImporter::constScalar(Value v) {
  auto op = v ? v.getDefiningOp<ConstantOp>() : ConstantOp();
  auto dense =
      op ? dyn_cast<DenseElementsAttr>(op.getValue()) : DenseElementsAttr();
  if (!dense || dense.getNumElements() != 1)
    return std::nullopt;
  if (isa<FloatType>(dense.getElementType())) {
    APFloat value = *dense.getValues<APFloat>().begin();
    bool lost;
    value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
    return value.convertToDouble();
  }
  APInt value = *dense.getValues<APInt>().begin();
  bool isUnsigned = dense.getElementType().isUnsignedInteger() ||
                    dense.getElementType().isInteger(1);
  return isUnsigned ? double(value.getZExtValue())
                    : double(value.getSExtValue());
}

static void createCheck(NodeImporter &n, CheckKind kind, const SymExpr &lhs,
                        const SymExpr &rhs) {
  CheckOp::create(n.builder, n.loc, kind, lhs.str(), rhs.str());
}

void NodeImporter::checkNonNegative(const SymExpr &e) {
  if (std::optional<int64_t> constant = e.constant()) {
    if (*constant < 0)
      error("a dim would be negative: " + e.str());
    return;
  }
  if (!e.isNonNegative())
    createCheck(*this, CheckKind::le, SymExpr(0), e);
}

void NodeImporter::checkEqual(const SymExpr &a, const SymExpr &b) {
  if (a == b)
    return;
  if ((a - b).isConstant())
    error("dims that must be equal differ: " + a.str() + " and " + b.str());
  else
    createCheck(*this, CheckKind::eq, a, b);
}

void NodeImporter::checkLessEqual(const SymExpr &a, const SymExpr &b) {
  if ((b - a).isNonNegative())
    return;
  if ((b - a).isConstant())
    error("expected at most " + b.str() + ", found " + a.str());
  else
    createCheck(*this, CheckKind::le, a, b);
}

void NodeImporter::checkChoice(const SymExpr &condition, bool value) {
  if (failed() || condition == SymExpr(value))
    return;
  SymExpr lhs = condition, rhs(value);
  if (std::optional<SymExpr::Call> call = condition.asCall();
      call && call->fn == SymExpr::Fn::Eq && value) {
    lhs = call->a;
    rhs = call->b;
  }
  auto check =
      CheckOp::create(builder, loc, CheckKind::eq, lhs.str(), rhs.str());
  check->setAttr("tenon.hint",
                 builder.getStringAttr("compile with " +
                                       optionsThatSettle(condition, !value)));
}

//===----------------------------------------------------------------------===//
// Creating ops
//===----------------------------------------------------------------------===//

Value NodeImporter::make(StringRef name, ValueRange operands,
                         ArrayRef<NamedAttribute> attrs) {
  if (failed())
    return nullptr;
  for (Value operand : operands)
    if (!operand)
      return error("an operand is missing");
  FailureOr<Operation *> op = tryCreate(builder, loc, name, operands, attrs);
  // Inference looks at dims; the verifier also at element types.
  if (succeeded(op) && mlir::failed((*op)->getName().verifyInvariants(*op))) {
    (*op)->erase();
    op = failure();
  }
  if (mlir::failed(op))
    return error("cannot be expressed as " + name); // the diagnostic says why
  Value simplified = state.known.simplify(builder, *op);
  if (Operation *defining = simplified.getDefiningOp())
    insertShapeChecks(builder, defining);
  // Dims that come from data can be anything; those of operands were checked.
  for (const SymExpr &dim : dims(simplified))
    if (dim.hasElements() && llvm::none_of(operands, [&](Value operand) {
          return llvm::is_contained(dims(operand), dim);
        }))
      checkNonNegative(dim);
  return simplified;
}

DimsAttr NodeImporter::dimsAttr(ArrayRef<SymExpr> dims) {
  return DimsAttr::get(builder.getContext(), dims);
}

Value NodeImporter::constant(ElementsAttr value) {
  return make<ConstantOp>({}, {named("value", value)});
}

Value NodeImporter::tensor(StringRef attribute) {
  const auto *a = attr(attribute);
  if (!a)
    return error(attribute + " is missing");
  std::string problem;
  TensorAttr value = state.tensorAttr(a->t(), problem);
  if (!value)
    return error(problem);
  if (value.type == value.value.getType())
    return constant(value.value);
  Value result = createTensor(builder, loc, value);
  return result ? result : error("the tensor cannot be expressed");
}

Value NodeImporter::scalar(double value, Type elementType) {
  if (!elementType)
    return nullptr;
  Attribute attr;
  if (isa<FloatType>(elementType))
    attr = builder.getFloatAttr(elementType, value);
  else
    attr = IntegerAttr::get(
        elementType, APInt(elementType.getIntOrFloatBitWidth(),
                           static_cast<int64_t>(value), /*isSigned=*/true,
                           /*implicitTrunc=*/true));
  return constant(
      DenseElementsAttr::get(RankedTensorType::get({}, elementType), attr));
}

Value NodeImporter::ints(ArrayRef<int64_t> values) {
  auto type =
      RankedTensorType::get({int64_t(values.size())}, builder.getI64Type());
  return constant(DenseElementsAttr::get(type, values));
}

Value NodeImporter::dimScalar(const SymExpr &e, Type elementType) {
  if (std::optional<int64_t> value = e.constant())
    return constant(DenseElementsAttr::get(
        RankedTensorType::get({}, elementType),
        APInt(elementType.getIntOrFloatBitWidth(), *value, /*isSigned=*/true,
              /*implicitTrunc=*/true)));
  return make<DimsValueOp>(
      {}, {named("exprs", dimsAttr({e})),
           named("elementType", TypeAttr::get(elementType)), flag("scalar")});
}

Value NodeImporter::iota(const SymExpr &size, Type elementType) {
  return iota(SymExpr(0), SymExpr(1), size, elementType);
}

Value NodeImporter::iota(const SymExpr &start, const SymExpr &step,
                         const SymExpr &size, Type elementType) {
  auto text = [&](const SymExpr &e) { return builder.getStringAttr(e.str()); };
  return make<IotaOp>({}, {named("start", text(start)),
                           named("step", text(step)), named("size", text(size)),
                           named("elementType", TypeAttr::get(elementType))});
}

Value NodeImporter::add(Value a, Value b) { return make<AddOp>({a, b}); }
Value NodeImporter::sub(Value a, Value b) { return make<SubOp>({a, b}); }
Value NodeImporter::mul(Value a, Value b) { return make<MulOp>({a, b}); }
Value NodeImporter::div(Value a, Value b) { return make<DivOp>({a, b}); }
Value NodeImporter::max(Value a, Value b) { return make<MaxOp>({a, b}); }
Value NodeImporter::min(Value a, Value b) { return make<MinOp>({a, b}); }
Value NodeImporter::andOp(Value a, Value b) { return make<AndOp>({a, b}); }
Value NodeImporter::notOp(Value a) { return make<NotOp>({a}); }
Value NodeImporter::exp(Value a) { return make<ExpOp>({a}); }
Value NodeImporter::log(Value a) { return make<LogOp>({a}); }
Value NodeImporter::sqrt(Value a) { return make<SqrtOp>({a}); }
Value NodeImporter::select(Value c, Value a, Value b) {
  return make<SelectOp>({c, a, b});
}

Value NodeImporter::compare(CompareKind kind, Value a, Value b) {
  return make<CompareOp>(
      {a, b},
      {named("kind", CompareKindAttr::get(builder.getContext(), kind))});
}

Value NodeImporter::cast(Value v, Type to) {
  if (!v || !to || elem(v) == to)
    return v;
  return make<CastOp>({v}, {named("to", TypeAttr::get(to))});
}

Value NodeImporter::cast(Value v, Type to, bool saturate, RoundMode round) {
  const SmallFloatFormat *format = to ? smallFloatFormat(to) : nullptr;
  if (!v || !format || elem(v) == to)
    return cast(v, to);
  SmallVector<NamedAttribute> attrs = {named("to", TypeAttr::get(to))};
  if (!saturate)
    attrs.push_back(flag("unsaturated"));
  if (format->exponentOnly && round != RoundMode::up)
    attrs.push_back(
        named("round", RoundModeAttr::get(builder.getContext(), round)));
  return make<CastOp>({v}, attrs);
}

Value NodeImporter::reshape(Value v, ArrayRef<SymExpr> to) {
  if (!v || dims(v) == Dims(to))
    return v;
  return make<ReshapeOp>({v}, {named("dims", dimsAttr(to))});
}

Value NodeImporter::unsqueeze(Value v, ArrayRef<int64_t> at) {
  if (!v)
    return v;
  Ints sorted = axes(at, rank(v) + at.size());
  if (failed())
    return nullptr;
  Dims to = dims(v);
  for (int64_t a : sorted)
    to.insert(to.begin() + a, SymExpr(1));
  return reshape(v, to);
}

Value NodeImporter::squeeze(Value v, ArrayRef<int64_t> at) {
  if (!v)
    return v;
  Ints sorted = axes(at, rank(v));
  if (failed())
    return nullptr;
  Dims from = dims(v), to;
  for (size_t d = 0; d < from.size(); ++d) {
    if (!llvm::is_contained(sorted, int64_t(d)))
      to.push_back(from[d]);
    else
      checkEqual(from[d], SymExpr(1));
  }
  return reshape(v, to);
}

Value NodeImporter::broadcast(Value v, ArrayRef<SymExpr> to) {
  if (!v || dims(v) == Dims(to))
    return v;
  return make<BroadcastToOp>({v}, {named("dims", dimsAttr(to))});
}

Value NodeImporter::transpose(Value v, ArrayRef<int64_t> perm) {
  if (!v)
    return v;
  bool identity = true;
  for (size_t i = 0; i < perm.size(); ++i)
    identity &= perm[i] == int64_t(i);
  if (identity)
    return v;
  return make<TransposeOp>({v},
                           {named("perm", builder.getDenseI64ArrayAttr(perm))});
}

Value NodeImporter::slice(Value v, int64_t axis, const SymExpr &start,
                          const SymExpr &size) {
  if (!v)
    return v;
  Dims to = dims(v), starts(to.size(), SymExpr(0));
  Ints steps(to.size(), 1);
  if (start == SymExpr(0) && size == to[axis])
    return v;
  starts[axis] = start;
  to[axis] = size;
  return make<SliceOp>({v},
                       {named("starts", dimsAttr(starts)),
                        named("steps", builder.getDenseI64ArrayAttr(steps)),
                        named("dims", dimsAttr(to))});
}

Value NodeImporter::concat(ValueRange values, int64_t axis) {
  if (values.size() == 1)
    return values.front();
  return make<ConcatOp>(values,
                        {named("axis", builder.getI64IntegerAttr(axis))});
}

Value NodeImporter::gather(Value v, Value indices, int64_t axis) {
  return make<GatherOp>({v, indices},
                        {named("axis", builder.getI64IntegerAttr(axis))});
}

Value NodeImporter::reduce(ReduceKind kind, Value v, ArrayRef<int64_t> over,
                           bool keepdims) {
  SmallVector<NamedAttribute> attrs = {
      named("kind", ReduceKindAttr::get(builder.getContext(), kind)),
      named("axes", builder.getDenseI64ArrayAttr(over))};
  if (keepdims)
    attrs.push_back(flag("keepdims"));
  return make<ReduceOp>({v}, attrs);
}

Value NodeImporter::matmul(Value a, Value b, bool transposeA, bool transposeB) {
  SmallVector<NamedAttribute> attrs;
  if (transposeA)
    attrs.push_back(flag("transposeA"));
  if (transposeB)
    attrs.push_back(flag("transposeB"));
  return make<MatMulOp>({a, b}, attrs);
}

Value NodeImporter::softmaxLast(Value v) { return make<SoftmaxOp>({v}); }

Value NodeImporter::layerNorm(Value x, Value scale, Value bias, double epsilon,
                              int64_t over) {
  SmallVector<Value> operands = {x};
  if (scale)
    operands.push_back(scale);
  if (bias)
    operands.push_back(bias);
  SmallVector<NamedAttribute> attrs = {
      named("epsilon", builder.getF64FloatAttr(epsilon)),
      named("dims", builder.getI64IntegerAttr(over)),
      // Two optional operands need the segment sizes said.
      named("operandSegmentSizes",
            builder.getDenseI32ArrayAttr({1, scale ? 1 : 0, bias ? 1 : 0}))};
  return make<LayerNormOp>(operands, attrs);
}

Value NodeImporter::rmsNorm(Value x, Value scale, double epsilon,
                            int64_t over) {
  SmallVector<Value> operands = {x};
  if (scale)
    operands.push_back(scale);
  return make<RmsNormOp>(operands,
                         {named("epsilon", builder.getF64FloatAttr(epsilon)),
                          named("dims", builder.getI64IntegerAttr(over))});
}

} // namespace tenon::onnximport
