//===- TenonRecurrent.h - what a recurrent weight costs ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each step of a recurrent layer reads its weight, and waits for the step
// before. The importer, tenon-fuse-cells and the kernel ask here what follows
// from the weight's size, so that they agree.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_DIALECTS_TENON_IR_TENONRECURRENT_H
#define TENON_DIALECTS_TENON_IR_TENONRECURRENT_H

#include "dialects/Tenon/IR/TenonTiling.h"

namespace tenon {

/// What a direction's state is multiplied with: [gates * units, units].
struct RecurrentWeight {
  int64_t gates, units;
  bool quantized = false; ///< to 8 bits

  int64_t bytes() const { return gates * units * units * (quantized ? 1 : 4); }
  /// Does a core's cache keep it from one step to the next?
  bool staysInCache() const { return bytes() <= kCacheBytes; }
  /// Threads may share a step: into so many parts of its units a direction is
  /// cut. Each has whole panels of each gate, two or, of more parts, four, as
  /// fewer wait for their sums; and takes some times as long to read as threads
  /// take to meet behind a step.
  int64_t parts() const {
    if (quantized || units % kPanelColumns)
      return 1;
    int64_t panels = units / kPanelColumns, parts = 1;
    while (parts < kMostParts && panels % (parts * (parts == 1 ? 4 : 8)) == 0 &&
           bytes() >= 2 * parts * kPartBytes)
      parts *= 2;
    return parts;
  }
  /// Is a layer of so many directions one kernel for all steps? A larger weight
  /// had better be read direction by direction, a part by each thread, as it
  /// may fit in the caches of all; so it is a loop, whose products they share.
  bool isLayer(int64_t directions) const {
    return bytes() <= directions * kCacheBytes;
  }

private:
  static constexpr int64_t kCacheBytes = 1 << 20;
  static constexpr int64_t kPartBytes = 128 << 10;
  static constexpr int64_t kMostParts = 8;
};

} // namespace tenon

#endif // TENON_DIALECTS_TENON_IR_TENONRECURRENT_H
