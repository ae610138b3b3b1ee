//===- ChannelsLast.h - values as rows of channels --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_CHANNELSLAST_H
#define TENON_LIB_CODEGEN_FORM_CHANNELSLAST_H

#include "dialects/Tenon/IR/TenonShape.h"

namespace tenon {

/// Knows of values [N, C, spatial...] their *rows*, [N, positions, C]: the same
/// elements with the channels last, as a matmul computes them. Elementwise ops
/// are moved from the values to the rows, so that they end the matmul's kernel.
class ChannelsLast {
public:
  /// `dims` [N, C, spatial...] as a view of `rows`, which it knows from now on.
  mlir::Value viewOf(mlir::OpBuilder &b, mlir::Location loc, mlir::Value rows,
                     llvm::ArrayRef<SymExpr> dims);
  /// If `op` is elementwise and its operands of the result's dims have rows:
  /// computes its rows instead and replaces it by a view of them. Returns why
  /// not, where an operand has rows and `op` stays.
  llvm::StringRef sink(mlir::Operation *op);
  /// The rows of `v`, if it has some without moving memory: it is a view of
  /// them, a transpose that brought channels to the front, or elementwise of
  /// such values. Else null.
  mlir::Value rowsOf(mlir::Value v);
  /// Puts a value in the place of `op`'s, and removes `op` with the views that
  /// it alone read.
  void replace(mlir::Operation *op, mlir::Value by);

private:
  mlir::Value move(mlir::Operation *op,
                   llvm::function_ref<mlir::Value(mlir::Value)> rowsOfOperand);

  llvm::DenseMap<mlir::Value, mlir::Value> known; ///< null: it has none
};

/// [N, C, spatial...] as [N, spatial..., C].
mlir::Value transposeChannelsLast(mlir::OpBuilder &b, mlir::Location loc,
                                  mlir::Value v);

/// A convolution's weight [C out, C, kernel...] as [C out, kernel... * C]. Of a
/// constant this is another constant.
mlir::Value flattenChannelsLast(mlir::OpBuilder &b, mlir::Location loc,
                                mlir::Value weight);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_CHANNELSLAST_H
