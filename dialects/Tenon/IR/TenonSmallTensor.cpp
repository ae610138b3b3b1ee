//===- TenonSmallTensor.cpp - compute with small constants ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Floats are computed in double and rounded to the op's type once: for f32
// that equals f32 arithmetic in + - * / and sqrt, and is as good as it gets in
// the rest. A float of 8 or 4 bits is held as its code.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonSmallTensor.h"
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/FMod.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mod.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/Ops/Pow.h"
#include "dialects/Tenon/IR/Ops/Sign.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;

namespace tenon {

bool isComputable(Type elementType) {
  if (elementType.isF32() || elementType.isF64() ||
      smallFloatFormat(elementType))
    return true;
  auto integer = dyn_cast<IntegerType>(elementType);
  // A Scalar holds an int64: no room for ui64.
  return integer && integer.getWidth() <= 64 &&
         !(integer.isUnsigned() && integer.getWidth() > 32);
}

bool SmallTensor::isFloat() const {
  return type.getElementType().isF32() || type.getElementType().isF64();
}

/// Rounds or wraps to what the element type can hold.
static Scalar fit(Scalar v, Type element) {
  if (element.isF32())
    return {double(float(v.f)), 0};
  auto integer = dyn_cast<IntegerType>(element);
  if (!integer)
    return v;
  unsigned width = integer.getWidth();
  APInt bits = APInt(64, uint64_t(v.i)).trunc(width);
  bool zeroExtended = integer.isUnsigned() || width == 1;
  return {0, zeroExtended ? int64_t(bits.getZExtValue()) : bits.getSExtValue()};
}

std::optional<SmallTensor> SmallTensor::unpack(DenseElementsAttr attr) {
  auto type = dyn_cast<RankedTensorType>(attr.getType());
  if (!type || !isComputable(type.getElementType()))
    return std::nullopt;
  SmallTensor tensor{type, {}};
  if (smallFloatFormat(type.getElementType())) {
    for (const APFloat &v : attr.getValues<APFloat>())
      tensor.elements.push_back(
          {0, int64_t(v.bitcastToAPInt().getZExtValue())});
    return tensor;
  }
  if (tensor.isFloat()) {
    for (APFloat v : attr.getValues<APFloat>()) {
      bool lost;
      v.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
      tensor.elements.push_back({v.convertToDouble(), 0});
    }
    return tensor;
  }
  for (const APInt &v : attr.getValues<APInt>())
    tensor.elements.push_back(fit(
        {0, int64_t(v.sextOrTrunc(64).getZExtValue())}, type.getElementType()));
  return tensor;
}

DenseElementsAttr SmallTensor::pack() const {
  Type element = type.getElementType();
  if (auto floating = dyn_cast<FloatType>(element)) {
    SmallVector<APFloat> values;
    for (const Scalar &v : elements) {
      if (const SmallFloatFormat *format = smallFloatFormat(element)) {
        values.push_back(APFloat(floating.getFloatSemantics(),
                                 APInt(format->bits, uint64_t(v.i))));
        continue;
      }
      APFloat value(v.f);
      bool lost;
      value.convert(floating.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                    &lost);
      values.push_back(value);
    }
    return DenseElementsAttr::get(type, values);
  }
  unsigned width = element.getIntOrFloatBitWidth();
  SmallVector<APInt> values;
  for (const Scalar &v : elements)
    values.push_back(APInt(64, uint64_t(v.i)).trunc(width));
  return DenseElementsAttr::get(type, values);
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

static std::optional<double> unaryFloat(Operation *op, double x) {
  return llvm::TypeSwitch<Operation *, std::optional<double>>(op)
      .Case([&](NegOp) { return -x; })
      .Case([&](AbsOp) { return std::abs(x); })
      .Case([&](SignOp) { return std::isnan(x) ? x : (x > 0) - (x < 0); })
      .Case([&](ExpOp) { return std::exp(x); })
      .Case([&](LogOp) { return std::log(x); })
      .Case([&](SqrtOp) { return std::sqrt(x); })
      .Case([&](ReciprocalOp) { return 1 / x; })
      .Case([&](ErfOp) { return std::erf(x); })
      .Case([&](TanhOp) { return std::tanh(x); })
      .Case([&](SigmoidOp) { return sigmoid(x); })
      .Case([&](SiluOp) { return x * sigmoid(x); })
      .Case([&](SinOp) { return std::sin(x); })
      .Case([&](CosOp) { return std::cos(x); })
      .Case([&](TanOp) { return std::tan(x); })
      .Case([&](FloorOp) { return std::floor(x); })
      .Case([&](CeilOp) { return std::ceil(x); })
      .Case([&](RoundOp) { return std::nearbyint(x); })
      .Default([](Operation *) { return std::nullopt; });
}

static std::optional<double> binaryFloat(Operation *op, double x, double y) {
  bool nan = std::isnan(x) || std::isnan(y);
  return llvm::TypeSwitch<Operation *, std::optional<double>>(op)
      .Case([&](AddOp) { return x + y; })
      .Case([&](SubOp) { return x - y; })
      .Case([&](MulOp) { return x * y; })
      .Case([&](DivOp) { return x / y; })
      .Case([&](PowOp) { return std::pow(x, y); })
      .Case([&](MaxOp) { return nan ? NAN : std::max(x, y); })
      .Case([&](MinOp) { return nan ? NAN : std::min(x, y); })
      .Default([](Operation *) { return std::nullopt; });
}

static std::optional<int64_t> unaryInt(Operation *op, int64_t x) {
  return llvm::TypeSwitch<Operation *, std::optional<int64_t>>(op)
      .Case([&](NegOp) { return int64_t(0 - uint64_t(x)); })
      .Case([&](AbsOp) { return x < 0 ? int64_t(0 - uint64_t(x)) : x; })
      .Case([&](SignOp) { return (x > 0) - (x < 0); })
      .Case([&](NotOp) { return x == 0; })
      .Case([&](BitNotOp) { return ~x; })
      .Default([](Operation *) { return std::nullopt; });
}

static std::optional<int64_t> binaryInt(Operation *op, int64_t x, int64_t y) {
  auto wrap = [](uint64_t v) { return int64_t(v); };
  bool trivial = y == 0 || y == -1; // hardware division traps on both
  return llvm::TypeSwitch<Operation *, std::optional<int64_t>>(op)
      .Case([&](AddOp) { return wrap(uint64_t(x) + uint64_t(y)); })
      .Case([&](SubOp) { return wrap(uint64_t(x) - uint64_t(y)); })
      .Case([&](MulOp) { return wrap(uint64_t(x) * uint64_t(y)); })
      .Case([&](DivOp) {
        return y == 0 ? 0 : y == -1 ? wrap(0 - uint64_t(x)) : x / y;
      })
      .Case([&](ModOp) {
        int64_t r = trivial ? 0 : x % y;
        return r != 0 && (r < 0) != (y < 0) ? r + y : r;
      })
      .Case([&](FModOp) { return trivial ? 0 : x % y; })
      .Case([&](MaxOp) { return std::max(x, y); })
      .Case([&](MinOp) { return std::min(x, y); })
      .Case([&](AndOp) { return x & y; })
      .Case([&](OrOp) { return x | y; })
      .Case([&](XorOp) { return x ^ y; })
      .Case([&](BitAndOp) { return x & y; })
      .Case([&](BitOrOp) { return x | y; })
      .Case([&](BitXorOp) { return x ^ y; })
      .Default([](Operation *) { return std::nullopt; });
}

template <typename T>
static bool compare(CompareKind kind, T x, T y) {
  switch (kind) {
  case CompareKind::eq:
    return x == y;
  case CompareKind::ne:
    return x != y;
  case CompareKind::lt:
    return x < y;
  case CompareKind::le:
    return x <= y;
  case CompareKind::gt:
    return x > y;
  case CompareKind::ge:
    return x >= y;
  }
  return false;
}

/// As the kernels do (CastLanes.cpp).
static Scalar convert(Scalar v, CastOp op) {
  Type from = op.getInput().getType().getElementType(), to = op.getTo();
  if (from == to)
    return v;
  bool fromFloat = isa<FloatType>(from);
  if (const SmallFloatFormat *format = smallFloatFormat(from))
    v = {decodeSmallFloat(*format, uint8_t(v.i)), 0};
  if (to.isInteger(1))
    return {0, fromFloat ? v.f != 0 : v.i != 0};
  if (const SmallFloatFormat *format = smallFloatFormat(to))
    return {0, encodeSmallFloat(*format, fromFloat ? v.f : double(float(v.i)),
                                !op.getUnsaturated(),
                                static_cast<PowerRounding>(
                                    op.getRound().value_or(RoundMode::up)))};
  if (to.isF32() && !fromFloat)
    return {double(float(v.i)), 0}; // rounded once
  if (isa<FloatType>(to))
    return {fromFloat ? v.f : double(v.i), 0};
  if (!fromFloat)
    return v;
  // Truncates; NaN gives 0; what does not fit saturates, or wraps in the types
  // of 4 and 2 bits.
  if (std::isnan(v.f))
    return {0, 0};
  auto integer = cast<IntegerType>(to);
  APSInt result(isPackedType(to) ? 32 : integer.getWidth(),
                integer.isUnsigned() && !isPackedType(to));
  bool exact;
  APFloat(v.f).convertToInteger(result, APFloat::rmTowardZero, &exact);
  return {0, result.getExtValue()};
}

static std::optional<Scalar> reinterpret(Scalar v, BitCastOp op) {
  Type from = op.getInput().getType().getElementType(), to = op.getTo();
  auto isCode = [](Type t) {
    return isa<IntegerType>(t) || smallFloatFormat(t);
  };
  if (!isCode(from) || !isCode(to))
    return std::nullopt; // left to the run, which keeps a NaN's bits
  if (to.isInteger(1))
    return Scalar{0, v.i != 0};
  APInt bits = APInt(64, uint64_t(v.i)).trunc(storedBits(to));
  return Scalar{0, int64_t(bits.getZExtValue())};
}

/// One element, operands' elements given.
static std::optional<Scalar> evaluateElement(Operation *op, bool isFloat,
                                             ArrayRef<Scalar> x) {
  auto real = [](std::optional<double> v) -> std::optional<Scalar> {
    return v ? std::optional(Scalar{*v, 0}) : std::nullopt;
  };
  auto whole = [](std::optional<int64_t> v) -> std::optional<Scalar> {
    return v ? std::optional(Scalar{0, *v}) : std::nullopt;
  };
  if (auto cast = dyn_cast<CastOp>(op))
    return convert(x[0], cast);
  if (auto bitcast = dyn_cast<BitCastOp>(op))
    return reinterpret(x[0], bitcast);
  if (auto o = dyn_cast<CompareOp>(op))
    return Scalar{0, isFloat ? compare(o.getKind(), x[0].f, x[1].f)
                             : compare(o.getKind(), x[0].i, x[1].i)};
  if (isa<SelectOp>(op))
    return x[0].i ? x[1] : x[2];
  if (isa<IsNanOp>(op))
    return Scalar{0, std::isnan(x[0].f)};
  if (isa<IsInfOp>(op))
    return Scalar{0, std::isinf(x[0].f)};
  if (x.size() == 1)
    return isFloat ? real(unaryFloat(op, x[0].f)) : whole(unaryInt(op, x[0].i));
  if (x.size() == 2)
    return isFloat ? real(binaryFloat(op, x[0].f, x[1].f))
                   : whole(binaryInt(op, x[0].i, x[1].i));
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Indices
//===----------------------------------------------------------------------===//

/// The index with the given row-major position.
static SmallVector<int64_t> indexOf(int64_t position, ArrayRef<int64_t> shape) {
  SmallVector<int64_t> index(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    index[i] = position % shape[i];
    position /= shape[i];
  }
  return index;
}

static int64_t positionOf(ArrayRef<int64_t> index, ArrayRef<int64_t> shape) {
  int64_t position = 0;
  for (auto [i, size] : llvm::zip(index, shape))
    position = position * size + i;
  return position;
}

static const Scalar &broadcastElement(const SmallTensor &from,
                                      ArrayRef<int64_t> index) {
  ArrayRef<int64_t> shape = from.type.getShape();
  SmallVector<int64_t> own(index.take_back(shape.size()));
  for (auto [i, size] : llvm::zip(own, shape))
    if (size == 1)
      i = 0;
  return from.elements[positionOf(own, shape)];
}

/// The element of the operands that a data movement op puts at `index`.
static const Scalar *movedElement(Operation *op, ArrayRef<SmallTensor> x,
                                  SmallVector<int64_t> index) {
  ArrayRef<int64_t> shape = x[0].type.getShape();
  if (isTranspose(op)) {
    SmallVector<int64_t> from(index.size());
    for (auto [i, axis] : llvm::enumerate(permOf(op)))
      from[axis] = index[i];
    return &x[0].elements[positionOf(from, shape)];
  }
  if (auto slice = dyn_cast<SliceOp>(op)) {
    for (auto [i, start] : llvm::enumerate(slice.getStarts().getSymExprs())) {
      std::optional<int64_t> begin = start.constant();
      index[i] = begin.value_or(-1) + index[i] * slice.getSteps()[i];
      if (!begin || index[i] < 0 || index[i] >= shape[i])
        return nullptr;
    }
    return &x[0].elements[positionOf(index, shape)];
  }
  if (auto concat = dyn_cast<ConcatOp>(op)) {
    size_t axis = concat.getAxis();
    for (const SmallTensor &input : x) {
      int64_t size = input.type.getShape()[axis];
      if (index[axis] < size)
        return &input.elements[positionOf(index, input.type.getShape())];
      index[axis] -= size;
    }
    return nullptr;
  }
  auto gather = cast<GatherOp>(op);
  size_t axis = gather.getAxis(), width = x[1].type.getRank();
  int64_t at = x[1].elements[positionOf(ArrayRef(index).slice(axis, width),
                                        x[1].type.getShape())]
                   .i;
  at = at < 0 ? at + shape[axis] : at;
  if (at < 0 || at >= shape[axis])
    return nullptr; // the run reports it
  SmallVector<int64_t> from(ArrayRef(index).take_front(axis));
  from.push_back(at);
  llvm::append_range(from, ArrayRef(index).drop_front(axis + width));
  return &x[0].elements[positionOf(from, shape)];
}

std::optional<SmallTensor> evaluateOp(Operation *op,
                                      ArrayRef<SmallTensor> operands) {
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !type.hasStaticShape() || operands.empty() ||
      !isComputable(type.getElementType()))
    return std::nullopt;
  SmallTensor result{type, {}};
  if (isReshape(op)) {
    result.elements = operands[0].elements;
    return result;
  }
  bool elementwise = op->hasTrait<OpTrait::Elementwise>();
  if (!elementwise && !isTranspose(op) && !isa<SliceOp, ConcatOp, GatherOp>(op))
    return std::nullopt;
  for (int64_t i = 0; i < type.getNumElements(); ++i) {
    SmallVector<int64_t> index = indexOf(i, type.getShape());
    if (!elementwise) {
      const Scalar *moved = movedElement(op, operands, index);
      if (!moved)
        return std::nullopt;
      result.elements.push_back(*moved);
      continue;
    }
    SmallVector<Scalar> x;
    for (const SmallTensor &operand : operands)
      x.push_back(broadcastElement(operand, index));
    std::optional<Scalar> value = evaluateElement(op, operands[0].isFloat(), x);
    if (!value)
      return std::nullopt;
    result.elements.push_back(fit(*value, type.getElementType()));
  }
  return result;
}

} // namespace tenon
