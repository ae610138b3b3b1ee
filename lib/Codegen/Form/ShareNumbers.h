//===- ShareNumbers.h - one kernel for several numbers ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_SHARENUMBERS_H
#define TENON_LIB_CODEGEN_FORM_SHARENUMBERS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tenon {

/// Where kernels of a function differ in single numbers alone (each layer has a
/// scale of its own), they read these from memory: so they are one.
void shareNumbers(mlir::func::FuncOp func);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_SHARENUMBERS_H
