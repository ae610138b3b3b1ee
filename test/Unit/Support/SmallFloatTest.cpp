//===- SmallFloatTest.cpp - floats of 8 and 4 bits ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The reference is llvm::APFloat; test/Models/small-types.test holds the same
// conversions against ONNX's own.
//
//===----------------------------------------------------------------------===//

#include "tenon/Support/SmallFloat.h"
#include "llvm/ADT/APFloat.h"
#include "gtest/gtest.h"
#include <bit>
#include <cmath>

using namespace llvm;
using namespace tenon;

namespace {

struct Format {
  const char *name;
  const SmallFloatFormat *format;
  const fltSemantics &(*semantics)();
};

const Format kFormats[] = {
    {"e4m3fn", &kF8E4M3FN, APFloat::Float8E4M3FN},
    {"e4m3fnuz", &kF8E4M3FNUZ, APFloat::Float8E4M3FNUZ},
    {"e5m2", &kF8E5M2, APFloat::Float8E5M2},
    {"e5m2fnuz", &kF8E5M2FNUZ, APFloat::Float8E5M2FNUZ},
    {"e2m1", &kF4E2M1, APFloat::Float4E2M1FN},
    {"e8m0", &kF8E8M0, APFloat::Float8E8M0FNU},
};

class SmallFloats : public testing::TestWithParam<Format> {};

TEST_P(SmallFloats, DecodeEveryCode) {
  const Format &f = GetParam();
  for (unsigned code = 0; code < 1u << f.format->bits; ++code) {
    APFloat expected(f.semantics(), APInt(f.format->bits, code));
    bool lost;
    expected.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven,
                     &lost);
    float found = decodeSmallFloat(*f.format, uint8_t(code));
    if (expected.isNaN())
      EXPECT_TRUE(std::isnan(found)) << code;
    else
      EXPECT_EQ(std::bit_cast<uint32_t>(found),
                std::bit_cast<uint32_t>(expected.convertToFloat()))
          << code;
  }
}

TEST_P(SmallFloats, EveryCodeSurvives) {
  const Format &f = GetParam();
  for (unsigned code = 0; code < 1u << f.format->bits; ++code) {
    float value = decodeSmallFloat(*f.format, uint8_t(code));
    if (!std::isnan(value)) // NaN has one code for several
      // Down, as e8m0 takes 2^-127 by its bits: a denormal f32 above code 0.
      EXPECT_EQ(encodeSmallFloat(*f.format, value, false, PowerRounding::Down),
                code);
  }
}

/// What APFloat rounds to, which knows no saturation.
unsigned rounded(const Format &f, double value) {
  APFloat number(value);
  bool lost;
  number.convert(f.semantics(), APFloat::rmNearestTiesToEven, &lost);
  return unsigned(number.bitcastToAPInt().getZExtValue());
}

void check(const Format &f, double value) {
  // APFloat has no rule for what a type without infinity and NaN makes of them.
  if (!f.format->nan && !std::isfinite(value))
    return;
  unsigned expected = rounded(f, value);
  unsigned found = encodeSmallFloat(*f.format, value, false);
  float back = decodeSmallFloat(*f.format, uint8_t(expected));
  if (std::isnan(back)) {
    ASSERT_TRUE(std::isnan(decodeSmallFloat(*f.format, uint8_t(found))))
        << value;
  } else if (!std::isnan(value)) {
    ASSERT_EQ(found, expected) << value;
  }
  // Saturated: the same, with the largest value for what overflows.
  unsigned saturated = encodeSmallFloat(*f.format, value);
  float largest = decodeSmallFloat(*f.format, uint8_t(f.format->largest));
  if (std::isfinite(back)) {
    ASSERT_EQ(saturated, found) << value;
  } else if (!std::isnan(value)) {
    ASSERT_EQ(decodeSmallFloat(*f.format, uint8_t(saturated)),
              std::copysign(largest, float(value)))
        << value;
  }
}

TEST_P(SmallFloats, EncodeFloats) {
  const Format &f = GetParam();
  if (f.format->exponentOnly)
    return; // rounds as ONNX says, not APFloat
  for (uint64_t bits = 0; bits < 1ull << 32; bits += 9973)
    check(f, std::bit_cast<float>(uint32_t(bits)));
  // Ties and their neighbours, denormals and what overflows among them.
  for (uint64_t bits = 0; bits < 1ull << 32; bits += 1 << 17)
    for (int64_t step : {-1, 0, 1})
      check(f, std::bit_cast<float>(uint32_t(bits + step)));
}

TEST_P(SmallFloats, DoublesRoundOnce) {
  const Format &f = GetParam();
  if (f.format->exponentOnly)
    return;
  for (unsigned code = 0; code < f.format->largest; ++code) {
    double low = decodeSmallFloat(*f.format, uint8_t(code));
    double high = decodeSmallFloat(*f.format, uint8_t(code + 1));
    double tie = (low + high) / 2;
    for (double value :
         {tie, std::nextafter(tie, low), std::nextafter(tie, high)}) {
      check(f, value);
      check(f, -value);
    }
  }
}

TEST(SmallFloat, PowersRoundAsAsked) {
  auto code = [](double v, PowerRounding rounding, bool saturate = true) {
    return int(encodeSmallFloat(kF8E8M0, v, saturate, rounding));
  };
  for (PowerRounding any :
       {PowerRounding::Up, PowerRounding::Down, PowerRounding::Nearest}) {
    EXPECT_EQ(code(1, any), 127);
    EXPECT_EQ(code(0, any), 0);
    EXPECT_EQ(code(NAN, any), 255);
    EXPECT_EQ(code(INFINITY, any), 255);
    EXPECT_EQ(code(3.4e38, any), 254); // nothing is above
  }
  EXPECT_EQ(code(1.25, PowerRounding::Up), 128);
  EXPECT_EQ(code(1.25, PowerRounding::Down), 127);
  EXPECT_EQ(code(1.25, PowerRounding::Nearest), 127);
  EXPECT_EQ(code(1.5, PowerRounding::Nearest), 128); // ties go up
  EXPECT_EQ(code(3.4e38, PowerRounding::Up, false), 255);
}

INSTANTIATE_TEST_SUITE_P(Formats, SmallFloats, testing::ValuesIn(kFormats),
                         [](const auto &info) { return info.param.name; });

} // namespace
