//===- MatrixRules.cpp - mma.sync, ldmatrix, stmatrix ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Lane l holds of a fragment what belongs to group l / 4 and position l % 4,
// as the PTX manual draws it.
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <algorithm>
#include <bit>

using namespace emu;

namespace {

/// Whether all 32 lanes are here, as these instructions ask.
bool wholeWarp(Warp &w, const Instruction &i) {
  if (w.live != kAllLanes) {
    report(w, i, std::countr_zero(w.exec), "a warp that is not whole",
           /*stops=*/true);
    return false;
  }
  return parkUnless(w, kAllLanes);
}

//===----------------------------------------------------------------------===//
// ldmatrix, stmatrix
//===----------------------------------------------------------------------===//

/// Rows of eight 16-bit elements: lane 8 m + r names row r of matrix m. x: the
/// space; y: matrices, and whether they are transposed (bit 3).
template <bool loads>
void moveMatrices(Warp &w, const Instruction &i) {
  if (!wholeWarp(w, i))
    return;
  uint32_t count = i.y & 7;
  bool transposed = i.y & 8;
  for (uint32_t matrix = 0; matrix < count; ++matrix) {
    uint32_t *words = w.reg<uint32_t>(w.kernel->lists[i.list + matrix]);
    uint16_t rows[8][8];
    if (!loads)
      for (uint32_t lane = 0; lane < kLanes; ++lane)
        for (uint32_t half = 0; half < 2; ++half) {
          uint32_t row = lane / 4, column = lane % 4 * 2 + half;
          (transposed ? rows[column][row] : rows[row][column]) =
              words[lane] >> 16 * half;
        }
    for (uint32_t row = 0; row < 8; ++row) {
      uint32_t lane = matrix * 8 + row;
      uint64_t at = addressOf(w, i, lane);
      if (Space(i.x) == Space::Generic &&
          (at & ~(kWindowBytes - 1)) == kSharedWindow)
        at -= kSharedWindow;
      ++w.launch->device->accesses;
      if (at % 16) {
        report(w, i, lane, "a row of a matrix that is misaligned",
               /*stops=*/true);
        return;
      }
      // The elements are other lanes': the row is the whole warp's.
      uint8_t *memory =
          locateShared(w, i, lane, at, 16, loads ? Access::Read : Access::Write,
                       loads ? nullptr : rows[row], w.stamp(kWholeWarp));
      if (!memory)
        return;
      if (loads)
        memcpy(rows[row], memory, 16);
      else
        memcpy(memory, rows[row], 16);
    }
    if (!loads)
      continue;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      uint32_t row = lane / 4, column = lane % 4 * 2;
      words[lane] =
          transposed
              ? uint32_t(rows[column + 1][row]) << 16 | rows[column][row]
              : uint32_t(rows[row][column + 1]) << 16 | rows[row][column];
    }
  }
}

void matrixMove(Decoder &d) {
  bool loads = d.mnemonic() == "ldmatrix";
  d.has("sync");
  d.has("aligned");
  if (!d.has("m8n8"))
    return d.fail("only m8n8");
  static const uint32_t counts[] = {1, 2, 4};
  int index = d.oneOf({"x1", "x2", "x4"});
  bool transposed = d.has("trans");
  d.inst.x = uint32_t(takeSpace(d));
  Type type = d.type();
  if (!d.expectOperands(2, 2) || index < 0 || type.bits != 16)
    return;
  auto registers = d.elements(d.operand(loads ? 0 : 1));
  if (registers.size() != counts[index])
    return d.fail(format("%zu registers", registers.size()));
  std::vector<uint32_t> offsets;
  for (std::string_view name : registers)
    offsets.push_back(loads ? d.destOf(name, 4) : d.sourceOf(name, 4));
  d.inst.list = d.list(offsets);
  addressOperand(d, d.operand(loads ? 1 : 0));
  d.inst.y = counts[index] | (transposed ? 8 : 0);
  d.inst.run = loads ? moveMatrices<true> : moveMatrices<false>;
}

//===----------------------------------------------------------------------===//
// mma.sync m16n8k*
//===----------------------------------------------------------------------===//

/// An element of a 32-bit register.
float elementOf(uint32_t word, uint32_t at, Kind kind, uint32_t bits) {
  switch (kind) {
  case Kind::Tf32: { // the lowest 13 bits are not looked at
    word &= ~0x1fffu;
    float value;
    memcpy(&value, &word, 4);
    return value;
  }
  case Kind::Float:
    return fromHalf(word >> 16 * at);
  case Kind::Bfloat:
    return fromBfloat(word >> 16 * at);
  case Kind::E4m3:
    return widen(word >> 8 * at & 255, kE4m3);
  case Kind::E5m2:
    return widen(word >> 8 * at & 255, kE5m2);
  case Kind::Signed:
    return int8_t(word >> 8 * at);
  default:
    return uint8_t(word >> 8 * at);
  }
}

/// x: k, and the kinds of a, b, c; the list has the registers of d, a, b, c.
/// y: how c is held: f32, s32 or pairs of f16; bit 4: saturated.
enum Accumulator : uint32_t { Single, Integer, HalfPairs };

void multiply(Warp &w, const Instruction &i) {
  if (!wholeWarp(w, i))
    return;
  constexpr uint32_t mostK = 32;
  uint32_t k = i.x & 63;
  Kind kindA = Kind(i.x >> 6 & 15), kindB = Kind(i.x >> 10 & 15);
  uint32_t perWord = i.x >> 14 & 7, accumulator = i.y & 3;
  bool saturates = i.y & 4;
  uint32_t regsA = 16 * k / (kLanes * perWord), regsB = regsA / 2;
  uint32_t regsC = accumulator == HalfPairs ? 2 : 4;
  const uint32_t *list = &w.kernel->lists[i.list];
  const uint32_t *listA = list + regsC, *listB = listA + regsA,
                 *listC = listB + regsB;
  static float a[16][mostK], b[mostK][8], c[16][8];
  static int32_t sums[16][8];
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    uint32_t group = lane / 4, place = lane % 4;
    for (uint32_t reg = 0; reg < regsA; ++reg) {
      uint32_t word = w.reg<uint32_t>(listA[reg])[lane];
      for (uint32_t at = 0; at < perWord; ++at)
        a[group + 8 * (reg & 1)][(reg / 2 * 4 + place) * perWord + at] =
            elementOf(word, at, kindA, 32 / perWord);
    }
    for (uint32_t reg = 0; reg < regsB; ++reg) {
      uint32_t word = w.reg<uint32_t>(listB[reg])[lane];
      for (uint32_t at = 0; at < perWord; ++at)
        b[(reg * 4 + place) * perWord + at][group] =
            elementOf(word, at, kindB, 32 / perWord);
    }
    for (uint32_t reg = 0; reg < regsC; ++reg) {
      uint32_t word = w.reg<uint32_t>(listC[reg])[lane];
      if (accumulator == HalfPairs) {
        for (uint32_t at = 0; at < 2; ++at)
          c[group + 8 * reg][place * 2 + at] = fromHalf(word >> 16 * at);
        continue;
      }
      uint32_t row = group + 8 * (reg / 2), column = place * 2 + reg % 2;
      memcpy(&c[row][column], &word, 4);
      memcpy(&sums[row][column], &word, 4);
    }
  }
  for (uint32_t row = 0; row < 16; ++row) {
    if (accumulator == Integer) {
      for (uint32_t column = 0; column < 8; ++column) {
        int64_t sum = sums[row][column];
        for (uint32_t at = 0; at < k; ++at)
          sum += int32_t(a[row][at]) * int32_t(b[at][column]);
        sums[row][column] =
            saturates ? std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX) : sum;
      }
      continue;
    }
    // Products are exact; sums are rounded to f32 one by one.
    for (uint32_t at = 0; at < k; ++at)
      for (uint32_t column = 0; column < 8; ++column)
        c[row][column] += a[row][at] * b[at][column];
  }
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    uint32_t group = lane / 4, place = lane % 4;
    for (uint32_t reg = 0; reg < regsC; ++reg) {
      uint32_t &word = w.reg<uint32_t>(list[reg])[lane];
      if (accumulator == HalfPairs) {
        word = uint32_t(toHalf(c[group + 8 * reg][place * 2 + 1])) << 16 |
               toHalf(c[group + 8 * reg][place * 2]);
        continue;
      }
      uint32_t row = group + 8 * (reg / 2), column = place * 2 + reg % 2;
      if (accumulator == Integer)
        memcpy(&word, &sums[row][column], 4);
      else
        memcpy(&word, &c[row][column], 4);
    }
  }
}

void mma(Decoder &d) {
  if (!d.has("sync") || !d.has("aligned") || !d.has("row") || !d.has("col"))
    return d.fail("only mma.sync.aligned.*.row.col");
  static const uint32_t depths[] = {4, 8, 16, 32};
  int shape = d.oneOf({"m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32"});
  bool saturates = d.has("satfinite");
  Type typeD = d.type(), typeA = d.type(), typeB = d.type(), typeC = d.type();
  if (shape < 0 || typeD != typeC || typeA.bits != typeB.bits ||
      !d.expectOperands(4, 4))
    return;
  uint32_t k = depths[shape], perWord = 32 / typeA.bits;
  bool isInteger = typeA.isInteger() && typeB.isInteger();
  bool fits = (typeA.kind == Kind::Tf32 && k <= 8) ||
              (typeA.bits == 16 && (k == 8 || k == 16)) ||
              (typeA.bits == 8 && (k == 16 || k == 32));
  uint32_t accumulator = typeD == Type{Kind::Float, 32}    ? Single
                         : typeD == Type{Kind::Signed, 32} ? Integer
                         : typeD == Type{Kind::Float, 16}  ? HalfPairs
                                                           : 3;
  if (!fits || accumulator == 3 || isInteger != (accumulator == Integer) ||
      (!isInteger && typeA.bits != 8 && typeA != typeB))
    return;
  uint32_t regsA = 16 * k / (kLanes * perWord);
  uint32_t regsC = accumulator == HalfPairs ? 2 : 4;
  uint32_t counts[] = {regsC, regsA, regsA / 2, regsC};
  std::vector<uint32_t> offsets;
  for (uint32_t operand = 0; operand < 4; ++operand) {
    auto names = d.elements(d.operand(operand));
    if (names.size() != counts[operand])
      return d.fail(format("operand %u has %zu registers for %u", operand,
                           names.size(), counts[operand]));
    for (std::string_view name : names)
      offsets.push_back(operand ? d.sourceOf(name, 4) : d.destOf(name, 4));
  }
  d.inst.list = d.list(offsets);
  d.inst.x = k | uint32_t(typeA.kind) << 6 | uint32_t(typeB.kind) << 10 |
             perWord << 14;
  d.inst.y = accumulator | (saturates ? 4 : 0);
  d.inst.run = multiply;
}

} // namespace

std::span<const Mnemonic> emu::matrixRules() {
  static const Mnemonic rules[] = {
      {"ldmatrix", matrixMove}, {"stmatrix", matrixMove}, {"mma", mma}};
  return rules;
}
