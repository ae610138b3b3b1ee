//===- Planner.cpp - placing buffers in one arena -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Best fit. The largest live set is a lower bound; orders are tried until one
// comes within 1/32 of it, and the best is kept:
//   1. buffers from the largest to the smallest;
//   2. steps as they run, each step's buffers from the largest on;
//   3. the same with steps from the fullest to the emptiest.
//   4. size order again and again, each time with the buffer that reached
//      highest moved to the front.
// 2 to 4 fill the space below the bound from both ends: a chain in which each
// buffer feeds the next alternates between bottom and top and meets the bound.
// Ties fall to the lower number, so the same dims give the same placement
// everywhere.
//
//===----------------------------------------------------------------------===//
#include "Planner.h"

#include <string.h>

using namespace tenon::rt;

namespace {

/// Bounds the fourth attempt to some milliseconds: rounds * buffers squared.
constexpr int64_t kRepairWork = 4 << 20;
constexpr int64_t kMostRepairs = 64;

/// Sorts `items` so that before(a, b) holds for neighbours. Heapsort: in place,
/// no recursion, no libc (qsort may call malloc).
template <typename Before>
void sortItems(int32_t *items, int32_t count, Before before) {
  auto sink = [&](int32_t root, int32_t end) {
    int32_t value = items[root];
    for (int32_t child = 2 * root + 1; child < end; child = 2 * root + 1) {
      if (child + 1 < end && before(items[child], items[child + 1]))
        ++child;
      if (!before(value, items[child]))
        break;
      items[root] = items[child];
      root = child;
    }
    items[root] = value;
  };
  for (int32_t i = count / 2 - 1; i >= 0; --i)
    sink(i, count);
  for (int32_t end = count - 1; end > 0; --end) {
    int32_t largest = items[0];
    items[0] = items[end];
    items[end] = largest;
    sink(0, end);
  }
}

/// The set of placed buffers, sorted by offset.
class Placement {
public:
  /// Space up to `limit` is filled from both ends; 0 fills from the bottom.
  Placement(Placed *placed, uint64_t limit) : placed(placed), limit(limit) {}

  /// Puts a buffer in the smallest gap that holds it, else at the end of what
  /// lives beside it.
  uint64_t place(uint64_t size, Lifetime life) {
    uint64_t end = 0, best = 0, bestGap = UINT64_MAX;
    for (int32_t i = 0; i < count; ++i) {
      const Placed &other = placed[i];
      if (other.life.first > life.last || other.life.last < life.first)
        continue;
      if (other.offset >= end + size && other.offset - end < bestGap) {
        best = end;
        bestGap = other.offset - end;
      }
      if (other.end > end)
        end = other.end;
    }
    if (end && end + size <= limit && limit - end < bestGap)
      best = limit - size;
    else if (bestGap == UINT64_MAX)
      best = end;
    insert({best, best + size, life});
    return best;
  }
  uint64_t size() const { return top; }

private:
  void insert(const Placed &item) {
    int32_t lo = 0, hi = count;
    while (lo < hi) {
      int32_t mid = (lo + hi) / 2;
      if (placed[mid].offset <= item.offset)
        lo = mid + 1;
      else
        hi = mid;
    }
    memmove(placed + lo + 1, placed + lo, size_t(count - lo) * sizeof(Placed));
    placed[lo] = item;
    ++count;
    if (item.end > top)
      top = item.end;
  }

  Placed *placed;
  uint64_t limit;
  int32_t count = 0;
  uint64_t top = 0;
};

} // namespace

uint64_t tenon::rt::largestLiveSet(int32_t count, const uint64_t *sizes,
                                   const Lifetime *lives, int32_t steps,
                                   uint64_t *live) {
  memset(live, 0, (size_t(steps) + 1) * sizeof *live);
  // Differences first; unsigned wrap-around cancels in the running sum.
  for (int32_t i = 0; i < count; ++i) {
    live[lives[i].first] += sizes[i];
    live[lives[i].last + 1] -= sizes[i];
  }
  uint64_t sum = 0, largest = 0;
  for (int32_t s = 0; s < steps; ++s) {
    sum += live[s];
    live[s] = sum;
    if (sum > largest)
      largest = sum;
  }
  return largest;
}

namespace {

/// The attempts at one problem; the best placement is in `offsets`.
class Search {
public:
  Search(int32_t count, const uint64_t *sizes, const Lifetime *lives,
         int32_t steps, const PlannerTables &tables, uint64_t *offsets)
      : count(count), steps(steps), sizes(sizes), lives(lives), tables(tables),
        offsets(offsets),
        bound(largestLiveSet(count, sizes, lives, steps, tables.live)) {
    for (int32_t i = 0; i < count; ++i)
      offsets[i] = 0;
  }

  uint64_t size() const { return best; }
  bool goodEnough() const { return best <= bound + bound / 32; }

  /// Orders the buffers that have a size from the largest to the smallest.
  void sortBySize() {
    used = 0;
    for (int32_t i = 0; i < count; ++i)
      if (sizes[i])
        tables.order[used++] = i;
    sortItems(tables.order, used, [&](int32_t a, int32_t b) {
      return sizes[a] != sizes[b] ? sizes[a] > sizes[b] : a < b;
    });
  }
  void stepsAsTheyRun() {
    for (int32_t s = 0; s < steps; ++s)
      tables.steps[s] = s;
  }
  void stepsFromTheFullest() {
    sortItems(tables.steps, steps, [&](int32_t a, int32_t b) {
      const uint64_t *live = tables.live;
      return live[a] != live[b] ? live[a] > live[b] : a < b;
    });
  }

  /// Places in the buffers' order; returns the place, in that order, of the
  /// buffer that reaches highest.
  int32_t placeInOrder(uint64_t limit) {
    Placement placement(tables.placed, limit);
    int32_t highest = 0;
    uint64_t reach = 0;
    for (int32_t i = 0; i < used; ++i) {
      uint64_t end = place(placement, tables.order[i]);
      if (end > reach) {
        reach = end;
        highest = i;
      }
    }
    keep(placement.size());
    return highest;
  }
  /// Places each step's buffers in turn.
  void placeBySteps() {
    Placement placement(tables.placed, bound);
    int32_t left = used;
    for (int32_t s = 0; s < steps && left; ++s) {
      int32_t step = tables.steps[s], kept = 0;
      for (int32_t i = 0; i < left; ++i) { // the order keeps who has no place
        int32_t buffer = tables.order[i];
        if (lives[buffer].first <= step && step <= lives[buffer].last)
          place(placement, buffer);
        else
          tables.order[kept++] = buffer;
      }
      left = kept;
    }
    keep(placement.size());
  }
  void repair() {
    int64_t rounds = kRepairWork / (int64_t(count) * count + 1);
    for (int64_t r = 0; r < rounds && r < kMostRepairs && !goodEnough(); ++r) {
      int32_t highest = placeInOrder(bound);
      int32_t *order = tables.order, buffer = order[highest];
      memmove(order + 1, order, size_t(highest) * sizeof *order);
      order[0] = buffer;
    }
  }

private:
  uint64_t place(Placement &placement, int32_t buffer) {
    tables.offsets[buffer] = placement.place(sizes[buffer], lives[buffer]);
    return tables.offsets[buffer] + sizes[buffer];
  }
  void keep(uint64_t size) {
    if (size >= best)
      return;
    best = size;
    for (int32_t i = 0; i < count; ++i)
      if (sizes[i])
        offsets[i] = tables.offsets[i];
  }

  int32_t count, steps, used = 0;
  const uint64_t *sizes;
  const Lifetime *lives;
  const PlannerTables &tables;
  uint64_t *offsets;
  uint64_t bound, best = UINT64_MAX;
};

} // namespace

uint64_t tenon::rt::placeBuffers(int32_t count, const uint64_t *sizes,
                                 const Lifetime *lives, int32_t steps,
                                 const PlannerTables &tables,
                                 uint64_t *offsets) {
  Search search(count, sizes, lives, steps, tables, offsets);
  search.sortBySize();
  search.placeInOrder(/*limit=*/0);
  if (!search.goodEnough()) {
    search.stepsAsTheyRun();
    search.placeBySteps();
  }
  if (!search.goodEnough()) {
    search.stepsFromTheFullest();
    search.sortBySize();
    search.placeBySteps();
  }
  if (!search.goodEnough()) {
    search.sortBySize();
    search.repair();
  }
  return search.size();
}
