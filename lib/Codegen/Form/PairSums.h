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
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_PAIRSUMS_H
#define TENON_LIB_CODEGEN_FORM_PAIRSUMS_H

#include <cstdint>
#include <limits>

namespace tenon {

/// Columns that share a mark.
inline constexpr int64_t kMarkedColumns = 8;

/// Of a block of a column, `groups` times four integers that lie `apart` bytes
/// from each other: does i16 hold the sums of the first two of all fours times
/// any bytes without a sign, and those of the other two?
inline bool fitPairs(const int8_t *block, int64_t groups, int64_t apart) {
  constexpr int64_t most = std::numeric_limits<uint8_t>::max();
  for (int64_t pair : {0, 2}) {
    int64_t above = 0, below = 0;
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t i : {pair, pair + 1}) {
        int64_t w = block[g * apart + i];
        (w > 0 ? above : below) += w;
      }
    if (above * most > std::numeric_limits<int16_t>::max() ||
        below * most < std::numeric_limits<int16_t>::min())
      return false;
  }
  return true;
}

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PAIRSUMS_H
