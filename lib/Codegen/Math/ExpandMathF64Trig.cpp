//===- ExpandMathF64Trig.cpp - circular functions in double ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Rel error below 1e-15. sin, cos and tan of doubles take their argument modulo
// pi/2 in four steps, which is right up to |x| = 2^20; the absolute error then
// grows in proportion to |x|. (The f32 functions reduce by themselves.)
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Math/ExpandMathEmitter.h"
#include <limits>

using namespace mlir;
using namespace tenon;
using Pred = arith::CmpFPredicate;

namespace {

constexpr double kPi2 = 0x1.921fb54442d18p+0, kPi2Low = 0x1.1a62633145c07p-54;
constexpr double kPi4 = 0x1.921fb54442d18p-1, kPi4Low = 0x1.1a62633145c07p-55;
constexpr double kMagic = 0x1.8p52;

/// pi/2 in three parts of 33 bits, whose products with n < 2^20 are exact, and
/// a rest.
constexpr double kPi2Parts[] = {0x1.921fb54400000p+0, 0x1.0b4611a600000p-34,
                                0x1.3198a2e000000p-69, 0x1.b839a252049c1p-104};

constexpr double kSin[] = {-0x1.5555555555548p-3,  0x1.111111110f78fp-7,
                           -0x1.a01a019bf57d4p-13, 0x1.71de35603db2fp-19,
                           -0x1.ae5e547076f3dp-26, 0x1.5d8dfd7ee05c9p-33};
constexpr double kCos[] = {0x1.555555555554bp-5,  -0x1.6c16c16c14f47p-10,
                           0x1.a01a019c7cd99p-16, -0x1.27e4f7e53e08dp-22,
                           0x1.1ee9d3dc54db5p-29, -0x1.8fa290c8d7fa9p-37};

/// (atan(x) - x)/x in powers of x^2, from the first; |x| <= tan(pi/8).
constexpr double kAtan[] = {
    -0x1.555555555553dp-2, 0x1.99999999957c9p-3,  -0x1.24924922a99fbp-3,
    0x1.c71c70e493558p-4,  -0x1.745cf8afe2095p-4, 0x1.3b1115d92f9a6p-4,
    -0x1.10eb91169a527p-4, 0x1.df0cf10efb333p-5,  -0x1.9cc792f183c7fp-5,
    0x1.37b7da7780c06p-5,  -0x1.252609dc48ccfp-6};

/// (asin(x) - x)/x in powers of x^2, from the first; |x| <= 1/2.
constexpr double kAsin[] = {
    0x1.5555555555578p-3, 0x1.333333332de8cp-4, 0x1.6db6db7231f0fp-5,
    0x1.f1c71a8916fc1p-6, 0x1.6e8be02fb3972p-6, 0x1.1c49d8bb542f2p-6,
    0x1.ca21c62a31286p-7, 0x1.75734b1e48a3fp-7, 0x1.61a32ecdeadc5p-7,
    0x1.dfe1090b3b927p-9, 0x1.6577a8ec1bc36p-6, -0x1.5aa0adbc4c55ep-6,
    0x1.0c1abdb469de6p-5};

struct Reduced {
  Value r;        // |r| <= pi/4
  Value quadrant; // i64, the last two bits count
};

Reduced reduce(const MathEmitter &e, Value magnitude) {
  Value shifted = e.fma(magnitude, 0x1.45f306dc9c883p-1, kMagic);
  Value n = e.sub(shifted, kMagic);
  Value r = e.fma(n, -kPi2Parts[0], magnitude); // exact
  // Each further part is subtracted with what the subtraction loses.
  Value lost;
  for (double part : llvm::ArrayRef(kPi2Parts).drop_front()) {
    Value w = e.mul(n, part);
    if (lost)
      w = e.sub(w, lost);
    Value next = e.sub(r, w);
    lost = e.sub(e.sub(r, next), w);
    r = next;
  }
  return {e.add(r, lost), e.bits(shifted)};
}

Value sinPolynomial(const MathEmitter &e, Value r) {
  Value z = e.mul(r, r);
  return e.fma(e.mul(r, z), e.horner(z, kSin), r);
}

Value cosPolynomial(const MathEmitter &e, Value r) {
  Value z = e.mul(r, r);
  return e.fma(e.mul(z, z), e.horner(z, kCos), e.fma(z, -0.5, 1.0));
}

Value sinOfQuadrant(const MathEmitter &e, Value r, Value quadrant) {
  Value value =
      e.select(e.isOdd(quadrant), cosPolynomial(e, r), sinPolynomial(e, r));
  Value sign = e.shl(e.lshr(quadrant, 1), 63);
  return e.fromBits(e.xorI(e.bits(value), sign));
}

Value flipSign(const MathEmitter &e, Value value, Value by) {
  Value sign = e.andI(e.bits(by), e.i(1ull << 63));
  return e.fromBits(e.xorI(e.bits(value), sign));
}

/// asin(t) for 0 <= t <= 1/2.
Value asinSmall(const MathEmitter &e, Value t) {
  Value z = e.mul(t, t);
  return e.fma(e.mul(t, z), e.horner(z, kAsin), t);
}

} // namespace

Value tenon::sinF64(const MathEmitter &e, Value x) {
  Reduced reduced = reduce(e, e.abs(x));
  return flipSign(e, sinOfQuadrant(e, reduced.r, reduced.quadrant), x);
}

Value tenon::cosF64(const MathEmitter &e, Value x) {
  Reduced reduced = reduce(e, e.abs(x));
  return sinOfQuadrant(e, reduced.r, e.addI(reduced.quadrant, e.i(1)));
}

Value tenon::tanReducedF64(const MathEmitter &e, Value r, Value oddQuadrant) {
  Value s = sinPolynomial(e, r), c = cosPolynomial(e, r);
  Value up = e.select(oddQuadrant, e.neg(c), s);
  return e.div(up, e.select(oddQuadrant, s, c));
}

Value tenon::tanF64(const MathEmitter &e, Value x) {
  Reduced reduced = reduce(e, e.abs(x));
  Value odd = e.isOdd(reduced.quadrant);
  return flipSign(e, tanReducedF64(e, reduced.r, odd), x);
}

// Above 1 from pi/2 - atan(1/x), then above tan(pi/8) from
// pi/4 + atan((t-1)/(t+1)).
Value tenon::atanF64(const MathEmitter &e, Value x) {
  Value a = e.abs(x);
  Value inverted = e.cmp(Pred::OGT, a, 1.0);
  Value t = e.select(inverted, e.div(e.f(1.0), a), a);
  Value shifted = e.cmp(Pred::OGT, t, 0x1.a827999fcef32p-2);
  t = e.select(shifted, e.div(e.sub(t, 1.0), e.add(t, 1.0)), t);
  Value z = e.mul(t, t);
  Value tail = e.mul(e.mul(t, z), e.horner(z, kAtan));
  Value low = e.add(tail, e.select(shifted, kPi4Low, 0.0));
  Value angle = e.add(e.add(t, low), e.select(shifted, kPi4, 0.0));
  // The complement keeps pi/2's low part.
  Value complement = e.add(e.sub(e.f(kPi2), angle), kPi2Low);
  return e.copysign(e.select(inverted, complement, angle), x);
}

// Above 1/2: asin(x) = pi/2 - 2*asin(sqrt((1 - x)/2)). The root of a negative
// number makes the NaN for |x| > 1.
Value tenon::asinF64(const MathEmitter &e, Value x) {
  Value a = e.abs(x);
  Value large = e.cmp(Pred::UGT, a, 0.5);
  Value root = e.sqrt(e.mul(e.sub(e.f(1.0), a), 0.5));
  Value angle = asinSmall(e, e.select(large, root, a));
  Value complement = e.add(e.sub(e.f(kPi2), e.add(angle, angle)), kPi2Low);
  return e.copysign(e.select(large, complement, angle), x);
}

Value tenon::acosF64(const MathEmitter &e, Value x) {
  Value a = e.abs(x);
  Value large = e.cmp(Pred::UGT, a, 0.5);
  Value root = e.sqrt(e.mul(e.sub(e.f(1.0), a), 0.5));
  Value angle = asinSmall(e, e.select(large, root, a));
  Value negative = e.cmp(Pred::OLT, x, 0.0);
  Value doubled = e.add(angle, angle);
  Value outer = e.select(
      negative, e.add(e.sub(e.f(2 * kPi2), doubled), 2 * kPi2Low), doubled);
  Value inner = e.add(e.sub(e.f(kPi2), e.copysign(angle, x)), kPi2Low);
  return e.select(large, outer, inner);
}
