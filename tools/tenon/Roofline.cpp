//===- Roofline.cpp - measure what this machine could do at best ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Roofline.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace tenon {

namespace {

double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

// Whole loops in assembly: a compiler that kept the accumulators in memory
// would measure its stores. Sixteen of them hide a latency of four cycles on
// two ports.
#define FMA(REG, K) "vfmadd231ps %%" REG #K ", %%" REG #K ", %%" REG #K "\n"
#define FMA16(REG)                                                             \
  FMA(REG, 0)                                                                  \
  FMA(REG, 1)                                                                  \
  FMA(REG, 2)                                                                  \
  FMA(REG, 3) FMA(REG, 4) FMA(REG, 5) FMA(REG, 6) FMA(REG, 7) FMA(REG, 8)      \
      FMA(REG, 9) FMA(REG, 10) FMA(REG, 11) FMA(REG, 12) FMA(REG, 13)          \
          FMA(REG, 14) FMA(REG, 15)
#define BURN(REG)                                                              \
  __asm__ volatile("vzeroall\n1:\n" FMA16(REG) "dec %0\n jnz 1b\nvzeroupper\n" \
                   : "+r"(n)::"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",  \
                     "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",         \
                     "xmm12", "xmm13", "xmm14", "xmm15", "cc")

double burn() {
  constexpr long count = 20000;
  long n = count;
  double lanes = 0, start = now();
  if (__builtin_cpu_supports("avx512f")) {
    BURN("zmm");
    lanes = 16;
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    BURN("ymm");
    lanes = 8;
  }
  return 2 * 16 * lanes * count / (now() - start) / 1e9;
}

double readAll(const std::vector<uint64_t> &memory) {
  double start = now();
  uint64_t sum[8] = {};
  for (size_t i = 0; i + 8 <= memory.size(); i += 8)
    for (size_t j = 0; j < 8; ++j)
      sum[j] |= memory[i + j];
  __asm__ volatile("" ::"r"(sum) : "memory");
  return double(memory.size() * sizeof(uint64_t)) / (now() - start) / 1e9;
}

} // namespace

double Roofline::leastMs(double flops, double bytes, int threads) const {
  double compute = gflops > 0 ? flops / gflops : 0;
  double rate = bytes <= (1 << 20) ? cachedGbytes : gbytes;
  double memory = rate > 0 ? bytes / rate : 0;
  return std::max(compute, memory) / 1e6 / std::max(threads, 1);
}

Roofline measureRoofline() {
  Roofline best;
  for (int i = 0; i < 20; ++i)
    best.gflops = std::max(best.gflops, burn());
  std::vector<uint64_t> memory((64 << 20) / sizeof(uint64_t), 1);
  for (int i = 0; i < 4; ++i)
    best.gbytes = std::max(best.gbytes, readAll(memory));
  memory.resize((512 << 10) / sizeof(uint64_t));
  for (int i = 0; i < 40; ++i)
    best.cachedGbytes = std::max(best.cachedGbytes, readAll(memory));
  return best;
}

} // namespace tenon
