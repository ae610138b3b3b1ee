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

/// Sums of two neighbours' magnitudes; those of one column that are 256 as 255,
/// beside which nothing but 0 has room either. What is below 256 fits, and of
/// magnitudes so is 256.
using Sums = std::array<uint8_t, 2 * kColumnsOfList>;

/// Adds `more` to `sums` if all of them have room.
bool addIfFits(Sums &sums, const Sums &more) {
  Sums both;
  uint8_t outside = 0;
  for (size_t i = 0; i < both.size(); ++i) {
    both[i] = sums[i] + more[i];
    outside |= both[i] < more[i];
  }
  if (outside)
    return false;
  sums = both;
  return true;
}

/// Groups that are added together, of which some are there.
using Together = std::array<uint8_t, kMostTogether>;

class Groups {
public:
  Groups(const int8_t *first, int64_t count, int64_t apart);
  SmallVector<Together> gather(size_t count, bool saturating);
  bool mayMeetInFours() const;
  SmallVector<uint8_t> free; ///< that are in no list yet, the largest first

private:
  int64_t measure(const int8_t *group);

  SmallVector<Sums> sums;
  SmallVector<bool> saturates; ///< does a sum of two neighbours?
  int64_t total = 0;
};

/// Takes the group's sums up; what they come to.
int64_t Groups::measure(const int8_t *group) {
  constexpr int most = 128; // as in fitsPairs
  Sums &own = sums.emplace_back();
  bool outside = false;
  int64_t all = 0;
  for (size_t i = 0; i < own.size(); ++i) {
    int x = group[2 * i], y = group[2 * i + 1];
    int above = std::max(x, 0) + std::max(y, 0);
    int sum = std::abs(x) + std::abs(y);
    outside |= above > most || sum - above > most;
    own[i] = std::min(sum, 255);
    all += sum;
  }
  saturates.push_back(outside);
  return all;
}

Groups::Groups(const int8_t *first, int64_t count, int64_t apart) {
  SmallVector<std::pair<int64_t, uint8_t>> order;
  for (int64_t g = 0; g < count; ++g) {
    order.emplace_back(-measure(first + g * apart), g);
    total -= order.back().first;
  }
  llvm::sort(order);
  llvm::append_range(free, llvm::make_second_range(order));
}

/// Do they leave room for that on average? Looking for fours takes long where
/// there are none.
bool Groups::mayMeetInFours() const {
  constexpr int64_t most = 52;
  return total <= most * int64_t(sums.size() * Sums().size());
}

/// As many times `count` groups as fit, in order of the first of them.
/// Saturating ones too, if so.
SmallVector<Together> Groups::gather(size_t count, bool saturating) {
  SmallVector<Together> found;
  auto isOne = [&](size_t i) { return saturating || !saturates[free[i]]; };
  for (size_t i = 0; i < free.size();) {
    SmallVector<size_t> members{i};
    if (isOne(i)) {
      Sums together = sums[free[i]];
      for (size_t j = i + 1; j < free.size() && members.size() < count; ++j)
        if (isOne(j) && addIfFits(together, sums[free[j]]))
          members.push_back(j);
    }
    if (!isOne(i) || members.size() < count) {
      ++i;
      continue;
    }
    Together together = {};
    for (auto [number, member] : enumerate(members))
      together[number] = free[member];
    for (size_t member : llvm::reverse(members))
      free.erase(free.begin() + member);
    llvm::sort(MutableArrayRef(together).take_front(count));
    found.push_back(together);
  }
  llvm::sort(found);
  return found;
}

} // namespace

PairList listPairs(const int8_t *first, int64_t count, int64_t apart) {
  Groups groups(first, count, apart);
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
  if (groups.mayMeetInFours()) {
    SmallVector<uint8_t> all(groups.free);
    SmallVector<Together> quads = groups.gather(4, /*saturating=*/false);
    // A loop of its own for few of them gains nothing.
    if (int64_t(quads.size()) * 8 >= count)
      list.quads = put(quads, 4, /*magnitudes=*/false);
    else
      groups.free = all;
  }
  list.triples = put(groups.gather(3, /*saturating=*/false), 3, false);
  list.pairs = put(groups.gather(2, /*saturating=*/true), 2, true);
  put(groups.gather(1, /*saturating=*/true), 1, true);
  return list;
}

} // namespace tenon
