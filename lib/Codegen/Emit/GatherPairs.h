//===- GatherPairs.h - two taps of a filter, gathered at once ---*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What samples an image takes neighbours for each lane: two gathers from one
// row, whose indices are one row of a tensor and the next. Lanes whose second
// index is the first one, or the one behind it, are loaded as one element of
// 64 bits each: half of the loads. Whether all are is looked at as the run
// meets them; windows (GatherLanes.h) come first.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_GATHERPAIRS_H
#define TENON_LIB_CODEGEN_EMIT_GATHERPAIRS_H

#include "dialects/Tenon/IR/TenonGather.h"
#include "lib/Codegen/Emit/GatherLanes.h"

namespace tenon {

class GatherPairs {
public:
  GatherPairs(KernelEmitter &e, GatherElementsOp first) : e(e), first(first) {}
  /// The gather of the other neighbours; null where there is none.
  GatherElementsOp findSecond();
  /// Both at `idx`; none where they are no vectors along a row in memory.
  std::optional<std::pair<mlir::Value, mlir::Value>>
  emit(GatherElementsOp second, llvm::ArrayRef<Idx> idx);

private:
  LaneGather gatherOf(GatherElementsOp op);
  mlir::Value arePairs(mlir::Value from, mlir::Value to);
  mlir::Value rowPointer();
  mlir::Value pairsOf(mlir::Value from, int64_t lane);
  mlir::Value both(mlir::Value x, mlir::Value y);
  mlir::Value loaded(mlir::Value from, mlir::Value to);

  KernelEmitter &e;
  GatherElementsOp first;
  llvm::SmallVector<Idx> at;
  LaneBuilder &L = e.L;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_GATHERPAIRS_H
