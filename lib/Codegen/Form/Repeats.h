//===- Repeats.h - matrices that views repeat -------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Grouped heads: a broadcast, and reshapes, of the dims before the last two.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_REPEATS_H
#define TENON_LIB_CODEGEN_FORM_REPEATS_H

#include "mlir/IR/Builders.h"

namespace tenon {

/// A reshape or broadcast that leaves the last two dims as they are; `op` may
/// be null.
bool keepsMatrices(mlir::Operation *op);

/// What `v` repeats, and by which views, the last one first; `v` and no views
/// where it repeats nothing.
mlir::Value skipRepeats(mlir::Value v,
                        llvm::SmallVectorImpl<mlir::Operation *> &views);

/// `view` of matrices, of what has `inner` dims in place of each.
mlir::Value repeatAlike(mlir::OpBuilder &b, mlir::Operation *view,
                        mlir::Value v, size_t inner);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_REPEATS_H
