//===- PoolTest.cpp - threads, barriers, parking, forks -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Pool.h"
#include "Cpu.h"
#include <atomic>
#include <gtest/gtest.h>
#include <memory>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace tenon::rt;

namespace {

struct OwnedPool {
  std::unique_ptr<Pool::Worker[]> workers;
  Pool pool;
  OwnedPool(int32_t threads, int32_t spinMicroseconds)
      : workers(new Pool::Worker[threads]()) {
    pool.start(workers.get(), threads, spinMicroseconds);
  }
  ~OwnedPool() { pool.stop(); }
};

struct Rounds {
  Pool *pool;
  int32_t threads, rounds;
  std::vector<int> values;     // one per thread, a cache line apart
  std::vector<WaitWord> words; // two barriers a round
  std::atomic<int> wrong{0};
};

/// In each round every thread writes its value, and after the barrier sees
/// everyone's.
void exchange(void *argument, int32_t index) {
  auto &r = *static_cast<Rounds *>(argument);
  auto barrier = [&](int32_t number) {
    Pool::count(r.words[number], 1, uint32_t(r.threads));
    r.pool->waitFor(r.words[number], uint32_t(r.threads));
  };
  for (int round = 1; round <= r.rounds; ++round) {
    r.values[index * 16] = round;
    barrier(2 * round - 2);
    for (int32_t t = 0; t < r.threads; ++t)
      if (r.values[t * 16] != round)
        ++r.wrong;
    barrier(2 * round - 1);
  }
}

class Barriers : public testing::TestWithParam<std::tuple<int, int>> {};

TEST_P(Barriers, makeWritesVisible) {
  auto [threads, spin] = GetParam();
  OwnedPool owned(threads, spin);
  ASSERT_EQ(owned.pool.threads(), threads);
  for (int region = 0; region < 20; ++region) {
    int32_t active = 1 + region % threads; // fewer than there are, too
    Rounds rounds{&owned.pool, active, 50, std::vector<int>(threads * 16),
                  std::vector<WaitWord>(100)};
    owned.pool.run(active, exchange, &rounds);
    owned.pool.settle();
    EXPECT_EQ(rounds.wrong, 0);
    for (int32_t t = 0; t < active; ++t)
      EXPECT_EQ(rounds.values[t * 16], 50);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, Barriers,
                         testing::Combine(testing::Values(1, 2, 3, 8),
                                          testing::Values(0, 100)));

TEST(Pool, stopsWithoutEverHavingRun) {
  for (int i = 0; i < 20; ++i)
    OwnedPool owned(4, i % 2 ? 0 : 200);
}

double cpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

TEST(Pool, aRegionNeverWaitsForALateWorker) {
  // Workers that may come at any time, or not at all, and are in the region
  // either wholly or not at all.
  OwnedPool owned(8, 20);
  for (int region = 0; region < 2000; ++region) {
    struct State {
      std::atomic<int> inside{0}, entered{0};
    } state;
    owned.pool.run(
        8,
        [](void *argument, int32_t) {
          auto &state = *static_cast<State *>(argument);
          ++state.inside;
          ++state.entered;
          --state.inside;
        },
        &state);
    EXPECT_GE(state.entered, 1);
    owned.pool.settle();
    int entered = state.entered;
    EXPECT_EQ(state.inside, 0);
    EXPECT_LE(entered, 8);
    if (region % 100 == 0)
      usleep(200);
    EXPECT_EQ(state.entered, entered);
  }
}

TEST(Pool, idleThreadsPark) {
  OwnedPool owned(4, 1000);
  owned.pool.run(4, [](void *, int32_t) {}, nullptr);
  usleep(50000);
  double before = cpuSeconds();
  usleep(300000);
  EXPECT_LT(cpuSeconds() - before, 0.05);
}

TEST(Pool, aBarrierSleepsWhereWaitsAreLong) {
  struct State {
    Pool *pool;
    WaitWord words[20];
  };
  OwnedPool owned(2, 1000);
  State state = {&owned.pool, {}};
  double before = cpuSeconds();
  owned.pool.run(
      2,
      [](void *argument, int32_t index) {
        auto &state = *static_cast<State *>(argument);
        for (WaitWord &word : state.words) {
          if (index == 0) {
            state.pool->waitFor(word, 1);
          } else {
            usleep(3000);
            Pool::count(word, 1, 1);
          }
        }
      },
      &state);
  owned.pool.settle();
  // A millisecond of spinning for each would be 20.
  EXPECT_LT(cpuSeconds() - before, 0.01);
}

TEST(Pool, aForkedChildHasNoWorkers) {
  OwnedPool owned(3, 100);
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    bool alive = owned.pool.alive();
    owned.pool.stop(); // must not wait for threads that do not exist
    _exit(alive ? 1 : 0);
  }
  int status;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_TRUE(owned.pool.alive());
}

TEST(Cpu, quotaRoundsUp) {
  EXPECT_EQ(threadsOfQuota("max 100000\n"), INT32_MAX);
  EXPECT_EQ(threadsOfQuota("150000 100000\n"), 2);
  EXPECT_EQ(threadsOfQuota("100000 100000\n"), 1);
  EXPECT_EQ(threadsOfQuota("1000 100000\n"), 1);
  EXPECT_EQ(threadsOfQuota(""), INT32_MAX);
  EXPECT_EQ(threadsOfQuota("5"), INT32_MAX);
}

TEST(Cpu, usableThreadsFollowAffinity) {
  int32_t all = usableThreads();
  EXPECT_GE(all, 1);
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &before)) {
      CPU_SET(i, &one);
      break;
    }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(usableThreads(), 1);
  sched_setaffinity(0, sizeof before, &before);
}

TEST(Cpu, featuresAgreeWithTheCompilersRuntime) {
  uint64_t features = cpuFeatures();
  EXPECT_EQ(!!(features & TENON_FEATURE_AVX2),
            !!__builtin_cpu_supports("avx2"));
  EXPECT_EQ(!!(features & TENON_FEATURE_FMA), !!__builtin_cpu_supports("fma"));
  EXPECT_EQ(!!(features & TENON_FEATURE_AVX512F),
            !!__builtin_cpu_supports("avx512f"));
  EXPECT_EQ(!!(features & TENON_FEATURE_AVX512VNNI),
            !!__builtin_cpu_supports("avx512vnni"));
  EXPECT_EQ(!!(features & TENON_FEATURE_SSE42),
            !!__builtin_cpu_supports("sse4.2"));
}

TEST(Cpu, asksTheSystemForTilesAlone) {
  uint64_t features = cpuFeatures();
  EXPECT_EQ(usableFeatures(0), features);
  EXPECT_EQ(usableFeatures(features) & ~features, 0u);
  constexpr uint64_t tiles = TENON_FEATURE_AMX_INT8 | TENON_FEATURE_AMX_BF16;
  EXPECT_EQ(usableFeatures(tiles) & ~tiles, features & ~tiles);
}

TEST(Cpu, slowFeaturesAreThoseOfProductsThatTilesAreFor) {
  uint64_t features = cpuFeatures();
  bool slow = __builtin_cpu_is("intel") &&
              (features & TENON_FEATURE_AVX512FP16) &&
              !(features & TENON_FEATURE_AMX_BF16);
  EXPECT_EQ(slowFeatures(), slow ? TENON_FEATURE_AVX512BF16 : 0);
}

TEST(Cpu, namesUnknownFeaturesByNumber) {
  char buffer[64];
  Text text(buffer, sizeof buffer);
  addFeatureNames(text, TENON_FEATURE_AVX2 | 1ull << 63);
  EXPECT_STREQ(buffer, "avx2, feature 63");
}

} // namespace
