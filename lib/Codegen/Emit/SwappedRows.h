//===- SwappedRows.h - maps that turn rows into columns ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Where neighbours in a row lie apart in an operand, and those of the rows
// beside it next to each other, a task is a piece of several rows, a few
// elements of each in turn: each line of the operand is fetched once. If all
// operands are such, lanes lie along the rows beside each other, and a square
// of vectors is turned in registers.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_SWAPPEDROWS_H
#define TENON_LIB_CODEGEN_EMIT_SWAPPEDROWS_H

#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// Does `v` swap its last two dims that are walked, rows and their elements, of
/// something?
bool swapsRows(mlir::Value v, size_t axis);
/// Such a map, `axis` is the last dim.
void emitSwappedRows(KernelEmitter &e, mlir::Value root, size_t axis,
                     int64_t chunk);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_SWAPPEDROWS_H
