//===- Winograd.h - patches that Winograd's products read -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_WINOGRAD_H
#define TENON_LIB_CODEGEN_FORM_WINOGRAD_H

#include "mlir/IR/Block.h"

namespace tenon {

/// Patches that are no rows: what multiplies them reads pixels.
bool isForWinograd(mlir::Operation *op);
/// Has such patches stand before their product, for it alone.
void separatePatches(mlir::Block &block);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_WINOGRAD_H
