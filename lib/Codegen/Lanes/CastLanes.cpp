//===- CastLanes.cpp - conversions on lanes -------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Lanes/CastLanes.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace tenon {

static Type likeShape(Value x, Type element) {
  if (auto v = dyn_cast<VectorType>(x.getType()))
    return VectorType::get(v.getShape(), element);
  return element;
}

Value emitLowBits(LaneBuilder &L, Value x, Type type) {
  unsigned bits = type.getIntOrFloatBitWidth();
  auto integer = dyn_cast<IntegerType>(type);
  if (!integer || integer.isUnsigned())
    return L.both(x, L.constantInt(x.getType(), (1 << bits) - 1));
  Value unused = L.constantInt(x.getType(), 8 - bits);
  Value high = arith::ShLIOp::create(L.b, L.loc, x, unused);
  return arith::ShRSIOp::create(L.b, L.loc, high, unused);
}

/// f32 or f64 lanes to a float type.
static Value castFloat(LaneBuilder &L, Value x, Type to) {
  OpBuilder &b = L.b;
  Type target = likeShape(x, computeType(to));
  if (to.isF16() || to.isBF16()) { // round now, as the model says
    Value n = arith::TruncFOp::create(b, L.loc, likeShape(x, to), x);
    return arith::ExtFOp::create(b, L.loc, target, n);
  }
  if (x.getType() == target)
    return x;
  if (to.isF64())
    return arith::ExtFOp::create(b, L.loc, target, x);
  return arith::TruncFOp::create(b, L.loc, target, x);
}

/// f32 or f64 lanes to integers of `bits` bits: NaN gives 0; outside the
/// type's range the nearest value: never poison.
static Value castToInteger(LaneBuilder &L, Value x, unsigned bits,
                           bool isUnsigned) {
  OpBuilder &b = L.b;
  Location loc = L.loc;
  double hi = std::ldexp(1.0, isUnsigned ? bits : bits - 1);
  double lo = isUnsigned ? 0.0 : -hi;
  // The largest float below hi.
  hi = getElementTypeOrSelf(x.getType()).isF64()
           ? std::nextafter(hi, 0.0)
           : (double)std::nextafterf((float)hi, 0.0f);
  if (bits < 24)
    hi = std::ldexp(1.0, isUnsigned ? bits : bits - 1) - 1;
  // One comparison each, which NaN does not pass, is one instruction: it gives
  // the lowest number, which of unsigned integers is 0.
  Value v = x, lowest = L.constLike(x, lo), highest = L.constLike(x, hi);
  if (!isUnsigned) {
    Value isNan = L.isNan(x);
    v = L.select(isNan, L.constLike(x, 0), x);
  }
  Value above = L.ogt(v, lowest);
  v = L.select(above, v, lowest);
  Value below = L.ogt(highest, v);
  v = L.select(below, v, highest);
  Type target = likeShape(x, b.getIntegerType(bits));
  // What is widened again was never narrow then: codes that stand for floats.
  if (bits < 32) {
    v = arith::FPToSIOp::create(b, loc, likeShape(x, b.getI32Type()), v);
    return arith::TruncIOp::create(b, loc, target, v);
  }
  return isUnsigned ? Value(arith::FPToUIOp::create(b, loc, target, v))
                    : Value(arith::FPToSIOp::create(b, loc, target, v));
}

static Value resizeInteger(LaneBuilder &L, Value x, unsigned width,
                           bool zeroExtend) {
  unsigned own = getElementTypeOrSelf(x.getType()).getIntOrFloatBitWidth();
  Type target = likeShape(x, L.b.getIntegerType(width));
  if (own == width)
    return x;
  if (own > width)
    return arith::TruncIOp::create(L.b, L.loc, target, x);
  return zeroExtend ? Value(arith::ExtUIOp::create(L.b, L.loc, target, x))
                    : Value(arith::ExtSIOp::create(L.b, L.loc, target, x));
}

Value emitCast(LaneBuilder &L, CastOp cast, Value x, Type from) {
  OpBuilder &b = L.b;
  Location loc = L.loc;
  Type to = cast.getTo();
  if (from == to)
    return x;
  if (const SmallFloatFormat *format = smallFloatFormat(from)) {
    x = emitDecodeSmallFloat(L, x, *format);
    from = b.getF32Type();
  }
  bool fromFloat = isa<FloatType>(from);
  bool zeroExtend = from.isUnsignedInteger() || from.isInteger(1);
  if (to.isInteger(1)) {
    Value zero = L.constLike(x, 0);
    if (fromFloat)
      return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNE, x, zero);
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, x, zero);
  }
  if (isa<FloatType>(to)) {
    const SmallFloatFormat *format = smallFloatFormat(to);
    if (!fromFloat) {
      Type real = likeShape(x, format ? b.getF32Type() : computeType(to));
      x = zeroExtend ? Value(arith::UIToFPOp::create(b, loc, real, x))
                     : Value(arith::SIToFPOp::create(b, loc, real, x));
    }
    if (!format)
      return castFloat(L, x, to);
    return emitEncodeSmallFloat(L, x, *format, !cast.getUnsaturated(),
                                cast.getRound().value_or(RoundMode::up));
  }
  unsigned width = to.getIntOrFloatBitWidth();
  if (isPackedType(to)) {
    x = fromFloat ? castToInteger(L, x, 32, false) : x;
    return emitLowBits(L, resizeInteger(L, x, 8, zeroExtend), to);
  }
  if (fromFloat)
    return castToInteger(L, x, width, to.isUnsignedInteger());
  return resizeInteger(L, x, width, zeroExtend);
}

Value emitRoundTo(LaneBuilder &L, Value x, Type to) {
  Value rounded = L.roundTo(x, to);
  if (!to.isBF16())
    return rounded;
  Value least = L.constant(x.getType(), std::numeric_limits<float>::min());
  Value size = math::AbsFOp::create(L.b, L.loc, x);
  Value isDenormal =
      arith::CmpFOp::create(L.b, L.loc, arith::CmpFPredicate::OLT, size, least);
  return L.select(isDenormal, L.constant(x.getType(), 0), rounded);
}

Value emitBitCast(LaneBuilder &L, Value x, Type from, Type to) {
  OpBuilder &b = L.b;
  Location loc = L.loc;
  if (from == to)
    return x;
  if (isPackedType(to))
    return emitLowBits(L, x, to);
  Type bits = likeShape(x, b.getIntegerType(storedBits(from)));
  // To bits: what is computed in f32 is narrowed, exactly, to its own width.
  if (from.isInteger(1))
    x = arith::ExtUIOp::create(b, loc, bits, x);
  if (from.isF16() || from.isBF16())
    x = arith::TruncFOp::create(b, loc, likeShape(x, from), x);
  if (isa<FloatType>(getElementTypeOrSelf(x.getType())))
    x = arith::BitcastOp::create(b, loc, bits, x);
  // And from bits.
  if (to.isInteger(1))
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, x,
                                 L.constantInt(x.getType(), 0));
  if (to.isF16() || to.isBF16()) {
    x = arith::BitcastOp::create(b, loc, likeShape(x, to), x);
    return arith::ExtFOp::create(b, loc, likeShape(x, b.getF32Type()), x);
  }
  if (to.isF32() || to.isF64())
    return arith::BitcastOp::create(b, loc, likeShape(x, to), x);
  return x;
}

} // namespace tenon
