//===- PackFormats.h - weights in formats of their own ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_PACKFORMATS_H
#define TENON_LIB_CODEGEN_FORM_PACKFORMATS_H

#include "lib/Codegen/Form/ConstantView.h"

namespace tenon {

class MatMulOp;
class PackWeightOp;

/// One number per block of rows and column of a constant.
struct Parameter {
  ConstantView view;
  MatrixAttr at;
  std::optional<MatrixReader> reader;
  int64_t blocks, columns;

  /// nullopt where `value` is no view of a constant.
  static std::optional<Parameter> of(mlir::Value value, int64_t dimK,
                                     int64_t dimN);
  bool all(llvm::function_ref<bool(float)> holds) const;
};

/// What products by constants are computed in (docs/Precision.md).
enum class Precision { f32, bf16, f16, int8Act };
/// nullopt for another word than f32, bf16, f16 or int8-act.
std::optional<Precision> parsePrecision(llvm::StringRef name);

/// The panels of a constant right operand of 16 bits, of one that is
/// dequantised, or of floats that are rounded for `precision`; null where it is
/// none, or in no format.
PackWeightOp packFormatted(mlir::OpBuilder &b, MatMulOp op,
                           Precision precision);

/// The panels [..., ceil(N/32), panel] of matrices [..., K, N] (`transposed`:
/// [..., N, K]) that are no constant, `group` rows of a column side by side.
/// Zeros lie behind the last row, where they meet anything.
mlir::Value panelsOf(mlir::OpBuilder &b, mlir::Value matrices, bool transposed,
                     int64_t group);

/// The format i8 for matrices side by side, of K rows and N columns each, whose
/// codes less `down` are stored; `sums` become what columns add up to.
FormatAttr chooseIntegerFormat(mlir::MLIRContext *context,
                               llvm::ArrayRef<MatrixReader> matrices, int64_t K,
                               int64_t N, int64_t down,
                               llvm::SmallVectorImpl<int32_t> &sums);

/// What a product of integers of 8 bits less their zero points is, by a
/// constant: a product of the codes, and what the zero points take off it. Null
/// where the matmul is none.
mlir::Value lowerIntegerMatMul(mlir::OpBuilder &b, MatMulOp op);

/// What a product of floats that codes of 8 bits stand for, by a constant of
/// codes with a scale for each column, is: the product of the integers, scaled.
/// Null where the matmul is none, or where a sum may leave i32. With
/// `attentionOfCodes` also of an attention's products, whose codes are
/// computed: of `matrices`, which `views` repeat (Repeats.h).
mlir::Value lowerQuantizedMatMul(mlir::OpBuilder &b, MatMulOp op,
                                 mlir::Value matrices,
                                 llvm::ArrayRef<mlir::Operation *> views,
                                 bool attentionOfCodes);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PACKFORMATS_H
