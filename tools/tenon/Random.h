//===- Random.h - the same numbers everywhere -------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_RANDOM_H
#define TENON_TOOLS_RANDOM_H

#include <cstdint>

namespace tenon {

/// SplitMix64: a good stream from any seed, in four lines.
class Random {
public:
  explicit Random(uint64_t seed) : state(seed) {}
  uint64_t next() {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  double uniform() { return double(next() >> 11) * 0x1p-53; }
  int64_t below(int64_t bound) {
    return bound > 0 ? int64_t(next() % uint64_t(bound)) : 0;
  }
  /// About normal: twelve uniforms' sum has variance 1.
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i)
      sum += uniform();
    return sum;
  }

private:
  uint64_t state;
};

} // namespace tenon

#endif // TENON_TOOLS_RANDOM_H
