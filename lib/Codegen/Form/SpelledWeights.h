//===- SpelledWeights.h - weights whose dequantisation is spelled out C++ -===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_SPELLEDWEIGHTS_H
#define TENON_LIB_CODEGEN_FORM_SPELLEDWEIGHTS_H

#include "mlir/IR/Operation.h"

namespace tenon {

/// A constant of codes that is cast to f32 and scaled becomes a dequantisation
/// where products by it, or rows gathered of it, are all that there is: these
/// take the codes as they are stored.
void nameSpelledWeights(mlir::Operation *root);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_SPELLEDWEIGHTS_H
