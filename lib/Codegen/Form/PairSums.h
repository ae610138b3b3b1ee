//===- PairSums.h - integers whose products meet in i16 ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Without VNNI a CPU multiplies bytes into i16, sums of two neighbours each,
// which saturate (vpmaddubsw). A weight is known when compiling: where it is so
// small that no bytes beside it lead out of i16, even several such sums may be
// added there. Blocks of a panel that are not so are marked (#tenon.format).
//
// Of larger weights a list says which groups of four rows are added, any two,
// three or four of them, for each eight columns. Their sums may wrap: less 128
// times the weights they are those of bytes with a sign, for which i16 has room
// where the weights' magnitudes come to less than 256. Then only a sum of two
// neighbours must not saturate. Where one does, magnitudes are multiplied, and
// a weight's sign goes to the bytes beside it:
//
//   w >= 0:  w * a = |w| * (a - 128) + 128 w
//   w <  0:  w * a = |w| * (127 - a) + 128 w + |w|
//
// of which the brackets are bytes with a sign, a with some of its bits turned.
// That is one operation for each group and row, and takes any weights.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_PAIRSUMS_H
#define TENON_LIB_CODEGEN_FORM_PAIRSUMS_H

#include "dialects/Tenon/IR/TenonFormat.h"
#include "llvm/ADT/SmallVector.h"
#include <array>
#include <cstdint>

namespace tenon {

/// Columns that share a mark.
inline constexpr int64_t kMarkedColumns = kColumnsOfList;

/// Are the sums of a block of a column inside i16 whatever bytes it is
/// multiplied by? Of `groups` times four integers that lie `apart` bytes from
/// each other, the first two of all fours and the other two.
inline bool fitsPairs(const int8_t *block, int64_t groups, int64_t apart) {
  // 129 times the largest byte is outside.
  constexpr int64_t most = 128;
  for (int64_t pair : {0, 2}) {
    int64_t above = 0, below = 0;
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t i : {pair, pair + 1}) {
        int64_t w = block[g * apart + i];
        (w > 0 ? above : below) += w;
      }
    if (above > most || below < -most)
      return false;
  }
  return true;
}

/// How the groups of eight columns are added.
struct PairList {
  /// The groups' numbers: first those that are added four at a time, then
  /// three, then two of magnitudes, and the others, of magnitudes alone.
  llvm::SmallVector<uint8_t> groups;
  uint8_t quads = 0, triples = 0, pairs = 0;
  /// What each column's sum begins with.
  std::array<int32_t, kColumnsOfList> start = {};
};
/// Of up to kRowsOfList / 4 `groups` of a panel, from the eight columns at
/// `first` on; a group lies `apart` bytes behind the one before.
PairList listPairs(const int8_t *first, int64_t groups, int64_t apart);

/// What a row by a vector of columns costs for 16 rows of B, in cycles of loops
/// as DwordKernels.cpp writes them, measured on Zen 3: more in a marked block,
/// which is multiplied twice, and whose branch is not foreseen.
inline double costOfPairs(int64_t block, double marked) {
  return block == 16 ? 3.3 + 9.5 * marked : 3.7 + 13 * marked;
}
/// Of lists, at least, and of bytes that are widened.
inline constexpr double kCostOfLists = 4.1, kCostOfWidened = 5.9;

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PAIRSUMS_H
