//===- thin.cpp - products of few terms against what binds them -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// usage: thin LEVEL ROUNDS M LISTING
//
// Each line of LISTING is `K N ARTIFACT...`: artifacts of several compilers
// that compute [M,K] x [K,N] with a dynamic M. One thread. Beside them, for the
// same shape: a loop that loads the rows and stores the result, a block of rows
// at a time, with nothing between; and a copy of as many bytes. All take turns,
// and a round meets every shape once. Prints the FMA peak in GFLOP/s, then `K N
// M MOVES COPY NANOSECONDS...`, the least of the rounds.
//
// Compiled for the level that it measures (thin.py does).
//===----------------------------------------------------------------------===//

#include "../tools/tenon/FmaLoop.h"
#include "tenon/loader.h"
#include "tenon/tenon.h"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <immintrin.h>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

#ifdef __AVX512F__
using Vector = __m512;
Vector load(const float *from) { return _mm512_loadu_ps(from); }
void store(float *to, Vector x) { _mm512_storeu_ps(to, x); }
constexpr double kFlops = 32;
const auto peakLoop = fma_loop_512;
#else
using Vector = __m256;
Vector load(const float *from) { return _mm256_loadu_ps(from); }
void store(float *to, Vector x) { _mm256_storeu_ps(to, x); }
constexpr double kFlops = 16;
const auto peakLoop = fma_loop_256;
#endif
constexpr int64_t kLanes = sizeof(Vector) / 4;

tenon_error error;

[[noreturn]] void fail(const char *message) {
  std::fprintf(stderr, "thin: error: %s\n", message);
  std::exit(1);
}

double now() {
  return std::chrono::duration<double, std::nano>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Artifact {
  tenon_library library{};
  tenon_context *context = nullptr;
  double best = 1e30;

  Artifact(const char *path, const char *level, int64_t M, int64_t K, int64_t N,
           const float *x, float *y) {
    tenon_context_options options;
    TENON_INIT(options);
    options.threads = 1;
    options.level = level;
    int64_t in[2] = {M, K}, out[2] = {M, N};
    const int64_t *dims[] = {in, out};
    if (tenon_library_open(path, &library, &error) ||
        tenon_context_create(library.model, &options, &context, &error) ||
        tenon_reserve(context, dims, &error) ||
        tenon_bind_input(context, 0, TENON_F32, 2, in, x, M * K * 4, &error) ||
        tenon_bind_output(context, 0, TENON_F32, 2, out, y, M * N * 4, &error))
      fail(error.message);
  }
  ~Artifact() {
    tenon_context_destroy(context);
    tenon_library_close(&library);
  }
  Artifact(const Artifact &) = delete;
  Artifact &operator=(const Artifact &) = delete;
  void run() {
    if (tenon_run(context, &error))
      fail(error.message);
  }
};

/// Loads x and stores y, as many rows at a time as four vectors have lanes.
__attribute__((noinline)) void move(const float *x, int64_t countX, float *y,
                                    int64_t countY, int64_t K, int64_t N) {
  Vector seen = {};
  const float *endX = x + countX, *endY = y + countY;
  while (x < endX || y < endY) {
    const float *untilX = std::min(x + 4 * K * kLanes, endX);
    for (; x < untilX; x += 4 * kLanes) {
      Vector a = load(x), b = load(x + kLanes), c = load(x + 2 * kLanes),
             d = load(x + 3 * kLanes);
      __asm__ volatile("" ::"v"(a), "v"(b), "v"(c), "v"(d));
      seen = a;
    }
    const float *untilY = std::min<const float *>(y + 4 * N * kLanes, endY);
    for (; y < untilY; y += 4 * kLanes)
      for (int64_t v = 0; v < 4; ++v)
        store(y + v * kLanes, seen);
  }
}

__attribute__((noinline)) void copy(const float *x, float *y, int64_t count) {
  for (int64_t i = 0; i < count; i += 4 * kLanes)
    for (int64_t v = 0; v < 4; ++v)
      store(y + i + v * kLanes, load(x + i + v * kLanes));
}

/// Keeps the least time of some runs, which take as long as a turn does.
template <typename Run>
void turn(double &best, Run &&run) {
  constexpr double kTurn = 15000;
  run(); // what others left in the caches
  int runs = std::max(1, int(std::min(kTurn / std::min(best, 1e6), 200.0)));
  double begin = now();
  for (int i = 0; i < runs; ++i)
    run();
  best = std::min(best, (now() - begin) / runs);
}

struct Shape {
  int64_t K, N;
  std::vector<std::unique_ptr<Artifact>> artifacts;
  double moves = 1e30, copy = 1e30;
};

struct Floats {
  explicit Floats(size_t count)
      : data(static_cast<float *>(std::aligned_alloc(4096, count * 4))) {
    for (size_t i = 0; i < count; ++i)
      data[i] = float((i * 2654435761u >> 16) & 1023) / 512 - 1;
  }
  ~Floats() { std::free(data); }
  float *data;
};

} // namespace

int main(int argc, char **argv) {
  if (argc != 5)
    fail("usage: thin LEVEL ROUNDS M LISTING");
  const int rounds = std::atoi(argv[2]);
  const int64_t M = std::atoll(argv[3]);
  std::vector<Shape> shapes;
  std::vector<std::vector<std::string>> paths;
  int64_t widest = 1;
  std::ifstream listing(argv[4]);
  for (std::string line; std::getline(listing, line);) {
    std::istringstream words(line);
    Shape shape{};
    words >> shape.K >> shape.N;
    widest = std::max({widest, shape.K, shape.N});
    shapes.push_back(std::move(shape));
    paths.emplace_back();
    for (std::string path; words >> path;)
      paths.back().push_back(path);
  }
  // The result begins elsewhere in a page than the rows: a load may be taken
  // for a store whose address ends alike.
  constexpr int64_t kApart = 1008;
  const size_t room = (M * widest + kApart + 8 * kLanes + 1023) / 1024 * 1024;
  Floats x(room), result(room);
  float *y = result.data + kApart;
  for (size_t i = 0; i < shapes.size(); ++i)
    for (const std::string &path : paths[i])
      shapes[i].artifacts.push_back(std::make_unique<Artifact>(
          path.c_str(), argv[1], M, shapes[i].K, shapes[i].N, x.data, y));
  double peak = 0;
  for (int round = 0; round < rounds; ++round) {
    constexpr long kIterations = 3000;
    double begin = now();
    peakLoop(kIterations);
    peak = std::max(peak,
                    kIterations * FMA_ACCUMULATORS * kFlops / (now() - begin));
    for (Shape &s : shapes) {
      for (auto &artifact : s.artifacts)
        turn(artifact->best, [&] { artifact->run(); });
      turn(s.moves, [&] { move(x.data, M * s.K, y, M * s.N, s.K, s.N); });
      turn(s.copy, [&] { copy(x.data, y, M * (s.K + s.N) / 2); });
    }
  }
  std::printf("%.1f\n", peak);
  for (const Shape &s : shapes) {
    std::printf("%ld %ld %ld %.0f %.0f", s.K, s.N, M, s.moves, s.copy);
    for (auto &artifact : s.artifacts)
      std::printf(" %.0f", artifact->best);
    std::printf("\n");
  }
}
