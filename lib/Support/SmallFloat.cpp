//===- SmallFloat.cpp - floats of 8 and 4 bits ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Support/SmallFloat.h"

#include <bit>
#include <cmath>

namespace tenon {

/// Rounded towards zero, with the last bit set where that lost something: a
/// second rounding to fewer bits then gives what a single one would.
static float roundToOdd(double value) {
  float near = float(value);
  uint32_t bits = std::bit_cast<uint32_t>(near);
  if (std::isnan(value) || double(near) == value)
    return near;
  if (std::fabs(double(near)) > std::fabs(value))
    --bits;
  return std::bit_cast<float>(bits | 1);
}

static uint8_t encodePower(float value, bool saturate, PowerRounding rounding) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  uint32_t exponent = bits >> 23 & 0xff, mantissa = bits & 0x7fffff;
  if (exponent == 0xff)
    return 0xff;
  bool up = false;
  if (rounding == PowerRounding::Up)
    up = mantissa != 0;
  else if (rounding == PowerRounding::Nearest)
    up = mantissa > 0x400000 || (mantissa == 0x400000 && exponent != 0);
  if (saturate && exponent == 0xfe)
    up = false;
  return uint8_t(exponent + up);
}

uint8_t encodeSmallFloat(const SmallFloatFormat &format, double value,
                         bool saturate, PowerRounding rounding) {
  if (format.exponentOnly)
    return encodePower(float(value), saturate, rounding);
  uint32_t bits = std::bit_cast<uint32_t>(roundToOdd(value));
  uint32_t magnitude = bits & 0x7fffffff, signBit = 1u << (format.bits - 1);
  bool negative = bits >> 31;
  unsigned shift = 23 - format.mantissa;
  uint32_t code;
  if (magnitude < uint32_t(128 - format.bias) << 23) {
    // Denormal: adding 2^23 steps lets the hardware round at the right bit.
    float steps = std::bit_cast<float>(
        uint32_t(151 - format.bias - int(format.mantissa)) << 23);
    float sum = std::bit_cast<float>(magnitude) + steps;
    code = std::bit_cast<uint32_t>(sum) - std::bit_cast<uint32_t>(steps);
  } else {
    uint32_t half = (1u << (shift - 1)) - 1 + (magnitude >> shift & 1);
    code = ((magnitude + half) >> shift) -
           (uint32_t(127 - format.bias) << format.mantissa);
  }
  if (code > format.largest)
    code = saturate || (!format.infinity && !format.nan) ? format.largest
           : format.infinity                             ? format.infinity
                                                         : format.nan;
  if (magnitude > 0x7f800000) {
    code = format.nan;
    negative ^= !format.nan;
  }
  if (format.unsignedZero && (code == 0 || code == format.nan))
    return uint8_t(code);
  return uint8_t(code | (negative ? signBit : 0));
}

float decodeSmallFloat(const SmallFloatFormat &format, uint8_t code) {
  if (format.exponentOnly)
    return code == 0xff ? std::bit_cast<float>(0x7fc00000u)
                        : std::ldexp(1.0f, int(code) - format.bias);
  uint32_t signBit = 1u << (format.bits - 1);
  uint32_t magnitude = code & (signBit - 1);
  uint32_t sign = code & signBit ? 0x80000000 : 0;
  if (format.unsignedZero ? code == format.nan
                          : format.nan && magnitude > format.largest &&
                                magnitude != format.infinity)
    return std::bit_cast<float>(0x7fc00000u | sign);
  if (format.infinity && magnitude == format.infinity)
    return std::bit_cast<float>(0x7f800000u | sign);
  uint32_t leading = 1u << format.mantissa;
  uint32_t exponent = magnitude >> format.mantissa;
  uint32_t fraction = magnitude & (leading - 1);
  float value =
      exponent
          ? std::ldexp(float(leading | fraction),
                       int(exponent) - format.bias - int(format.mantissa))
          : std::ldexp(float(fraction), 1 - format.bias - int(format.mantissa));
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

} // namespace tenon
