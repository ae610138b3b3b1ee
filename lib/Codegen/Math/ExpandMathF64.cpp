//===- ExpandMathF64.cpp - exp, log, erf and pow in double ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Rel error below 1e-15 (4 ulp) but where said. Also behind the f32 functions
// that no model spends time in. The forms are those of ExpandMathF32.cpp, with
// longer polynomials; nothing relies on FMA being exact.
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
constexpr double kMagic = 0x1.8p52;

constexpr double kLog2e = 0x1.71547652b82fep+0;
constexpr double kLog2eLow = 0x1.777d0ffda0d24p-56;
constexpr double kLn2High = 0x1.62e42fee00000p-1; // 32 bits
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

/// (exp(r) - 1 - r) / r^2 for |r| <= ln2/2, rel error of exp 3.6e-18.
constexpr double kExp[] = {0x1.000000000000ap-1,  0x1.55555555554f9p-3,
                           0x1.555555555083ep-5,  0x1.1111111127d0fp-7,
                           0x1.6c16c18438b3cp-10, 0x1.a01a012a0eea8p-13,
                           0x1.a01999e25a035p-16, 0x1.71df25b3d751dp-19,
                           0x1.28ad9b8df77e0p-22, 0x1.ad7f3d7534cdbp-26};

/// The same with the error relative to expm1(r), 2.7e-18.
constexpr double kExpm1[] = {
    0x1.0000000000001p-1,  0x1.5555555555557p-3,  0x1.5555555554d37p-5,
    0x1.11111111100d9p-7,  0x1.6c16c16f0bd7bp-10, 0x1.a01a01abea449p-13,
    0x1.a019f391ca131p-16, 0x1.71de02285b3a8p-19, 0x1.28022a02396cdp-22,
    0x1.af4dffecf2dfep-26, 0x1.e632dd6b4d631p-30};

/// (log((1+s)/(1-s)) - 2s) / s in powers of s^2, from the first.
constexpr double kLog[] = {0x1.5555555555593p-1, 0x1.999999997f8a5p-2,
                           0x1.249249423e6c8p-2, 0x1.c71c51c659f96p-3,
                           0x1.74664d7a14afdp-3, 0x1.39a02e93489aep-3,
                           0x1.2f15be9e737d9p-3};

/// erf(x)/x in powers of x^2, |x| <= 1, error 7e-18.
constexpr double kErfSmall[] = {
    0x1.20dd750429b6dp+0,   -0x1.812746b0379c2p-2,  0x1.ce2f21a041017p-4,
    -0x1.b82ce3120628ap-6,  0x1.565bccfa9a2b9p-8,   -0x1.c02db072e94c6p-11,
    0x1.f9a2bf73246a9p-14,  -0x1.f4ca948f937dep-17, 0x1.b9827ad377714p-20,
    -0x1.5c16e1ebfcaa8p-23, 0x1.d7848e9bf3e7bp-27,  -0x1.acdff2c7054eap-31};

/// erfc(x)*exp(x^2) in powers of (x-3)/(x+3), 1 <= x <= 6, rel error 4e-17.
constexpr double kErfcLarge[] = {
    0x1.6e9827d229d2dp-3,   -0x1.4e102b9cf8515p-2, 0x1.f6ff204105a1ap-3,
    -0x1.336ffbef0887bp-3,  0x1.258b13b00dad3p-4,  -0x1.8fa58eb645db2p-6,
    0x1.17c8390b2edeap-8,   0x1.731020998cfb9p-11, -0x1.39085fbf9992fp-11,
    0x1.7b9e00d4c7badp-15,  0x1.0cb2bf64ed25cp-14, -0x1.aeefc9b0f9afep-17,
    -0x1.0cab36ffe3903p-17, 0x1.0d5a7414fe359p-19, 0x1.536d3094e318dp-20};

/// exp(y + low) for a y already in [-746, 710] or NaN and a tiny `low`.
Value expInRange(const MathEmitter &e, Value y, Value low = {}) {
  Value shifted = e.fma(y, kLog2e, kMagic + 2046);
  Value n = e.sub(shifted, kMagic + 2046);
  Value r = e.fma(n, -kLn2High, y);
  r = e.fma(n, -kLn2Low, r);
  if (low)
    r = e.add(r, low);
  Value p = e.add(e.fma(e.mul(r, r), e.horner(r, kExp), r), 1.0);
  // As scaleByPowerOf2 of f32: two exact halves of 2^n.
  Value u = e.bits(shifted);
  Value half = e.shl(e.lshr(u, 1), 52);
  Value rest = e.subI(e.shl(u, 52), half);
  return e.mul(e.mul(p, e.fromBits(half)), e.fromBits(rest));
}

/// expm1 for -40 <= y <= 700.
Value expm1InRange(const MathEmitter &e, Value y) {
  Value shifted = e.fma(y, kLog2e, kMagic + 1023);
  Value n = e.sub(shifted, kMagic + 1023);
  Value r = e.fma(n, -kLn2High, y);
  r = e.fma(n, -kLn2Low, r);
  Value q = e.fma(e.mul(r, r), e.horner(r, kExpm1), r);
  Value s = e.fromBits(e.shl(e.bits(shifted), 52));
  return e.fma(s, q, e.sub(s, 1.0));
}

struct LogParts {
  Value k, f; // x = 2^k * (1 + f)
};

LogParts splitForLog(const MathEmitter &e, Value x) {
  constexpr uint64_t kOne = 0x3ff0000000000000, kSqrtHalf = 0x3fe6a09e667f3bcd;
  Value denormal = e.cmp(Pred::OLT, x, 0x1p-1022);
  Value u = e.bits(e.select(denormal, e.mul(x, 0x1p54), x));
  u = e.addI(u, e.i(kOne - kSqrtHalf));
  Value m = e.addI(e.andI(u, e.i(0x000fffffffffffff)), e.i(kSqrtHalf));
  // The exponent as a double without an integer conversion, which AVX2 lacks.
  Value k = e.sub(e.fromBits(e.orI(e.lshr(u, 52), e.i(0x4330000000000000))),
                  e.select(denormal, 0x1p52 + 1023 + 54, 0x1p52 + 1023));
  return {k, e.sub(e.fromBits(m), 1.0)};
}

/// log(1 + f) - f.
Value logTail(const MathEmitter &e, Value f) {
  Value s = e.div(f, e.add(f, 2.0));
  Value z = e.mul(s, s);
  Value p = e.mul(z, e.horner(z, kLog));
  // log(1+f) = f - f*s + s*p, as 2s = f - f*s. Written so that the rounding
  // of s counts only in terms that are small against f.
  Value halfSquare = e.mul(e.mul(f, f), 0.5);
  return e.sub(e.mul(s, e.add(halfSquare, p)), halfSquare);
}

Value logSpecialCases(const MathEmitter &e, Value x, Value result) {
  Value atMost0 = e.select(e.cmp(Pred::OEQ, x, 0.0), -kInf, kNaN);
  result = e.select(e.cmp(Pred::OLE, x, 0.0), atMost0, result);
  return e.select(e.cmp(Pred::UGE, x, kInf), x, result);
}

struct Double2 {
  Value high, low;
};

Double2 twoSum(const MathEmitter &e, Value x, Value y) { // |x| >= |y|
  Value s = e.add(x, y);
  return {s, e.sub(y, e.sub(s, x))};
}

/// Veltkamp's split into 26 bits each.
Double2 split(const MathEmitter &e, Value x) {
  Value c = e.mul(x, 0x1p27 + 1);
  Value high = e.sub(c, e.sub(c, x));
  return {high, e.sub(x, high)};
}

/// Dekker's exact product; it needs no FMA, which not every target has.
Double2 twoProduct(const MathEmitter &e, Value x, Value y) {
  Value p = e.mul(x, y);
  Double2 a = split(e, x), b = split(e, y);
  Value err = e.sub(e.mul(a.high, b.high), p);
  err = e.add(err, e.mul(a.high, b.low));
  err = e.add(err, e.mul(a.low, b.high));
  return {p, e.add(err, e.mul(a.low, b.low))};
}

} // namespace

Value tenon::expF64(const MathEmitter &e, Value x) {
  return expInRange(e, e.max(e.min(x, 710.0), -746.0));
}

Value tenon::exp2F64(const MathEmitter &e, Value x) {
  x = e.max(e.min(x, 1025.0), -1076.0);
  // 2^x = exp(x*ln2) with the product's low part; whole numbers stay exact.
  Value n = e.round(x);
  Value r = e.sub(x, n);
  Value p = e.fma(r, 0x1.62e42fefa39efp-1, e.mul(r, 0x1.abc9e3b39803fp-56));
  p = e.add(e.fma(e.mul(p, p), e.horner(p, kExp), p), 1.0);
  Value u = e.bits(e.add(n, kMagic + 2046));
  Value half = e.shl(e.lshr(u, 1), 52);
  Value rest = e.subI(e.shl(u, 52), half);
  return e.mul(e.mul(p, e.fromBits(half)), e.fromBits(rest));
}

Value tenon::expm1F64(const MathEmitter &e, Value x) {
  Value small = e.copysign(expm1InRange(e, e.max(e.min(x, 60.0), -40.0)), x);
  return e.select(e.cmp(Pred::OGT, x, 60.0), expF64(e, x), small);
}

Value tenon::logF64(const MathEmitter &e, Value x) {
  LogParts parts = splitForLog(e, x);
  Value low = e.fma(parts.k, kLn2Low, logTail(e, parts.f));
  Value high = e.fma(parts.k, kLn2High, e.add(low, parts.f));
  return logSpecialCases(e, x, high);
}

Value tenon::log2F64(const MathEmitter &e, Value x) {
  LogParts parts = splitForLog(e, x);
  Value low = e.fma(logTail(e, parts.f), kLog2e, e.mul(parts.f, kLog2eLow));
  Value high = e.add(e.fma(parts.f, kLog2e, low), parts.k);
  return logSpecialCases(e, x, high);
}

// log(u) + (x - (u - 1))/u for u = 1 + x: the second term is what u's rounding
// took away.
Value tenon::log1pF64(const MathEmitter &e, Value x) {
  Value u = e.add(x, 1.0);
  Value lost = e.div(e.sub(x, e.sub(u, 1.0)), u);
  Value inside = e.both(e.cmp(Pred::OGT, u, 0.0), e.cmp(Pred::OLT, x, kInf));
  Value result = e.add(logF64(e, u), e.select(inside, lost, e.f(0.0)));
  return e.select(e.cmp(Pred::OEQ, x, 0.0), x, result); // -0
}

Value tenon::erfF64(const MathEmitter &e, Value x) {
  Value a = e.min(e.abs(x), 6.0); // erf(6) rounds to 1
  Value z = e.mul(a, a);
  Value small = e.mul(a, e.horner(z, kErfSmall));
  Value t = e.div(e.sub(a, 3.0), e.add(a, 3.0));
  Value tail = e.mul(expInRange(e, e.neg(z)), e.horner(t, kErfcLarge));
  Value large = e.sub(e.f(1.0), tail);
  return e.copysign(e.select(e.cmp(Pred::OLT, a, 1.0), small, large), x);
}

Value tenon::tanhF64(const MathEmitter &e, Value x) {
  Value a = e.min(e.abs(x), 22.0);
  Value m = expm1InRange(e, e.add(a, a));
  return e.copysign(e.div(m, e.add(m, 2.0)), x);
}

// .5*(m + m/(m+1)), m = expm1|x|; beyond 22 half the square of exp(|x|/2),
// which overflows only where the result does.
Value tenon::sinhF64(const MathEmitter &e, Value x) {
  Value a = e.abs(x);
  Value m = expm1InRange(e, e.min(a, 22.0));
  Value small = e.mul(e.add(m, e.div(m, e.add(m, 1.0))), 0.5);
  Value root = expF64(e, e.mul(a, 0.5));
  Value large = e.mul(e.mul(root, 0.5), root);
  return e.copysign(e.select(e.cmp(Pred::OGT, a, 22.0), large, small), x);
}

Value tenon::coshF64(const MathEmitter &e, Value x) {
  Value a = e.abs(x);
  Value y = expInRange(e, e.min(a, 22.0));
  Value small = e.mul(e.add(y, e.div(e.f(1.0), y)), 0.5);
  Value root = expF64(e, e.mul(a, 0.5));
  Value large = e.mul(e.mul(root, 0.5), root);
  return e.select(e.cmp(Pred::OGT, a, 22.0), large, small);
}

Value tenon::asinhF64(const MathEmitter &e, Value x) {
  Value a = e.abs(x);
  Value b = e.min(a, 0x1p500); // its square does not overflow
  Value square = e.mul(b, b);
  Value root = e.add(e.sqrt(e.add(square, 1.0)), 1.0);
  Value small = log1pF64(e, e.add(b, e.div(square, root)));
  Value large = e.add(logF64(e, a), 0x1.62e42fefa39efp-1);
  Value result = e.select(e.cmp(Pred::OGT, a, 0x1p28), large, small);
  return e.copysign(result, x);
}

Value tenon::acoshF64(const MathEmitter &e, Value x) {
  Value t = e.sub(e.min(x, 0x1p500), 1.0);
  Value root = e.sqrt(e.mul(t, e.add(t, 2.0)));
  Value small = log1pF64(e, e.add(t, root));
  Value large = e.add(logF64(e, x), 0x1.62e42fefa39efp-1);
  Value result = e.select(e.cmp(Pred::OGT, x, 0x1p28), large, small);
  return e.select(e.cmp(Pred::OLT, x, 1.0), kNaN, result);
}

Value tenon::atanhF64(const MathEmitter &e, Value x) {
  Value a = e.abs(x);
  Value ratio = e.div(e.add(a, a), e.sub(e.f(1.0), a));
  return e.copysign(e.mul(log1pF64(e, ratio), 0.5), x);
}

Value tenon::powSpecialCases(const MathEmitter &e, Value x, Value y,
                             Value magnitude) {
  Value one = e.f(1.0);
  // |x| = 1 makes 0*inf of y*log|x| where y is infinite.
  Value unit = e.both(e.cmp(Pred::OEQ, e.abs(x), 1.0), e.cmp(Pred::ORD, y, y));
  Value result = e.select(unit, one, magnitude);
  Value whole = e.cmp(Pred::OEQ, e.round(y), y);
  Value halfY = e.mul(y, 0.5);
  Value odd = e.both(whole, e.cmp(Pred::ONE, e.round(halfY), halfY));
  result = e.select(odd, e.copysign(result, x), result);
  Value fraction = e.cmp(Pred::ONE, e.round(y), y);
  Value negative = e.both(e.cmp(Pred::OLT, x, 0.0), e.cmp(Pred::OGT, x, -kInf));
  result = e.select(e.both(fraction, negative), kNaN, result);
  result = e.select(e.cmp(Pred::OEQ, y, 0.0), one, result);
  return e.select(e.cmp(Pred::OEQ, x, 1.0), one, result);
}

// Rel error 5e-15 (24 ulp): log|x| is carried in two doubles, since an error of
// 2^-53 in it would be multiplied by y*log|x|, up to 745.
Value tenon::powF64(const MathEmitter &e, Value x, Value y) {
  Value a = e.abs(x);
  LogParts parts = splitForLog(e, a);
  Value f = parts.f;
  // s = f/(2 + f) in two parts: the division's remainder, by exact products.
  Double2 d = twoSum(e, e.f(2.0), f);
  Value s = e.div(f, d.high);
  Double2 product = twoProduct(e, s, d.high);
  Value rest = e.sub(e.sub(f, product.high), product.low);
  Value sLow = e.div(e.sub(rest, e.mul(s, d.low)), d.high);
  Value z = e.mul(s, s);
  Value tail = e.mul(s, e.mul(z, e.horner(z, kLog)));
  // log(1 + f) and k*ln2, whose high part is exact.
  Double2 l = twoSum(e, e.add(s, s), e.add(tail, e.add(sLow, sLow)));
  Value kHigh = e.mul(parts.k, kLn2High);
  Double2 sum = twoSum(e, kHigh, l.high);
  // k = 0: twoSum's condition does not hold, but then the sum is l.high.
  Value low = e.add(sum.low, e.fma(parts.k, kLn2Low, l.low));
  Double2 log = twoSum(e, sum.high, low);
  Value logHigh = logSpecialCases(e, a, log.high);
  // y beyond 2^70 gives 0, 1 or infinity as 2^70 does.
  Value bounded = e.max(e.min(y, 0x1p70), -0x1p70);
  Double2 exponent = twoProduct(e, bounded, logHigh);
  Value high = e.max(e.min(exponent.high, 710.0), -746.0);
  Value exponentLow = e.fma(bounded, log.low, exponent.low);
  // Where log|x| is infinite or the exponent out of range there is no low part.
  Value inside = e.both(e.cmp(Pred::OGT, exponent.high, -746.0),
                        e.cmp(Pred::OLT, exponent.high, 710.0));
  exponentLow = e.select(inside, exponentLow, e.f(0.0));
  return powSpecialCases(e, x, y, expInRange(e, high, exponentLow));
}
