//===- AttentionMask.h - which keys a query may look at ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_ATTENTIONMASK_H
#define TENON_LIB_CODEGEN_FORM_ATTENTIONMASK_H

#include "mlir/IR/Value.h"
#include "tenon/Support/SymExpr.h"

namespace tenon {

/// Row i of the scores is masked wherever its key is above (upper) or below
/// offset + slope*i + the sum of `terms`: causal attention has an upper bound
/// of slope 1, a window a lower one as well, lengths a term.
struct KeyBound {
  /// Adds or subtracts an element of a tensor of i32 or i64 that is broadcast
  /// to the scores and does not vary along the keys.
  struct Term {
    mlir::Value value;
    bool negative;
  };
  bool upper;
  SymExpr offset;
  int64_t slope;
  llvm::SmallVector<Term> terms = {};
  bool termsVary = false; ///< from row to row
};

/// A score is masked where the element of `value`, which is broadcast to the
/// scores, says so.
struct KeyPadding {
  enum When { isTrue, isFalse, isLow };
  mlir::Value value;
  When when;
};

/// A masked score is lower than any other by at least this much.
inline constexpr double kMasked = -1e9;

/// Which keys are masked, whatever other masks there are.
struct KeyMask {
  llvm::SmallVector<KeyBound> bounds;
  llvm::SmallVector<KeyPadding> padding;
  bool paddingVaries = false; ///< from row to row
  bool empty() const { return bounds.empty() && padding.empty(); }
};

/// What the pointwise ops from `products` (Q K^T) to `scores` imply: a select
/// or a sum that makes a score kMasked or less where a comparison with the
/// key's position says so, or else a condition or a number that is data.
KeyMask findKeyMask(mlir::Value scores, mlir::Value products);

/// Is `weights`, which pointwise ops make of `probabilities`, 0 wherever those
/// are? Else a key that is masked weighs something all the same.
bool keepsZero(mlir::Value probabilities, mlir::Value weights);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_ATTENTIONMASK_H
