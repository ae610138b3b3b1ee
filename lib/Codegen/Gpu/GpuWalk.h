//===- GpuWalk.h - how a GPU's kernel goes over elements --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task is a thread's or a block's. A thread goes over elements one by one:
// its neighbours have the neighbouring tasks. In a block each thread takes
// every so many-th group of elements, and what the threads carry is combined:
// lanes of a warp by shuffles, warps through shared memory, by a tree that
// depends on the block's size alone. What follows is uniform over the block.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_GPUWALK_H
#define TENON_LIB_CODEGEN_GPU_GPUWALK_H

#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Emit/Walk.h"

namespace tenon {

inline constexpr unsigned kWarp = 32;

/// What v, a scalar of any type, is in the lane of the warp whose number is
/// this one's but for `distance`, a power of 2.
mlir::Value valueOfLane(KernelLoops &e, mlir::Value v, unsigned distance);

/// A task is a thread's.
class ThreadWalk : public Walk {
public:
  unsigned lanes(const KernelLoops &e) const override { return 1; }
  unsigned reductionLanes(const KernelLoops &e,
                          const SymExpr &size) const override {
    return 1;
  }
  int64_t rowAlignment(const KernelLoops &e) const override { return 1; }
  llvm::SmallVector<mlir::Value> elements(KernelLoops &e, mlir::Value n,
                                          unsigned lanes, mlir::ValueRange init,
                                          Body body) const override;
  mlir::Value combine(KernelLoops &e, mlir::Value lanes,
                      mlir::vector::CombiningKind kind) const override;
  bool hasMasks() const override { return false; }
  /// The first of all threads that fail writes the step's record.
  void noteIndexError(KernelLoops &e, mlir::Value shown,
                      mlir::Value bound) const override;
  /// Nobody waits for it: the run looks at the records in the end.
  mlir::Value status(KernelLoops &e) const override;
};

/// A task is a block's.
class BlockWalk : public ThreadWalk {
public:
  explicit BlockWalk(GpuBlocksTilingAttr tiling) : tiling(tiling) {}
  unsigned lanes(const KernelLoops &e) const override {
    return tiling.getElements();
  }
  unsigned reductionLanes(const KernelLoops &e,
                          const SymExpr &size) const override;
  int64_t rowAlignment(const KernelLoops &e) const override {
    return tiling.getElements();
  }
  /// The body is a thread's: loops inside it are not spread.
  llvm::SmallVector<mlir::Value> elements(KernelLoops &e, mlir::Value n,
                                          unsigned lanes, mlir::ValueRange init,
                                          Body body) const override;
  mlir::Value combine(KernelLoops &e, mlir::Value lanes,
                      mlir::vector::CombiningKind kind) const override;

private:
  GpuBlocksTilingAttr tiling;
  ThreadWalk inThread;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_GPUWALK_H
