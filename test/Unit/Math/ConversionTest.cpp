//===- ConversionTest.cpp - conversions of small floats -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// On every level, with and without F16C, conversions are inline code that
// rounds to nearest even. The reference is llvm::APFloat.
//
//===----------------------------------------------------------------------===//

#include "MathJit.h"
#include "llvm/ADT/APFloat.h"
#include "gtest/gtest.h"
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

using namespace llvm;
using namespace tenon::test;

namespace {

const fltSemantics &semantics(StringRef type) {
  return type == "f16" ? APFloat::IEEEhalf() : APFloat::BFloat();
}

template <typename T>
uint16_t narrowed(T x, StringRef type) {
  APFloat value(x);
  bool inexact;
  value.convert(semantics(type), APFloat::rmNearestTiesToEven, &inexact);
  return uint16_t(value.bitcastToAPInt().getZExtValue());
}

bool sameOrNaN(uint16_t got, uint16_t expected, uint16_t infinity) {
  bool isNaN = (expected & 0x7fff) > infinity;
  return isNaN ? (got & 0x7fff) > infinity : got == expected;
}

struct Conversion {
  const char *small, *target;
};

class Conversions : public testing::TestWithParam<Conversion> {};

TEST_P(Conversions, NarrowFloats) {
  auto [type, target] = GetParam();
  uint16_t infinity = StringRef(type) == "f16" ? 0x7c00 : 0x7f80;
  MathFunction vector = convert("f32", type, 8, target);
  ASSERT_TRUE(vector.call);
  for (uint64_t bits = 0; bits < (1ull << 32); bits += 8 * 4093) {
    float x[8];
    uint16_t out[8];
    for (unsigned lane = 0; lane < 8; ++lane)
      x[lane] = std::bit_cast<float>(uint32_t(bits + lane * 4093));
    // Ties and their neighbours.
    x[1] = std::bit_cast<float>(uint32_t(bits & 0xffffe000u) | 0x1000);
    x[2] = std::bit_cast<float>(uint32_t(bits & 0xffff0000u) | 0x8000);
    x[3] = std::bit_cast<float>(uint32_t(bits & 0xffff0000u) | 0x8001);
    vector.call(x, nullptr, out);
    for (unsigned lane = 0; lane < 8; ++lane)
      ASSERT_TRUE(sameOrNaN(out[lane], narrowed(x[lane], type), infinity))
          << x[lane] << " gives " << out[lane];
  }
}

TEST_P(Conversions, NarrowDoublesRoundOnce) {
  auto [type, target] = GetParam();
  uint16_t infinity = StringRef(type) == "f16" ? 0x7c00 : 0x7f80;
  MathFunction scalar = convert("f64", type, 0, target);
  ASSERT_TRUE(scalar.call);
  for (int i = 0; i < 200000; ++i) {
    // Around ties, where rounding twice goes wrong.
    double x = std::ldexp(1.0 + (i % 4096) / 4096.0, i % 300 - 150);
    for (double y : {x, std::nextafter(x, 0.0), -std::nextafter(x, INFINITY)}) {
      uint16_t out;
      scalar.call(&y, nullptr, &out);
      ASSERT_TRUE(sameOrNaN(out, narrowed(y, type), infinity)) << y;
    }
  }
}

TEST_P(Conversions, WidenAllValues) {
  auto [type, target] = GetParam();
  MathFunction vector = convert(type, "f32", 16, target);
  MathFunction wide = convert(type, "f64", 0, target);
  ASSERT_TRUE(vector.call && wide.call);
  for (uint32_t bits = 0; bits < 0x10000; bits += 16) {
    uint16_t in[16];
    float out[16];
    for (unsigned lane = 0; lane < 16; ++lane)
      in[lane] = uint16_t(bits + lane);
    vector.call(in, nullptr, out);
    for (unsigned lane = 0; lane < 16; ++lane) {
      APFloat expected(semantics(type), APInt(16, in[lane]));
      bool inexact;
      expected.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven,
                       &inexact);
      float f = expected.convertToFloat();
      double d;
      wide.call(&in[lane], nullptr, &d);
      if (std::isnan(f)) {
        ASSERT_TRUE(std::isnan(out[lane]) && std::isnan(d)) << in[lane];
        continue;
      }
      ASSERT_EQ(std::memcmp(&out[lane], &f, sizeof f), 0) << in[lane];
      ASSERT_EQ(d, double(f)) << in[lane];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Conversions,
                         testing::Values(Conversion{"f16", "x86-64-v2"},
                                         Conversion{"f16", "x86-64-v3"},
                                         Conversion{"f16", "native"},
                                         Conversion{"bf16", "x86-64-v2"},
                                         Conversion{"bf16", "native"}),
                         [](const auto &info) {
                           std::string name = std::string(info.param.small) +
                                              info.param.target;
                           std::erase(name, '-');
                           return name;
                         });

} // namespace
