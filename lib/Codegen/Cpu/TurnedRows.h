//===- TurnedRows.h - rows of few numbers, on a vector's lanes --*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A vector has one number of each of as many rows as it has lanes. They lie in
// memory row by row, without a gap, and are turned as they are loaded and
// stored. How few permutations that takes depends on how many numbers there
// are.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_TURNEDROWS_H
#define TENON_LIB_CODEGEN_CPU_TURNEDROWS_H

#include "lib/Codegen/Lanes/LaneBuilder.h"

namespace tenon {

struct TurnedRows {
  LaneBuilder &L;
  int64_t K, N; ///< numbers of a row that is loaded, and of one that is stored
  int64_t lanes = L.lanes;

  /// terms[k] is number k of the rows from A[first] on, for k from `from` on,
  /// maybe for some before and behind it.
  void load(mlir::Value A, mlir::Value first, int64_t from,
            llvm::SmallVector<mlir::Value> &terms) const;
  /// Stores columns as the rows from result[first] on: fewer vectors than there
  /// are rows.
  void store(llvm::ArrayRef<mlir::Value> columns, mlir::Value result,
             mlir::Value first) const;

private:
  mlir::Value pick(llvm::ArrayRef<mlir::Value> from,
                   llvm::function_ref<int64_t(int64_t)> element) const;
  mlir::Value blend(llvm::ArrayRef<mlir::Value> from,
                    llvm::function_ref<int64_t(int64_t)> numberOf) const;
  void loadPairs(llvm::ArrayRef<mlir::Value> memory,
                 llvm::SmallVector<mlir::Value> &terms) const;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_TURNEDROWS_H
