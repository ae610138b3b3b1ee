//===- ColumnTasks.h - tasks along the lanes' dim ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels whose loops run along one dim while lanes lie along another (a
// reduction over an outer dim, a running sum) have few outer tasks. The lanes'
// dim is cut for more.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_COLUMNTASKS_H
#define TENON_LIB_CODEGEN_EMIT_COLUMNTASKS_H

#include "lib/Codegen/Emit/KernelKinds.h"

namespace tenon {

/// A dim that lanes run along, cut into columns of one task each.
struct ColumnTasks {
  ColumnTasks(const SymExpr &size, int64_t columns);
  int64_t columns; ///< of a task
  SymExpr count;
  /// Task -> the task of the other dims, and its columns [first, first+size).
  struct Range {
    mlir::Value outer, first, size;
  };
  Range at(KernelEmitter &e, mlir::Value task) const;

private:
  SymExpr size;
};
/// Lanes of a step that only loads, combines and stores: four vectors, so that
/// several loads are under way. One where `size` is known to be too small.
unsigned wideLanes(KernelEmitter &e, const SymExpr &size);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_COLUMNTASKS_H
