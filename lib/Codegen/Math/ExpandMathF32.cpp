//===- ExpandMathF32.cpp - f32 functions as polynomials -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Coefficients are minimax (Remez) for the interval said beside each, then
// rounded to f32. The bounds in the comments are of the whole function, from
// the sweep of test/Unit/Math; 1 ulp is the distance of neighbouring floats.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Math/ExpandMathEmitter.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace tenon;
using Pred = arith::CmpFPredicate;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Adding it rounds to an integer that stands in the mantissa's last bits.
constexpr double kMagic = 0x1.8p23;

constexpr double kLog2e = 0x1.715476p0;
constexpr double kLog2eLow = 0x1.4ae0cp-26;
/// ln 2 in two parts; the first has 15 bits, so that its products with
/// exponents are exact with or without FMA.
constexpr double kLn2High = 0x1.62e4p-1;
constexpr double kLn2Low = 0x1.7f7d1cp-20;
constexpr double kLn2 = 0x1.62e43p-1;

/// exp(r) for r in [-ln2/2, ln2/2], relative error 2.6e-9.
constexpr double kExp[] = {1.0,           1.0,           0x1.000002p-1,
                           0x1.5553c0p-3, 0x1.55515cp-5, 0x1.1290a4p-7,
                           0x1.709ca4p-10};
/// The same, relative error 9.2e-8.
constexpr double kShortExp[] = {1.0,           0x1.fffff6p-1, 0x1.fffdc4p-2,
                                0x1.555a82p-3, 0x1.573adap-5, 0x1.0f9ee4p-7};

/// p * 2^n where `shifted` = n + kMagic + 254. The factor is split in halves,
/// 2^floor((n+254)/2 - 127) and the rest, so that the first product is exact
/// and the second rounds once into the denormals or overflows.
Value scaleByPowerOf2(const MathEmitter &e, Value p, Value shifted) {
  Value u = e.bits(shifted);
  Value half = e.shl(e.lshr(u, 1), 23);
  Value rest = e.subI(e.shl(u, 23), half);
  return e.mul(e.mul(p, e.fromBits(half)), e.fromBits(rest));
}

/// The parts of x = 2^k * (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), x > 0.
struct LogParts {
  Value k, f;
  /// log(1 + f) - f, rel error of the sum 6e-9.
  Value tail;
};

LogParts splitForLog(const MathEmitter &e, Value x) {
  Value denormal = e.cmp(Pred::OLT, x, 0x1p-126);
  Value u = e.bits(e.select(denormal, e.mul(x, 0x1p23), x));
  // Biased so that the exponent steps at sqrt(1/2) = 0x3f3504f3.
  u = e.addI(u, e.i(0x3f800000 - 0x3f3504f3));
  Value m = e.addI(e.andI(u, e.i(0x007fffff)), e.i(0x3f3504f3));
  Value k = e.sub(e.fromBits(e.orI(e.lshr(u, 23), e.i(0x4b000000))),
                  e.select(denormal, 0x1p23 + 127 + 23, 0x1p23 + 127));
  Value f = e.sub(e.fromBits(m), 1.0);
  Value f2 = e.mul(f, f);
  Value p = e.horner(f, {0x1.555554p-2, -0x1.000228p-2, 0x1.99a010p-3,
                         -0x1.5471b8p-3, 0x1.22d906p-3, -0x1.0d89e0p-3,
                         0x1.0565e2p-3, -0x1.38b68cp-4});
  Value tail = e.fma(e.mul(f2, f), p, e.mul(f2, -0.5));
  return {k, f, tail};
}

/// log(0) = -inf, log(x < 0) = NaN, log(inf) = inf, log(NaN) = NaN.
Value logSpecialCases(const MathEmitter &e, Value x, Value result) {
  Value atMost0 = e.select(e.cmp(Pred::OEQ, x, 0.0), -kInf, kNaN);
  result = e.select(e.cmp(Pred::OLE, x, 0.0), atMost0, result);
  return e.select(e.cmp(Pred::UGE, x, kInf), x, result);
}

/// expm1(y) for -17 <= y <= 87, max error 1.5 ulp:
/// with y = n*ln2 + r, 2^n*expm1(r) + (2^n - 1).
Value expm1InRange(const MathEmitter &e, Value y) {
  Value shifted = e.fma(y, kLog2e, kMagic + 127);
  Value n = e.sub(shifted, kMagic + 127);
  Value r = e.fma(n, -kLn2High, y);
  r = e.fma(n, -kLn2Low, r);
  Value p = e.horner(r, {0x1p-1, 0x1.555556p-3, 0x1.55549ep-5, 0x1.11101ep-7,
                         0x1.6d8398p-10, 0x1.a2a3a2p-13});
  Value q = e.fma(e.mul(r, r), p, r);
  Value s = e.fromBits(e.shl(e.bits(shifted), 23));
  return e.fma(s, q, e.sub(s, 1.0));
}

/// log2(erfc(x))/x in powers of x, 0 <= x <= 4; see erfF32.
constexpr double kErfLog2[] = {-0x1.a0be84p+0, -0x1.d63ec4p-1,  -0x1.2fabe2p-3,
                               0x1.c4b922p-6,  0x1.e54916p-13,  -0x1.3b3accp-9,
                               0x1.deab76p-11, -0x1.63ede8p-13, 0x1.c0158cp-17};

/// (log2(Phi(-x)) + 1)/x in powers of x, Phi the normal distribution's: error
/// of the logarithm 1e-7 near 0, 1e-6 at 5, then growing; falls to -127
/// at 12.1.
constexpr double kPhiLog2[] = {-0x1.26af04p+0, -0x1.d632dap-2,  -0x1.aed280p-5,
                               0x1.d6e90cp-8,  -0x1.a8be58p-13, -0x1.7b12d4p-13,
                               0x1.90c23ep-15, -0x1.98fcf6p-18, 0x1.b9a9aep-22,
                               -0x1.91ce16p-27};

/// 2^r for r in [-1/2, 1/2], relative error 9e-8.
constexpr double kExp2[] = {1.0,           0x1.62e42ap-1, 0x1.ebf9bcp-3,
                            0x1.c6b750p-5, 0x1.3cea82p-7, 0x1.5bbaeep-10};

/// x / (2*pi) = turns; the fraction of a turn in [-1/2, 1/2] as four quarters:
/// x = (quadrant + r*2/pi) * pi/2, exactly for every float.
///
/// 1/(2*pi) is cut into pieces of 29 bits, so that each product with x (24
/// bits) is exact in double; whole turns are taken off each product (exact
/// too) before they are summed. The sum's error is below 2^-52 turns and no
/// float is nearer than 2^-30 to a multiple of a quarter turn.
struct TrigParts {
  Value r;        // double, |r| <= pi/4
  Value quadrant; // i32, the last two bits count
};

constexpr double kInverse2Pi[] = {
    0x1.45f306dp-3,   0x1.9391054p-32, 0x1.4fe13abp-61, 0x1.d1f534dp-90,
    0x1.b81b6c5p-119, 0x1.5993c4p-150, 0x1.c820ff2p-177};

TrigParts splitForTrig(const MathEmitter &e, Value magnitude) {
  MathEmitter d = e.asF64();
  Value x = d.extend(magnitude);
  Value turns;
  for (double piece : kInverse2Pi) {
    Value t = d.mul(x, piece);
    t = d.sub(t, d.round(t));
    turns = turns ? d.add(turns, t) : t;
  }
  Value quarters = d.mul(turns, 4.0);
  Value n = d.round(quarters);
  Value r = d.mul(d.sub(quarters, n), 0x1.921fb54442d18p0);
  Value quadrant = e.bits(e.add(e.truncate(n), kMagic));
  return {r, quadrant};
}

/// sin(r + quadrant*pi/2), by which polynomial the last bit of the quadrant
/// says and by sign the one before.
Value sinOfParts(const MathEmitter &e, Value rWide, Value quadrant) {
  Value r = e.truncate(rWide);
  Value z = e.mul(r, r);
  // |r| <= pi/4; rel errors 4e-9 and 2e-10.
  Value s = e.horner(z, {-0x1.555546p-3, 0x1.110730p-7, -0x1.994062p-13});
  s = e.fma(e.mul(r, z), s, r);
  Value c = e.horner(z, {0x1.55554ap-5, -0x1.6c0c28p-10, 0x1.99e86ap-16});
  c = e.fma(e.mul(z, z), c, e.fma(z, -0.5, 1.0));
  Value value = e.select(e.isOdd(quadrant), c, s);
  Value sign = e.shl(e.lshr(quadrant, 1), 31);
  return e.fromBits(e.xorI(e.bits(value), sign));
}

} // namespace

// Max error 1.2 ulp, denormal results included; 18 operations.
//
// exp(x) = 2^n * exp(r), r = x - n*ln2 in [-ln2/2, ln2/2].
Value tenon::expF32(const MathEmitter &e, Value x) {
  x = e.max(e.min(x, 89.0), -104.0); // beyond: inf and 0
  Value shifted = e.fma(x, kLog2e, kMagic + 254);
  Value n = e.sub(shifted, kMagic + 254);
  Value r = e.fma(n, -kLn2High, x);
  r = e.fma(n, -kLn2Low, r);
  return scaleByPowerOf2(e, e.horner(r, kExp), shifted);
}

// exp for the x <= 0 of a softmax: 0 gives 1, the relative error is at most
// 2e-7 + 3e-9*|x|. One part of ln 2 is enough, its f32 is off by 2e-9. Below
// -87, where results come near the denormals, it is 0: a masked score would
// otherwise cost a microcode assist for each vector. Such x may give anything
// on the way.
Value tenon::expNonPositiveF32(const MathEmitter &e, Value x) {
  Value shifted = e.fma(x, kLog2e, kMagic + 127);
  Value n = e.sub(shifted, kMagic + 127);
  Value p = e.horner(e.fma(n, -kLn2, x), kShortExp);
  Value y = e.mul(p, e.fromBits(e.shl(e.bits(shifted), 23)));
  return e.select(e.cmp(Pred::OLT, x, -87.0), 0.0, y);
}

// Max error 1.1 ulp, denormal results included.
Value tenon::exp2F32(const MathEmitter &e, Value x) {
  x = e.max(e.min(x, 129.0), -151.0);
  Value shifted = e.add(x, kMagic + 254);
  Value r = e.sub(x, e.sub(shifted, kMagic + 254)); // exact
  Value p = e.horner(r, {1.0, 0x1.62e432p-1, 0x1.ebfbe2p-3, 0x1.c6ae70p-5,
                         0x1.3b270ap-7, 0x1.5f737ep-10, 0x1.470d7cp-13});
  return scaleByPowerOf2(e, p, shifted);
}

// Max error 1.5 ulp, denormals included. Above 40, where the 1 no longer
// counts, it is exp, which knows how to overflow.
Value tenon::expm1F32(const MathEmitter &e, Value x) {
  Value small = expm1InRange(e, e.max(e.min(x, 40.0), -20.0));
  // expm1InRange gives +0 for -0.
  small = e.copysign(small, x);
  return e.select(e.cmp(Pred::OGT, x, 40.0), expF32(e, x), small);
}

// Max error 0.8 ulp. log(x) = k*ln2 + log(1 + f), added from the smallest up.
Value tenon::logF32(const MathEmitter &e, Value x) {
  LogParts parts = splitForLog(e, x);
  Value low = e.fma(parts.k, kLn2Low, parts.tail);
  Value high = e.fma(parts.k, kLn2High, e.add(low, parts.f));
  return logSpecialCases(e, x, high);
}

// Max error 1.2 ulp; exact for powers of two.
Value tenon::log2F32(const MathEmitter &e, Value x) {
  LogParts parts = splitForLog(e, x);
  Value low = e.fma(parts.tail, kLog2e, e.mul(parts.f, kLog2eLow));
  Value high = e.add(e.fma(parts.f, kLog2e, low), parts.k);
  return logSpecialCases(e, x, high);
}

// Max error 2.5 ulp and 1e-7 absolutely; 24 operations and no division.
//
// erf(x) = 1 - erfc(x) = 1 - 2^y with y = log2(erfc(x)) = x*P(x) for x in
// [0, 4]; P has degree 8. The subtraction loses nothing: with y = n + r it is
// (1 - 2^n) - 2^n*(2^r - 1), and 2^r - 1 is a polynomial without constant term.
Value tenon::erfF32(const MathEmitter &e, Value x) {
  Value a = e.min(e.abs(x), 4.0); // erf(4) rounds to 1
  Value y = e.mul(a, e.horner(a, kErfLog2));
  Value shifted = e.add(y, kMagic + 127);
  Value r = e.sub(y, e.sub(shifted, kMagic + 127));
  Value q =
      e.mul(r, e.horner(r, {0x1.62e430p-1, 0x1.ebfbdep-3, 0x1.c6af6ep-5,
                            0x1.3b2ba0p-7, 0x1.5f0878p-10, 0x1.4308fap-13}));
  Value s = e.fromBits(e.shl(e.bits(shifted), 23));
  Value result = e.fma(e.neg(s), q, e.sub(e.f(1.0), s));
  return e.copysign(result, x);
}

// The activations x*F(x) with F(-x) = 1 - F(x), as max(x, 0) - |x|*F(-|x|):
// F(-|x|) is small where its error would show, so that negative results keep
// their relative error, and far out it is exactly 0, so that infinities need no
// care. |x| is clamped where 2^n reaches the bits of 0 (n = -127).

// Exact GELU: F is the normal distribution's, 2^y with a polynomial y of degree
// 10; 25 operations and no division. Max error 3 ulp for x > 0; relative error
// 4e-6 for -5 < x < 0, absolute 1e-11 below; 0 below -12.1.
Value tenon::geluF32(const MathEmitter &e, Value x) {
  Value a = e.min(e.abs(x), 12.1);
  Value y = e.fma(a, e.horner(a, kPhiLog2), -1.0);
  Value shifted = e.add(y, kMagic + 127);
  Value r = e.sub(y, e.sub(shifted, kMagic + 127));
  Value s = e.mul(a, e.fromBits(e.shl(e.bits(shifted), 23)));
  return e.fma(e.neg(s), e.horner(r, kExp2), e.max(x, 0.0));
}

/// max(x, 0) - a/(1 + exp(z)), 0 <= z <= 127 ln 2.
static Value gateF32(const MathEmitter &e, Value x, Value a, Value z) {
  Value shifted = e.fma(z, -kLog2e, kMagic + 127);
  Value n = e.sub(shifted, kMagic + 127);
  Value r = e.fma(n, -kLn2High, e.neg(z));
  r = e.fma(n, -kLn2Low, r);
  Value t = e.mul(e.horner(r, kExp), e.fromBits(e.shl(e.bits(shifted), 23)));
  return e.sub(e.max(x, 0.0), e.div(e.mul(a, t), e.add(t, 1.0)));
}

// F is the sigmoid. Max error 1.7 ulp for x > 0; relative error 2.3e-7 for
// -5 < x < 0; 0 below -88.
Value tenon::siluF32(const MathEmitter &e, Value x) {
  Value a = e.min(e.abs(x), 88.0297); // 127 ln 2
  return gateF32(e, x, a, a);
}

// GELU by tanh: (1 + tanh(u))/2 is the sigmoid of 2u,
// u = sqrt(2/pi)*(x + 0.044715*x^3). Max error 1.8 ulp for x > 0; relative
// error 2e-6 for -5 < x < 0; 0 below -10.
Value tenon::geluTanhF32(const MathEmitter &e, Value x) {
  Value a = e.min(e.abs(x), 10.0311);
  Value z = e.mul(a, e.fma(e.mul(a, a), 0.0713548163, 1.5957691216));
  return gateF32(e, x, a, z);
}

// Max error 2.3 ulp, for small x too: tanh(x) = E/(E + 2), E = expm1(2x).
Value tenon::tanhF32(const MathEmitter &e, Value x) {
  Value a = e.min(e.abs(x), 10.0); // tanh(10) rounds to 1
  Value m = expm1InRange(e, e.add(a, a));
  return e.copysign(e.div(m, e.add(m, 2.0)), x);
}

// Max error 1.6 ulp over all floats.
Value tenon::sinF32(const MathEmitter &e, Value x) {
  TrigParts parts = splitForTrig(e, e.abs(x));
  Value result = sinOfParts(e, parts.r, parts.quadrant);
  Value sign = e.andI(e.bits(x), e.i(0x80000000));
  return e.fromBits(e.xorI(e.bits(result), sign));
}

// Max error 1.6 ulp over all floats.
Value tenon::cosF32(const MathEmitter &e, Value x) {
  TrigParts parts = splitForTrig(e, e.abs(x));
  return sinOfParts(e, parts.r, e.addI(parts.quadrant, e.i(1)));
}

// Max error 0.51 ulp over all floats: the quotient is taken in double.
Value tenon::tanF32(const MathEmitter &e, Value x) {
  TrigParts parts = splitForTrig(e, e.abs(x));
  Value isOdd = e.isOdd(parts.quadrant);
  Value result = e.truncate(tanReducedF64(e.asF64(), parts.r, isOdd));
  Value sign = e.andI(e.bits(x), e.i(0x80000000));
  return e.fromBits(e.xorI(e.bits(result), sign));
}

// Max error 0.51 ulp: y*log2(|x|) and its power are taken in double.
Value tenon::powF32(const MathEmitter &e, Value x, Value y) {
  MathEmitter d = e.asF64();
  Value exponent = d.mul(d.extend(y), log2F64(d, d.extend(e.abs(x))));
  Value magnitude = e.truncate(exp2F64(d, exponent));
  return powSpecialCases(e, x, y, magnitude);
}
