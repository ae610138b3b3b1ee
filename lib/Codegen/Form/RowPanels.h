//===- RowPanels.h - columns of rows seen as panels -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A cache holds values in rows [..., T, D]. With D a multiple of a panel's
// columns, row k of panel p is a part of row k of the cache, so attention reads
// the cache where it lies: the graph says so by a view of the rows,
//
//   [..., T, D]  reshape  [..., T, D/32, 32]  transpose  [..., D/32, T, 32]
//
// in place of a pack_b, which would write the whole cache anew for each token.
// The additions have the same order. Keys are multiplied by their columns: of
// those a cache that only attention reads holds the panels themselves, which
// its append writes, so that what packs them has nothing to do.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_ROWPANELS_H
#define TENON_LIB_CODEGEN_FORM_ROWPANELS_H

#include "dialects/Tenon/IR/TenonPacked.h"

namespace tenon {

/// Lets the second matmul of an attention read the rows of a cache where it
/// packs them; false where they are no such rows.
bool readRowsAsPanels(PackedMatMulOp matmul);

/// Lets the memory of the keys of such a cache, where it grows, hold the panels
/// that the first matmul of an attention reads; false where there is none.
bool keepPanels(PackedMatMulOp matmul);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_ROWPANELS_H
