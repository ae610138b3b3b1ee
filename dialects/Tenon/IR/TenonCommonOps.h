//===- TenonCommonOps.h - the commonest ops, seen from afar -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Most files know these ops. Those that only look through one or make one do
// without its class, and need not be compiled again when it changes.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONCOMMONOPS_H
#define TENON_IR_TENONCOMMONOPS_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "tenon/Support/SymExpr.h"

namespace tenon {

/// Is there an op, and is it one of that kind?
bool isReshape(mlir::Operation *op);
bool isTranspose(mlir::Operation *op);
bool isSlice(mlir::Operation *op);

/// What `v` is before its dims were changed, however often.
mlir::Value skipReshapes(mlir::Value v);
/// Of a transpose.
llvm::ArrayRef<int64_t> permOf(mlir::Operation *op);

mlir::Value createConstant(mlir::OpBuilder &builder, mlir::Location loc,
                           mlir::ElementsAttr value);
mlir::Value createReshape(mlir::OpBuilder &builder, mlir::Location loc,
                          mlir::Value v, llvm::ArrayRef<SymExpr> dims);
mlir::Value createTranspose(mlir::OpBuilder &builder, mlir::Location loc,
                            mlir::Value v, llvm::ArrayRef<int64_t> perm);
mlir::Value createSlice(mlir::OpBuilder &builder, mlir::Location loc,
                        mlir::Value v, llvm::ArrayRef<SymExpr> starts,
                        llvm::ArrayRef<int64_t> steps,
                        llvm::ArrayRef<SymExpr> dims);

} // namespace tenon

#endif // TENON_IR_TENONCOMMONOPS_H
