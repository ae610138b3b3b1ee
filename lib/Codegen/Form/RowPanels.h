//===- RowPanels.h - caches that attention reads as they lie ----*- C++ -*-===//
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
// those the state's memory of a cache that only attention reads holds pages of
// 32 rows, each the panel itself, which tenon.store_pages writes; with numbers
// of fewer bits that of values does, too.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_ROWPANELS_H
#define TENON_LIB_CODEGEN_FORM_ROWPANELS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tenon {

class PackedMatMulOp;
class SliceOp;

/// Of matrices the first rows, all columns?
bool takesFirstRows(SliceOp slice);

/// The symbol, `wanted` or the like, that no dim of an input has.
std::string unusedSymbol(mlir::func::FuncOp main, llvm::StringRef wanted);

/// Lets the second matmul of an attention read the rows of a cache where it
/// packs them; false where they are no such rows.
bool readRowsAsPanels(PackedMatMulOp matmul);

/// Lets a state's memory hold the pages, of such numbers, that a matmul of an
/// attention reads; false where it reads no state, or something else does too.
/// A number that the rows are multiplied by (torch scales keys so) becomes one
/// of the left operand if it may be moved, which changes the last bits.
bool keepPages(PackedMatMulOp matmul, mlir::Type element, bool movesScale);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_ROWPANELS_H
