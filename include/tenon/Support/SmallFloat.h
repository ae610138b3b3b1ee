//===- SmallFloat.h - floats of 8 and 4 bits --------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// ONNX's small floats are storage: nothing computes in them, values are
// converted from and to f32. These functions say what each conversion gives;
// lib/Codegen/Lanes/SmallFloatLanes.cpp emits the same arithmetic on lanes.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_SUPPORT_SMALLFLOAT_H
#define TENON_SUPPORT_SMALLFLOAT_H

#include <cstdint>

namespace tenon {

/// How a code is read. The sign is the highest of `bits`, then exponent and
/// mantissa; exponent 0 has the denormals.
struct SmallFloatFormat {
  unsigned bits;     ///< of a code
  unsigned mantissa; ///< bits of it
  int bias;
  uint32_t largest;  ///< magnitude code of the largest finite value
  uint32_t infinity; ///< magnitude code; 0: there is none
  uint32_t nan;      ///< code of NaN, less its sign; 0: there is none
  /// "uz": no negative zero; its code is the only NaN.
  bool unsignedZero;
  /// e8m0: nothing but an exponent; 2^(code - 127), 255 is NaN.
  bool exponentOnly;
};

inline constexpr SmallFloatFormat kF8E4M3FN = {8, 3,    7,     0x7e,
                                               0, 0x7f, false, false};
inline constexpr SmallFloatFormat kF8E4M3FNUZ = {8, 3,    8,    0x7f,
                                                 0, 0x80, true, false};
inline constexpr SmallFloatFormat kF8E5M2 = {8,    2,    15,    0x7b,
                                             0x7c, 0x7e, false, false};
inline constexpr SmallFloatFormat kF8E5M2FNUZ = {8, 2,    16,   0x7f,
                                                 0, 0x80, true, false};
inline constexpr SmallFloatFormat kF8E8M0 = {8, 0,    127,   0xfe,
                                             0, 0xff, false, true};
inline constexpr SmallFloatFormat kF4E2M1 = {4, 1, 1, 0x7, 0, 0, false, false};

/// How e8m0 rounds a value between two powers of two; Cast's `round_mode`.
enum class PowerRounding { Up, Down, Nearest };

/// The code that `value` rounds to (to nearest even; e8m0 as `rounding` says,
/// by the value's exponent and mantissa alone). What is too large becomes the
/// largest finite value with `saturate`, else infinity or NaN where there is
/// one. A NaN of a type without becomes -0 (and its negative 0) as in
/// ml_dtypes.
uint8_t encodeSmallFloat(const SmallFloatFormat &format, double value,
                         bool saturate = true,
                         PowerRounding rounding = PowerRounding::Up);

float decodeSmallFloat(const SmallFloatFormat &format, uint8_t code);

} // namespace tenon

#endif // TENON_SUPPORT_SMALLFLOAT_H
