//===- PairSums.cpp - which groups of integers meet in i16 ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A group adds to 16 sums, two of each column, of which each has room for 255:
// bins of 16 dimensions, which groups fill first fit, the largest first.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/PairSums.h"
#include "llvm/ADT/STLExtras.h"
#include <cstdlib>

using namespace llvm;

namespace tenon {

namespace {

constexpr int64_t kRowsOfGroup = 4, kMostTogether = 4;

/// Magnitudes that meet in i16, four sums in each word.
using Sums = std::array<uint64_t, 4>;

struct Group {
  uint8_t number;
  bool saturates = false; ///< does a sum of two neighbours?
  bool listed = false;
  int64_t total = 0;
  Sums sums = {};
};

Group measure(const int8_t *first, uint8_t number) {
  constexpr int64_t most = 128; // as in fitsPairs
  Group group{number};
  for (int64_t i = 0; i < 2 * kColumnsOfList; ++i) {
    int64_t x = first[2 * i], y = first[2 * i + 1];
    int64_t above = std::max<int64_t>(x, 0) + std::max<int64_t>(y, 0);
    int64_t sum = std::abs(x) + std::abs(y);
    group.saturates |= above > most || sum - above > most;
    group.total += sum;
    group.sums[i / 4] |= uint64_t(sum) << (i % 4 * 16);
  }
  return group;
}

/// Adds `more` to `sums` if all of them have room.
bool addIfFits(Sums &sums, const Sums &more) {
  constexpr uint64_t above = 0xff00ff00ff00ff00;
  Sums both;
  uint64_t outside = 0;
  for (auto [i, sum] : enumerate(both)) {
    sum = sums[i] + more[i];
    outside |= sum & above;
  }
  if (outside)
    return false;
  sums = both;
  return true;
}

/// Groups that are added together, of which some are there.
using Together = std::array<uint8_t, kMostTogether>;

/// As many times `count` of `groups` as fit, none twice, in order of the first
/// of them. Saturating ones too, if so.
SmallVector<Together> gather(MutableArrayRef<Group> groups, int64_t count,
                             bool saturating) {
  SmallVector<Together> found;
  auto isFree = [&](const Group &group) {
    return !group.listed && (saturating || !group.saturates);
  };
  for (size_t i = 0; i < groups.size(); ++i) {
    if (!isFree(groups[i]))
      continue;
    SmallVector<Group *> members{&groups[i]};
    Sums sums = groups[i].sums;
    for (Group &other : groups.drop_front(i + 1)) {
      if ((int64_t)members.size() == count)
        break;
      if (isFree(other) && addIfFits(sums, other.sums))
        members.push_back(&other);
    }
    if ((int64_t)members.size() < count)
      continue;
    Together together = {};
    for (auto [i, member] : enumerate(members)) {
      member->listed = true;
      together[i] = member->number;
    }
    llvm::sort(MutableArrayRef(together).take_front(count));
    found.push_back(together);
  }
  llvm::sort(found);
  return found;
}

} // namespace

PairList listPairs(const int8_t *first, int64_t count, int64_t apart) {
  SmallVector<Group> groups;
  for (int64_t g = 0; g < count; ++g)
    groups.push_back(measure(first + g * apart, g));
  llvm::sort(groups, [](const Group &x, const Group &y) {
    return std::pair(y.total, x.number) < std::pair(x.total, y.number);
  });
  PairList list;
  auto put = [&](ArrayRef<Together> found, int64_t count, bool magnitudes) {
    for (const Together &together : found)
      for (uint8_t g : ArrayRef(together).take_front(count)) {
        list.groups.push_back(g);
        for (int64_t i = 0; i < kColumnsOfList * kRowsOfGroup; ++i) {
          int32_t w = first[g * apart + i];
          list.start[i / kRowsOfGroup] +=
              128 * w - (magnitudes ? std::min(w, 0) : 0);
        }
      }
    return uint8_t(found.size());
  };
  SmallVector<Group> all(groups);
  SmallVector<Together> quads = gather(groups, 4, /*saturating=*/false);
  // A loop of its own for few of them gains nothing.
  if ((int64_t)quads.size() * 8 < count) {
    groups = all;
    quads.clear();
  }
  list.quads = put(quads, 4, /*magnitudes=*/false);
  list.triples = put(gather(groups, 3, /*saturating=*/false), 3, false);
  list.pairs = put(gather(groups, 2, /*saturating=*/true), 2, true);
  put(gather(groups, 1, /*saturating=*/true), 1, true);
  return list;
}

} // namespace tenon
