//===- Roofline.h - what this machine could do at best ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_ROOFLINE_H
#define TENON_TOOLS_ROOFLINE_H

namespace tenon {

/// Limits of one thread, measured.
struct Roofline {
  double gflops = 0;       ///< f32 multiply-adds on the widest vectors, 2 each
  double gbytes = 0;       ///< GB/s of reading 64 MiB
  double cachedGbytes = 0; ///< and of reading 512 KiB again and again
  /// The least milliseconds for so much work on so many threads; up to 1 MiB is
  /// taken to be in the cache.
  double leastMs(double flops, double bytes, int threads) const;
};

/// Takes about 50 ms. Best of several short rounds.
Roofline measureRoofline();

/// GB/s of so many threads that read 256 MiB together. Takes about 100 ms.
double measureReading(int threads);

} // namespace tenon

#endif // TENON_TOOLS_ROOFLINE_H
