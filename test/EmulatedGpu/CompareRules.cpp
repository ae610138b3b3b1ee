//===- CompareRules.cpp - comparisons -------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <cmath>

using namespace emu;

namespace {

/// The relations in the order of `names` below.
enum Relation : uint32_t {
  Eq,
  Ne,
  Lt,
  Le,
  Gt,
  Ge,
  Lo,
  Ls,
  Hi,
  Hs, // of integers
  Equ,
  Neu,
  Ltu,
  Leu,
  Gtu,
  Geu,
  Num,
  Nan // true where an operand is NaN
};

template <class T>
bool holds(uint32_t relation, T a, T b) {
  bool unordered = a != a || b != b;
  switch (relation) {
  case Eq:
    return a == b;
  case Ne: // of floating point: ordered
    return !unordered && a != b;
  case Lt:
  case Lo:
    return a < b;
  case Le:
  case Ls:
    return a <= b;
  case Gt:
  case Hi:
    return a > b;
  case Ge:
  case Hs:
    return a >= b;
  case Equ:
    return unordered || a == b;
  case Neu:
    return unordered || a != b;
  case Ltu:
    return unordered || a < b;
  case Leu:
    return unordered || a <= b;
  case Gtu:
    return unordered || a > b;
  case Geu:
    return unordered || a >= b;
  case Num:
    return !unordered;
  case Nan:
    return unordered;
  }
  return false;
}

template <class T, uint32_t relation>
uint32_t compareAll(const T *a, const T *b) {
  uint32_t bits = 0;
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    bits |= uint32_t(holds(relation, a[lane], b[lane])) << lane;
  return bits;
}

/// The comparison itself is one loop per relation.
template <class T>
uint32_t compare(uint32_t relation, const T *a, const T *b) {
  using Loop = uint32_t (*)(const T *, const T *);
  static constexpr Loop loops[] = {
      compareAll<T, 0>,  compareAll<T, 1>,  compareAll<T, 2>,
      compareAll<T, 3>,  compareAll<T, 4>,  compareAll<T, 5>,
      compareAll<T, 6>,  compareAll<T, 7>,  compareAll<T, 8>,
      compareAll<T, 9>,  compareAll<T, 10>, compareAll<T, 11>,
      compareAll<T, 12>, compareAll<T, 13>, compareAll<T, 14>,
      compareAll<T, 15>, compareAll<T, 16>, compareAll<T, 17>};
  return loops[relation](a, b);
}

// Instruction::y: what is done with the predicate c, and whether small floats
// are flushed.
constexpr uint32_t kAnd = 1, kOr = 2, kXor = 3, kCombine = 3, kNegated = 4,
                   kFlush = 8;

/// Writes the result and its opposite (Kernel::lists), combined with c.
void finish(Warp &w, const Instruction &i, uint32_t yes, uint32_t no) {
  uint32_t c =
      i.y & kCombine ? w.pred(i.c) ^ (i.y & kNegated ? kAllLanes : 0) : 0;
  auto combine = [&](uint32_t bits) {
    switch (i.y & kCombine) {
    case kAnd:
      return bits & c;
    case kOr:
      return bits | c;
    case kXor:
      return bits ^ c;
    }
    return bits;
  };
  uint32_t second = w.kernel->lists[i.list];
  w.setPred(i.d, combine(yes));
  if (second)
    w.setPred(second, combine(no));
}

template <class T>
void setp(Warp &w, const Instruction &i) {
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b);
  uint32_t bits;
  if (std::is_same_v<T, float> && (i.y & kFlush)) {
    float x[kLanes], y[kLanes];
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      x[lane] = std::fabs(a[lane]) < 0x1p-126f ? 0 : a[lane];
      y[lane] = std::fabs(b[lane]) < 0x1p-126f ? 0 : b[lane];
    }
    bits = compare(i.x, x, y);
  } else {
    bits = compare(i.x, a, b);
  }
  finish(w, i, bits, ~bits);
}

/// Of two numbers in a word the second decides the second predicate.
template <bool isHalf, uint32_t count>
void setpSmall(Warp &w, const Instruction &i) {
  const Format &format = isHalf ? kHalf : kBfloat;
  uint32_t bits[2] = {};
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    for (uint32_t at = 0; at < count; ++at) {
      float a = widen(w.reg<uint16_t>(i.a)[lane * count + at], format);
      float b = widen(w.reg<uint16_t>(i.b)[lane * count + at], format);
      bits[at] |= uint32_t(holds(i.x, a, b)) << lane;
    }
  finish(w, i, bits[0], count == 2 ? bits[1] : ~bits[0]);
}

void setpRule(Decoder &d) {
  d.inst.x =
      d.oneOf({"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs",
               "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"});
  d.inst.y = d.oneOf({"and", "or", "xor"}) + 1;
  if (d.has("ftz"))
    d.inst.y |= kFlush;
  Type type = d.type();
  bool combines = d.inst.y & kCombine;
  if (!d.expectOperands(combines ? 4 : 3, combines ? 4 : 3))
    return;
  bool none = false;
  std::string_view to = d.operand(0);
  size_t bar = to.find('|');
  d.inst.d = d.predicate(trim(to.substr(0, bar)), none);
  uint32_t second[] = {
      bar == to.npos ? 0 : d.predicate(trim(to.substr(bar + 1)), none)};
  d.inst.list = d.list(second);
  d.inst.a = d.source(1, type.bytes());
  d.inst.b = d.source(2, type.bytes());
  if (combines) {
    bool negated = false;
    d.inst.c = d.predicate(d.operand(3), negated);
    d.inst.y |= negated ? kNegated : 0;
  }
  if (d.inst.x > Nan)
    return d.fail("no relation");
  if (type == Type{Kind::Float, 32})
    d.inst.run = setp<float>;
  else if (type == Type{Kind::Float, 64})
    d.inst.run = setp<double>;
  else if (type.kind == Kind::Float)
    d.inst.run = type.count == 2 ? setpSmall<true, 2> : setpSmall<true, 1>;
  else if (type.kind == Kind::Bfloat)
    d.inst.run = type.count == 2 ? setpSmall<false, 2> : setpSmall<false, 1>;
  else if (d.inst.x <= Hs)
    d.inst.run = forInteger(
        type, [](auto zero) -> Rule { return setp<decltype(zero)>; });
}

template <class T>
void testp(Warp &w, const Instruction &i) {
  uint32_t bits = 0;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    int kind = std::fpclassify(w.reg<T>(i.a)[lane]);
    bool is[] = {kind != FP_NAN && kind != FP_INFINITE,
                 kind == FP_INFINITE,
                 kind != FP_NAN,
                 kind == FP_NAN,
                 kind == FP_NORMAL,
                 kind == FP_SUBNORMAL};
    bits |= uint32_t(is[i.x]) << lane;
  }
  w.setPred(i.d, bits);
}

void testpRule(Decoder &d) {
  int test = d.oneOf(
      {"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  Type type = d.type();
  if (!d.expectOperands(2, 2) || test < 0)
    return;
  bool none = false;
  d.inst.d = d.predicate(d.operand(0), none);
  d.inst.a = d.source(1, type.bytes());
  d.inst.x = test;
  if (type == Type{Kind::Float, 32})
    d.inst.run = testp<float>;
  else if (type == Type{Kind::Float, 64})
    d.inst.run = testp<double>;
}

} // namespace

std::span<const Mnemonic> emu::compareRules() {
  static const Mnemonic rules[] = {{"setp", setpRule}, {"testp", testpRule}};
  return rules;
}
