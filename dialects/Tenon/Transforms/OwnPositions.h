//===- OwnPositions.h - positions of each sequence --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A model that is given no positions counts them from the length of the past:
// past, past + 1, ... for all sequences of a batch. Where these have lengths of
// their own each counts from its own. What is made of such numbers, rotations
// or rows of a table, gets a dim of sequences in front, up to the op that joins
// it to what has one already.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_OWNPOSITIONS_H
#define TENON_TRANSFORMS_OWNPOSITIONS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "tenon/Support/SymExpr.h"
#include <set>

namespace tenon {

/// Lets what `main` counts from the length of `pasts`, symbols, count from the
/// rows of each of `sequences` (tenon.stored_rows of `table`). Masks, which
/// have a dim as long as past and new rows, stay as they are: of a shorter
/// sequence they are those of one that is padded on the left.
void countPerSequence(mlir::func::FuncOp main,
                      llvm::ArrayRef<std::string> pasts,
                      const SymExpr &sequences, llvm::StringRef table);

/// A past's length, and what the checks of a graph say of other dims: inputs
/// have names of their own for the length of all rows. Other pasts that grow
/// have the same in a run with a state, whatever their dims are called.
struct PastLength {
  PastLength(mlir::func::FuncOp main, llvm::ArrayRef<std::string> pasts);

  std::string past;
  std::map<std::string, SymExpr> equal; ///< names: what they certainly are
  std::set<std::string> related;        ///< names, those too

  /// Does it depend on the past's length, or may it?
  bool isIn(const SymExpr &expr) const;
  bool isIn(llvm::ArrayRef<SymExpr> exprs) const {
    return llvm::any_of(exprs, [&](const SymExpr &e) { return isIn(e); });
  }
  /// In terms of the past.
  SymExpr resolve(const SymExpr &e) const { return e.substitute(equal); }
};

} // namespace tenon

#endif // TENON_TRANSFORMS_OWNPOSITIONS_H
