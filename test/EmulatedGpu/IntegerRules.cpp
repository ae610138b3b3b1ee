//===- IntegerRules.cpp - integer arithmetic ------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Built with -fwrapv: signed numbers wrap as PTX says.
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <algorithm>
#include <limits>
#include <type_traits>

using namespace emu;

namespace {

template <class T>
T addWrap(T a, T b) {
  return a + b;
}
template <class T>
T subWrap(T a, T b) {
  return a - b;
}
template <class T>
T mulLow(T a, T b) {
  // uint16_t would be widened to int, whose products overflow.
  return T(std::make_unsigned_t<decltype(a + b)>(a) *
           std::make_unsigned_t<decltype(a + b)>(b));
}
template <class T>
T mulHigh(T a, T b) {
  using Wide =
      std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
  return T((Wide(a) * Wide(b)) >> (8 * sizeof(T)));
}
template <class T>
T minimum(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T maximum(T a, T b) {
  return a < b ? b : a;
}
template <class T>
T minimumOrZero(T a, T b) {
  return maximum<T>(minimum(a, b), 0);
}
template <class T>
T maximumOrZero(T a, T b) {
  return maximum<T>(maximum(a, b), 0);
}
template <class T>
T absolute(T a) {
  return a < T(0) ? T(-a) : a;
}
template <class T>
T negative(T a) {
  return T(-a);
}
int32_t addSaturated(int32_t a, int32_t b) {
  return std::clamp<int64_t>(int64_t(a) + b, INT32_MIN, INT32_MAX);
}
int32_t subSaturated(int32_t a, int32_t b) {
  return std::clamp<int64_t>(int64_t(a) - b, INT32_MIN, INT32_MAX);
}

/// Applies F to the two halves of a word.
template <class T, auto F>
uint32_t halves(uint32_t a, uint32_t b) {
  uint16_t low = F(T(a), T(b)), high = F(T(a >> 16), T(b >> 16));
  return uint32_t(high) << 16 | low;
}

// The condition code is a bit per lane in Warp::carry.
template <class T, bool subtracts>
void withCarry(Warp &w, const Instruction &i) {
  T *d = w.reg<T>(i.d);
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b);
  eachLane(w, [&](uint32_t lane) {
    unsigned __int128 in = i.x ? w.carry >> lane & 1 : 0, wide;
    if (subtracts)
      wide = (unsigned __int128)a[lane] - b[lane] - in;
    else
      wide = (unsigned __int128)a[lane] + b[lane] + in;
    bool out = wide >> (8 * sizeof(T)) & 1;
    d[lane] = T(wide);
    if (i.y)
      w.carry = (w.carry & ~(1u << lane)) | uint32_t(out) << lane;
  });
}

void addOrSub(Decoder &d, bool subtracts, bool takesCarry) {
  bool setsCarry = d.has("cc"), saturates = d.has("sat");
  Type type = d.type();
  operandsOf(d, type.bytes(), 2);
  if (takesCarry || setsCarry) {
    d.inst.x = takesCarry;
    d.inst.y = setsCarry;
    if (type.isInteger() && type.bits == 32)
      d.inst.run =
          subtracts ? withCarry<uint32_t, true> : withCarry<uint32_t, false>;
    else if (type.isInteger() && type.bits == 64)
      d.inst.run =
          subtracts ? withCarry<uint64_t, true> : withCarry<uint64_t, false>;
    return;
  }
  if (saturates) {
    if (type == Type{Kind::Signed, 32})
      d.inst.run = subtracts ? binary<int32_t, int32_t, subSaturated>
                             : binary<int32_t, int32_t, addSaturated>;
    return;
  }
  if (type.count == 2 && type.isInteger()) {
    if (!subtracts)
      d.inst.run =
          binary<uint32_t, uint32_t, halves<uint16_t, addWrap<uint16_t>>>;
    return;
  }
  d.inst.run = forInteger(type, [&](auto zero) -> Rule {
    using T = decltype(zero);
    return subtracts ? binary<T, T, subWrap<T>> : binary<T, T, addWrap<T>>;
  });
}

void add(Decoder &d) {
  isFloatOperation(d) ? decodeFloatBinary(d) : addOrSub(d, false, false);
}
void sub(Decoder &d) {
  isFloatOperation(d) ? decodeFloatBinary(d) : addOrSub(d, true, false);
}
void addc(Decoder &d) { addOrSub(d, false, true); }
void subc(Decoder &d) { addOrSub(d, true, true); }

/// Twice the size of T.
template <class T>
struct Twice;
template <>
struct Twice<int16_t> {
  using Type = int32_t;
};
template <>
struct Twice<uint16_t> {
  using Type = uint32_t;
};
template <>
struct Twice<int32_t> {
  using Type = int64_t;
};
template <>
struct Twice<uint32_t> {
  using Type = uint64_t;
};
template <>
struct Twice<int64_t> {
  using Type = __int128;
};
template <>
struct Twice<uint64_t> {
  using Type = unsigned __int128;
};

template <class T>
typename Twice<T>::Type mulWide(T a, T b) {
  using W = typename Twice<T>::Type;
  return W(a) * W(b);
}
template <class T>
typename Twice<T>::Type madWide(T a, T b, typename Twice<T>::Type c) {
  return mulWide(a, b) + c;
}
template <class T>
T madLow(T a, T b, T c) {
  return T(mulLow(a, b) + c);
}
template <class T>
T madHigh(T a, T b, T c) {
  return T(mulHigh(a, b) + c);
}
template <class T>
T mul24(T a, T b) {
  if (std::is_signed_v<T>)
    return T(int64_t(int32_t(a << 8) >> 8) * (int32_t(b << 8) >> 8));
  return T(uint64_t(a & 0xffffff) * (b & 0xffffff));
}

void mul(Decoder &d) {
  if (isFloatOperation(d))
    return decodeFloatBinary(d);
  int part = d.oneOf({"lo", "hi", "wide"});
  Type type = d.type();
  if (part == 2) {
    if (!d.expectOperands(3, 3) || type.bits > 32)
      return;
    d.inst.d = d.dest(0, 2 * type.bytes());
    d.inst.a = d.source(1, type.bytes());
    d.inst.b = d.source(2, type.bytes());
    d.inst.run = forInteger(type, [](auto zero) -> Rule {
      using T = decltype(zero);
      if constexpr (sizeof(T) < 8)
        return binary<typename Twice<T>::Type, T, mulWide<T>>;
      return nullptr;
    });
    return;
  }
  if (part < 0)
    return d.fail("neither .lo nor .hi nor .wide");
  operandsOf(d, type.bytes(), 2);
  d.inst.run = forInteger(type, [&](auto zero) -> Rule {
    using T = decltype(zero);
    return part ? binary<T, T, mulHigh<T>> : binary<T, T, mulLow<T>>;
  });
}

void mad(Decoder &d) {
  if (isFloatOperation(d))
    return decodeFloatFma(d);
  int part = d.oneOf({"lo", "hi", "wide"});
  Type type = d.type();
  if (part == 2) {
    if (!d.expectOperands(4, 4) || type.bits > 32)
      return;
    d.inst.d = d.dest(0, 2 * type.bytes());
    d.inst.a = d.source(1, type.bytes());
    d.inst.b = d.source(2, type.bytes());
    d.inst.c = d.source(3, 2 * type.bytes());
    d.inst.run = forInteger(type, [](auto zero) -> Rule {
      using T = decltype(zero);
      if constexpr (sizeof(T) < 8) {
        using W = typename Twice<T>::Type;
        return ternary<W, T, W, madWide<T>>;
      }
      return nullptr;
    });
    return;
  }
  if (part < 0)
    return d.fail("neither .lo nor .hi nor .wide");
  operandsOf(d, type.bytes(), 3);
  d.inst.run = forInteger(type, [&](auto zero) -> Rule {
    using T = decltype(zero);
    return part ? ternary<T, T, T, madHigh<T>> : ternary<T, T, T, madLow<T>>;
  });
}

void mul24Rule(Decoder &d) {
  if (!d.has("lo"))
    return d.fail("only .lo");
  Type type = d.type();
  operandsOf(d, 4, 2);
  if (type == Type{Kind::Signed, 32})
    d.inst.run = binary<int32_t, int32_t, mul24<int32_t>>;
  else if (type == Type{Kind::Unsigned, 32})
    d.inst.run = binary<uint32_t, uint32_t, mul24<uint32_t>>;
}

/// A quotient or a remainder. Of 0 the result is unspecified, and nobody asks
/// for it on purpose.
template <class T, bool remainder>
void divide(Warp &w, const Instruction &i) {
  T *d = w.reg<T>(i.d);
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b);
  eachLane(w, [&](uint32_t lane) {
    T x = a[lane], y = b[lane];
    if (!y) {
      report(w, i, lane, "division by zero");
      d[lane] = T(-1);
    } else if (std::is_signed_v<T> && y == T(-1)) {
      d[lane] = remainder ? T(0) : T(0 - x); // the host would trap
    } else {
      d[lane] = remainder ? x % y : x / y;
    }
  });
}

void div(Decoder &d) {
  if (isFloatOperation(d))
    return decodeFloatBinary(d);
  Type type = d.type();
  operandsOf(d, type.bytes(), 2);
  d.inst.run = forInteger(
      type, [](auto zero) -> Rule { return divide<decltype(zero), false>; });
}

void rem(Decoder &d) {
  Type type = d.type();
  operandsOf(d, type.bytes(), 2);
  d.inst.run = forInteger(
      type, [](auto zero) -> Rule { return divide<decltype(zero), true>; });
}

void minMax(Decoder &d) {
  if (isFloatOperation(d))
    return decodeFloatBinary(d);
  bool isMax = d.mnemonic() == "max", relu = d.has("relu");
  Type type = d.type();
  operandsOf(d, type.bytes(), 2);
  if (relu) {
    using H = int16_t;
    using U = uint32_t;
    if (type == Type{Kind::Signed, 32})
      d.inst.run = isMax ? binary<int32_t, int32_t, maximumOrZero<int32_t>>
                         : binary<int32_t, int32_t, minimumOrZero<int32_t>>;
    else if (type == Type{Kind::Signed, 16, 2})
      d.inst.run = isMax ? binary<U, U, halves<H, maximumOrZero<H>>>
                         : binary<U, U, halves<H, minimumOrZero<H>>>;
    return;
  }
  if (type.count == 2) {
    using U = uint32_t;
    if (type.kind == Kind::Signed)
      d.inst.run = isMax ? binary<U, U, halves<int16_t, maximum<int16_t>>>
                         : binary<U, U, halves<int16_t, minimum<int16_t>>>;
    else
      d.inst.run = isMax ? binary<U, U, halves<uint16_t, maximum<uint16_t>>>
                         : binary<U, U, halves<uint16_t, minimum<uint16_t>>>;
    return;
  }
  d.inst.run = forInteger(type, [&](auto zero) -> Rule {
    using T = decltype(zero);
    return isMax ? binary<T, T, maximum<T>> : binary<T, T, minimum<T>>;
  });
}

void absNeg(Decoder &d) {
  if (isFloatOperation(d))
    return decodeFloatUnary(d);
  bool isAbs = d.mnemonic() == "abs";
  Type type = d.type();
  operandsOf(d, type.bytes(), 1);
  if (type.kind != Kind::Signed)
    return d.fail("only signed integers");
  d.inst.run = forInteger(type, [&](auto zero) -> Rule {
    using T = decltype(zero);
    return isAbs ? unary<T, T, absolute<T>> : unary<T, T, negative<T>>;
  });
}

template <class T>
void sumOfDifferences(Warp &w, const Instruction &i) {
  T *d = w.reg<T>(i.d);
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b), *c = w.reg<T>(i.c);
  lanes(w, [=](uint32_t lane) {
    T high = maximum(a[lane], b[lane]), low = minimum(a[lane], b[lane]);
    d[lane] = T(c[lane] + (high - low));
  });
}

void sad(Decoder &d) {
  Type type = d.type();
  operandsOf(d, type.bytes(), 3);
  d.inst.run = forInteger(
      type, [](auto zero) -> Rule { return sumOfDifferences<decltype(zero)>; });
}

/// d = c + the sum of products of bytes; x and y: whether a's, b's are signed.
void dotProduct(Warp &w, const Instruction &i) {
  eachLane(w, [&](uint32_t lane) {
    uint32_t a = w.reg<uint32_t>(i.a)[lane], b = w.reg<uint32_t>(i.b)[lane];
    uint32_t sum = w.reg<uint32_t>(i.c)[lane];
    for (uint32_t byte = 0; byte < 4; ++byte) {
      uint8_t p = a >> 8 * byte, q = b >> 8 * byte;
      int32_t left = i.x ? int8_t(p) : p, right = i.y ? int8_t(q) : q;
      sum += left * right;
    }
    w.reg<uint32_t>(i.d)[lane] = sum;
  });
}

void dp4a(Decoder &d) {
  Type a = d.type(), b = d.type();
  operandsOf(d, 4, 3);
  d.inst.x = a.kind == Kind::Signed;
  d.inst.y = b.kind == Kind::Signed;
  if (a.bits == 32 && b.bits == 32 && a.isInteger() && b.isInteger())
    d.inst.run = dotProduct;
}

} // namespace

std::span<const Mnemonic> emu::integerRules() {
  static const Mnemonic rules[] = {
      {"add", add},    {"sub", sub},    {"addc", addc},      {"subc", subc},
      {"mul", mul},    {"mad", mad},    {"div", div},        {"rem", rem},
      {"min", minMax}, {"max", minMax}, {"abs", absNeg},     {"neg", absNeg},
      {"sad", sad},    {"dp4a", dp4a},  {"mul24", mul24Rule}};
  return rules;
}
