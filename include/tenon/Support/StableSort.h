//===- StableSort.h - sorting short lists -----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_SUPPORT_STABLESORT_H
#define TENON_SUPPORT_STABLESORT_H

#include <algorithm>
#include <iterator>

namespace tenon {

/// Sorts by insertion; what is equal keeps its order. std::stable_sort of GCC 12
/// is a warning wherever it is used: it calls what C++17 deprecates.
template <typename Range, typename Less>
void stableSort(Range &range, Less less) {
  auto begin = std::begin(range);
  for (auto it = begin; it != std::end(range); ++it)
    std::rotate(std::upper_bound(begin, it, *it, less), it, std::next(it));
}

} // namespace tenon

#endif // TENON_SUPPORT_STABLESORT_H
