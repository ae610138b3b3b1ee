//===- SmallFloats.cpp - formats that the host does not have --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <cmath>

using namespace emu;

float emu::fromHalf(uint16_t bits) { return widen(bits, kHalf); }

float emu::widen(uint32_t bits, const Format &format) {
  int bias = 1 - format.least;
  uint32_t exponents = format.most + bias + (format.infinite ? 1 : 0);
  uint32_t mantissa = bits & ((1u << format.mantissa) - 1);
  uint32_t exponent = bits >> format.mantissa & exponents;
  bool minus = bits >> format.mantissa & (exponents + 1);
  float value;
  if (format.infinite && exponent == exponents)
    value = mantissa ? NAN : INFINITY;
  else if (!format.infinite && exponent == exponents &&
           mantissa == (1u << format.mantissa) - 1)
    value = NAN;
  else if (!exponent)
    value = std::ldexp(float(mantissa), format.least - format.mantissa);
  else
    value = std::ldexp(float(mantissa | 1u << format.mantissa),
                       int(exponent) - bias - format.mantissa);
  return minus ? -value : value;
}

uint32_t emu::narrow(long double value, const Format &format, Round round,
                     bool saturate) {
  int bias = 1 - format.least, mantissa = format.mantissa;
  uint32_t exponents = format.most + bias + (format.infinite ? 1 : 0);
  uint32_t sign = (exponents + 1) << mantissa;
  uint32_t ones = (1u << mantissa) - 1;
  if (std::isnan(value)) // of all formats: all ones but the sign
    return exponents << mantissa | ones;
  bool minus = std::signbit(value);
  long double size = std::fabs(value);
  uint32_t infinity =
      format.infinite ? exponents << mantissa : exponents << mantissa | ones;
  uint32_t largest = infinity - 1;
  uint32_t result;
  if (std::isinf(size)) {
    result = saturate ? largest : infinity;
  } else if (size == 0) {
    result = 0;
  } else {
    int exponent = std::max(std::ilogb(size), format.least);
    // In units of the last place: an integer and a rest.
    long double scaled = std::scalbn(size, mantissa - exponent);
    long double whole = std::floor(scaled), rest = scaled - whole;
    bool up = false;
    switch (round) {
    case Round::Nearest:
      up = rest > 0.5L || (rest == 0.5L && std::fmod(whole, 2.0L) != 0);
      break;
    case Round::Away:
      up = rest >= 0.5L;
      break;
    case Round::Zero:
      break;
    case Round::Down:
      up = rest > 0 && minus;
      break;
    case Round::Up:
      up = rest > 0 && !minus;
      break;
    }
    uint64_t units = uint64_t(whole) + up;
    uint64_t bits;
    if (units >> mantissa) // normal; units of 2^(mantissa + 1) carry over
      bits =
          (uint64_t(exponent + bias) << mantissa) + units - (1ull << mantissa);
    else
      bits = units;
    bool over = exponent > format.most || bits > largest;
    bool towards = round == Round::Zero || (round == Round::Down && !minus) ||
                   (round == Round::Up && minus);
    result = !over ? bits : saturate || towards ? largest : infinity;
  }
  return minus ? result | sign : result;
}

uint16_t emu::toHalf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint32_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000)
    return 0x7fff;
  if (bits >= 0x47800000) // 2^16
    return sign | 0x7c00;
  if (bits < 0x38800000) { // a subnormal one: 0.5's last place is its unit
    float size;
    memcpy(&size, &bits, 4);
    size += 0.5f;
    memcpy(&bits, &size, 4);
    return sign | (bits - 0x3f000000);
  }
  bits += 0xfff + (bits >> 13 & 1);
  return sign | (bits - 0x38000000) >> 13;
}

uint16_t emu::toBfloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (value != value)
    return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

double emu::addToOdd(double a, double b) {
  double sum = a + b;
  if (!std::isfinite(sum))
    return sum;
  double back = sum - a;
  double lost = (a - (sum - back)) + (b - back);
  uint64_t bits;
  memcpy(&bits, &sum, 8);
  if (lost == 0 || (bits & 1))
    return sum;
  bits += (lost > 0) == (sum > 0) ? 1 : -1;
  memcpy(&sum, &bits, 8);
  return sum;
}
