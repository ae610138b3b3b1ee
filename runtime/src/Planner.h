//===- Planner.h - placing buffers in one arena -----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sizes are known only when the dims are, so buffers are placed at run time:
// two that live at the same step never overlap. All tables are handed in; the
// planner allocates nothing.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_PLANNER_H
#define TENON_RUNTIME_PLANNER_H

#include <stdint.h>

namespace tenon::rt {

constexpr uint64_t kAlignment = 64;

inline uint64_t alignUp(uint64_t bytes) {
  return (bytes + kAlignment - 1) & ~(kAlignment - 1);
}

/// Steps first..last, both included, during which a buffer holds its value.
struct Lifetime {
  int32_t first, last;
};

/// A buffer that has its place, in the planner's scratch table.
struct Placed {
  uint64_t offset, end;
  Lifetime life;
};

/// Scratch tables, sized for `buffers` buffers and `steps` steps.
struct PlannerTables {
  int32_t *order;    // buffers
  Placed *placed;    // buffers
  uint64_t *offsets; // buffers: the second try's result
  uint64_t *live;    // steps + 1
  int32_t *steps;    // steps + 1
};

/// Writes offsets[0, count), all multiples of kAlignment, and returns the
/// arena's size. sizes are multiples of kAlignment or 0.
uint64_t placeBuffers(int32_t count, const uint64_t *sizes,
                      const Lifetime *lives, int32_t steps,
                      const PlannerTables &tables, uint64_t *offsets);

/// The largest sum of sizes that live at one step: no placement needs less.
/// Fills live[0, steps).
uint64_t largestLiveSet(int32_t count, const uint64_t *sizes,
                        const Lifetime *lives, int32_t steps, uint64_t *live);

} // namespace tenon::rt

#endif // TENON_RUNTIME_PLANNER_H
