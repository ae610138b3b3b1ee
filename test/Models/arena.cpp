//===- arena.cpp - the planner wastes little of a model's arena
//-------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// usage: arena ARTIFACT COUNT RATIO
//
// Plans an artifact's memory for COUNT random sets of dims, each dim between 1
// and 512 or what the model declares, sizes of all magnitudes alike, and
// compares the arena with the largest live set: no placement needs less. Dims
// that the model's own checks refuse are drawn again. Fails where an arena is
// larger than RATIO times that.
//===----------------------------------------------------------------------===//

#include "artifact.h" // and the loader, which Context.h leaves out

#include "Context.h"
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

using namespace tenon::rt;
using namespace tenon::test;

namespace {
constexpr double kLargestDim = 512;
constexpr int kMostDraws = 1000; // for one set of dims

/// The plan that the context made or took last.
const Plan &latestPlan(const Context &context) {
  const Plan *latest = context.plans;
  for (int32_t i = 1; i < kRecentPlans; ++i)
    if (context.plans[i].stamp > latest->stamp)
      latest = &context.plans[i];
  return *latest;
}
} // namespace

int main(int argc, char **argv) {
  if (argc != 4)
    fail("usage: arena ARTIFACT COUNT RATIO");
  const int count = std::atoi(argv[2]);
  const double most = std::atof(argv[3]);
  Artifact artifact(argv[1]);
  tenon_context *handle = artifact.createContext();
  // The artifact's runtime is built from the same sources as this program.
  auto &context = *reinterpret_cast<Context *>(handle);

  std::mt19937 random(7);
  std::uniform_real_distribution<double> logarithm(0, std::log(kLargestDim));
  double worst = 1, sum = 0;
  std::string worstDims;
  for (int n = 0; n < count; ++n) {
    std::map<std::string, int64_t> values;
    auto draw = [&](const char *name) {
      int64_t value = std::lround(std::exp(logarithm(random)));
      return values.try_emplace(name, value).first->second;
    };
    for (int draws = 0;; ++draws) {
      values.clear();
      tenon::test::Dims dims = artifact.inputDims(draw);
      size_t total = 0;
      tenon_error error;
      if (!tenon_workspace_size(handle, pointersTo(dims).data(), &total,
                                &error))
        break;
      if (draws == kMostDraws)
        fail(error.message);
    }
    const Plan &plan = latestPlan(context);
    uint64_t live = largestLiveSet(context.numArena, plan.sizes, context.lives,
                                   context.numSteps, context.tables.live);
    double ratio = live ? double(plan.arena) / double(live) : 1;
    sum += ratio;
    if (ratio > worst || worstDims.empty()) {
      worst = ratio;
      worstDims.clear();
      for (auto &[name, value] : values)
        worstDims +=
            (worstDims.empty() ? "" : ",") + name + "=" + std::to_string(value);
      worstDims += ": arena " + std::to_string(plan.arena) + " bytes, live " +
                   std::to_string(live);
    }
  }
  std::printf(
      "%d plans, arena to largest live set: mean %.3f, worst %.3f (%s)\n",
      count, sum / count, worst, worstDims.c_str());
  tenon_context_destroy(handle);
  return worst <= most ? 0 : 1;
}
