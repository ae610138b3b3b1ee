//===- IntegerBiases.h - biases added to sums of integers -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_INTEGERBIASES_H
#define TENON_LIB_CODEGEN_FORM_INTEGERBIASES_H

#include "mlir/IR/Operation.h"

namespace tenon {

/// A bias whose numbers are integers times the scales of a product of integers,
/// as quantisers make them, is part of what zero points take off the sums.
void addIntegerBiases(mlir::Operation *root);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_INTEGERBIASES_H
