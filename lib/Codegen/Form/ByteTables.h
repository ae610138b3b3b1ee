//===- ByteTables.h - functions of a byte as tables -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_BYTETABLES_H
#define TENON_LIB_CODEGEN_FORM_BYTETABLES_H

#include "mlir/IR/Operation.h"

namespace tenon {

/// Codes of 8 bits that are computed of other such codes and of numbers alone
/// (what an activation between QDQ becomes) are looked up (tenon.look_up),
/// where that is less work.
void lookUpCodes(mlir::Operation *root);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_BYTETABLES_H
