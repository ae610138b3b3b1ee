//===- AttentionMask.h - which keys a query may look at ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_ATTENTIONMASK_H
#define TENON_LIB_CODEGEN_ATTENTIONMASK_H

#include "mlir/IR/Value.h"
#include "tenon/Support/SymExpr.h"

namespace tenon {

/// Row i of the scores is masked wherever its key is above (upper) or below
/// offset + slope*i: causal attention has an upper bound of slope 1, a window
/// a lower one as well.
struct KeyBound {
  bool upper;
  SymExpr offset;
  int64_t slope;
};

/// A masked score is lower than any other by at least this much.
inline constexpr double kMasked = -1e9;

/// The bounds that the pointwise ops from `products` (Q K^T) to `scores` imply,
/// whatever other masks there are: a select or a sum that makes a score
/// kMasked or less where a comparison of ranges says so.
llvm::SmallVector<KeyBound> findKeyBounds(mlir::Value scores,
                                          mlir::Value products);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_ATTENTIONMASK_H
