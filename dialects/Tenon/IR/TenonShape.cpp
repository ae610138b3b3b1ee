//===- TenonShape.cpp - symbolic dims of tenon types ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/ReadDims.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonInfer.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonSize.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// Types and dims
//===----------------------------------------------------------------------===//

SmallVector<SymExpr> getDims(Type type) {
  SmallVector<SymExpr> dims;
  auto tensor = dyn_cast_or_null<RankedTensorType>(type);
  if (!tensor)
    return dims;
  auto names = dyn_cast_or_null<DimsAttr>(tensor.getEncoding());
  if (names && names.getExprs().size() == size_t(tensor.getRank()))
    return names.getSymExprs();
  for (int64_t size : tensor.getShape())
    // Inference and verifiers reject unnamed dims; until then they need some
    // name.
    dims.push_back(ShapedType::isDynamic(size) ? SymExpr::symbol("_unnamed")
                                               : SymExpr(size));
  return dims;
}

SmallVector<SymExpr> getDims(Value value) { return getDims(value.getType()); }

RankedTensorType getTensorType(ArrayRef<SymExpr> dims, Type elementType) {
  SmallVector<int64_t> shape;
  bool dynamic = false;
  for (const SymExpr &dim : dims) {
    std::optional<int64_t> size = dim.constant();
    dynamic |= !size;
    shape.push_back(size ? std::max<int64_t>(*size, 0) : ShapedType::kDynamic);
  }
  Attribute encoding;
  if (dynamic)
    encoding = DimsAttr::get(elementType.getContext(), dims);
  return RankedTensorType::get(shape, elementType, encoding);
}

SymExpr productOf(ArrayRef<SymExpr> dims) {
  SymExpr product(1);
  for (const SymExpr &dim : dims)
    product = product * dim;
  return product;
}

bool isOneElement(ArrayRef<SymExpr> dims) {
  return productOf(dims).constant() == 1;
}

bool isOneElement(Value value) { return isOneElement(getDims(value)); }

std::string textOf(ArrayRef<SymExpr> dims) {
  std::string text = "[";
  for (const SymExpr &dim : dims)
    text += (text.size() > 1 ? ", " : "") + dim.str();
  return text + "]";
}

std::string whyTooLarge(RankedTensorType type) {
  constexpr int64_t kMaxElements = int64_t(1) << 46; // as the runtime's bytes
  int64_t elements = 1;
  for (int64_t dim : type.getShape()) {
    if (dim == 0)
      return "";
    if (!ShapedType::isDynamic(dim) &&
        (__builtin_mul_overflow(elements, dim, &elements) ||
         elements > kMaxElements))
      elements = INT64_MAX;
  }
  if (elements <= kMaxElements)
    return "";
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "a tensor of ";
  llvm::interleave(
      getDims(type), os, [&](const SymExpr &dim) { os << dim.str(); }, " x ");
  os << " elements is too large: expected at most 2^46";
  return text;
}

bool hasNamedDims(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && (tensor.hasStaticShape() ||
                    isa_and_nonnull<DimsAttr>(tensor.getEncoding()));
}

bool isSupportedElementType(Type type) {
  if (!type)
    return false;
  if (isa<Float32Type, Float64Type, Float16Type, BFloat16Type>(type) ||
      smallFloatFormat(type))
    return true;
  auto integer = dyn_cast<IntegerType>(type);
  if (!integer || integer.isSigned())
    return false;
  unsigned width = integer.getWidth();
  if (width == 1)
    return integer.isSignless();
  return llvm::is_contained({2u, 4u, 8u, 16u, 32u, 64u}, width);
}

const SmallFloatFormat *smallFloatFormat(Type type) {
  return llvm::TypeSwitch<Type, const SmallFloatFormat *>(type)
      .Case([](Float8E4M3FNType) { return &kF8E4M3FN; })
      .Case([](Float8E4M3FNUZType) { return &kF8E4M3FNUZ; })
      .Case([](Float8E5M2Type) { return &kF8E5M2; })
      .Case([](Float8E5M2FNUZType) { return &kF8E5M2FNUZ; })
      .Case([](Float8E8M0FNUType) { return &kF8E8M0; })
      .Case([](Float4E2M1FNType) { return &kF4E2M1; })
      .Default([](Type) { return nullptr; });
}

unsigned storedBits(Type type) {
  return type.isInteger(1) ? 8 : type.getIntOrFloatBitWidth();
}

bool areCompatibleTypes(TypeRange l, TypeRange r) {
  if (l.size() != r.size())
    return false;
  for (auto [a, b] : llvm::zip(l, r)) {
    auto ta = dyn_cast<RankedTensorType>(a), tb = dyn_cast<RankedTensorType>(b);
    if (!ta || !tb || ta.getElementType() != tb.getElementType() ||
        ta.getRank() != tb.getRank())
      return false;
    for (auto [x, y] : llvm::zip(ta.getShape(), tb.getShape()))
      if (x != y && !ShapedType::isDynamic(x) && !ShapedType::isDynamic(y))
        return false;
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Joining dims
//===----------------------------------------------------------------------===//

/// min(a,c) against a: equal as long as a <= c.
static std::optional<JoinedDim> joinWithMin(const SymExpr &m,
                                            const SymExpr &a) {
  std::vector<SymExpr> operands = SymExpr::operandsOf(SymExpr::Fn::Min, m);
  if (operands.size() < 2 || a.isConstant())
    return std::nullopt;
  std::optional<SymExpr> others;
  bool found = false;
  for (const SymExpr &operand : operands) {
    if (operand == a)
      found = true;
    else
      others =
          others ? SymExpr::apply(SymExpr::Fn::Min, *others, operand) : operand;
  }
  if (!found || !others)
    return std::nullopt;
  return JoinedDim{a, JoinedDim::Check{CheckKind::le, a, *others}};
}

/// Is every operand of bcast `part` among those of bcast `whole`?
static bool isPartOfBroadcast(const SymExpr &part, const SymExpr &whole) {
  std::vector<SymExpr> all = SymExpr::operandsOf(SymExpr::Fn::Bcast, whole);
  return llvm::all_of(
      SymExpr::operandsOf(SymExpr::Fn::Bcast, part),
      [&](const SymExpr &operand) { return llvm::is_contained(all, operand); });
}

std::optional<JoinedDim> broadcastDims(const SymExpr &a, const SymExpr &b) {
  if (a == b)
    return JoinedDim{a, std::nullopt};
  std::optional<int64_t> ca = a.constant(), cb = b.constant();
  if (ca == 1)
    return JoinedDim{b, std::nullopt};
  if (cb == 1)
    return JoinedDim{a, std::nullopt};
  if (ca && cb)
    return std::nullopt;
  if (std::optional<JoinedDim> joined = joinWithMin(a, b))
    return joined;
  if (std::optional<JoinedDim> joined = joinWithMin(b, a))
    return joined;
  if (ca)
    return JoinedDim{a, JoinedDim::Check{CheckKind::bcast, b, a}};
  if (cb)
    return JoinedDim{b, JoinedDim::Check{CheckKind::bcast, a, b}};
  // Where `a` was made by broadcasting `b`, they can be joined already.
  if (isPartOfBroadcast(b, a))
    return JoinedDim{a, std::nullopt};
  if (isPartOfBroadcast(a, b))
    return JoinedDim{b, std::nullopt};
  return JoinedDim{SymExpr::apply(SymExpr::Fn::Bcast, a, b),
                   JoinedDim::Check{CheckKind::bcast, a, b}};
}

std::optional<JoinedDim> equalDims(const SymExpr &a, const SymExpr &b) {
  if (a == b)
    return JoinedDim{a, std::nullopt};
  if ((a - b).isConstant()) // differ whatever the symbols are
    return std::nullopt;
  if (std::optional<JoinedDim> joined = joinWithMin(a, b))
    return joined;
  if (std::optional<JoinedDim> joined = joinWithMin(b, a))
    return joined;
  // A constant says most, a plain symbol more than an expression.
  bool takeB =
      b.isConstant() || (!a.isConstant() && !a.asSymbol() && b.asSymbol());
  return JoinedDim{takeB ? b : a, JoinedDim::Check{CheckKind::eq, a, b}};
}

static std::optional<SmallVector<SymExpr>>
broadcastInto(ArrayRef<Dims> shapes, unsigned *bad,
              SmallVectorImpl<JoinedDim::Check> *checks) {
  size_t rank = 0;
  for (const Dims &shape : shapes)
    rank = std::max(rank, shape.size());
  SmallVector<SymExpr> result(rank, SymExpr(1));
  for (const Dims &shape : shapes)
    for (size_t i = 0; i < shape.size(); ++i) {
      SymExpr &dim = result[rank - shape.size() + i];
      std::optional<JoinedDim> joined = broadcastDims(dim, shape[i]);
      if (!joined) {
        if (bad)
          *bad = shape.size() - 1 - i;
        return std::nullopt;
      }
      dim = joined->dim;
      if (joined->check && checks)
        checks->push_back(*joined->check);
    }
  return result;
}

bool isBroadcastOf(ArrayRef<SymExpr> from, ArrayRef<SymExpr> to) {
  return from.size() <= to.size() &&
         llvm::all_of(llvm::zip_equal(from, to.take_back(from.size())),
                      [](const auto &pair) {
                        const auto &[own, dim] = pair;
                        return own == dim || own.constant() == 1;
                      });
}

std::optional<SmallVector<SymExpr>>
broadcastShapes(ArrayRef<SmallVector<SymExpr>> shapes, unsigned *bad) {
  return broadcastInto(shapes, bad, nullptr);
}

//===----------------------------------------------------------------------===//
// ShapeJoiner
//===----------------------------------------------------------------------===//

/// The type with names for its dims, where the text has none.
static RankedTensorType withNames(RankedTensorType type) {
  Dims dims;
  for (auto [i, size] : llvm::enumerate(type.getShape()))
    dims.push_back(ShapedType::isDynamic(size)
                       ? SymExpr::symbol("d" + std::to_string(i))
                       : SymExpr(size));
  return getTensorType(dims, type.getElementType());
}

FailureOr<Dims> ShapeJoiner::dimsOf(Value operand, StringRef what) const {
  auto type = operand ? dyn_cast<RankedTensorType>(operand.getType()) : nullptr;
  if (type && hasNamedDims(type))
    return getDims(operand);
  if (type)
    return error("expected ", what, " to name its dynamic dims, as ",
                 withNames(type), " does, found ", type);
  if (!operand)
    return error("expected ", what, ", found none");
  return error("expected ", what, " to be a ranked tensor, found ",
               operand.getType());
}

FailureOr<Dims> ShapeJoiner::broadcast(ArrayRef<Dims> shapes) {
  unsigned bad = 0;
  if (auto dims = broadcastInto(shapes, &bad, &checks))
    return *dims;
  std::string found;
  for (const Dims &shape : shapes)
    found += (found.empty() ? "" : " and ") + textOf(shape);
  return error("expected dims that broadcast, found ", found,
               " (they clash in dim ", bad, " from the last)");
}

FailureOr<SymExpr> ShapeJoiner::equal(const SymExpr &a, const SymExpr &b,
                                      const Twine &what) {
  std::optional<JoinedDim> joined = equalDims(a, b);
  if (!joined)
    return error("expected ", what.str(), " to be equal, found ", a.str(),
                 " and ", b.str());
  require(joined->check);
  return joined->dim;
}

void ShapeJoiner::require(const std::optional<JoinedDim::Check> &check) {
  if (check)
    checks.push_back(*check);
}
void ShapeJoiner::require(CheckKind kind, const SymExpr &lhs,
                          const SymExpr &rhs) {
  checks.push_back({kind, lhs, rhs});
}

FailureOr<int64_t> ShapeJoiner::axis(IntegerAttr attr, size_t rank) const {
  if (!attr)
    return error("expected an axis, found none");
  int64_t axis = attr.getInt();
  if (axis < 0 || axis >= int64_t(rank))
    return error("expected an axis in [0, ", rank, "), found ", axis);
  return axis;
}

FailureOr<ArrayRef<int64_t>>
ShapeJoiner::perDim(DenseI64ArrayAttr attr, size_t rank, StringRef what) const {
  size_t found = attr ? attr.size() : 0;
  if (!attr || found != rank)
    return error("expected ", rank, " ", what, ", found ", found);
  return attr.asArrayRef();
}

FailureOr<Dims> ShapeJoiner::perDim(DimsAttr attr, size_t rank,
                                    StringRef what) const {
  size_t found = attr ? attr.getExprs().size() : 0;
  if (!attr || found != rank)
    return error("expected ", rank, " ", what, ", found ", found);
  return attr.getSymExprs();
}

LogicalResult ShapeJoiner::finish(FailureOr<Dims> dims, Type elementType,
                                  SmallVectorImpl<Type> &inferred) const {
  if (failed(dims))
    return failure();
  if (!isSupportedElementType(elementType)) {
    if (!elementType)
      return error("expected an element type, found none");
    return error("expected a number or bool element type, found ", elementType);
  }
  for (auto [i, dim] : llvm::enumerate(*dims)) {
    if (dim.constant().value_or(0) < 0)
      return error("expected dims >= 0, found ", dim.str(), " in dim ", i,
                   " of the result");
    if (dim.complexity() > SymExpr::maxComplexity)
      return error("dim ", i, " of the result is too long an expression");
  }
  inferred.push_back(getTensorType(*dims, elementType));
  return success();
}

LogicalResult inferElementwise(StringRef opName,
                               std::optional<Location> location,
                               ValueRange operands, Type elementType,
                               SmallVectorImpl<Type> &inferred) {
  ShapeJoiner joiner(opName, location);
  SmallVector<Dims> shapes;
  for (Value operand : operands) {
    FailureOr<Dims> dims = joiner.dimsOf(operand, "each operand");
    if (failed(dims))
      return failure();
    shapes.push_back(std::move(*dims));
  }
  return joiner.finish(joiner.broadcast(shapes), elementType, inferred);
}

void recordElementwise(Operation *op, ShapeJoiner &joiner) {
  SmallVector<Dims> shapes;
  for (Value operand : op->getOperands())
    shapes.push_back(getDims(operand));
  (void)joiner.broadcast(shapes);
}

bool isBroadcast(Operation *op, unsigned operand) {
  return productOf(getDims(op->getResult(0))) !=
         productOf(getDims(op->getOperand(operand)));
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

/// The relations that the op's inferred type relies on.
static SmallVector<JoinedDim::Check> collectChecks(Operation *op) {
  ShapeJoiner joiner(op->getName().getStringRef(), std::nullopt);
  if (auto inference = dyn_cast<InferDimsInterface>(op))
    inference.recordChecks(joiner);
  return SmallVector<JoinedDim::Check>(joiner.getChecks());
}

/// eq and bcast are symmetric: one order, so that repeats are seen.
static std::pair<std::string, std::string>
orderSides(const JoinedDim::Check &check) {
  bool swap = check.kind != CheckKind::le &&
              (check.lhs.isConstant() ||
               (!check.rhs.isConstant() && check.rhs < check.lhs));
  std::string lhs = check.lhs.str(), rhs = check.rhs.str();
  if (swap)
    std::swap(lhs, rhs);
  return {lhs, rhs};
}

void insertShapeChecks(OpBuilder &builder, Operation *op) {
  for (const JoinedDim::Check &check : collectChecks(op)) {
    auto [lhs, rhs] = orderSides(check);
    bool stated = false;
    for (Operation *earlier = op->getPrevNode(); earlier && !stated;
         earlier = earlier->getPrevNode())
      if (auto other = dyn_cast<CheckOp>(earlier))
        // Equality implies that two dims broadcast.
        stated = !other.getWhen() && other.getLhs() == lhs &&
                 other.getRhs() == rhs &&
                 (other.getKind() == check.kind ||
                  (other.getKind() == CheckKind::eq &&
                   check.kind == CheckKind::bcast));
    if (stated)
      continue;
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(op);
    CheckOp::create(builder, op->getLoc(), check.kind, lhs, rhs);
  }
}

void limitTo(Operation *op, const SymExpr &condition) {
  if (!isa<CheckOp, ReadDimsOp, LoopOp>(op))
    return;
  auto when = op->getAttrOfType<StringAttr>("when");
  SymExpr before =
      when ? SymExpr::parse(when.str()).value_or(SymExpr(1)) : SymExpr(1);
  op->setAttr("when",
              StringAttr::get(op->getContext(), (before * condition).str()));
}

//===----------------------------------------------------------------------===//
// tryCreate
//===----------------------------------------------------------------------===//

FailureOr<Operation *> tryCreate(OpBuilder &builder, Location loc,
                                 StringRef name, ValueRange operands,
                                 ArrayRef<NamedAttribute> attrs) {
  OperationName opName(name, builder.getContext());
  if (!opName.isRegistered()) {
    emitError(loc) << "expected an op of a loaded dialect, found '" << name
                   << "'";
    return failure();
  }
  NamedAttrList list(attrs);
  // layer_norm's optional operands come in order: input, scale, bias.
  if (name == LayerNormOp::getOperationName() &&
      !list.get("operandSegmentSizes"))
    list.set("operandSegmentSizes",
             builder.getDenseI32ArrayAttr(
                 {1, operands.size() > 1, operands.size() > 2}));
  if (failed(opName.verifyInherentAttrs(
          list, [&] { return emitError(loc) << "'" << name << "' op "; })))
    return failure();

  auto inference = opName.getInterface<InferTypeOpInterface>();
  if (!inference) {
    OperationState state(loc, opName);
    state.addOperands(operands);
    state.addAttributes(list);
    return builder.create(state);
  }
  // The op's own properties are what inference reads, so it is created first,
  // detached, with a placeholder for the type that inference finds.
  SmallVector<Type> placeholder(1, builder.getNoneType());
  Operation *op =
      Operation::create(loc, opName, placeholder, operands, std::move(list),
                        /*properties=*/nullptr,
                        /*successors=*/BlockRange(),
                        /*numRegions=*/0);
  SmallVector<Type> types;
  if (failed(inference->inferReturnTypes(
          builder.getContext(), loc, op->getOperands(),
          op->getDiscardableAttrDictionary(), op->getPropertiesStorage(),
          op->getRegions(), types))) {
    op->destroy();
    return failure();
  }
  if (auto type = dyn_cast<RankedTensorType>(types.front())) {
    if (std::string why = whyTooLarge(type); !why.empty()) {
      emitError(loc) << "'" << name << "' op: " << why;
      op->destroy();
      return failure();
    }
  }
  op->getResult(0).setType(types.front());
  // Element types and operand kinds: a model's mistake is an error here, at
  // the node, not later in whatever pass meets the op.
  if (failed(op->getName().verifyInvariants(op))) {
    op->destroy();
    return failure();
  }
  builder.insert(op);
  return op;
}

} // namespace tenon
