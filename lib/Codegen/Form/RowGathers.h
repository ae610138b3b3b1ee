//===- RowGathers.h - what is gathered from along its rows ------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_ROWGATHERS_H
#define TENON_LIB_CODEGEN_FORM_ROWGATHERS_H

#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace tenon {

/// The one stored value for which `v` is computed, where that has rows beside
/// those of `v`, and gathers a few elements of a row of `v` for each of its
/// own, or a few rows of `v`, computed of elements that are gathered, for each
/// row: its map may compute each row once (lib/Codegen/Emit/GatheredRows.h,
/// RowRing.h).
/// Null where there is none, or where an op between is none that `mayFuse`.
mlir::Value findMapOfRows(mlir::Value v,
                          const llvm::DenseSet<mlir::Value> &stored,
                          llvm::function_ref<bool(mlir::Operation *)> mayFuse);

/// What indices that are the same along other dims repeat, or what parts of a
/// value that several read are cut from: where `user` reads `v` more than once
/// that is stored. Null for anything else.
mlir::Value findSource(mlir::Value v, mlir::Operation *user,
                       const llvm::DenseMap<mlir::Value, unsigned> &treeCost);

/// Is one map all that reads `v`, whose rows it pulls at their own elements,
/// each for one row alone? What its ops have in common it computes once for
/// each vector: less work than another pass over memory.
bool isOfOneMap(mlir::Value v, const llvm::DenseSet<mlir::Value> &stored,
                llvm::function_ref<bool(mlir::Operation *)> mayFuse);

/// A padded image that windows are cut from, of elements that cost so much: the
/// map of the windows computes each of few operations a few times
/// (lib/Codegen/Emit/BufferedWindows.h). One of windows is stored without pads.
bool isReadByWindows(mlir::Value v, unsigned cost);

/// What the columns of windows of f32 come to, of a padded image or of none:
/// the map of the windows, which becomes one kernel with what is `stored`,
/// computes each once (lib/Codegen/Emit/BufferedWindows.h).
bool areColumnsOfWindows(mlir::Value v,
                         const llvm::DenseSet<mlir::Value> &stored);
/// Computed of windows, and joined with others, padded or turned by `user`,
/// whose map would not share their rows.
bool areWindowsToStore(mlir::Value v, mlir::Operation *user);

/// A gather of whole rows, as many as its operand has or more: where these are
/// transposed they are worth storing first.
bool isGatherOfRows(mlir::Operation *op);
/// Made of such rows, and about to be transposed, where lanes would no longer
/// lie along them.
bool isMadeOfRows(mlir::Value v);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_ROWGATHERS_H
