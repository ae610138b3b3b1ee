//===- Roofline.cpp - measure what this machine could do at best ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Roofline.h"
#include "FmaLoop.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace tenon {

namespace {

double now() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

double burn() {
  constexpr long count = 20000;
  double lanes = 0, start = now();
  if (__builtin_cpu_supports("avx512f")) {
    fma_loop_512(count);
    lanes = 16;
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    fma_loop_256(count);
    lanes = 8;
  }
  return 2 * FMA_ACCUMULATORS * lanes * count / (now() - start) / 1e9;
}

void readPart(const uint64_t *memory, size_t count) {
  uint64_t sum[8] = {};
  for (size_t i = 0; i + 8 <= count; i += 8)
    for (size_t j = 0; j < 8; ++j)
      sum[j] |= memory[i + j];
  __asm__ volatile("" ::"r"(sum) : "memory");
}

/// The same of memory that no cache holds, which gives more to several streams
/// that ask early, as kernels do.
void readStreams(const uint64_t *memory, size_t count) {
  constexpr size_t streams = 4, line = 8, ahead = 64 * line;
  size_t part = count / streams / line * line;
  uint64_t sum[line] = {};
  for (size_t i = 0; i < part; i += line)
    for (size_t s = 0; s < streams; ++s) {
      const uint64_t *at = memory + s * part + i;
      __builtin_prefetch(at + ahead, /*write=*/0, /*locality=*/2);
      for (size_t j = 0; j < line; ++j)
        sum[j] |= at[j];
    }
  __asm__ volatile("" ::"r"(sum) : "memory");
}

double readAll(const std::vector<uint64_t> &memory,
               void (*read)(const uint64_t *, size_t)) {
  double start = now();
  read(memory.data(), memory.size());
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
    best.gbytes = std::max(best.gbytes, readAll(memory, readStreams));
  memory.resize((512 << 10) / sizeof(uint64_t));
  for (int i = 0; i < 40; ++i)
    best.cachedGbytes = std::max(best.cachedGbytes, readAll(memory, readPart));
  return best;
}

double measureReading(int threads) {
  std::vector<uint64_t> memory((256 << 20) / sizeof(uint64_t), 1);
  size_t part = memory.size() / size_t(threads);
  double best = 0;
  for (int round = 0; round < 4; ++round) {
    double start = now();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t)
      others.emplace_back(readStreams, memory.data() + part * size_t(t), part);
    readStreams(memory.data(), part);
    for (std::thread &other : others)
      other.join();
    best = std::max(best, double(part * size_t(threads) * sizeof(uint64_t)) /
                              (now() - start) / 1e9);
  }
  return best;
}

} // namespace tenon
