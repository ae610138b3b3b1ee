//===- BitRules.cpp - bits, moves and selections --------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <algorithm>
#include <type_traits>

using namespace emu;

namespace {

template <class T>
T bitAnd(T a, T b) {
  return a & b;
}
template <class T>
T bitOr(T a, T b) {
  return a | b;
}
template <class T>
T bitXor(T a, T b) {
  return a ^ b;
}
template <class T>
T bitNot(T a) {
  return ~a;
}
template <class T>
T isZero(T a) {
  return a == 0;
}

/// `and`, `or`, `xor` of predicates: all lanes at once. x is the operation;
/// bits 0 and 1 of y negate the operands.
void logicOfPredicates(Warp &w, const Instruction &i) {
  uint32_t a = w.pred(i.a) ^ (i.y & 1 ? kAllLanes : 0);
  uint32_t b = i.b ? w.pred(i.b) ^ (i.y & 2 ? kAllLanes : 0) : 0;
  uint32_t results[] = {a & b, a | b, a ^ b, ~a, a};
  w.setPred(i.d, results[i.x]);
}

void logic(Decoder &d) {
  std::string_view name = d.mnemonic();
  uint32_t which = name == "and" ? 0 : name == "or" ? 1 : name == "xor" ? 2 : 3;
  Type type = d.type();
  bool isNot = which == 3;
  if (type.kind == Kind::Pred) {
    if (!d.expectOperands(isNot ? 2 : 3, isNot ? 2 : 3))
      return;
    bool none = false, first = false, second = false;
    d.inst.d = d.predicate(d.operand(0), none);
    d.inst.a = d.predicate(d.operand(1), first);
    if (!isNot)
      d.inst.b = d.predicate(d.operand(2), second);
    d.inst.x = which;
    d.inst.y = first | second << 1;
    d.inst.run = logicOfPredicates;
    return;
  }
  operandsOf(d, type.bytes(), isNot ? 1 : 2);
  d.inst.run = forInteger(type, [&](auto zero) -> Rule {
    using T = std::make_unsigned_t<decltype(zero)>;
    switch (which) {
    case 0:
      return binary<T, T, bitAnd<T>>;
    case 1:
      return binary<T, T, bitOr<T>>;
    case 2:
      return binary<T, T, bitXor<T>>;
    }
    return unary<T, T, bitNot<T>>;
  });
}

void cnot(Decoder &d) {
  Type type = d.type();
  operandsOf(d, type.bytes(), 1);
  d.inst.run = forInteger(type, [](auto zero) -> Rule {
    using T = std::make_unsigned_t<decltype(zero)>;
    return unary<T, T, isZero<T>>;
  });
}

// Shifts by more than the width give what the width gives.
template <class T>
T shiftLeft(T a, uint32_t by) {
  return by >= 8 * sizeof(T) ? 0 : T(std::make_unsigned_t<T>(a) << by);
}
template <class T>
T shiftRight(T a, uint32_t by) {
  constexpr uint32_t most = 8 * sizeof(T) - 1;
  if (std::is_signed_v<T>)
    return a >> (by > most ? most : by);
  return by > most ? 0 : a >> by;
}
template <class T, T (*F)(T, uint32_t)>
void shift(Warp &w, const Instruction &i) {
  T *d = w.reg<T>(i.d);
  const T *a = w.reg<T>(i.a);
  const uint32_t *b = w.reg<uint32_t>(i.b);
  lanes(w, [=](uint32_t lane) { d[lane] = F(a[lane], b[lane]); });
}

void shiftRule(Decoder &d) {
  bool left = d.mnemonic() == "shl";
  Type type = d.type();
  if (!d.expectOperands(3, 3))
    return;
  d.inst.d = d.dest(0, type.bytes());
  d.inst.a = d.source(1, type.bytes());
  d.inst.b = d.source(2, 4);
  d.inst.run = forInteger(type, [&](auto zero) -> Rule {
    using T = decltype(zero);
    return left ? shift<T, shiftLeft<T>> : shift<T, shiftRight<T>>;
  });
}

/// x: to the right; y: the shift wraps at 32 instead of stopping there.
void funnelShift(Warp &w, const Instruction &i) {
  lanes(w, [&](uint32_t lane) {
    uint64_t both =
        uint64_t(w.reg<uint32_t>(i.b)[lane]) << 32 | w.reg<uint32_t>(i.a)[lane];
    uint32_t by = w.reg<uint32_t>(i.c)[lane];
    by = i.y ? by & 31 : by > 32 ? 32 : by;
    w.reg<uint32_t>(i.d)[lane] = i.x ? both >> by : both << by >> 32;
  });
}

void shf(Decoder &d) {
  int side = d.oneOf({"l", "r"}), mode = d.oneOf({"clamp", "wrap"});
  d.type();
  operandsOf(d, 4, 3);
  if (side < 0 || mode < 0)
    return;
  d.inst.x = side;
  d.inst.y = mode;
  d.inst.run = funnelShift;
}

uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t result = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    uint32_t pick = selector >> 4 * i & 15;
    uint8_t byte = bytes >> 8 * (pick & 7);
    if (pick & 8) // its sign in all bits
      byte = byte & 0x80 ? 0xff : 0;
    result |= uint32_t(byte) << 8 * i;
  }
  return result;
}

/// The selector that a mode of prmt makes of its last operand.
uint32_t selectorOf(int mode, uint32_t c) {
  static const uint16_t table[6][4] = {
      {0x3210, 0x4321, 0x5432, 0x6543},  // f4e
      {0x5670, 0x6701, 0x7012, 0x0123},  // b4e
      {0x0000, 0x1111, 0x2222, 0x3333},  // rc8
      {0x3210, 0x3211, 0x3222, 0x3333},  // ecl
      {0x0000, 0x1110, 0x2210, 0x3210},  // ecr
      {0x1010, 0x3232, 0x1010, 0x3232}}; // rc16
  return mode < 0 ? c : table[mode][c & 3];
}

void permuteBytes(Warp &w, const Instruction &i) {
  eachLane(w, [&](uint32_t lane) {
    w.reg<uint32_t>(i.d)[lane] =
        permute(w.reg<uint32_t>(i.a)[lane], w.reg<uint32_t>(i.b)[lane],
                selectorOf(int(i.x) - 1, w.reg<uint32_t>(i.c)[lane]));
  });
}

void prmt(Decoder &d) {
  d.type();
  d.inst.x = d.oneOf({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"}) + 1;
  operandsOf(d, 4, 3);
  d.inst.run = permuteBytes;
}

template <class T>
void extract(Warp &w, const Instruction &i) {
  using U = std::make_unsigned_t<T>;
  constexpr uint32_t width = 8 * sizeof(T);
  lanes(w, [&](uint32_t lane) {
    U a = w.reg<U>(i.a)[lane];
    uint32_t at = w.reg<uint32_t>(i.b)[lane] & 255;
    uint32_t count = w.reg<uint32_t>(i.c)[lane] & 255;
    uint32_t top = std::min(at + count - 1, width - 1);
    bool sign = std::is_signed_v<T> && count && (a >> top & 1);
    U result = at < width ? a >> at : 0;
    uint32_t have = !count || at > top ? 0 : top - at + 1;
    if (have < width) {
      result &= (U(1) << have) - 1;
      if (sign)
        result |= ~U(0) << have;
    }
    w.reg<U>(i.d)[lane] = count ? result : 0;
  });
}

template <class T>
void insert(Warp &w, const Instruction &i) {
  constexpr uint32_t width = 8 * sizeof(T);
  uint32_t countAt = w.kernel->lists[i.list];
  lanes(w, [&](uint32_t lane) {
    T a = w.reg<T>(i.a)[lane], b = w.reg<T>(i.b)[lane];
    uint32_t at = w.reg<uint32_t>(i.c)[lane] & 255;
    uint32_t count = w.reg<uint32_t>(countAt)[lane] & 255;
    T mask = at >= width || !count ? 0
             : count >= width      ? ~T(0)
                                   : (T(1) << count) - 1;
    T shifted = at >= width ? 0 : T(mask << at);
    T moved = at >= width ? 0 : T(a << at);
    w.reg<T>(i.d)[lane] = (b & ~shifted) | (moved & shifted);
  });
}

void bfe(Decoder &d) {
  Type type = d.type();
  if (!d.expectOperands(4, 4) || type.bits < 32)
    return;
  d.inst.d = d.dest(0, type.bytes());
  d.inst.a = d.source(1, type.bytes());
  d.inst.b = d.source(2, 4);
  d.inst.c = d.source(3, 4);
  d.inst.run = forInteger(
      type, [](auto zero) -> Rule { return extract<decltype(zero)>; });
}

void bfi(Decoder &d) {
  Type type = d.type();
  if (!d.expectOperands(5, 5) || type.bits < 32)
    return;
  d.inst.d = d.dest(0, type.bytes());
  d.inst.a = d.source(1, type.bytes());
  d.inst.b = d.source(2, type.bytes());
  d.inst.c = d.source(3, 4);
  uint32_t count[] = {d.source(4, 4)};
  d.inst.list = d.list(count);
  d.inst.run =
      type.bits == 32 ? Rule(insert<uint32_t>) : Rule(insert<uint64_t>);
}

// Counts: the result has 32 bits whatever is counted.
template <class T>
uint32_t countOnes(T a) {
  return __builtin_popcountll(a);
}
template <class T>
uint32_t leadingZeros(T a) {
  return a ? __builtin_clzll(a) - (64 - 8 * sizeof(T)) : 8 * sizeof(T);
}
template <class T>
uint32_t highestBit(T a) {
  if (std::is_signed_v<T> && a < 0)
    a = ~a;
  return a ? 63 - __builtin_clzll(std::make_unsigned_t<T>(a)) : ~0u;
}
template <class T>
uint32_t shiftOfHighest(T a) {
  uint32_t bit = highestBit(a);
  return bit == ~0u ? bit : 8 * sizeof(T) - 1 - bit;
}
template <class T>
T reversed(T a) {
  T result = 0;
  for (uint32_t i = 0; i < 8 * sizeof(T); ++i)
    result = T(result << 1) | (a >> i & 1);
  return result;
}

void count(Decoder &d) {
  std::string_view name = d.mnemonic();
  bool amount = d.has("shiftamt");
  Type type = d.type();
  if (!d.expectOperands(2, 2) || type.bits < 32)
    return;
  d.inst.d = d.dest(0, name == "brev" ? type.bytes() : 4);
  d.inst.a = d.source(1, type.bytes());
  d.inst.run = forInteger(type, [&](auto zero) -> Rule {
    using T = decltype(zero);
    using U = std::make_unsigned_t<T>;
    if (name == "popc")
      return unary<uint32_t, U, countOnes<U>>;
    if (name == "clz")
      return unary<uint32_t, U, leadingZeros<U>>;
    if (name == "brev")
      return unary<U, U, reversed<U>>;
    return amount ? unary<uint32_t, T, shiftOfHighest<T>>
                  : unary<uint32_t, T, highestBit<T>>;
  });
}

void lookUpThree(Warp &w, const Instruction &i) {
  lanes(w, [&](uint32_t lane) {
    uint32_t a = w.reg<uint32_t>(i.a)[lane], b = w.reg<uint32_t>(i.b)[lane],
             c = w.reg<uint32_t>(i.c)[lane], result = 0;
    for (uint32_t entry = 0; entry < 8; ++entry)
      if (i.x >> entry & 1)
        result |=
            (entry & 4 ? a : ~a) & (entry & 2 ? b : ~b) & (entry & 1 ? c : ~c);
    w.reg<uint32_t>(i.d)[lane] = result;
  });
}

void lop3(Decoder &d) {
  d.type();
  if (!d.expectOperands(5, 5))
    return;
  d.inst.d = d.dest(0, 4);
  d.inst.a = d.source(1, 4);
  d.inst.b = d.source(2, 4);
  d.inst.c = d.source(3, 4);
  d.inst.x = d.immediate(d.operand(4));
  d.inst.run = lookUpThree;
}

template <class T>
T same(T a) {
  return a;
}

/// {a, b} <- c: the list has the parts' registers, x their bytes, y how many.
template <class Part>
void unpack(Warp &w, const Instruction &i) {
  const uint8_t *from = w.reg<uint8_t>(i.a);
  uint32_t stride = sizeof(Part) * i.y;
  for (uint32_t part = 0; part < i.y; ++part) {
    Part *to = w.reg<Part>(w.kernel->lists[i.list + part]);
    eachLane(w, [&](uint32_t lane) {
      memcpy(&to[lane], from + lane * stride + part * sizeof(Part),
             sizeof(Part));
    });
  }
}

template <class Part>
void pack(Warp &w, const Instruction &i) {
  uint8_t *to = w.reg<uint8_t>(i.d);
  uint32_t stride = sizeof(Part) * i.y;
  eachLane(w, [&](uint32_t lane) {
    uint8_t whole[16];
    for (uint32_t part = 0; part < i.y; ++part)
      memcpy(whole + part * sizeof(Part),
             &w.reg<Part>(w.kernel->lists[i.list + part])[lane], sizeof(Part));
    memcpy(to + lane * stride, whole, stride);
  });
}

void mov(Decoder &d) {
  Type type = d.type();
  if (!d.expectOperands(2, 2))
    return;
  std::string_view to = d.operand(0), from = d.operand(1);
  if (type.kind == Kind::Pred) {
    bool none = false, negated = false;
    d.inst.d = d.predicate(to, none);
    if (d.isImmediate(from)) {
      bool value = d.immediate(from);
      d.inst.a = d.constant(value ? kAllLanes : 0, 4);
    } else {
      d.inst.a = d.predicate(from, negated);
    }
    d.inst.x = 4;
    d.inst.y = negated;
    d.inst.run = logicOfPredicates;
    return;
  }
  bool packs = from.starts_with('{'), unpacks = to.starts_with('{');
  if (packs || unpacks) {
    auto parts = d.elements(packs ? from : to);
    uint32_t bytes = parts.empty() ? 0 : type.bytes() / parts.size();
    std::vector<uint32_t> offsets;
    for (std::string_view part : parts)
      offsets.push_back(packs ? d.sourceOf(part, bytes)
                              : d.destOf(part, bytes));
    d.inst.list = d.list(offsets);
    d.inst.y = parts.size();
    if (packs)
      d.inst.d = d.dest(0, type.bytes());
    else
      d.inst.a = d.source(1, type.bytes());
    switch (bytes) {
    case 1:
      d.inst.run = packs ? pack<uint8_t> : unpack<uint8_t>;
      break;
    case 2:
      d.inst.run = packs ? pack<uint16_t> : unpack<uint16_t>;
      break;
    case 4:
      d.inst.run = packs ? pack<uint32_t> : unpack<uint32_t>;
      break;
    }
    return;
  }
  operandsOf(d, type.bytes(), 1);
  switch (type.bytes()) {
  case 2:
    d.inst.run = unary<uint16_t, uint16_t, same<uint16_t>>;
    break;
  case 4:
    d.inst.run = unary<uint32_t, uint32_t, same<uint32_t>>;
    break;
  case 8:
    d.inst.run = unary<uint64_t, uint64_t, same<uint64_t>>;
    break;
  }
}

template <class T>
void select(Warp &w, const Instruction &i) {
  T *d = w.reg<T>(i.d);
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b);
  uint32_t chosen = w.pred(i.c) ^ (i.x ? kAllLanes : 0);
  lanes(w, [=](uint32_t lane) {
    d[lane] = chosen >> lane & 1 ? a[lane] : b[lane];
  });
}

void selp(Decoder &d) {
  Type type = d.type();
  if (!d.expectOperands(4, 4))
    return;
  d.inst.d = d.dest(0, type.bytes());
  d.inst.a = d.source(1, type.bytes());
  d.inst.b = d.source(2, type.bytes());
  bool negated = false;
  d.inst.c = d.predicate(d.operand(3), negated);
  d.inst.x = negated;
  switch (type.bytes()) {
  case 2:
    d.inst.run = select<uint16_t>;
    break;
  case 4:
    d.inst.run = select<uint32_t>;
    break;
  case 8:
    d.inst.run = select<uint64_t>;
    break;
  }
}

} // namespace

std::span<const Mnemonic> emu::bitRules() {
  static const Mnemonic rules[] = {
      {"and", logic}, {"or", logic},      {"xor", logic},     {"not", logic},
      {"cnot", cnot}, {"shl", shiftRule}, {"shr", shiftRule}, {"shf", shf},
      {"prmt", prmt}, {"bfe", bfe},       {"bfi", bfi},       {"popc", count},
      {"clz", count}, {"brev", count},    {"bfind", count},   {"lop3", lop3},
      {"mov", mov},   {"selp", selp}};
  return rules;
}
