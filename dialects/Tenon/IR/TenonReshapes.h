//===- TenonReshapes.h - reshapes, seen from afar ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// tenon.reshape is the op that most files know. Those that only look through
// one or make one do without its class, and need not be compiled again when it
// changes.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONRESHAPES_H
#define TENON_IR_TENONRESHAPES_H

#include "mlir/IR/Builders.h"
#include "tenon/Support/SymExpr.h"

namespace tenon {

/// Is there an op, and is it a reshape?
bool isReshape(mlir::Operation *op);

/// What `v` is before its dims were changed, however often.
mlir::Value skipReshapes(mlir::Value v);

mlir::Value createReshape(mlir::OpBuilder &builder, mlir::Location loc,
                          mlir::Value v, llvm::ArrayRef<SymExpr> dims);

} // namespace tenon

#endif // TENON_IR_TENONRESHAPES_H
