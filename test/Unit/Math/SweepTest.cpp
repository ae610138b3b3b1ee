//===- SweepTest.cpp - error bounds over all floats -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every function is compared with libm in the next wider type, over bit
// patterns that visit all exponents of both signs, and over special values.
// The bounds are those of docs/Math.md.
//
//===----------------------------------------------------------------------===//

#include "MathJit.h"
#include "gtest/gtest.h"
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

using namespace tenon::test;

namespace {

constexpr unsigned kLanes = 16;

template <typename T>
struct Float;
template <>
struct Float<float> {
  using Bits = uint32_t;
  using Wide = double;
  static constexpr const char *name = "f32";
  static constexpr Bits stride = 1021; // a prime: 4.2 million values
  static constexpr int digits = 23, minExponent = -126;
};
template <>
struct Float<double> {
  using Bits = uint64_t;
  using Wide = long double;
  static constexpr const char *name = "f64";
  static constexpr Bits stride = 0x1fffffffffff7; // about 32768 values
  static constexpr int digits = 52, minExponent = -1022;
};

/// The distance of neighbouring floats at `reference`.
template <typename T>
double ulpOf(typename Float<T>::Wide reference) {
  int exponent = reference == 0 ? Float<T>::minExponent : std::ilogb(reference);
  exponent = std::max(exponent, Float<T>::minExponent);
  return std::ldexp(1.0, std::max(exponent - Float<T>::digits, -1074));
}

/// Error in ulp; 0 for what must be equal and is, infinite where it is not.
template <typename T>
double errorOf(T got, typename Float<T>::Wide reference) {
  T rounded = T(reference);
  if (std::isnan(reference))
    return std::isnan(got) ? 0 : INFINITY;
  if (std::isinf(reference) || reference == 0)
    return got == rounded && std::signbit(got) == std::signbit(rounded)
               ? 0
               : INFINITY;
  // Where the reference overflows the type, its largest value is near too.
  if (std::isinf(rounded) || std::isinf(got))
    return std::abs(reference) > std::numeric_limits<T>::max() * 0.9999999 &&
                   std::isinf(got)
               ? 0
               : INFINITY;
  if (std::isnan(got))
    return INFINITY;
  return double(std::abs(got - reference)) / ulpOf<T>(reference);
}

template <typename T>
std::vector<T> specialValues() {
  using L = std::numeric_limits<T>;
  std::vector<T> values;
  for (T v : {T(0),
              L::denorm_min(),
              L::min(),
              L::max(),
              L::infinity(),
              L::quiet_NaN(),
              T(0.5),
              T(1),
              T(2),
              T(3),
              T(10),
              T(88.7),
              T(89),
              T(104),
              T(709.8),
              T(746),
              std::nextafter(T(1), T(0)),
              std::nextafter(T(1), T(2)),
              T(3.14159265),
              T(1e6),
              T(1e20)}) {
    values.push_back(v);
    values.push_back(-v);
  }
  return values;
}

/// Bit patterns of all exponents, then values where most inputs lie.
template <typename T>
std::vector<T> sweepValues() {
  using Bits = typename Float<T>::Bits;
  std::vector<T> values = specialValues<T>();
  Bits bits = 0;
  do {
    values.push_back(std::bit_cast<T>(bits));
    bits += Float<T>::stride;
  } while (bits >= Float<T>::stride);
  for (int i = -200000; i <= 200000; ++i)
    values.push_back(T(i) * T(0.0001001));
  while (values.size() % kLanes)
    values.push_back(T(1));
  return values;
}

template <typename T>
using Reference = typename Float<T>::Wide (*)(typename Float<T>::Wide);

struct Worst {
  double error = 0;
  double at = 0, got = 0, reference = 0;
};

template <typename T>
Worst sweep(const char *op, Reference<T> reference, const char *target,
            T largest = std::numeric_limits<T>::infinity()) {
  MathFunction vector(op, Float<T>::name, kLanes, 1, target);
  MathFunction scalar(op, Float<T>::name, 0, 1, target);
  MathFunction odd(op, Float<T>::name, 5, 1, target);
  Worst worst;
  if (!vector.call || !scalar.call || !odd.call)
    return worst;
  static const std::vector<T> values = sweepValues<T>();
  for (size_t i = 0; i < values.size(); i += kLanes) {
    T out[kLanes], single;
    vector.call(&values[i], nullptr, out);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      T x = values[i + lane];
      if (std::abs(x) > largest)
        continue;
      auto expected = reference(x);
      double error = errorOf<T>(out[lane], expected);
      if (error > worst.error)
        worst = {error, double(x), double(out[lane]), double(expected)};
    }
    // A value's bits do not depend on where it stands.
    if (i % (kLanes * 13) == 0) {
      T five[5];
      odd.call(&values[i], nullptr, five);
      EXPECT_EQ(std::memcmp(five, out, sizeof five), 0) << op;
      scalar.call(&values[i + 7], nullptr, &single);
      EXPECT_EQ(std::memcmp(&single, &out[7], sizeof single), 0)
          << op << " at " << values[i + 7];
    }
  }
  return worst;
}

template <typename T>
struct Case {
  const char *op;
  Reference<T> reference;
  double bound; // ulp
  T largest = std::numeric_limits<T>::infinity();
};

#define TENON_MATH_CASE(OP, FUNCTION, ...)                                     \
  {OP, [](auto x) { return decltype(x)(FUNCTION(x)); }, __VA_ARGS__}

const Case<float> f32Cases[] = {
    TENON_MATH_CASE("exp", std::exp, 1.2),
    TENON_MATH_CASE("exp2", std::exp2, 1.1),
    TENON_MATH_CASE("expm1", std::expm1, 1.5),
    TENON_MATH_CASE("log", std::log, 1.0),
    TENON_MATH_CASE("log2", std::log2, 1.2),
    TENON_MATH_CASE("log1p", std::log1p, 0.51),
    TENON_MATH_CASE("erf", std::erf, 2.5),
    TENON_MATH_CASE("tanh", std::tanh, 2.3),
    TENON_MATH_CASE("sin", std::sin, 1.6),
    TENON_MATH_CASE("cos", std::cos, 1.6),
    TENON_MATH_CASE("tan", std::tan, 0.6),
    TENON_MATH_CASE("asin", std::asin, 0.51),
    TENON_MATH_CASE("acos", std::acos, 0.51),
    TENON_MATH_CASE("atan", std::atan, 0.51),
    TENON_MATH_CASE("sinh", std::sinh, 0.51),
    TENON_MATH_CASE("cosh", std::cosh, 0.51),
    TENON_MATH_CASE("asinh", std::asinh, 0.51),
    TENON_MATH_CASE("acosh", std::acosh, 0.51),
    TENON_MATH_CASE("atanh", std::atanh, 0.51),
};

const Case<double> f64Cases[] = {
    TENON_MATH_CASE("exp", std::exp, 2.0),
    TENON_MATH_CASE("exp2", std::exp2, 2.0),
    TENON_MATH_CASE("expm1", std::expm1, 4.0),
    TENON_MATH_CASE("log", std::log, 2.0),
    TENON_MATH_CASE("log2", std::log2, 1.2),
    TENON_MATH_CASE("log1p", std::log1p, 3.0),
    TENON_MATH_CASE("erf", std::erf, 4.0),
    TENON_MATH_CASE("tanh", std::tanh, 4.0),
    TENON_MATH_CASE("sin", std::sin, 2.0, 1e6),
    TENON_MATH_CASE("cos", std::cos, 2.0, 1e6),
    TENON_MATH_CASE("tan", std::tan, 4.0, 1e6),
    TENON_MATH_CASE("asin", std::asin, 4.0),
    TENON_MATH_CASE("acos", std::acos, 4.0),
    TENON_MATH_CASE("atan", std::atan, 4.0),
    TENON_MATH_CASE("sinh", std::sinh, 5.0),
    TENON_MATH_CASE("cosh", std::cosh, 5.0),
    TENON_MATH_CASE("asinh", std::asinh, 5.0),
    TENON_MATH_CASE("acosh", std::acosh, 5.0),
    TENON_MATH_CASE("atanh", std::atanh, 5.0),
};

template <typename T>
void run(const Case<T> &c, const char *target) {
  Worst worst = sweep<T>(c.op, c.reference, target, c.largest);
  std::printf("  %-6s %s %-10s %.3f ulp at %.9g\n", c.op, Float<T>::name,
              target, worst.error, worst.at);
  EXPECT_LE(worst.error, c.bound)
      << c.op << " " << Float<T>::name << " " << target << " at " << worst.at
      << ": got " << worst.got << ", expected " << worst.reference;
}

TEST(MathSweep, F32) {
  for (const Case<float> &c : f32Cases)
    run(c, "native");
}

// Without FMA the same code multiplies and adds.
TEST(MathSweep, F32WithoutFma) {
  for (Case<float> c : f32Cases) {
    c.bound = c.bound < 1 ? c.bound + 0.1 : c.bound + 1;
    run(c, "x86-64-v2");
  }
}

TEST(MathSweep, F64) {
  for (const Case<double> &c : f64Cases)
    run(c, "native");
}

TEST(MathSweep, F64WithoutFma) {
  for (Case<double> c : f64Cases) {
    c.bound *= 2;
    run(c, "x86-64-v2");
  }
}

TEST(MathSweep, ErfIsCloseAbsolutely) {
  MathFunction erf("erf", "f32", 0, 1);
  double worst = 0;
  for (int i = -500000; i <= 500000; ++i) {
    float x = i * 1e-5f, got;
    erf.call(&x, nullptr, &got);
    EXPECT_LE(std::abs(got), 1.0f);
    worst = std::max(worst, std::abs(got - std::erf(double(x))));
  }
  EXPECT_LE(worst, 1e-7);
}

struct Activation {
  const char *name;
  mlir::Value (*emit)(const tenon::MathEmitter &, mlir::Value);
  double (*reference)(double);
  double ulps;     // for x > 0
  double relative; // for -5 < x < 0
  double absolute; // below
};

const Activation activations[] = {
    {"gelu", tenon::geluF32,
     [](double x) { return x * 0.5 * std::erfc(-x * M_SQRT1_2); }, 3, 4e-6,
     1e-11},
    {"geluTanh", tenon::geluTanhF32,
     [](double x) {
       double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
       return x / (1 + std::exp(-2 * u));
     },
     3, 4e-6, 1e-11},
    {"silu", tenon::siluF32, [](double x) { return x / (1 + std::exp(-x)); }, 3,
     1e-6, 1e-8},
};

/// Far below 0 a relative error says little, so there are three bounds.
void sweepActivation(const Activation &c, const char *target, double factor) {
  MathFunction vector(c.emit, "f32", kLanes, target);
  MathFunction scalar(c.emit, "f32", 0, target), odd(c.emit, "f32", 5, target);
  ASSERT_TRUE(vector.call && scalar.call && odd.call);
  static const std::vector<float> values = sweepValues<float>();
  double ulps = 0, relative = 0, absolute = 0;
  for (size_t i = 0; i < values.size(); i += kLanes) {
    float out[kLanes], five[5], single;
    vector.call(&values[i], nullptr, out);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      double x = values[i + lane], got = out[lane];
      if (std::isnan(x) || std::isinf(x)) {
        EXPECT_TRUE(std::isnan(x) ? std::isnan(got) : got == (x > 0 ? x : 0));
        continue;
      }
      double expected = c.reference(x), error = std::abs(got - expected);
      ASSERT_TRUE(std::isfinite(got)) << c.name << " at " << x;
      if (x >= 0)
        ulps = std::max(ulps, error / ulpOf<float>(expected));
      else if (x > -5)
        relative = std::max(relative, (error - 0x1p-149) / -expected);
      else
        absolute = std::max(absolute, error);
    }
    if (i % (kLanes * 13) == 0) {
      odd.call(&values[i], nullptr, five);
      EXPECT_EQ(std::memcmp(five, out, sizeof five), 0) << c.name;
      scalar.call(&values[i + 7], nullptr, &single);
      EXPECT_EQ(std::memcmp(&single, &out[7], sizeof single), 0) << c.name;
    }
  }
  std::printf("  %-8s %-10s %.3f ulp, relative %.2g, absolute %.2g\n", c.name,
              target, ulps, relative, absolute);
  EXPECT_LE(ulps, c.ulps * factor) << c.name;
  EXPECT_LE(relative, c.relative * factor) << c.name;
  EXPECT_LE(absolute, c.absolute * factor) << c.name;
}

TEST(MathSweep, Activations) {
  for (const Activation &c : activations) {
    sweepActivation(c, "native", 1);
    sweepActivation(c, "x86-64-v2", 1.5);
  }
}

/// The relative error for 0 >= x >= -87; below it is 0.
void sweepSoftmaxExp(const char *target, double bound, double boundPerUnit) {
  MathFunction vector(tenon::expNonPositiveF32, "f32", kLanes, target);
  MathFunction odd(tenon::expNonPositiveF32, "f32", 5, target);
  ASSERT_TRUE(vector.call && odd.call);
  static const std::vector<float> values = sweepValues<float>();
  double near = 0, far = 0;
  for (size_t i = 0; i < values.size(); i += kLanes) {
    float in[kLanes], out[kLanes], five[5];
    for (unsigned lane = 0; lane < kLanes; ++lane)
      in[lane] = -std::abs(values[i + lane]);
    vector.call(in, nullptr, out);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      double x = in[lane], expected = x < -87 ? 0 : std::exp(x);
      if (std::isnan(x) || expected == 0 || x == 0) {
        EXPECT_TRUE(std::isnan(x) ? std::isnan(out[lane])
                                  : out[lane] == float(expected))
            << x;
        continue;
      }
      double error = std::abs(out[lane] - expected) / expected;
      (x > -8 ? near : far) = std::max(x > -8 ? near : far, error);
      EXPECT_LE(error, bound + boundPerUnit * -x) << x;
    }
    if (i % (kLanes * 13) == 0) {
      odd.call(in, nullptr, five);
      EXPECT_EQ(std::memcmp(five, out, sizeof five), 0);
    }
  }
  std::printf("  softmax's exp %-10s relative %.2g above -8, %.2g below\n",
              target, near, far);
}

TEST(MathSweep, SoftmaxExp) {
  sweepSoftmaxExp("native", 2e-7, 3e-9);
  // Without FMA the multiple of ln 2 is rounded.
  sweepSoftmaxExp("x86-64-v2", 3e-7, 6e-8);
}

/// pow on all pairs of special values and a grid.
template <typename T>
void sweepPow(double bound, const char *target) {
  MathFunction pow("powf", Float<T>::name, 0, 2, target);
  MathFunction vector("powf", Float<T>::name, 4, 2, target);
  std::vector<T> xs = specialValues<T>(), ys = specialValues<T>();
  for (int i = 1; i < 300; ++i) {
    xs.push_back(std::exp(T(i - 150) * T(0.37)));
    ys.push_back(T(i - 150) * T(0.31));
    ys.push_back(T(i - 150));
    xs.push_back(T(1) + T(i - 150) * T(1e-4));
    xs.push_back(-T(i));
  }
  Worst worst;
  for (T x : xs)
    for (T y : ys) {
      using Wide = typename Float<T>::Wide;
      Wide expected = std::pow(Wide(x), Wide(y));
      T got, x4[4] = {1, x, 3, x}, y4[4] = {2, y, 5, 7}, got4[4];
      pow.call(&x, &y, &got);
      vector.call(x4, y4, got4);
      EXPECT_EQ(std::memcmp(&got, &got4[1], sizeof got), 0);
      // Below the type's range the reference underflows in fewer steps.
      double error =
          T(expected) == 0 && got == 0 ? 0 : errorOf<T>(got, expected);
      if (error > worst.error) {
        worst = {error, double(x), double(got), double(expected)};
        EXPECT_LE(error, bound) << "pow(" << x << ", " << y << ")";
      }
    }
  std::printf("  pow    %s %-10s %.3f ulp at %.9g\n", Float<T>::name, target,
              worst.error, worst.at);
}

TEST(MathSweep, Pow) {
  sweepPow<float>(0.51, "native");
  sweepPow<float>(0.51, "x86-64-v2");
  sweepPow<double>(24, "native");
  sweepPow<double>(24, "x86-64-v2");
}

TEST(MathSweep, HalfTypesGoThroughF32) {
  for (const char *element : {"f16", "bf16"}) {
    MathFunction vector("exp", element, 8, 1);
    ASSERT_TRUE(vector.call);
    bool isHalf = std::strcmp(element, "f16") == 0;
    // 0, 1, -inf, inf, NaN in each format.
    uint16_t in[8] = {0,
                      uint16_t(isHalf ? 0x3c00 : 0x3f80),
                      uint16_t(isHalf ? 0xfc00 : 0xff80),
                      uint16_t(isHalf ? 0x7c00 : 0x7f80),
                      uint16_t(isHalf ? 0x7e00 : 0x7fc0),
                      0,
                      0,
                      0};
    uint16_t out[8];
    vector.call(in, nullptr, out);
    EXPECT_EQ(out[0], in[1]);
    EXPECT_EQ(out[1], isHalf ? 0x4170 : 0x402e); // e
    EXPECT_EQ(out[2], 0);
    EXPECT_EQ(out[3], in[3]);
    EXPECT_GT(out[4] & 0x7fff, in[3]);
  }
}

} // namespace
