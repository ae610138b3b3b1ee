//===- SwappedRows.h - maps that turn rows into columns ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Where neighbours in a row lie apart in an operand, and those of other rows,
// along another dim, next to each other, a task is a piece of several rows, a
// few elements of each in turn: each line of the operand is fetched once. If
// all operands are such, lanes lie along the rows beside each other, and a
// square of vectors is turned in registers.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_SWAPPEDROWS_H
#define TENON_LIB_CODEGEN_EMIT_SWAPPEDROWS_H

#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// The dim of `v`, whose last dim that is walked is `axis`, along which
/// elements of something that it transposes lie next to each other; none where
/// it is `axis`.
std::optional<size_t> swappedRows(mlir::Value v, size_t axis);
/// Lane j of vector i becomes lane i of vector j; there are as many vectors as
/// lanes, 4, 8 or 16.
llvm::SmallVector<mlir::Value> turnSquare(LaneBuilder &L,
                                          llvm::ArrayRef<mlir::Value> vectors);
/// Such a map, whose rows beside each other are those of `rowDim`.
void emitSwappedRows(KernelEmitter &e, mlir::Value root, size_t rowDim,
                     size_t axis, int64_t chunk);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_SWAPPEDROWS_H
