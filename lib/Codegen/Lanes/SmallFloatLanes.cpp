//===- SmallFloatLanes.cpp - floats of 8 and 4 bits on lanes --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// lib/Support/SmallFloat.cpp on lanes: integer arithmetic on the bits of f32,
// the same at every instruction-set level.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Lanes/CastLanes.h"

using namespace mlir;

namespace tenon {

namespace {

struct Bits {
  LaneBuilder &L;
  Value like; // of the lanes' shape
  OpBuilder &b = L.b;
  Location loc = L.loc;

  Type of(Type element) const {
    if (auto v = dyn_cast<VectorType>(like.getType()))
      return VectorType::get(v.getShape(), element);
    return element;
  }
  Type i32 = of(b.getI32Type()), f32 = of(b.getF32Type());

  Value c(uint32_t v) { return L.constantInt(i32, int32_t(v)); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value andOp(Value x, Value y) { return arith::AndIOp::create(b, loc, x, y); }
  Value orOp(Value x, Value y) { return arith::OrIOp::create(b, loc, x, y); }
  Value shl(Value x, unsigned n) {
    return n ? Value(arith::ShLIOp::create(b, loc, x, c(n))) : x;
  }
  Value shr(Value x, unsigned n) {
    return n ? Value(arith::ShRUIOp::create(b, loc, x, c(n))) : x;
  }
  Value is(arith::CmpIPredicate p, Value x, Value y) {
    return arith::CmpIOp::create(b, loc, p, x, y);
  }
  Value above(Value x, uint32_t y) {
    return is(arith::CmpIPredicate::ugt, x, c(y));
  }
  Value below(Value x, uint32_t y) {
    return is(arith::CmpIPredicate::ult, x, c(y));
  }
  Value equal(Value x, uint32_t y) {
    return is(arith::CmpIPredicate::eq, x, c(y));
  }
  Value select(Value k, Value x, Value y) {
    return arith::SelectOp::create(b, loc, k, x, y);
  }
  Value toFloat(Value x) { return arith::BitcastOp::create(b, loc, f32, x); }
  Value toBits(Value x) { return arith::BitcastOp::create(b, loc, i32, x); }

  Value roundToOdd(Value x);
  Value encode(const SmallFloatFormat &f, Value bits, bool saturate);
  Value encodePower(Value bits, bool saturate, RoundMode round);
  Value decode(const SmallFloatFormat &f, Value code);
};

/// f64 to the bits of an f32 that a second rounding takes to what one rounding
/// gives.
Value Bits::roundToOdd(Value x) {
  Type f64 = x.getType();
  Value near = arith::TruncFOp::create(b, loc, f32, x), bits = toBits(near);
  Value back = arith::ExtFOp::create(b, loc, f64, near);
  Value away = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT,
                                     math::AbsFOp::create(b, loc, back),
                                     math::AbsFOp::create(b, loc, x));
  Value lost =
      arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ONE, back, x);
  Value odd = orOp(select(away, sub(bits, c(1)), bits), c(1));
  return select(lost, odd, bits);
}

Value Bits::encode(const SmallFloatFormat &f, Value bits, bool saturate) {
  Value magnitude = andOp(bits, c(0x7fffffff));
  Value sign = shl(shr(bits, 31), f.bits - 1);
  unsigned shift = 23 - f.mantissa;
  Value odd = andOp(shr(magnitude, shift), c(1));
  Value code = shr(add(magnitude, add(odd, c((1u << (shift - 1)) - 1))), shift);
  code = sub(code, c(uint32_t(127 - f.bias) << f.mantissa));
  // Denormal: adding 2^23 steps lets the hardware round at the right bit.
  Value steps = c(uint32_t(151 - f.bias - int(f.mantissa)) << 23);
  Value sum = arith::AddFOp::create(b, loc, toFloat(magnitude), toFloat(steps));
  code = select(below(magnitude, uint32_t(128 - f.bias) << 23),
                sub(toBits(sum), steps), code);
  uint32_t most = saturate || (!f.infinity && !f.nan) ? f.largest
                  : f.infinity                        ? f.infinity
                                                      : f.nan;
  code = select(above(code, f.largest), c(most), code);
  Value isNan = above(magnitude, 0x7f800000);
  code = select(isNan, c(f.nan), code);
  if (!f.nan) // -0 stands for it
    sign = select(isNan, sub(c(1u << (f.bits - 1)), sign), sign);
  Value r = orOp(code, sign);
  if (f.unsignedZero)
    r = select(orOp(equal(code, 0), equal(code, f.nan)), code, r);
  return r;
}

Value Bits::encodePower(Value bits, bool saturate, RoundMode round) {
  Value exponent = andOp(shr(bits, 23), c(0xff));
  Value mantissa = andOp(bits, c(0x7fffff));
  if (round == RoundMode::down)
    return exponent;
  Value up;
  if (round == RoundMode::up) {
    up = above(mantissa, 0);
  } else {
    Value tie = andOp(equal(mantissa, 0x400000), above(exponent, 0));
    up = orOp(above(mantissa, 0x400000), tie);
  }
  up = andOp(up, below(exponent, saturate ? 0xfe : 0xff));
  return add(exponent, arith::ExtUIOp::create(b, loc, i32, up));
}

Value Bits::decode(const SmallFloatFormat &f, Value code) {
  if (f.exponentOnly) {
    Value bits = select(equal(code, 0), c(0x00400000), shl(code, 23));
    return select(equal(code, 0xff), c(0x7fc00000), bits);
  }
  uint32_t signBit = 1u << (f.bits - 1);
  Value magnitude = andOp(code, c(signBit - 1));
  Value sign = shl(andOp(code, c(signBit)), 32 - f.bits);
  Value shifted = shl(magnitude, 23 - f.mantissa);
  Value bits = add(shifted, c(uint32_t(127 - f.bias) << 23));
  // Denormal: as if of exponent 1, less that exponent's leading one.
  uint32_t least = uint32_t(128 - f.bias) << 23;
  Value denormal = arith::SubFOp::create(
      b, loc, toFloat(add(shifted, c(least))), toFloat(c(least)));
  bits = select(below(magnitude, 1u << f.mantissa), toBits(denormal), bits);
  if (f.nan && !f.unsignedZero)
    bits = select(above(magnitude, f.largest), c(0x7fc00000), bits);
  if (f.infinity)
    bits = select(equal(magnitude, f.infinity), c(0x7f800000), bits);
  if (f.unsignedZero)
    bits = select(equal(code, f.nan), c(0x7fc00000), bits);
  return orOp(bits, sign);
}

} // namespace

Value emitEncodeSmallFloat(LaneBuilder &L, Value x,
                           const SmallFloatFormat &format, bool saturate,
                           RoundMode round) {
  Bits e{L, x};
  bool isDouble = getElementTypeOrSelf(x.getType()).isF64();
  if (isDouble && format.exponentOnly)
    x = arith::TruncFOp::create(L.b, L.loc, e.f32, x);
  Value bits = isDouble && !format.exponentOnly ? e.roundToOdd(x) : e.toBits(x);
  Value code = format.exponentOnly ? e.encodePower(bits, saturate, round)
                                   : e.encode(format, bits, saturate);
  return arith::TruncIOp::create(L.b, L.loc, e.of(L.b.getI8Type()), code);
}

Value emitDecodeSmallFloat(LaneBuilder &L, Value code,
                           const SmallFloatFormat &format) {
  Bits e{L, code};
  Value wide = arith::ExtUIOp::create(L.b, L.loc, e.i32, code);
  return e.toFloat(e.decode(format, wide));
}

} // namespace tenon
