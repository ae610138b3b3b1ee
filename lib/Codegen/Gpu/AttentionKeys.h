//===- AttentionKeys.h - the keys that a block looks at ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_ATTENTIONKEYS_H
#define TENON_LIB_CODEGEN_GPU_ATTENTIONKEYS_H

#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/KernelEmitter.h"
#include "lib/Codegen/Form/AttentionMask.h"

namespace tenon {

/// Parts of a panel's keys that some row of a block may look at, by what the
/// mask says (AttentionMask.h). It holds where each row looks at something: a
/// block with a row that is masked whole takes all keys.
class AttentionKeys {
public:
  /// Of a softmax of `scores`, which pointwise ops make of `products`.
  AttentionKeys(KernelEmitter &e, mlir::Value scores, mlir::Value products)
      : e(e), scoreDims(getDims(products)),
        mask(findKeyMask(scores, products)) {}

  /// Is there nothing to be left out?
  bool empty() const { return mask.empty(); }
  struct Parts {
    mlir::Value begin, end;
  };
  Parts all() const;
  /// Of rows [first, end) of a batch, the same for all threads.
  Parts of(llvm::ArrayRef<Idx> batch, mlir::Value first, mlir::Value end) const;
  /// Does the largest score of a row say that all its keys are masked?
  mlir::Value isMasked(mlir::Value largest) const;

private:
  struct Rows {
    llvm::ArrayRef<Idx> batch;
    mlir::Value first, end;
  };
  mlir::Value boundAt(const KeyBound &bound, const Rows &rows,
                      mlir::Value row) const;
  mlir::Value boundOf(const KeyBound &bound, const Rows &rows) const;
  mlir::Value isPaddingAt(const Rows &rows, mlir::Value row,
                          mlir::Value part) const;
  mlir::Value isPadding(const Rows &rows, mlir::Value part,
                        bool backwards) const;
  Parts trimPadding(const Rows &rows, Parts parts) const;

  KernelEmitter &e;
  llvm::SmallVector<SymExpr> scoreDims;
  KeyMask mask;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_ATTENTIONKEYS_H
