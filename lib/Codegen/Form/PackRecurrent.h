//===- PackRecurrent.h - weights of recurrent layers ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_PACKRECURRENT_H
#define TENON_LIB_CODEGEN_FORM_PACKRECURRENT_H

#include "mlir/IR/Operation.h"

namespace tenon {

/// Gives the weights of all tenon.recurrent below `root` the layout that their
/// kernels read: panels, of a constant of integers those of the format i8.
void packRecurrent(mlir::Operation *root);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PACKRECURRENT_H
