//===- Rounds.h - parts of rounds that threads share ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Work in rounds, each of which needs all of the round before, is cut into
// parts that any thread may take. The tasks of a team walk the same rounds: a
// part is claimed before it is computed, so one task alone computes all, and
// others that begin meanwhile, or not at all, change who does what but nothing
// of what is done. A task waits only for parts that another one has claimed,
// and that one waits for no later part; so no number of threads is needed.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_ROUNDS_H
#define TENON_LIB_CODEGEN_EMIT_ROUNDS_H

#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

struct Rounds {
  mlir::Value memory; ///< of f32, which all tasks have
  mlir::Value at;     ///< where the team's counters begin, elements
  int64_t parts;      ///< of a round, a power of two

  static int64_t elements(int64_t parts) {
    return (parts + 1) * kCounterElements;
  }
  /// Two lines each: a core fetches them in pairs.
  static constexpr int64_t kCounterElements = 32;
};

/// Before the first task begins.
void clearRounds(KernelEmitter &e, const Rounds &rounds);
/// Takes what is left of `count` rounds, together with the other tasks of the
/// team, of which this is number `self`: fn(round, part). It tries part `self`
/// first, so that threads keep their parts, and what these read in their
/// caches.
void walkRounds(KernelEmitter &e, const Rounds &rounds, mlir::Value count,
                mlir::Value self,
                llvm::function_ref<void(mlir::Value, mlir::Value)> fn);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_ROUNDS_H
