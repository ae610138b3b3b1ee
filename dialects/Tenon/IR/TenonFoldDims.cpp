//===- TenonFoldDims.cpp - integers computed from dims --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonFoldDims.h"
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/FMod.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mod.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Sign.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "mlir/IR/TypeUtilities.h"
#include "tenon/Support/Magnitude.h"
#include "llvm/ADT/TypeSwitch.h"
#include <bit>
#include <cmath>
#include <numeric>

using namespace mlir;

namespace tenon {

using Fn = SymExpr::Fn;

std::optional<bool> decideComparison(CompareKind kind, const SymExpr &a,
                                     const SymExpr &b) {
  // The sign of a - b, as far as it is certain.
  SymExpr difference = a - b, opposite = b - a;
  bool ge = difference.isNonNegative();
  bool le = opposite.isNonNegative();
  bool gt = (difference - SymExpr(1)).isNonNegative();
  bool lt = (opposite - SymExpr(1)).isNonNegative();
  auto decide = [](bool yes, bool no) -> std::optional<bool> {
    return yes ? std::optional(true) : no ? std::optional(false) : std::nullopt;
  };
  switch (kind) {
  case CompareKind::eq:
    return decide(ge && le, gt || lt);
  case CompareKind::ne:
    return decide(gt || lt, ge && le);
  case CompareKind::lt:
    return decide(lt, ge);
  case CompareKind::le:
    return decide(le, gt);
  case CompareKind::gt:
    return decide(gt, le);
  case CompareKind::ge:
    return decide(ge, lt);
  }
  return std::nullopt;
}

namespace {

/// Row-major walk over the indices of `shape`.
class IndexWalk {
public:
  explicit IndexWalk(ArrayRef<int64_t> shape)
      : shape(shape), index(shape.size(), 0) {}
  ArrayRef<int64_t> operator*() const { return index; }
  void next() {
    for (size_t i = index.size(); i-- > 0;) {
      if (++index[i] < shape[i])
        return;
      index[i] = 0;
    }
  }

private:
  ArrayRef<int64_t> shape;
  SmallVector<int64_t> index;
};

int64_t linear(ArrayRef<int64_t> index, ArrayRef<int64_t> shape) {
  int64_t at = 0;
  for (auto [i, size] : llvm::zip(index, shape))
    at = at * size + i;
  return at;
}

/// The element that `index` of a broadcast result reads.
const SymExpr &broadcastElement(const KnownInts &from,
                                ArrayRef<int64_t> index) {
  SmallVector<int64_t> own(index.take_back(from.shape.size()));
  for (auto [i, size] : llvm::zip(own, from.shape))
    if (size == 1)
      i = 0;
  return from.elements[linear(own, from.shape)];
}

// Shape tensors have one element per dim; more is data.
constexpr int64_t maxElements = 256;
// A vector with an element per dim at most: see evaluateElement.
constexpr int64_t maxChoices = 8;
// Deeper chains than any exporter's end as data rather than on the stack.
constexpr int maxDepth = 64;

int64_t countOf(ArrayRef<int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t(1),
                         std::multiplies<>());
}

std::optional<KnownInts> fromConstant(ConstantOp op, KnownInts result) {
  if (auto floats = dyn_cast<DenseFPElementsAttr>(op.getValue())) {
    for (APFloat value : floats.getValues<APFloat>()) {
      bool lost;
      value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
      result.elements.push_back(SymExpr::floatBits(value.convertToDouble()));
    }
    return result;
  }
  auto value = dyn_cast<DenseIntElementsAttr>(op.getValue());
  if (!value)
    return std::nullopt;
  Type element = value.getElementType();
  bool isUnsigned = element.isUnsignedInteger() || element.isInteger(1);
  for (const APInt &v : value.getValues<APInt>()) {
    if (isUnsigned && v.getActiveBits() > 63)
      return std::nullopt;
    result.elements.push_back(
        SymExpr(isUnsigned ? int64_t(v.getZExtValue()) : v.getSExtValue()));
  }
  return result;
}

std::optional<KnownInts> fromIota(IotaOp op, KnownInts result) {
  if (!isa<IntegerType>(op.getElementType()))
    return std::nullopt;
  std::optional<SymExpr> start = SymExpr::parse(op.getStart());
  std::optional<SymExpr> step = SymExpr::parse(op.getStep());
  if (!start || !step)
    return std::nullopt;
  // Constants may overflow in between, though no element does.
  std::optional<int64_t> from = start->constant(), by = step->constant();
  for (int64_t i = 0; i < result.shape.front(); ++i)
    result.elements.push_back(
        from && by ? SymExpr(int64_t(uint64_t(*from) + uint64_t(*by) * i))
                   : *start + *step * SymExpr(i));
  return result;
}

/// The number wrapped to the type; nullopt where it then needs 64 bits.
std::optional<int64_t> wrapTo(int64_t value, IntegerType type) {
  APInt wrapped = APInt(64, uint64_t(value)).trunc(type.getWidth());
  if (!type.isUnsigned())
    return wrapped.getSExtValue();
  if (wrapped.getActiveBits() > 63)
    return std::nullopt;
  return int64_t(wrapped.getZExtValue());
}

//===----------------------------------------------------------------------===//
// Overflow
//===----------------------------------------------------------------------===//
//
// A tensor's integers wrap, an expression's do not. Sums and products agree
// once wrapped; what looks at the number itself (a quotient, a remainder, a
// comparison) agrees only where nothing wrapped before it. So a constant that
// does not fit is unknown, and so is what looks at an expression that need not
// fit. Dims of i64 are taken to be below 2^31, those that a model casts to i32
// below 2^13 where they are multiplied and then looked at.

IntegerType integerOf(Value value) {
  return dyn_cast<IntegerType>(getElementTypeOrSelf(value.getType()));
}

/// Do the coefficients fit, so that none saturated?
bool isExact(const SymExpr &e, IntegerType type) {
  if (std::optional<int64_t> value = e.constant())
    return type.getWidth() == 1 || wrapTo(*value, type) == *value;
  return magnitude(e, 1) < std::ldexp(1, std::max(type.getWidth(), 32u) - 1);
}

/// Is the tensor's integer certainly the expression's?
bool isUnwrapped(const SymExpr &e, IntegerType type) {
  unsigned width = type.getWidth();
  if (e.isConstant() || width == 1)
    return true;
  if (type.isUnsigned() && !e.isNonNegative())
    return false;
  if (width < 32) // an element, as it was read
    return e.asSymbol().has_value();
  double most = std::ldexp(1, width == 64 ? 31 : 13);
  return magnitude(e, most) <= std::ldexp(1, width - 1);
}

/// Does the op look at the number of an operand of this type?
bool looksAtNumbers(Operation *op, IntegerType operand) {
  if (auto cast = dyn_cast<CastOp>(op)) // extends it, or asks whether it is 0
    return operand.getWidth() < 32 || operand.isUnsigned() ||
           cast.getTo().isInteger(1);
  return isa<AbsOp, SignOp, DivOp, ModOp, FModOp, MaxOp, MinOp, CompareOp>(op);
}

/// What the op gives of constants; nullopt where it overflows or is no
/// arithmetic.
std::optional<int64_t> exactly(Operation *op, ArrayRef<int64_t> x) {
  int64_t r;
  auto checked = [&](bool overflow) {
    return overflow ? std::nullopt : std::optional(r);
  };
  return llvm::TypeSwitch<Operation *, std::optional<int64_t>>(op)
      .Case([&](NegOp) {
        return checked(__builtin_sub_overflow(int64_t(0), x[0], &r));
      })
      .Case([&](AbsOp) {
        r = x[0];
        return checked(x[0] < 0 &&
                       __builtin_sub_overflow(int64_t(0), x[0], &r));
      })
      .Case([&](AddOp) {
        return checked(__builtin_add_overflow(x[0], x[1], &r));
      })
      .Case([&](SubOp) {
        return checked(__builtin_sub_overflow(x[0], x[1], &r));
      })
      .Case([&](MulOp) {
        return checked(__builtin_mul_overflow(x[0], x[1], &r));
      })
      .Case([&](DivOp) -> std::optional<int64_t> {
        if (x[1] == -1)
          return checked(__builtin_sub_overflow(int64_t(0), x[0], &r));
        return x[1] == 0 ? 0 : x[0] / x[1];
      })
      .Case([&](FModOp) -> std::optional<int64_t> {
        return x[1] == 0 || x[1] == -1 ? 0 : x[0] % x[1];
      })
      .Default([](Operation *) { return std::nullopt; });
}

bool isArithmetic(Operation *op) {
  return isa<NegOp, AbsOp, AddOp, SubOp, MulOp, DivOp, FModOp>(op);
}

} // namespace

std::optional<KnownInts> DimsEvaluator::evaluate(Value value) {
  Operation *op = value.getDefiningOp();
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if ((!op && !source) || !type || !type.hasStaticShape() ||
      depth >= maxDepth ||
      !(isa<IntegerType>(type.getElementType()) ||
        (source && isa<FloatType>(type.getElementType()))))
    return std::nullopt;
  for (int64_t size : type.getShape())
    if (size > maxElements)
      return std::nullopt;
  // Before the product, which could overflow.
  if (type.getRank() > 7 || countOf(type.getShape()) > maxElements)
    return std::nullopt;
  if (auto it = cache.find(value); it != cache.end())
    return it->second;
  ++depth;
  KnownInts result;
  result.shape.assign(type.getShape().begin(), type.getShape().end());
  std::optional<KnownInts> known;
  if (op)
    known = evaluateOp(op, std::move(result));
  if (!known && source)
    known = source(value);
  --depth;
  if (known && int64_t(known->elements.size()) != countOf(known->shape))
    known = std::nullopt;
  if (known)
    for (const SymExpr &element : known->elements)
      if (element.complexity() > SymExpr::maxComplexity) {
        known = std::nullopt;
        break;
      }
  return cache[value] = known;
}

std::optional<KnownInts> DimsEvaluator::evaluateOp(Operation *op,
                                                   KnownInts result) {
  if (op->hasTrait<OpTrait::Elementwise>())
    return elementwise(op, std::move(result));
  return llvm::TypeSwitch<Operation *, std::optional<KnownInts>>(op)
      .Case([&](ConstantOp o) { return fromConstant(o, std::move(result)); })
      .Case([&](DimsValueOp o) {
        result.elements = o.getExprs().getSymExprs();
        return result;
      })
      .Case([&](ReshapeOp o) -> std::optional<KnownInts> {
        std::optional<KnownInts> input = evaluate(o.getInput());
        if (!input)
          return std::nullopt;
        result.elements = input->elements;
        return result;
      })
      .Case([&](BroadcastToOp o) -> std::optional<KnownInts> {
        std::optional<KnownInts> input = evaluate(o.getInput());
        if (!input)
          return std::nullopt;
        IndexWalk walk(result.shape);
        for (int64_t n = countOf(result.shape); n > 0; --n, walk.next())
          result.elements.push_back(broadcastElement(*input, *walk));
        return result;
      })
      .Case([&](MergeOp o) { return merge(o, std::move(result)); })
      .Case([&](ConcatOp o) { return concat(o, std::move(result)); })
      .Case([&](SliceOp o) { return slice(o, std::move(result)); })
      .Case([&](GatherOp o) { return gather(o, std::move(result)); })
      .Case([&](TransposeOp o) { return transpose(o, std::move(result)); })
      .Case([&](ReduceOp o) { return reduce(o, std::move(result)); })
      .Case([&](IotaOp o) { return fromIota(o, std::move(result)); })
      .Default([](Operation *) { return std::nullopt; });
}

static SymExpr comparison(CompareKind kind, const SymExpr &a,
                          const SymExpr &b) {
  switch (kind) {
  case CompareKind::eq:
    return SymExpr::apply(Fn::Eq, a, b);
  case CompareKind::ne:
    return SymExpr::apply(Fn::Ne, a, b);
  case CompareKind::lt:
    return SymExpr::apply(Fn::Lt, a, b);
  case CompareKind::le:
    return SymExpr::apply(Fn::Le, a, b);
  case CompareKind::gt:
    return SymExpr::apply(Fn::Lt, b, a);
  case CompareKind::ge:
    return SymExpr::apply(Fn::Le, b, a);
  }
  return SymExpr(0);
}

/// Is it the bits of a constant of this size or more, or of no number?
static bool isBeyond(const SymExpr &bits, double size) {
  std::optional<int64_t> constant = bits.constant();
  return constant && !(std::abs(std::bit_cast<double>(*constant)) < size);
}

/// One element of an op with a float operand or result, as bits. Arithmetic in
/// float is that in double, rounded once more.
static std::optional<SymExpr> evaluateFloat(Operation *op,
                                            ArrayRef<SymExpr> x) {
  Type to = getElementTypeOrSelf(op->getResult(0).getType());
  auto rounded = [&](const SymExpr &bits) -> std::optional<SymExpr> {
    if (to.isF64())
      return bits;
    return to.isF32() ? std::optional(SymExpr::apply(Fn::F32, bits))
                      : std::nullopt;
  };
  return llvm::TypeSwitch<Operation *, std::optional<SymExpr>>(op)
      .Case(
          [&](AddOp) { return rounded(SymExpr::apply(Fn::FAdd, x[0], x[1])); })
      .Case(
          [&](SubOp) { return rounded(SymExpr::apply(Fn::FSub, x[0], x[1])); })
      .Case(
          [&](MulOp) { return rounded(SymExpr::apply(Fn::FMul, x[0], x[1])); })
      .Case(
          [&](DivOp) { return rounded(SymExpr::apply(Fn::FDiv, x[0], x[1])); })
      .Case([&](FloorOp) -> std::optional<SymExpr> {
        if (isBeyond(x[0], 0x1p52))
          return x[0];
        return SymExpr::apply(Fn::Float, SymExpr::apply(Fn::Floor, x[0]));
      })
      .Case([&](CeilOp) -> std::optional<SymExpr> {
        if (isBeyond(x[0], 0x1p52))
          return x[0];
        return SymExpr::apply(Fn::Float, SymExpr::apply(Fn::Ceil, x[0]));
      })
      .Case([&](CastOp o) -> std::optional<SymExpr> {
        bool fromFloat =
            isa<FloatType>(getElementTypeOrSelf(o.getInput().getType()));
        if (isa<FloatType>(to) && fromFloat)
          return rounded(x[0]);
        if (isa<FloatType>(to)) {
          // Rounded once, which in double only smaller ones are.
          if (std::abs(double(x[0].constant().value_or(0))) > 0x1p53 ||
              !isUnwrapped(x[0], integerOf(o.getInput())))
            return std::nullopt;
          return rounded(SymExpr::apply(Fn::Float, x[0]));
        }
        // What does not fit is the kernels' to say.
        if (isBeyond(x[0], std::ldexp(1, to.getIntOrFloatBitWidth() - 1)))
          return std::nullopt;
        // Dims fit in 32 bits wherever a model casts them to that.
        if (to.getIntOrFloatBitWidth() < 32)
          return std::nullopt;
        return SymExpr::apply(Fn::Trunc, x[0]);
      })
      .Default([](Operation *) { return std::nullopt; });
}

/// One element of an elementwise op. An undecided comparison stays unknown
/// unless `choices` are followed: shape arithmetic picks between dims by it,
/// but the masks of small tensors are better computed as data.
static std::optional<SymExpr>
evaluateElement(Operation *op, ArrayRef<SymExpr> x, bool choices) {
  auto truth = [&](CompareKind kind, const SymExpr &a,
                   const SymExpr &b) -> std::optional<SymExpr> {
    SymExpr e = comparison(kind, a, b); // of integers
    return choices || e.isConstant() ? std::optional(e) : std::nullopt;
  };
  return llvm::TypeSwitch<Operation *, std::optional<SymExpr>>(op)
      .Case([&](NegOp) { return SymExpr(0) - x[0]; })
      .Case([&](AbsOp) -> std::optional<SymExpr> {
        if (x[0].isNonNegative())
          return x[0];
        return SymExpr::apply(Fn::Max, x[0], SymExpr(0) - x[0]);
      })
      .Case([&](SignOp) -> std::optional<SymExpr> {
        if (std::optional<int64_t> c = x[0].constant())
          return SymExpr((*c > 0) - (*c < 0));
        if (choices)
          return SymExpr::apply(Fn::Lt, SymExpr(0), x[0]) -
                 SymExpr::apply(Fn::Lt, x[0], SymExpr(0));
        return std::nullopt;
      })
      .Case([&](NotOp) { return SymExpr(1) - x[0]; })
      .Case([&](AddOp) { return x[0] + x[1]; })
      .Case([&](SubOp) { return x[0] - x[1]; })
      .Case([&](MulOp) { return x[0] * x[1]; })
      .Case([&](DivOp) { return SymExpr::apply(Fn::Quot, x[0], x[1]); })
      .Case([&](ModOp) { return SymExpr::apply(Fn::Mod, x[0], x[1]); })
      .Case([&](FModOp) -> std::optional<SymExpr> {
        if (!x[0].isNonNegative() || !x[1].isNonNegative())
          return std::nullopt;
        return SymExpr::apply(Fn::Mod, x[0], x[1]);
      })
      .Case([&](MaxOp) { return SymExpr::apply(Fn::Max, x[0], x[1]); })
      .Case([&](MinOp) { return SymExpr::apply(Fn::Min, x[0], x[1]); })
      .Case([&](AndOp) { return x[0] * x[1]; })
      .Case([&](OrOp) { return SymExpr::apply(Fn::Max, x[0], x[1]); })
      .Case([&](CompareOp o) { return truth(o.getKind(), x[0], x[1]); })
      .Case([&](SelectOp) -> std::optional<SymExpr> {
        if (x[1] == x[2])
          return x[1];
        return SymExpr::select(x[0], x[1], x[2]);
      })
      .Case([&](CastOp o) -> std::optional<SymExpr> {
        auto to = dyn_cast<IntegerType>(o.getTo());
        if (!to)
          return std::nullopt;
        if (to.getWidth() == 1)
          return truth(CompareKind::ne, x[0], SymExpr(0));
        if (std::optional<int64_t> value = x[0].constant()) {
          std::optional<int64_t> wrapped = wrapTo(*value, to);
          return wrapped ? std::optional(SymExpr(*wrapped)) : std::nullopt;
        }
        // Dims fit in 32 bits wherever a model casts them to that.
        return to.getWidth() >= 32 ? std::optional(x[0]) : std::nullopt;
      })
      .Default([](Operation *) { return std::nullopt; });
}

/// evaluateElement() where no number wraps.
static std::optional<SymExpr>
evaluateWrapping(Operation *op, ArrayRef<SymExpr> x, bool choices) {
  SmallVector<int64_t> constants;
  for (auto [e, operand] : llvm::zip(x, op->getOperands())) {
    if (std::optional<int64_t> value = e.constant())
      constants.push_back(*value);
    else if (looksAtNumbers(op, integerOf(operand)) &&
             !isUnwrapped(e, integerOf(operand)))
      return std::nullopt;
  }
  std::optional<SymExpr> result;
  if (constants.size() < x.size() || !isArithmetic(op))
    result = evaluateElement(op, x, choices);
  else if (std::optional<int64_t> value = exactly(op, constants))
    result = SymExpr(*value);
  if (result && !isExact(*result, integerOf(op->getResult(0))))
    return std::nullopt;
  return result;
}

std::optional<KnownInts> DimsEvaluator::elementwise(Operation *op,
                                                    KnownInts result) {
  SmallVector<KnownInts> operands;
  bool floats = isa<FloatType>(getElementTypeOrSelf(op->getResult(0)));
  for (Value operand : op->getOperands()) {
    std::optional<KnownInts> known = evaluate(operand);
    if (!known)
      return std::nullopt;
    operands.push_back(std::move(*known));
    floats |= isa<FloatType>(getElementTypeOrSelf(operand));
  }
  IndexWalk walk(result.shape);
  for (int64_t n = countOf(result.shape); n > 0; --n, walk.next()) {
    SmallVector<SymExpr> x;
    for (const KnownInts &operand : operands)
      x.push_back(broadcastElement(operand, *walk));
    std::optional<SymExpr> element =
        floats ? evaluateFloat(op, x)
               : evaluateWrapping(
                     op, x, source || countOf(result.shape) <= maxChoices);
    if (!element)
      return std::nullopt;
    result.elements.push_back(*element);
  }
  return result;
}

std::optional<KnownInts> DimsEvaluator::merge(MergeOp op, KnownInts result) {
  std::optional<SymExpr> condition = SymExpr::parse(op.getCondition().str());
  std::optional<KnownInts> onTrue = evaluate(op.getOnTrue()),
                           onFalse = evaluate(op.getOnFalse());
  if (!condition || !onTrue || !onFalse || onTrue->shape != onFalse->shape)
    return std::nullopt;
  for (auto [a, b] : llvm::zip(onTrue->elements, onFalse->elements))
    result.elements.push_back(a == b ? a : SymExpr::select(*condition, a, b));
  return result;
}

std::optional<KnownInts> DimsEvaluator::concat(ConcatOp op, KnownInts result) {
  SmallVector<KnownInts> inputs;
  for (Value input : op.getInputs()) {
    std::optional<KnownInts> known = evaluate(input);
    if (!known)
      return std::nullopt;
    inputs.push_back(std::move(*known));
  }
  size_t axis = op.getAxis();
  IndexWalk walk(result.shape);
  for (int64_t n = countOf(result.shape); n > 0; --n, walk.next()) {
    SmallVector<int64_t> index(*walk);
    for (const KnownInts &input : inputs) {
      if (index[axis] < input.shape[axis]) {
        result.elements.push_back(input.elements[linear(index, input.shape)]);
        break;
      }
      index[axis] -= input.shape[axis];
    }
  }
  return result;
}

std::optional<KnownInts> DimsEvaluator::slice(SliceOp op, KnownInts result) {
  std::optional<KnownInts> input = evaluate(op.getInput());
  if (!input)
    return std::nullopt;
  SmallVector<SymExpr> starts = op.getStarts().getSymExprs();
  IndexWalk walk(result.shape);
  for (int64_t n = countOf(result.shape); n > 0; --n, walk.next()) {
    SmallVector<int64_t> index;
    for (auto [i, at] : llvm::enumerate(*walk)) {
      std::optional<int64_t> start = starts[i].constant();
      int64_t from = start.value_or(-1) + at * op.getSteps()[i];
      if (!start || from < 0 || from >= input->shape[i])
        return std::nullopt;
      index.push_back(from);
    }
    result.elements.push_back(input->elements[linear(index, input->shape)]);
  }
  return result;
}

std::optional<KnownInts> DimsEvaluator::gather(GatherOp op, KnownInts result) {
  std::optional<KnownInts> input = evaluate(op.getInput());
  std::optional<KnownInts> indices = evaluate(op.getIndices());
  if (!input || !indices)
    return std::nullopt;
  size_t axis = op.getAxis(), width = indices->shape.size();
  IndexWalk walk(result.shape);
  for (int64_t n = countOf(result.shape); n > 0; --n, walk.next()) {
    std::optional<int64_t> from =
        indices->elements[linear((*walk).slice(axis, width), indices->shape)]
            .constant();
    if (!from)
      return std::nullopt;
    int64_t size = input->shape[axis];
    int64_t wrapped = *from < 0 ? *from + size : *from;
    if (wrapped < 0 || wrapped >= size)
      return std::nullopt; // the run reports it
    SmallVector<int64_t> index((*walk).take_front(axis));
    index.push_back(wrapped);
    llvm::append_range(index, (*walk).drop_front(axis + width));
    result.elements.push_back(input->elements[linear(index, input->shape)]);
  }
  return result;
}

std::optional<KnownInts> DimsEvaluator::transpose(TransposeOp op,
                                                  KnownInts result) {
  std::optional<KnownInts> input = evaluate(op.getInput());
  if (!input)
    return std::nullopt;
  IndexWalk walk(result.shape);
  for (int64_t n = countOf(result.shape); n > 0; --n, walk.next()) {
    SmallVector<int64_t> index(result.shape.size());
    for (auto [i, from] : llvm::enumerate(op.getPerm()))
      index[from] = (*walk)[i];
    result.elements.push_back(input->elements[linear(index, input->shape)]);
  }
  return result;
}

std::optional<KnownInts> DimsEvaluator::reduce(ReduceOp op, KnownInts result) {
  std::optional<KnownInts> input = evaluate(op.getInput());
  if (!input || isa<FloatType>(getElementTypeOrSelf(op.getInput())))
    return std::nullopt;
  IntegerType type = integerOf(op.getInput());
  bool isExtreme =
      op.getKind() == ReduceKind::max || op.getKind() == ReduceKind::min;
  if (isExtreme && !llvm::all_of(input->elements, [&](const SymExpr &e) {
        return isUnwrapped(e, type);
      }))
    return std::nullopt;
  auto combine = [&](const SymExpr &a,
                     const SymExpr &b) -> std::optional<SymExpr> {
    SymExpr total;
    int64_t number;
    std::optional<int64_t> x = a.constant(), y = b.constant();
    switch (op.getKind()) {
    case ReduceKind::sum:
      if (x && y && __builtin_add_overflow(*x, *y, &number))
        return std::nullopt;
      total = a + b;
      break;
    case ReduceKind::prod:
    case ReduceKind::all:
      if (x && y && __builtin_mul_overflow(*x, *y, &number))
        return std::nullopt;
      total = a * b;
      break;
    case ReduceKind::max:
    case ReduceKind::any:
      return SymExpr::apply(Fn::Max, a, b);
    case ReduceKind::min:
      return SymExpr::apply(Fn::Min, a, b);
    default:
      return std::nullopt;
    }
    return isExact(total, type) ? std::optional(total) : std::nullopt;
  };
  SmallVector<int64_t> kept(input->shape);
  for (int64_t axis : op.getAxes())
    kept[axis] = 1;
  SmallVector<std::optional<SymExpr>> totals(countOf(kept));
  IndexWalk walk(input->shape);
  for (const SymExpr &element : input->elements) {
    SmallVector<int64_t> index(*walk);
    for (int64_t axis : op.getAxes())
      index[axis] = 0;
    std::optional<SymExpr> &total = totals[linear(index, kept)];
    total = total ? combine(*total, element) : std::optional(element);
    if (!total)
      return std::nullopt;
    walk.next();
  }
  for (const std::optional<SymExpr> &total : totals) {
    if (total)
      result.elements.push_back(*total);
    else if (op.getKind() == ReduceKind::sum)
      result.elements.push_back(SymExpr(0));
    else if (op.getKind() == ReduceKind::prod)
      result.elements.push_back(SymExpr(1));
    else
      return std::nullopt;
  }
  return result;
}

bool hasReadableElements(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape())
    return false;
  Type element = tensor.getElementType();
  if (auto integer = dyn_cast<IntegerType>(element))
    return llvm::is_contained({1u, 8u, 16u, 32u, 64u}, integer.getWidth());
  return element.isF32() || element.isF64() || element.isF16() ||
         element.isBF16();
}

const KnownInts *DimsEvaluator::lookup(Value value) {
  if (!cache.count(value) && !evaluate(value))
    return nullptr;
  auto it = cache.find(value);
  return it != cache.end() && it->second ? &*it->second : nullptr;
}

std::optional<KnownInts> evaluateInts(Value value) {
  DimsEvaluator evaluator;
  const KnownInts *known = evaluator.lookup(value);
  return known ? std::optional(*known) : std::nullopt;
}

std::optional<SmallVector<SymExpr>> evaluateDims(Value value) {
  std::optional<KnownInts> known = evaluateInts(value);
  if (!known)
    return std::nullopt;
  return std::move(known->elements);
}

//===----------------------------------------------------------------------===//
// Replacement
//===----------------------------------------------------------------------===//

Value DimsEvaluator::fold(OpBuilder &builder, Operation *op) {
  if (op->getNumResults() != 1 || isa<ConstantOp, DimsValueOp>(op))
    return {};
  const KnownInts *found = lookup(op->getResult(0));
  if (!found)
    return {};
  KnownInts known = *found; // creating ops may grow the cache
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  auto element = cast<IntegerType>(type.getElementType());
  unsigned width = element.getWidth();
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(op);

  bool constant = true;
  SmallVector<APInt> values;
  for (const SymExpr &expr : known.elements) {
    std::optional<int64_t> value = expr.constant();
    constant &= value.has_value();
    // An artifact's expressions have 64 bits, and it is an error if those
    // overflow.
    if (!value && !isUnwrapped(expr, builder.getI64Type()))
      return {};
    if (!value)
      continue;
    // What wraps is left to the run.
    if (width > 1 && wrapTo(*value, element) != *value)
      return {};
    values.push_back(APInt(64, uint64_t(*value)).trunc(width));
  }
  if (constant) {
    Value folded = ConstantOp::create(builder, op->getLoc(), type,
                                      DenseElementsAttr::get(type, values));
    cache[folded] = std::move(known);
    return folded;
  }
  bool flat = type.getRank() <= 1;
  // A reshape to a higher rank is the form itself.
  if (width < 32 || (!flat && isa<ReshapeOp>(op)))
    return {};
  SmallVector<int64_t> flatShape(type.getShape());
  if (!flat)
    flatShape.assign(1, type.getNumElements());
  auto flatType = RankedTensorType::get(flatShape, element);
  Value folded = DimsValueOp::create(
      builder, op->getLoc(), flatType,
      DimsAttr::get(builder.getContext(), known.elements),
      TypeAttr::get(element),
      type.getRank() == 0 ? builder.getUnitAttr() : UnitAttr());
  if (!flat)
    folded =
        ReshapeOp::create(builder, op->getLoc(), type, folded,
                          DimsAttr::get(builder.getContext(), getDims(type)));
  cache[folded] = std::move(known);
  return folded;
}

Value foldToDims(OpBuilder &builder, Operation *op) {
  return DimsEvaluator().fold(builder, op);
}

} // namespace tenon
