//===- Rules.h - what the rules share ---------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_EMULATEDGPU_RULES_H
#define TENON_TEST_EMULATEDGPU_RULES_H

#include "Decoder.h"

#ifdef __clang__
#define EMU_LANES_IN_PARALLEL                                                  \
  _Pragma("clang loop vectorize(assume_safety) interleave(disable)")
#else
#define EMU_LANES_IN_PARALLEL
#endif

namespace emu {

/// Calls `f` for every lane that takes part. A lane touches only its own
/// elements of registers.
template <class F>
inline void lanes(const Warp &warp, F f) {
  if (warp.exec == kAllLanes) {
    EMU_LANES_IN_PARALLEL
    for (uint32_t lane = 0; lane < kLanes; ++lane)
      f(lane);
    return;
  }
  for (uint32_t rest = warp.exec; rest; rest &= rest - 1)
    f(__builtin_ctz(rest));
}

/// The same for what must not be reordered or has side effects.
template <class F>
inline void eachLane(const Warp &warp, F f) {
  for (uint32_t rest = warp.exec; rest; rest &= rest - 1)
    f(uint32_t(__builtin_ctz(rest)));
}

template <class D, class A, auto F>
void unary(Warp &w, const Instruction &i) {
  D *d = w.reg<D>(i.d);
  const A *a = w.reg<A>(i.a);
  lanes(w, [=](uint32_t lane) { d[lane] = F(a[lane]); });
}

template <class D, class A, auto F>
void binary(Warp &w, const Instruction &i) {
  D *d = w.reg<D>(i.d);
  const A *a = w.reg<A>(i.a), *b = w.reg<A>(i.b);
  lanes(w, [=](uint32_t lane) { d[lane] = F(a[lane], b[lane]); });
}

template <class D, class A, class C, auto F>
void ternary(Warp &w, const Instruction &i) {
  D *d = w.reg<D>(i.d);
  const A *a = w.reg<A>(i.a), *b = w.reg<A>(i.b);
  const C *c = w.reg<C>(i.c);
  lanes(w, [=](uint32_t lane) { d[lane] = F(a[lane], b[lane], c[lane]); });
}

/// The rule that `make` gives for the C++ type of an integer type of 16 to 64
/// bits; bits count as unsigned.
template <class F>
Rule forInteger(Type type, F make) {
  bool isSigned = type.kind == Kind::Signed;
  if (!type.isInteger() || type.count != 1)
    return nullptr;
  switch (type.bits) {
  case 16:
    return isSigned ? make(int16_t()) : make(uint16_t());
  case 32:
    return isSigned ? make(int32_t()) : make(uint32_t());
  case 64:
    return isSigned ? make(int64_t()) : make(uint64_t());
  }
  return nullptr;
}

/// Takes `d, a`, `d, a, b` or `d, a, b, c` of one size.
inline void operandsOf(Decoder &d, uint32_t bytes, uint32_t sources) {
  if (!d.expectOperands(sources + 1, sources + 1))
    return;
  d.inst.d = d.dest(0, bytes);
  d.inst.a = d.source(1, bytes);
  if (sources > 1)
    d.inst.b = d.source(2, bytes);
  if (sources > 2)
    d.inst.c = d.source(3, bytes);
}

enum class Space : uint32_t { Generic, Global, Shared, Local, Param, Const };
Space takeSpace(Decoder &d);

/// Where `bytes` at an address lie, after all checks; null where an access
/// there is wrong. `data` is what a write will write.
uint8_t *locate(Warp &w, const Instruction &i, uint32_t lane, Space space,
                uint64_t at, uint32_t bytes, Access access,
                const void *data = nullptr, uint32_t element = 0);

/// The same for lanes side by side, at once. Null, and nothing is said or
/// changed, where they have to be looked at one by one.
uint8_t *locateRun(Warp &w, const Instruction &i, const Run &run, Space space,
                   uint64_t at, Access access, const void *data = nullptr);

/// The same for an access that the whole warp makes, or that another unit
/// makes later.
uint8_t *locateShared(Warp &w, const Instruction &i, uint32_t lane, uint64_t at,
                      uint32_t bytes, Access access, const void *data,
                      const Stamp &stamp);

/// Has what threads wrote to 16 bytes of shared memory been told to the
/// asynchronous proxy?
bool isFenced(Warp &w, uint32_t offset);

/// A shared address, generic ones included.
inline uint64_t sharedAddress(uint64_t at) {
  return (at & ~(kWindowBytes - 1)) == kSharedWindow ? at - kSharedWindow : at;
}

/// Decodes cp.async.bulk.tensor.
void decodeTensorCopy(Decoder &d);
/// Begins a copy by the copy engine, after all checks.
void beginBulkCopy(Warp &w, const Instruction &i, BulkCopy copy);
/// Reports unless `piece` may be read.
bool isReadable(Warp &w, const Instruction &i, uint32_t lane,
                const CopyPiece &piece, uint32_t unit);

/// The address that `i` names in a lane: register a plus an offset.
inline uint64_t addressOf(Warp &w, const Instruction &i, uint32_t lane) {
  if (!i.a)
    return i.offset;
  if (i.sizeA == 4)
    return uint32_t(w.reg<uint32_t>(i.a)[lane] + uint32_t(i.offset));
  return w.reg<uint64_t>(i.a)[lane] + i.offset;
}

/// Of a second address, which a list has as its register, the register's bytes
/// and the offset.
inline uint64_t addressOf(Warp &w, const uint32_t *parts, uint32_t lane) {
  uint64_t base = !parts[0]       ? 0
                  : parts[1] == 4 ? w.reg<uint32_t>(parts[0])[lane]
                                  : w.reg<uint64_t>(parts[0])[lane];
  return base + parts[2];
}

/// Takes an address operand into a, sizeA and offset.
inline void addressOperand(Decoder &d, std::string_view text) {
  Address address = d.address(text);
  d.inst.a = address.base;
  d.inst.sizeA = address.baseBytes;
  d.inst.offset = address.offset;
}

// Floating point of other formats than the host's, rounded once.
float fromHalf(uint16_t bits);
uint16_t toHalf(float value);
inline float fromBfloat(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  memcpy(&value, &wide, 4);
  return value;
}
uint16_t toBfloat(float value);

enum class Round { Nearest, Zero, Down, Up, Away };

/// A format with `mantissa` bits, whose smallest and largest exponents are
/// these.
struct Format {
  int mantissa, least, most;
  bool infinite; // has an infinity; else the last mantissa is NaN's
};
constexpr Format kHalf = {10, -14, 15, true}, kBfloat = {7, -126, 127, true},
                 kTf32 = {10, -126, 127, true}, kSingle = {23, -126, 127, true},
                 kE5m2 = {2, -14, 15, true}, kE4m3 = {3, -6, 8, false};

/// The bits of `value` in a format.
uint32_t narrow(long double value, const Format &format, Round round,
                bool saturate = false);
/// A number of an 8-bit format.
float widen(uint32_t bits, const Format &format);
/// a + b, inexact results made odd: rounding them again rounds once.
double addToOdd(double a, double b);

} // namespace emu

#endif // TENON_TEST_EMULATEDGPU_RULES_H
