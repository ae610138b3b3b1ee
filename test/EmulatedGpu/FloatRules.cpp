//===- FloatRules.cpp - floating-point arithmetic -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every result is rounded once, to nearest even. Operations that a GPU only
// approximates are exact up to their last rounding here.
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <cmath>

using namespace emu;

namespace {

enum Operation : uint32_t {
  Add,
  Sub,
  Mul,
  Div,
  Min,
  Max,
  MinNan,
  MaxNan,
  Fma, // with more operands
  Abs,
  Neg,
  Sqrt,
  Rcp,
  Rsqrt,
  Ex2,
  Lg2,
  Sin,
  Cos,
  Tanh
};

constexpr uint32_t kFlush = 1, kSaturate = 2, kRelu = 4;

template <class T>
T canonicalNan() {
  uint64_t bits = sizeof(T) == 4 ? 0x7fffffff : 0x7fffffffffffffff;
  T value;
  memcpy(&value, &bits, sizeof(T));
  return value;
}

/// The smaller one: of a number and a NaN the number, of zeros the negative.
template <class T>
T minimum(T a, T b) {
  if (a != a)
    return b != b ? canonicalNan<T>() : b;
  if (b != b)
    return a;
  if (a == b)
    return std::signbit(a) ? a : b;
  return a < b ? a : b;
}
template <class T>
T maximum(T a, T b) {
  if (a != a)
    return b != b ? canonicalNan<T>() : b;
  if (b != b)
    return a;
  if (a == b)
    return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

float flush(float value) {
  return std::fabs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value;
}
double flush(double value) { return value; }

template <class T>
T apply(uint32_t operation, T a, T b, T c) {
  double wide = a;
  switch (operation) {
  case Add:
    return a + b;
  case Sub:
    return a - b;
  case Mul:
    return a * b;
  case Div:
    return a / b;
  case Min:
    return minimum(a, b);
  case Max:
    return maximum(a, b);
  case MinNan:
    return a != a || b != b ? canonicalNan<T>() : minimum(a, b);
  case MaxNan:
    return a != a || b != b ? canonicalNan<T>() : maximum(a, b);
  case Fma:
    return std::fma(a, b, c);
  case Abs:
    return std::fabs(a);
  case Neg:
    return -a;
  case Sqrt:
    return std::sqrt(a);
  case Rcp:
    return T(1) / a;
  case Rsqrt:
    return T(1 / std::sqrt(wide));
  case Ex2:
    return T(std::exp2(wide));
  case Lg2:
    return T(std::log2(wide));
  case Sin:
    return T(std::sin(wide));
  case Cos:
    return T(std::cos(wide));
  case Tanh:
    return T(std::tanh(wide));
  }
  return a;
}

/// x: the operation; y: what is done to operands and results.
template <class T>
void general(Warp &w, const Instruction &i) {
  eachLane(w, [&](uint32_t lane) {
    T a = w.reg<T>(i.a)[lane], b = i.b ? w.reg<T>(i.b)[lane] : T(0),
      c = i.c ? w.reg<T>(i.c)[lane] : T(0);
    if (i.y & kFlush)
      a = flush(a), b = flush(b), c = flush(c);
    T result = apply(i.x, a, b, c);
    if (i.y & kFlush)
      result = flush(result);
    if (i.y & kSaturate)
      result = result > 0 ? std::fmin(result, T(1)) : T(0); // NaN gives 0
    if (i.y & kRelu)
      result = result != result ? result : result > 0 ? result : T(0);
    w.reg<T>(i.d)[lane] = result;
  });
}

/// An operation on 16-bit numbers, rounded once.
uint16_t applySmall(uint32_t operation, uint32_t flags, bool isHalf, uint16_t x,
                    uint16_t y, uint16_t z) {
  const Format &format = isHalf ? kHalf : kBfloat;
  double a = widen(x, format), b = widen(y, format), c = widen(z, format);
  uint16_t result;
  switch (operation) {
  case Abs:
    return x & 0x7fff;
  case Neg:
    return x ^ 0x8000;
  case Add:
    result = narrow(addToOdd(a, b), format, Round::Nearest);
    break;
  case Sub:
    result = narrow(addToOdd(a, -b), format, Round::Nearest);
    break;
  case Fma: // a product of two has at most 22 bits
    result = narrow(addToOdd(a * b, c), format, Round::Nearest);
    break;
  default:
    result = narrow(apply<double>(operation, a, b, c), format, Round::Nearest);
  }
  bool isNan = (result & 0x7fff) > (isHalf ? 0x7c00 : 0x7f80);
  if (flags & kSaturate) {
    uint16_t one = isHalf ? 0x3c00 : 0x3f80;
    result = isNan || result & 0x8000 ? 0 : std::min(result, one);
  }
  if ((flags & kRelu) && !isNan && result & 0x8000)
    result = 0;
  return result;
}

template <bool isHalf, uint32_t count>
void small(Warp &w, const Instruction &i) {
  eachLane(w, [&](uint32_t lane) {
    for (uint32_t at = 0; at < count; ++at) {
      auto get = [&](uint32_t offset) {
        return offset ? w.reg<uint16_t>(offset)[lane * count + at] : uint16_t();
      };
      w.reg<uint16_t>(i.d)[lane * count + at] =
          applySmall(i.x, i.y, isHalf, get(i.a), get(i.b), get(i.c));
    }
  });
}

template <class T>
T plus(T a, T b) {
  return a + b;
}
template <class T>
T minus(T a, T b) {
  return a - b;
}
template <class T>
T times(T a, T b) {
  return a * b;
}
template <class T>
T over(T a, T b) {
  return a / b;
}
template <class T, class U, U bits>
T signOff(T a) {
  U pattern;
  memcpy(&pattern, &a, sizeof(T));
  pattern &= bits;
  memcpy(&a, &pattern, sizeof(T));
  return a;
}

/// The loops that compilers vectorise, for what is frequent.
Rule fast(uint32_t operation, Type type) {
  bool isDouble = type.bits == 64;
  switch (operation) {
  case Add:
    return isDouble ? binary<double, double, plus<double>>
                    : binary<float, float, plus<float>>;
  case Sub:
    return isDouble ? binary<double, double, minus<double>>
                    : binary<float, float, minus<float>>;
  case Mul:
    return isDouble ? binary<double, double, times<double>>
                    : binary<float, float, times<float>>;
  case Div:
    return isDouble ? binary<double, double, over<double>>
                    : binary<float, float, over<float>>;
  }
  return nullptr;
}

#ifdef __x86_64__
// The library's fma is a call per element.
template <class T>
__attribute__((target("fma"))) void fmaByCpu(Warp &w, const Instruction &i) {
  T *d = w.reg<T>(i.d);
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b), *c = w.reg<T>(i.c);
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    if (w.exec >> lane & 1)
      d[lane] = sizeof(T) == 4 ? __builtin_fmaf(a[lane], b[lane], c[lane])
                               : __builtin_fma(a[lane], b[lane], c[lane]);
}
#endif

Rule fastFma(Type type) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("fma"))
    return type.bits == 64 ? fmaByCpu<double> : fmaByCpu<float>;
#endif
  return nullptr;
}

void choose(Decoder &d, uint32_t operation, Type type, uint32_t flags,
            uint32_t sources) {
  if (type.kind != Kind::Float && type.kind != Kind::Bfloat)
    return d.fail("no floating-point type");
  operandsOf(d, type.bytes(), sources);
  d.inst.x = operation;
  d.inst.y = flags;
  if (type.bits == 16) {
    bool isHalf = type.kind == Kind::Float;
    if (flags & kFlush)
      return d.fail("no rule for .ftz of 16 bits");
    if (type.count == 1)
      d.inst.run = isHalf ? small<true, 1> : small<false, 1>;
    else
      d.inst.run = isHalf ? small<true, 2> : small<false, 2>;
    return;
  }
  if (!flags)
    d.inst.run = operation == Fma ? fastFma(type) : fast(operation, type);
  if (!d.inst.run)
    d.inst.run = type.bits == 64 ? general<double> : general<float>;
}

uint32_t takeFlags(Decoder &d) {
  uint32_t flags = 0;
  if (d.has("ftz"))
    flags |= kFlush;
  if (d.has("sat"))
    flags |= kSaturate;
  if (d.has("relu"))
    flags |= kRelu;
  return flags;
}

void approximate(Decoder &d) {
  static const std::pair<std::string_view, uint32_t> names[] = {
      {"sqrt", Sqrt}, {"rcp", Rcp}, {"rsqrt", Rsqrt}, {"ex2", Ex2},
      {"lg2", Lg2},   {"sin", Sin}, {"cos", Cos},     {"tanh", Tanh}};
  uint32_t operation = 0;
  for (auto &[name, value] : names)
    if (name == d.mnemonic())
      operation = value;
  if (d.oneOf({"rn", "approx"}) < 0)
    d.fail("neither .rn nor .approx");
  uint32_t flags = takeFlags(d);
  Type type = d.type();
  // ex2.approx.ftz.bf16 exists with .ftz alone.
  if (type.bits == 16)
    flags &= ~kFlush;
  choose(d, operation, type, flags, 1);
}

template <class U>
void copySign(Warp &w, const Instruction &i) {
  constexpr U sign = U(1) << (8 * sizeof(U) - 1);
  U *d = w.reg<U>(i.d);
  const U *a = w.reg<U>(i.a), *b = w.reg<U>(i.b);
  lanes(w,
        [=](uint32_t lane) { d[lane] = (a[lane] & sign) | (b[lane] & ~sign); });
}

void copysign(Decoder &d) {
  Type type = d.type();
  operandsOf(d, type.bytes(), 2);
  if (type == Type{Kind::Float, 32})
    d.inst.run = copySign<uint32_t>;
  else if (type == Type{Kind::Float, 64})
    d.inst.run = copySign<uint64_t>;
}

} // namespace

bool emu::isFloatOperation(Decoder &d) {
  for (std::string_view part : d.partsOfOpcode()) {
    Kind kind = parseType(part).kind;
    if (kind == Kind::Float || kind == Kind::Bfloat)
      return true;
  }
  return false;
}

void emu::decodeFloatBinary(Decoder &d) {
  std::string_view name = d.mnemonic();
  bool isNan = d.has("NaN");
  // Division comes as .rn, .full and .approx.
  d.oneOf({"rn", "full", "approx"});
  uint32_t flags = takeFlags(d);
  uint32_t operation = name == "add"   ? Add
                       : name == "sub" ? Sub
                       : name == "mul" ? Mul
                       : name == "div" ? Div
                       : name == "min" ? (isNan ? MinNan : Min)
                                       : (isNan ? MaxNan : Max);
  choose(d, operation, d.type(), flags, 2);
}

void emu::decodeFloatUnary(Decoder &d) {
  bool isAbs = d.mnemonic() == "abs";
  uint32_t flags = takeFlags(d);
  Type type = d.type();
  choose(d, isAbs ? Abs : Neg, type, flags, 1);
  using F = float;
  if (!flags && type.bits == 32)
    d.inst.run =
        isAbs ? unary<F, F, signOff<F, uint32_t, 0x7fffffff>> : d.inst.run;
}

void emu::decodeFloatFma(Decoder &d) {
  d.has("rn");
  uint32_t flags = takeFlags(d);
  choose(d, Fma, d.type(), flags, 3);
}

std::span<const Mnemonic> emu::floatRules() {
  static const Mnemonic rules[] = {
      {"fma", decodeFloatFma}, {"sqrt", approximate}, {"rcp", approximate},
      {"rsqrt", approximate},  {"ex2", approximate},  {"lg2", approximate},
      {"sin", approximate},    {"cos", approximate},  {"tanh", approximate},
      {"copysign", copysign}};
  return rules;
}
