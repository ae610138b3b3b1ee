//===- KnownValues.cpp - integers computed from dims, at import -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KnownValues.h"
#include "dialects/Tenon/IR/TenonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace tenon::onnximport {

/// Shapes and indices are short; longer integer tensors are data.
static constexpr int64_t maxElements = 64;

static std::optional<SmallVector<int64_t, 4>> knownShape(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.hasStaticShape() || !isa<IntegerType>(type.getElementType()))
    return std::nullopt;
  int64_t count = 1;
  for (int64_t dim : type.getShape())
    if (__builtin_mul_overflow(count, dim, &count))
      return std::nullopt;
  if (count > maxElements)
    return std::nullopt;
  return SmallVector<int64_t, 4>(type.getShape());
}

static int64_t countOf(ArrayRef<int64_t> shape) {
  int64_t count = 1;
  for (int64_t dim : shape)
    count *= dim;
  return count;
}

/// Coordinates of the row-major position `linear`.
static SmallVector<int64_t, 4> unravel(int64_t linear,
                                       ArrayRef<int64_t> shape) {
  SmallVector<int64_t, 4> index(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    index[d] = linear % shape[d];
    linear /= shape[d];
  }
  return index;
}

static int64_t ravel(ArrayRef<int64_t> index, ArrayRef<int64_t> shape) {
  int64_t linear = 0;
  for (size_t d = 0; d < shape.size(); ++d)
    linear = linear * shape[d] + index[d];
  return linear;
}

/// The element of `v` that meets `index` of a result it broadcasts to.
static const SymExpr &broadcastElement(const KnownValue &v,
                                       ArrayRef<int64_t> index) {
  SmallVector<int64_t, 4> own(index.take_back(v.shape.size()));
  for (size_t d = 0; d < own.size(); ++d)
    if (v.shape[d] == 1)
      own[d] = 0;
  return v.elements[ravel(own, v.shape)];
}

SymExpr KnownValues::truncatingDiv(const SymExpr &a, const SymExpr &b) {
  auto floorDiv = [](const SymExpr &x, const SymExpr &y) {
    return SymExpr::apply(SymExpr::Fn::FloorDiv, x, y);
  };
  SymExpr minusA = SymExpr(0) - a;
  if (a.isNonNegative())
    return floorDiv(a, b);
  if (minusA.isNonNegative())
    return SymExpr(0) - floorDiv(minusA, b);
  SymExpr zero(0);
  return floorDiv(SymExpr::apply(SymExpr::Fn::Max, a, zero), b) -
         floorDiv(SymExpr::apply(SymExpr::Fn::Max, minusA, zero), b);
}

std::optional<bool> KnownValues::decide(CompareKind kind, const SymExpr &a,
                                        const SymExpr &b) {
  SymExpr difference = a - b;
  std::optional<int64_t> constant = difference.constant();
  auto certainly = [&](const SymExpr &e) { return e.isNonNegative(); };
  // Is a < b, a <= b certainly true or certainly false?
  auto less = [&](const SymExpr &x, const SymExpr &y) -> std::optional<bool> {
    if (certainly(y - x - SymExpr(1)))
      return true;
    if (certainly(x - y))
      return false;
    return std::nullopt;
  };
  auto flip = [](std::optional<bool> b) -> std::optional<bool> {
    return b ? std::optional(!*b) : std::nullopt;
  };
  auto equal = [&]() -> std::optional<bool> {
    if (constant)
      return *constant == 0;
    if (certainly(difference - SymExpr(1)) ||
        certainly(SymExpr(0) - difference - SymExpr(1)))
      return false;
    return std::nullopt;
  };
  switch (kind) {
  case CompareKind::eq:
    return equal();
  case CompareKind::ne:
    return flip(equal());
  case CompareKind::lt:
    return less(a, b);
  case CompareKind::le:
    return flip(less(b, a));
  case CompareKind::gt:
    return less(b, a);
  case CompareKind::ge:
    return flip(less(a, b));
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

using Elements = std::optional<SmallVector<SymExpr>>;

static std::optional<KnownValue> fromConstant(ConstantOp op) {
  auto shape = knownShape(op.getResult());
  auto dense = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!shape || !dense)
    return std::nullopt;
  bool isUnsigned = dense.getElementType().isUnsignedInteger() ||
                    dense.getElementType().isInteger(1);
  KnownValue known{*shape, {}};
  for (const APInt &value : dense.getValues<APInt>()) {
    if (isUnsigned && value.getActiveBits() > 63)
      return std::nullopt;
    known.elements.push_back(isUnsigned ? SymExpr(value.getZExtValue())
                                        : SymExpr(value.getSExtValue()));
  }
  return known;
}

/// One element of an elementwise op; nullopt where it is not known.
static std::optional<SymExpr> evaluateElement(Operation *op,
                                              ArrayRef<SymExpr> x) {
  using Fn = SymExpr::Fn;
  using Result = std::optional<SymExpr>;
  auto constant = [&](unsigned i) { return x[i].constant(); };
  return TypeSwitch<Operation *, Result>(op)
      .Case([&](AddOp) { return x[0] + x[1]; })
      .Case([&](SubOp) { return x[0] - x[1]; })
      .Case([&](MulOp) { return x[0] * x[1]; })
      .Case([&](DivOp) -> Result {
        if (constant(1) && *constant(1) > 0)
          return KnownValues::truncatingDiv(x[0], x[1]);
        if (x[0].isNonNegative() && x[1].isNonNegative())
          return SymExpr::apply(Fn::FloorDiv, x[0], x[1]);
        return std::nullopt;
      })
      .Case([&](ModOp) -> Result {
        if (!constant(1) || *constant(1) == 0)
          return std::nullopt;
        return SymExpr::apply(Fn::Mod, x[0], x[1]);
      })
      .Case([&](FModOp) -> Result {
        if (!constant(1) || *constant(1) <= 0 || !x[0].isNonNegative())
          return std::nullopt;
        return SymExpr::apply(Fn::Mod, x[0], x[1]);
      })
      .Case([&](MaxOp) { return SymExpr::apply(Fn::Max, x[0], x[1]); })
      .Case([&](MinOp) { return SymExpr::apply(Fn::Min, x[0], x[1]); })
      .Case([&](NegOp) { return SymExpr(0) - x[0]; })
      .Case([&](AbsOp) {
        return SymExpr::apply(Fn::Max, x[0], SymExpr(0) - x[0]);
      })
      .Case([&](NotOp) -> Result {
        return SymExpr(1) - x[0];
      })
      .Case([&](AndOp) { return x[0] * x[1]; })
      .Case([&](OrOp) { return SymExpr::apply(Fn::Max, x[0], x[1]); })
      .Case([&](CompareOp compare) -> Result {
        auto known = KnownValues::decide(compare.getKind(), x[0], x[1]);
        return known ? Result(SymExpr(*known)) : std::nullopt;
      })
      .Case([&](SelectOp) -> Result {
        if (x[1] == x[2])
          return x[1];
        return constant(0) ? Result(*constant(0) ? x[1] : x[2]) : std::nullopt;
      })
      .Case([&](CastOp cast) -> Result {
        auto to = dyn_cast<IntegerType>(cast.getTo());
        if (!to)
          return std::nullopt;
        if (to.isInteger(1)) {
          auto known =
              KnownValues::decide(CompareKind::ne, x[0], SymExpr(0));
          return known ? Result(SymExpr(*known)) : std::nullopt;
        }
        if (std::optional<int64_t> value = constant(0)) {
          APInt wrapped = APInt(64, *value, true).trunc(to.getWidth());
          if (to.isUnsigned() && wrapped.getActiveBits() > 63)
            return std::nullopt;
          return SymExpr(to.isUnsigned() ? int64_t(wrapped.getZExtValue())
                                         : wrapped.getSExtValue());
        }
        // Dims fit in 32 bits wherever a model casts them.
        return to.getWidth() >= 32 ? Result(x[0]) : std::nullopt;
      })
      .Default([](Operation *) { return std::nullopt; });
}

static Elements evaluateElementwise(Operation *op,
                                    ArrayRef<const KnownValue *> operands,
                                    ArrayRef<int64_t> shape) {
  SmallVector<SymExpr> out;
  for (int64_t i = 0, e = countOf(shape); i < e; ++i) {
    SmallVector<int64_t, 4> index = unravel(i, shape);
    SmallVector<SymExpr, 3> x;
    for (const KnownValue *operand : operands)
      x.push_back(broadcastElement(*operand, index));
    std::optional<SymExpr> element = evaluateElement(op, x);
    if (!element)
      return std::nullopt;
    out.push_back(std::move(*element));
  }
  return out;
}

static Elements evaluateReduce(ReduceOp op, const KnownValue &input,
                               ArrayRef<int64_t> shape) {
  using Fn = SymExpr::Fn;
  SmallVector<std::optional<SymExpr>> sums(countOf(shape));
  SmallVector<int64_t, 4> kept(input.shape);
  for (int64_t axis : op.getAxes())
    kept[axis] = 1;
  for (int64_t i = 0, e = input.elements.size(); i < e; ++i) {
    SmallVector<int64_t, 4> index = unravel(i, input.shape);
    for (int64_t axis : op.getAxes())
      index[axis] = 0;
    std::optional<SymExpr> &sum = sums[ravel(index, kept)];
    const SymExpr &x = input.elements[i];
    if (!sum) {
      sum = x;
      continue;
    }
    switch (op.getKind()) {
    case ReduceKind::sum:
      sum = *sum + x;
      break;
    case ReduceKind::prod:
    case ReduceKind::all:
      sum = *sum * x;
      break;
    case ReduceKind::max:
    case ReduceKind::any:
      sum = SymExpr::apply(Fn::Max, *sum, x);
      break;
    case ReduceKind::min:
      sum = SymExpr::apply(Fn::Min, *sum, x);
      break;
    default:
      return std::nullopt;
    }
  }
  if (op.getKind() == ReduceKind::mean)
    return std::nullopt;
  SmallVector<SymExpr> out;
  for (std::optional<SymExpr> &sum : sums) {
    if (!sum) {
      if (op.getKind() != ReduceKind::sum && op.getKind() != ReduceKind::prod)
        return std::nullopt;
      sum = SymExpr(op.getKind() == ReduceKind::prod);
    }
    out.push_back(*sum);
  }
  return out;
}

static Elements evaluateSlice(SliceOp op, const KnownValue &input,
                              ArrayRef<int64_t> shape) {
  SmallVector<int64_t, 4> starts;
  for (const SymExpr &start : op.getStarts().getSymExprs()) {
    if (!start.isConstant())
      return std::nullopt;
    starts.push_back(*start.constant());
  }
  SmallVector<SymExpr> out;
  for (int64_t i = 0, e = countOf(shape); i < e; ++i) {
    SmallVector<int64_t, 4> index = unravel(i, shape);
    for (size_t d = 0; d < index.size(); ++d)
      index[d] = starts[d] + index[d] * op.getSteps()[d];
    out.push_back(input.elements[ravel(index, input.shape)]);
  }
  return out;
}

static Elements evaluateConcat(ConcatOp op,
                               ArrayRef<const KnownValue *> operands,
                               ArrayRef<int64_t> shape) {
  SmallVector<SymExpr> out;
  size_t axis = op.getAxis();
  for (int64_t i = 0, e = countOf(shape); i < e; ++i) {
    SmallVector<int64_t, 4> index = unravel(i, shape);
    for (const KnownValue *operand : operands) {
      if (index[axis] < operand->shape[axis]) {
        out.push_back(operand->elements[ravel(index, operand->shape)]);
        break;
      }
      index[axis] -= operand->shape[axis];
    }
  }
  return out;
}

static Elements evaluateGather(GatherOp op, const KnownValue &input,
                               const KnownValue &indices,
                               ArrayRef<int64_t> shape) {
  size_t axis = op.getAxis(), rank = indices.shape.size();
  SmallVector<SymExpr> out;
  for (int64_t i = 0, e = countOf(shape); i < e; ++i) {
    SmallVector<int64_t, 4> index = unravel(i, shape);
    SmallVector<int64_t, 4> where(index.begin() + axis,
                                  index.begin() + axis + rank);
    auto chosen = indices.elements[ravel(where, indices.shape)].constant();
    if (!chosen)
      return std::nullopt;
    int64_t size = input.shape[axis];
    int64_t at = *chosen < 0 ? *chosen + size : *chosen;
    if (at < 0 || at >= size)
      return std::nullopt; // a run-time error, and the op says so
    SmallVector<int64_t, 4> from(index.begin(), index.begin() + axis);
    from.push_back(at);
    from.append(index.begin() + axis + rank, index.end());
    out.push_back(input.elements[ravel(from, input.shape)]);
  }
  return out;
}

static Elements evaluateIota(IotaOp op, ArrayRef<int64_t> shape) {
  auto start = SymExpr::parse(op.getStart().str());
  auto step = SymExpr::parse(op.getStep().str());
  if (!start || !step)
    return std::nullopt;
  SmallVector<SymExpr> out;
  for (int64_t i = 0; i < shape[0]; ++i)
    out.push_back(*start + *step * SymExpr(i));
  return out;
}

std::optional<KnownValue> KnownValues::evaluate(Operation *op) {
  if (op->getNumResults() != 1)
    return std::nullopt;
  if (auto constant = dyn_cast<ConstantOp>(op))
    return fromConstant(constant);
  auto shape = knownShape(op->getResult(0));
  if (!shape)
    return std::nullopt;
  if (auto dims = dyn_cast<DimsValueOp>(op))
    return KnownValue{*shape, dims.getExprs().getSymExprs()};

  SmallVector<const KnownValue *> operands;
  for (Value operand : op->getOperands())
    if (!lookup(operand)) // fills the cache; pointers are taken below
      return std::nullopt;
  for (Value operand : op->getOperands())
    operands.push_back(lookup(operand));

  Elements elements =
      TypeSwitch<Operation *, Elements>(op)
          .Case([&](ReshapeOp) { return Elements(operands[0]->elements); })
          .Case([&](BroadcastToOp) {
            SmallVector<SymExpr> out;
            for (int64_t i = 0, e = countOf(*shape); i < e; ++i)
              out.push_back(broadcastElement(*operands[0], unravel(i, *shape)));
            return Elements(std::move(out));
          })
          .Case([&](TransposeOp transpose) {
            SmallVector<SymExpr> out;
            for (int64_t i = 0, e = countOf(*shape); i < e; ++i) {
              SmallVector<int64_t, 4> index = unravel(i, *shape), from(index);
              for (auto [d, source] : llvm::enumerate(transpose.getPerm()))
                from[source] = index[d];
              out.push_back(
                  operands[0]->elements[ravel(from, operands[0]->shape)]);
            }
            return Elements(std::move(out));
          })
          .Case([&](SliceOp slice) {
            return evaluateSlice(slice, *operands[0], *shape);
          })
          .Case([&](ConcatOp concat) {
            return evaluateConcat(concat, operands, *shape);
          })
          .Case([&](GatherOp gather) {
            return evaluateGather(gather, *operands[0], *operands[1], *shape);
          })
          .Case([&](ReduceOp reduce) {
            return evaluateReduce(reduce, *operands[0], *shape);
          })
          .Case([&](IotaOp iota) { return evaluateIota(iota, *shape); })
          .Default([&](Operation *other) -> Elements {
            if (!other->hasTrait<OpTrait::Elementwise>())
              return std::nullopt;
            return evaluateElementwise(other, operands, *shape);
          });
  if (!elements)
    return std::nullopt;
  for (const SymExpr &element : *elements)
    if (element.complexity() > SymExpr::maxComplexity)
      return std::nullopt;
  return KnownValue{*shape, std::move(*elements)};
}

const KnownValue *KnownValues::lookup(Value value) {
  auto it = cache.find(value);
  if (it == cache.end()) {
    Operation *op = value.getDefiningOp();
    std::optional<KnownValue> known = op ? evaluate(op) : std::nullopt;
    it = cache.try_emplace(value, std::move(known)).first;
  }
  return it->second ? &*it->second : nullptr;
}

//===----------------------------------------------------------------------===//
// Replacement
//===----------------------------------------------------------------------===//

/// The constant, when every element is one and fits the type.
static DenseElementsAttr asConstant(const KnownValue &known,
                                    IntegerType elementType) {
  unsigned width = elementType.getWidth();
  bool isUnsigned = elementType.isUnsigned() || width == 1;
  SmallVector<APInt> values;
  for (const SymExpr &element : known.elements) {
    std::optional<int64_t> value = element.constant();
    if (!value || !(isUnsigned ? *value >= 0 && (width >= 64 ||
                                                 (*value >> width) == 0)
                               : llvm::isIntN(width, *value)))
      return {};
    values.push_back(APInt(width, *value, /*isSigned=*/true,
                           /*implicitTrunc=*/true));
  }
  return DenseElementsAttr::get(RankedTensorType::get(known.shape, elementType),
                                values);
}

Value KnownValues::simplify(OpBuilder &builder, Operation *op) {
  Value result = op->getResult(0);
  if (isa<ConstantOp, DimsValueOp>(op) || !lookup(result))
    return result;
  KnownValue known = *lookup(result);
  Location loc = op->getLoc();
  MLIRContext *context = builder.getContext();
  auto elementType = cast<IntegerType>(
      cast<RankedTensorType>(result.getType()).getElementType());
  Value replacement;
  if (DenseElementsAttr constant = asConstant(known, elementType)) {
    replacement = ConstantOp::create(builder, loc, constant);
  } else if (elementType.getWidth() < 32 ||
             llvm::all_of(known.elements, [](const SymExpr &e) {
               return e.isConstant();
             })) {
    return result; // wraps: left to run time
  } else {
    bool scalar = known.shape.empty();
    replacement = DimsValueOp::create(
        builder, loc, DimsAttr::get(context, known.elements),
        TypeAttr::get(elementType),
        scalar ? builder.getUnitAttr() : UnitAttr());
    if (known.shape.size() > 1) {
      SmallVector<SymExpr> dims(known.shape.begin(), known.shape.end());
      replacement = ReshapeOp::create(builder, loc, replacement,
                                      DimsAttr::get(context, dims));
    }
  }
  cache.erase(result);
  op->erase();
  cache[replacement] = std::move(known);
  return replacement;
}

} // namespace tenon::onnximport
