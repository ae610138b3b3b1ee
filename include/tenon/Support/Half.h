//===- Half.h - floats of 16 bits -------------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_SUPPORT_HALF_H
#define TENON_SUPPORT_HALF_H

#include <bit>
#include <cstdint>

namespace tenon {

/// The nearest f16 or bf16, ties to even. As APFloat's, in a fraction of the
/// time: a weight has many numbers.
inline uint16_t roundToHalf(float value, bool toF16) {
  uint32_t bits = std::bit_cast<uint32_t>(value), sign = bits >> 31 << 15;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) // a NaN is quiet, and keeps what it says
    return sign | (toF16 ? 0x7e00 | (bits >> 13 & 0x1ff) : 0x40 | bits >> 16);
  if (!toF16)
    return sign | (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  if (bits >= 0x477ff000) // rounds to more than the largest
    return sign | 0x7c00;
  if (bits < 0x38800000) { // below the normal ones: in units of 2^-24
    float units = std::bit_cast<float>(bits) + 0.5f;
    return sign | (std::bit_cast<uint32_t>(units) - 0x3f000000);
  }
  return sign | (bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13;
}

/// The number of an f16 or a bf16: f32 holds each. As APFloat's, too.
inline float widenHalf(uint16_t half, bool isF16) {
  if (!isF16)
    return std::bit_cast<float>(uint32_t(half) << 16);
  uint32_t sign = uint32_t(half & 0x8000) << 16, bits = half & 0x7fff;
  if (bits >= 0x7c00) // infinity, or a NaN that keeps what it says
    return std::bit_cast<float>(sign | 0x7f800000 | (bits & 0x3ff) << 13 |
                                (bits > 0x7c00 ? 0x400000 : 0));
  // In units of 2^-24 a number below the normal ones is an integer.
  if (bits < 0x400)
    return std::bit_cast<float>(
        sign | std::bit_cast<uint32_t>(float(bits) * 0x1p-24f));
  return std::bit_cast<float>(sign | ((bits << 13) + 0x38000000));
}

} // namespace tenon

#endif // TENON_SUPPORT_HALF_H
