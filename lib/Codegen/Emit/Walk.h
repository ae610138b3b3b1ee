//===- Walk.h - how a kernel goes over elements -----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What emitters of elements, rows, reductions, scans, scatters and top-k ask
// instead of writing it: a task is a thread of a CPU, which takes elements by
// vectors and has scratch memory of its own. A GPU's block takes them by
// threads, combines through shared memory, and its threads race for the error
// flag; it needs another Walk, not other emitters.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_WALK_H
#define TENON_LIB_CODEGEN_EMIT_WALK_H

#include "lib/Codegen/Lanes/LaneBuilder.h"
#include "tenon/Support/SymExpr.h"

namespace tenon {

class KernelLoops;

class Walk {
public:
  using Body =
      llvm::function_ref<llvm::SmallVector<mlir::Value>(Idx, mlir::ValueRange)>;

  virtual ~Walk() = default;
  /// Neighbouring elements that a loop over many of them takes at a time.
  virtual unsigned lanes(const KernelLoops &e) const = 0;
  /// The same of a loop over `size` elements that only loads and combines them,
  /// where several chains hide how long each operation takes.
  virtual unsigned reductionLanes(const KernelLoops &e,
                                  const SymExpr &size) const = 0;
  /// What the position of a row's first element is taken to be a multiple of.
  virtual int64_t rowAlignment(const KernelLoops &e) const = 0;
  /// Goes over [0, n), `lanes` elements at a time, with one value carried per
  /// init; where fewer are left, L.mask says which, and `body` neutralises the
  /// others in what it carries.
  virtual llvm::SmallVector<mlir::Value> elements(KernelLoops &e, mlir::Value n,
                                                  unsigned lanes,
                                                  mlir::ValueRange init,
                                                  Body body) const = 0;
  /// What the lanes carried, as one scalar, in an order that depends on their
  /// number alone.
  virtual mlir::Value combine(KernelLoops &e, mlir::Value lanes,
                              mlir::vector::CombiningKind kind) const = 0;
  /// May lanes be left out by a mask?
  virtual bool hasMasks() const = 0;
  /// Notes that the index `shown` is outside of `bound` elements, both i64.
  virtual void noteIndexError(KernelLoops &e, mlir::Value shown,
                              mlir::Value bound) const = 0;
  /// What the kernel's function returns, an i32.
  virtual mlir::Value status(KernelLoops &e) const = 0;
};

const Walk &cpuWalk();

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_WALK_H
