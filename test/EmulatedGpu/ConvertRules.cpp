//===- ConvertRules.cpp - cvt ---------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A source may lie in a wider register than its type, a result too: it is
// extended by the sign of its type.
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <cmath>

using namespace emu;

namespace {

/// What a conversion does; its index is in Instruction::x.
struct Conversion {
  Type to, from;
  Round round = Round::Nearest;
  bool toInteger = false; // .rni and its kin: rounds to an integral value
  bool saturates = false, relu = false, flushes = false, finite = false;
};

std::vector<Conversion> &conversions() {
  static auto *all = new std::vector<Conversion>;
  return *all;
}

const Format *formatOf(Type type) {
  switch (type.kind) {
  case Kind::Float:
    return type.bits == 16 ? &kHalf : nullptr;
  case Kind::Bfloat:
    return &kBfloat;
  case Kind::Tf32:
    return &kTf32;
  case Kind::E4m3:
    return &kE4m3;
  case Kind::E5m2:
    return &kE5m2;
  default:
    return nullptr;
  }
}

long double roundIntegral(long double value, Round round) {
  switch (round) {
  case Round::Nearest:
    return std::nearbyint(value);
  case Round::Zero:
    return std::trunc(value);
  case Round::Down:
    return std::floor(value);
  case Round::Up:
    return std::ceil(value);
  case Round::Away:
    return std::round(value);
  }
  return value;
}

/// The bits of a floating-point value in a type.
uint64_t encode(long double value, const Conversion &how, Type to) {
  if (how.saturates) // to [0, 1]; NaN gives 0
    value = value > 0 ? (value < 1 ? value : 1) : 0;
  if (how.relu && !(value > 0) && !std::isnan(value))
    value = 0;
  if (to.kind == Kind::Float && to.bits == 64) {
    double wide = value;
    uint64_t bits;
    memcpy(&bits, &wide, 8);
    return bits;
  }
  if (const Format *format = formatOf(to)) {
    uint32_t bits = narrow(value, *format, how.round, how.finite);
    return to.kind == Kind::Tf32 ? bits << 13 : bits;
  }
  uint32_t bits = narrow(value, kSingle, how.round);
  if (how.flushes && !(bits & 0x7f800000))
    bits &= 0x80000000;
  return bits;
}

long double decode(uint64_t bits, Type from, bool flushes) {
  if (const Format *format = formatOf(from))
    return widen(bits, *format);
  if (from.bits == 64) {
    double value;
    memcpy(&value, &bits, 8);
    return value;
  }
  uint32_t half = bits;
  float value;
  if (flushes && !(half & 0x7f800000))
    half &= 0x80000000;
  memcpy(&value, &half, 4);
  return value;
}

/// An integral value clamped to an integer type; what NaN gives depends on it.
uint64_t toIntegerType(long double value, Type to, Type from) {
  bool isSigned = to.kind == Kind::Signed;
  if (std::isnan(value))
    return from.bits == 64 || to.bits == 64 ? 1ull << (to.bits - 1) : 0;
  long double low = isSigned ? -std::ldexp(1.0L, to.bits - 1) : 0;
  long double high = std::ldexp(1.0L, to.bits - isSigned) - 1;
  value = std::min(std::max(value, low), high);
  return isSigned ? uint64_t(int64_t(value)) : uint64_t(value);
}

uint64_t extend(uint64_t bits, Type type) {
  if (type.bits == 64)
    return bits;
  uint32_t rest = 64 - type.bits;
  if (type.kind == Kind::Signed)
    return int64_t(bits << rest) >> rest;
  return bits << rest >> rest;
}

uint64_t convertInteger(uint64_t bits, const Conversion &how) {
  bits = extend(bits, how.from);
  if (!how.to.isInteger()) {
    long double value = how.from.kind == Kind::Signed
                            ? (long double)int64_t(bits)
                            : (long double)bits;
    return encode(value, how, how.to);
  }
  if (how.saturates) {
    long double value = how.from.kind == Kind::Signed
                            ? (long double)int64_t(bits)
                            : (long double)bits;
    bits = toIntegerType(value, how.to, how.from);
  }
  return extend(bits, how.to);
}

uint64_t convert(uint64_t bits, const Conversion &how) {
  if (how.from.isInteger())
    return convertInteger(bits, how);
  long double value = decode(bits, how.from, how.flushes);
  if (how.to.isInteger())
    return extend(
        toIntegerType(roundIntegral(value, how.round), how.to, how.from),
        how.to);
  if (how.toInteger)
    value = roundIntegral(value, how.round);
  return encode(value, how, how.to);
}

uint64_t readSized(Warp &w, uint32_t offset, uint32_t bytes, uint32_t lane) {
  uint64_t bits = 0;
  memcpy(&bits, w.reg<uint8_t>(offset) + lane * bytes, bytes);
  return bits;
}

void writeSized(Warp &w, uint32_t offset, uint32_t bytes, uint32_t lane,
                uint64_t bits) {
  memcpy(w.reg<uint8_t>(offset) + lane * bytes, &bits, bytes);
}

void convertOne(Warp &w, const Instruction &i) {
  const Conversion how = conversions()[i.x];
  eachLane(w, [&](uint32_t lane) {
    uint64_t bits = readSized(w, i.a, i.sizeA, lane);
    writeSized(w, i.d, i.sizeD, lane, convert(bits, how));
  });
}

template <class D, class A>
D castTo(A a) {
  return D(a);
}
float halfToFloat(uint16_t a) { return fromHalf(a); }

/// Loops without tables for what is frequent.
Rule fast(const Conversion &how, uint32_t sizeD, uint32_t sizeA) {
  if (how.saturates || how.relu || how.flushes || how.finite ||
      how.round != Round::Nearest || how.toInteger || sizeA != how.from.bytes())
    return nullptr;
  bool fromSigned = how.from.kind == Kind::Signed;
  if (how.from.isInteger() && how.to.isInteger()) {
    // Extension is by the source's sign, what a narrower type keeps its low
    // bits; a wider register is filled by the result's own sign.
    if (sizeD != how.to.bytes())
      return nullptr;
    if (sizeA == 4 && sizeD == 8)
      return fromSigned ? unary<int64_t, int32_t, castTo<int64_t, int32_t>>
                        : unary<uint64_t, uint32_t, castTo<uint64_t, uint32_t>>;
    if (sizeA == 8 && sizeD == 4)
      return unary<uint32_t, uint64_t, castTo<uint32_t, uint64_t>>;
    if (sizeA == 2 && sizeD == 4)
      return fromSigned ? unary<int32_t, int16_t, castTo<int32_t, int16_t>>
                        : unary<uint32_t, uint16_t, castTo<uint32_t, uint16_t>>;
    if (sizeA == 4 && sizeD == 2)
      return unary<uint16_t, uint32_t, castTo<uint16_t, uint32_t>>;
    return nullptr;
  }
  constexpr Type f16 = {Kind::Float, 16}, f32 = {Kind::Float, 32},
                 f64 = {Kind::Float, 64}, bf16 = {Kind::Bfloat, 16};
  if (how.from == f16 && how.to == f32 && sizeD == 4)
    return unary<float, uint16_t, halfToFloat>;
  if (how.from == bf16 && how.to == f32 && sizeD == 4)
    return unary<float, uint16_t, fromBfloat>;
  if (how.from == f32 && how.to == f16 && sizeD == 2)
    return unary<uint16_t, float, toHalf>;
  if (how.from == f32 && how.to == bf16 && sizeD == 2)
    return unary<uint16_t, float, toBfloat>;
  if (how.from == f32 && how.to == f64 && sizeD == 8)
    return unary<double, float, castTo<double, float>>;
  if (how.from == f64 && how.to == f32 && sizeD == 4)
    return unary<float, double, castTo<float, double>>;
  if (how.from == Type{Kind::Signed, 32} && how.to == f32 && sizeD == 4)
    return unary<float, int32_t, castTo<float, int32_t>>;
  return nullptr;
}

/// Two numbers to a pair: the first operand is the high half.
void convertPair(Warp &w, const Instruction &i) {
  Conversion how = conversions()[i.x];
  uint32_t width = how.to.bits;
  Type one = how.to;
  one.count = 1;
  eachLane(w, [&](uint32_t lane) {
    uint64_t high, low;
    if (how.from.count == 2) { // a pair to a pair
      Type from = how.from;
      from.count = 1;
      uint64_t bits = readSized(w, i.a, i.sizeA, lane);
      low =
          encode(decode(bits & ((1u << from.bits) - 1), from, false), how, one);
      high = encode(decode(bits >> from.bits, from, false), how, one);
    } else {
      high = encode(decode(readSized(w, i.a, 4, lane), how.from, how.flushes),
                    how, one);
      low = encode(decode(readSized(w, i.b, 4, lane), how.from, how.flushes),
                   how, one);
    }
    writeSized(w, i.d, i.sizeD, lane, high << width | low);
  });
}

void cvt(Decoder &d) {
  Conversion how;
  static const std::pair<std::string_view, Round> modes[] = {
      {"rn", Round::Nearest}, {"rz", Round::Zero},  {"rm", Round::Down},
      {"rp", Round::Up},      {"rna", Round::Away}, {"rni", Round::Nearest},
      {"rzi", Round::Zero},   {"rmi", Round::Down}, {"rpi", Round::Up}};
  bool rounds = false;
  for (auto &[name, mode] : modes)
    if (d.has(name)) {
      how.round = mode;
      how.toInteger = name.ends_with('i');
      rounds = true;
    }
  how.flushes = d.has("ftz");
  how.finite = d.has("satfinite");
  how.saturates = d.has("sat");
  how.relu = d.has("relu");
  how.to = d.type();
  how.from = d.type();
  auto &all = conversions();
  d.inst.x = all.size();
  if (how.to.count == 2) {
    bool fromPair = how.from.count == 2;
    if (!d.expectOperands(fromPair ? 2 : 3, fromPair ? 2 : 3))
      return;
    d.inst.sizeD = how.to.bytes();
    d.inst.d = d.dest(0, d.inst.sizeD);
    d.inst.sizeA = fromPair ? how.from.bytes() : 4;
    d.inst.a = d.source(1, d.inst.sizeA);
    if (!fromPair)
      d.inst.b = d.source(2, 4);
    if (!fromPair && how.from != Type{Kind::Float, 32})
      return;
    d.inst.run = convertPair;
    all.push_back(how);
    return;
  }
  if (!d.expectOperands(2, 2) || how.from.count == 2)
    return;
  bool toFloat = !how.to.isInteger(), fromFloat = !how.from.isInteger();
  // PTX asks for a mode wherever digits may be lost.
  bool loses = (toFloat && !fromFloat) || (!toFloat && fromFloat) ||
               (toFloat && fromFloat &&
                (how.to.bits < how.from.bits ||
                 (how.to.bits == 16 && how.to.kind != how.from.kind)));
  if (loses && !rounds)
    return d.fail("a conversion without its rounding");
  if (how.to == Type{Kind::Float, 64} && how.round != Round::Nearest &&
      !how.toInteger)
    return d.fail("no rule for directed rounding to .f64");
  d.inst.d = d.wideDest(d.operand(0), how.to.bytes(), d.inst.sizeD);
  d.inst.a = d.wideSource(d.operand(1), how.from.bytes(), d.inst.sizeA);
  // Integral values of the nearest kind go through the general way.
  d.inst.run = fast(how, d.inst.sizeD, d.inst.sizeA);
  if (!d.inst.run)
    d.inst.run = convertOne;
  all.push_back(how);
}

} // namespace

std::span<const Mnemonic> emu::convertRules() {
  static const Mnemonic rules[] = {{"cvt", cvt}};
  return rules;
}
