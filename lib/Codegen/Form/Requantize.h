//===- Requantize.h - codes that become codes again -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_REQUANTIZE_H
#define TENON_LIB_CODEGEN_FORM_REQUANTIZE_H

#include "mlir/IR/Operation.h"

namespace tenon {

/// Codes of 8 bits that are dequantised, moved or pooled, and quantised by the
/// same scale and zero point are moved as they are: exporters put such a pair
/// on both sides of each reshape, transpose and pool. Codes with a sign that
/// the model makes become codes without one.
void dropRequantized(mlir::Operation *root);

/// The most that a row's differences |code - zero| may add up to, however long
/// it is, where the codes are a softmax's numbers, some of them maybe set to 0,
/// or were made of codes of these; infinity where nothing says so. `zero` may
/// be null: 0.
double boundRow(mlir::Value codes, mlir::Value zero);

/// The quotient of each quantisation by a number as a tenon.quotient.
void divideByInverses(mlir::Operation *root);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_REQUANTIZE_H
