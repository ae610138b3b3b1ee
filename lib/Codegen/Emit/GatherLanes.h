//===- GatherLanes.h - lanes that a gather takes from a row -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Indices of neighbouring lanes are mostly near each other (an image that is
// resized, a part of a row that is moved): they are looked at as the run meets
// them. Lanes within a window, one vector of the row or a few, are that window,
// permuted (a shorter row is a part of one); others, if all are inside the row,
// are loaded one by one, which costs less than a gather by 64-bit addresses
// made in vectors. What is left, negative indices and those that are an error,
// goes the general way.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_GATHERLANES_H
#define TENON_LIB_CODEGEN_EMIT_GATHERLANES_H

#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// Elements of `input` at `at`, but along `axis` where `indices` at `idx` say.
struct LaneGather {
  KernelEmitter &e;
  mlir::Value input;
  llvm::SmallVector<Idx> at;
  size_t axis;
  mlir::Value indices;
  llvm::SmallVector<Idx> idx;

  /// Vectors of a window in which lanes lie that are as far apart as all of the
  /// `count` ones are from each other; 0 where that is too many, or nothing
  /// permutes them.
  int64_t windowVectors(const SymExpr &count) const;
  /// Where lanes of these indices lie: the window's first element, which is
  /// inside the row with all others, the places in it (i32), and whether it has
  /// them all.
  struct Window {
    mlir::Value base, order, isWhole;
  };
  /// `first` of the indices is where the window begins; not given: lane 0's.
  Window windowOf(mlir::Value data, int64_t vectors,
                  mlir::Value first = {}) const;
  /// How far apart the first and the last element of `taps` neighbours of each
  /// lane can be, where that is known.
  std::optional<int64_t> spanOf(const SymExpr &count, int64_t taps) const;
  mlir::Value fromWindow(const Window &window, int64_t vectors);
  /// The lanes, if a window of so many vectors does not have them.
  mlir::Value without();
  /// The lanes; null where they are no vector along a row.
  mlir::Value emit(const SymExpr &count);

  /// Do the indices lie in memory, where each lane's is loaded?
  bool areInMemory() const;

private:
  bool isAlongRow() const;
  bool isShort() const;
  mlir::Value anyhow();
  bool isWide() const { return e.L.lanes == 16; }  ///< a vector of 512 bits
  bool isNarrow() const { return e.L.lanes == 4; } ///< one of 128
  mlir::Value orderOf(mlir::Value places) const;
  mlir::Value isInFirst(mlir::Value order, int64_t vectors) const;
  mlir::Value permute(mlir::Value v, mlir::Value order) const;
  mlir::Value permuteBoth(mlir::Value low, mlir::Value high,
                          mlir::Value order) const;
  SymExpr size() const;
  mlir::Type type() const;
};

/// The gather of `op` at `idx` of its result.
LaneGather laneGather(KernelEmitter &e, GatherOp op, llvm::ArrayRef<Idx> idx);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_GATHERLANES_H
