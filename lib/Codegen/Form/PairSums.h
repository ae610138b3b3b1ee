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
// Sums may also wrap: less 128 times the weights they are those of bytes with a
// sign, for which i16 has room where the weights are twice as large. Then only
// the sums of two neighbours must not saturate. That takes an operation more in
// each block, and some for all rows: a panel is summed in the way that costs it
// less.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_PAIRSUMS_H
#define TENON_LIB_CODEGEN_FORM_PAIRSUMS_H

#include <cstdint>

namespace tenon {

/// Columns that share a mark.
inline constexpr int64_t kMarkedColumns = 8;

/// In all marks of a panel: its sums are less 128 times the weights. The bits
/// below are the marks of the panel's columns.
inline constexpr uint8_t kCentredMark = 16;

/// Are the sums of a block of a column inside i16 whatever bytes it is
/// multiplied by?
struct PairFit {
  bool plain, centred;
};

/// Of `groups` times four integers that lie `apart` bytes from each other, the
/// first two of all fours and the other two.
inline PairFit fitPairs(const int8_t *block, int64_t groups, int64_t apart) {
  // 129 times the largest byte is outside.
  constexpr int64_t most = 128;
  PairFit fit{true, true};
  for (int64_t pair : {0, 2}) {
    int64_t above = 0, below = 0;
    for (int64_t g = 0; g < groups; ++g) {
      int64_t up = 0, down = 0;
      for (int64_t i : {pair, pair + 1}) {
        int64_t w = block[g * apart + i];
        (w > 0 ? up : down) += w;
      }
      fit.centred &= up <= most && down >= -most;
      above += up;
      below += down;
    }
    fit.plain &= above <= most && below >= -most;
    fit.centred &= above - below < 2 * most;
  }
  return fit;
}

/// What a row by a vector of columns costs for 16 rows of B, in cycles of loops
/// as DwordKernels.cpp writes them, measured on Zen 3: more in a marked block,
/// which is multiplied twice, and whose branch is not foreseen.
inline double costOfPairs(int64_t block, bool centred, double marked) {
  return block == 16 ? (centred ? 3.8 : 3.3) + 9.5 * marked
                     : (centred ? 4.7 : 3.7) + 13 * marked;
}
/// Of bytes that are widened.
inline constexpr double kCostOfWidened = 5.9;

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PAIRSUMS_H
