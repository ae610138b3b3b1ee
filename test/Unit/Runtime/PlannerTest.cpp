//===- PlannerTest.cpp - placing buffers in one arena ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Planner.h"
#include "ToyModel.h"
#include <algorithm>
#include <ctime>
#include <gtest/gtest.h>
#include <random>

using namespace tenon::rt;

namespace {

struct Problem {
  int32_t steps;
  std::vector<uint64_t> sizes, offsets, secondOffsets, live;
  std::vector<Lifetime> lives;
  std::vector<int32_t> order, stepOrder;
  std::vector<Placed> placed;

  explicit Problem(int32_t count, int32_t steps)
      : steps(steps), sizes(count), offsets(count), secondOffsets(count),
        live(steps + 1), lives(count), order(count), stepOrder(steps + 1),
        placed(count) {}
  uint64_t place() {
    return placeBuffers(int32_t(sizes.size()), sizes.data(), lives.data(),
                        steps,
                        {order.data(), placed.data(), secondOffsets.data(),
                         live.data(), stepOrder.data()},
                        offsets.data());
  }
  uint64_t bound() {
    return largestLiveSet(int32_t(sizes.size()), sizes.data(), lives.data(),
                          steps, live.data());
  }
};

void expectValid(const Problem &p, uint64_t arena) {
  for (size_t i = 0; i < p.sizes.size(); ++i) {
    ASSERT_EQ(p.offsets[i] % kAlignment, 0u);
    ASSERT_LE(p.offsets[i] + p.sizes[i], arena);
    for (size_t j = 0; j < i; ++j) {
      bool together = p.lives[i].first <= p.lives[j].last &&
                      p.lives[j].first <= p.lives[i].last;
      bool apart = p.offsets[i] + p.sizes[i] <= p.offsets[j] ||
                   p.offsets[j] + p.sizes[j] <= p.offsets[i];
      ASSERT_TRUE(!together || apart || !p.sizes[i] || !p.sizes[j])
          << "buffers " << i << " and " << j << " overlap";
    }
  }
}

TEST(Planner, buffersThatLiveTogetherNeverOverlap) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    int32_t steps = 1 + int32_t(random() % 60);
    Problem p(int32_t(random() % 120), steps);
    for (size_t i = 0; i < p.sizes.size(); ++i) {
      p.sizes[i] = random() % 8 ? kAlignment * (random() % 500) : 0;
      int32_t first = int32_t(random() % steps);
      p.lives[i] = {first, std::min(steps - 1, first + int32_t(random() % 8))};
    }
    uint64_t arena = p.place();
    expectValid(p, arena);
    EXPECT_GE(arena, p.bound());
  }
}

TEST(Planner, aChainNeedsNoMoreThanItsLargestLiveSet) {
  // Each buffer is read by the next step: a transformer's spine.
  std::mt19937 random(2);
  for (int round = 0; round < 100; ++round) {
    int32_t steps = 100;
    Problem p(steps, steps);
    for (int32_t i = 0; i < steps; ++i) {
      p.sizes[i] = kAlignment * (1 + random() % 64);
      p.lives[i] = {i, std::min(steps - 1, i + 1)};
    }
    uint64_t arena = p.place();
    expectValid(p, arena);
    EXPECT_LE(double(arena), 1.1 * double(p.bound()));
  }
}

TEST(Planner, layersWithSidesStayNearTheirLargestLiveSet) {
  // A residual that lives through its layer, beside the layer's own values.
  std::mt19937 random(6);
  for (int round = 0; round < 50; ++round) {
    int32_t layers = 6, steps = layers * 5;
    Problem p(steps, steps);
    uint64_t width = kAlignment * (1 + random() % 64);
    for (int32_t i = 0; i < steps; ++i) {
      p.sizes[i] = width * (i % 5 == 0 ? 1 : 1 + random() % 4);
      p.lives[i] = {i, std::min(steps - 1, i % 5 == 0 ? i + 5 : i + 1 + i % 2)};
    }
    uint64_t arena = p.place();
    expectValid(p, arena);
    EXPECT_LE(double(arena), 1.1 * double(p.bound()));
  }
}

TEST(Planner, theSameProblemGivesTheSamePlacement) {
  Problem a(64, 40), b(64, 40);
  std::mt19937 random(3);
  for (int i = 0; i < 64; ++i) {
    int32_t first = int32_t(random() % 40);
    a.sizes[i] = b.sizes[i] = kAlignment * (random() % 4); // many ties
    a.lives[i] = b.lives[i] = {first, std::min(39, first + 3)};
  }
  EXPECT_EQ(a.place(), b.place());
  EXPECT_EQ(a.offsets, b.offsets);
}

TEST(Planner, twoThousandBuffersTakeMilliseconds) {
  Problem p(2000, 1500);
  std::mt19937 random(4);
  for (int i = 0; i < 2000; ++i) {
    int32_t first = int32_t(random() % 1500);
    p.sizes[i] = kAlignment * (1 + random() % 5000);
    p.lives[i] = {first, std::min(1499, first + int32_t(random() % 20))};
  }
  // Of the process: a loaded machine may stop it.
  std::clock_t start = std::clock();
  uint64_t arena = p.place();
  std::clock_t time = std::clock() - start;
  expectValid(p, arena);
  EXPECT_LT(double(time) / CLOCKS_PER_SEC, 0.5);
}

/// A random program whose buffers' sizes are polynomials of two dims.
struct RandomProgram : toy::Builder {
  explicit RandomProgram(unsigned seed) {
    std::mt19937 random(seed);
    int32_t n = inputDim(0, 0), m = inputDim(0, 1);
    inputs = {port("x", TENON_ABI_F32, {n, m}, {"n", "m"})};
    int32_t one = constant(1), none = constant(0);
    int32_t numSteps = 4 + int32_t(random() % 30);
    for (int i = 0, count = 3 + int(random() % 50); i < count; ++i) {
      int32_t size = constant(1 + int64_t(random() % 40));
      if (random() % 3)
        size = expr(TENON_EXPR_MUL, size, n);
      if (random() % 3)
        size = expr(TENON_EXPR_MUL, size, random() % 4 ? m : n);
      int32_t first = int32_t(random() % numSteps);
      arena(size, first, std::min(numSteps - 1, first + int32_t(random() % 6)));
    }
    static const auto nothing = [](void *const *, const int64_t *, int64_t,
                                   int64_t,
                                   tenon_task *) -> int32_t { return 0; };
    for (int32_t s = 0; s < numSteps; ++s)
      step("nothing", "/Nothing", {}, {}, one, one, none, nothing);
    finish();
  }
};

TEST(Planner, smallerDimsNeverNeedMoreThanReserved) {
  std::mt19937 random(5);
  for (unsigned seed = 0; seed < 40; ++seed) {
    RandomProgram p(seed);
    auto options = toy::threadOptions(1);
    toy::Scoped context(&p.model, &options);
    ASSERT_EQ(context.status, TENON_OK) << context.error.message;
    int64_t largest[] = {64, 48};
    const int64_t *maximum[] = {largest};
    size_t reserved;
    ASSERT_EQ(tenon_workspace_size(context, maximum, &reserved, nullptr), 0);
    ASSERT_EQ(tenon_reserve(context, maximum, nullptr), 0);
    std::vector<float> data(64 * 48);
    for (int i = 0; i < 60; ++i) {
      int64_t dims[] = {int64_t(random() % 65), int64_t(random() % 49)};
      const int64_t *inputDims[] = {dims};
      size_t bytes;
      ASSERT_EQ(tenon_workspace_size(context, inputDims, &bytes, nullptr), 0);
      ASSERT_LE(bytes, reserved);
      ASSERT_EQ(tenon_bind_input(context, 0, TENON_F32, 2, dims, data.data(),
                                 data.size() * 4, nullptr),
                0);
      ASSERT_EQ(tenon_run(context, &context.error), TENON_OK)
          << context.error.message;
    }
  }
}

} // namespace
