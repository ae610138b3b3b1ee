//===- PackFormats.h - weights in formats of their own ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_PACKFORMATS_H
#define TENON_LIB_CODEGEN_FORM_PACKFORMATS_H

#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonPacked.h"

namespace tenon {

/// The panels of a constant right operand of 16 bits, or of one that is
/// dequantised, in the format of its elements; null where it is none, or in no
/// format.
PackWeightOp packFormatted(mlir::OpBuilder &b, MatMulOp op);

/// What a product of integers of 8 bits less their zero points is, by a
/// constant: a product of the codes, and what the zero points take off it. Null
/// where the matmul is none.
mlir::Value lowerIntegerMatMul(mlir::OpBuilder &b, MatMulOp op);

/// What a product of integers of 8 bits that are scaled, by a constant that is
/// dequantised for each column, is: the product of the integers, scaled. Null
/// where the matmul is none.
mlir::Value lowerQuantizedMatMul(mlir::OpBuilder &b, MatMulOp op);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PACKFORMATS_H
