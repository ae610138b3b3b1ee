//===- WinogradTransforms.h - what Winograd's products begin and end with -===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_WINOGRADTRANSFORMS_H
#define TENON_LIB_CODEGEN_CPU_WINOGRADTRANSFORMS_H

#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// func(X, at, apart, C, V, vAt, count, matrix): of 4x4 pixels d of C channels,
/// at least a vector, whose rows lie `apart` from X[at] on, B^T d B. Number k
/// of its 16 pixels goes to V[vAt + k * matrix]. So for `count` neighbours,
/// two pixels further and a row of V each.
mlir::func::FuncOp getWinogradInput(mlir::ModuleOp module,
                                    const TargetInfo &target);
/// The same of pixels with others between them: func(X, at, apart, C, V, vAt,
/// count, matrix, across), whose columns lie `across` from one another, and
/// neighbours one pixel.
mlir::func::FuncOp getWinogradDilatedInput(mlir::ModuleOp module,
                                           const TargetInfo &target);
/// func(M, at, matrix, Y, yAt, columns): of the 16 products m in so many
/// columns, of a panel at most, the k-th at M[at + k * matrix], A^T m A: four
/// panels' rows of Y, from yAt on.
mlir::func::FuncOp getWinogradOutput(mlir::ModuleOp module,
                                     const TargetInfo &target);

/// What getWinogradInput does of 5x5 pixels, four from one to the next, and no
/// `matrix`: all that is multiplied lies in V[vAt] and behind it, the parts of
/// the columns in each part of the rows, C numbers for each.
mlir::func::FuncOp getWinogradStepsInput(mlir::ModuleOp module,
                                         const TargetInfo &target);
/// What getWinogradOutput does of nine products, of 3x3 parts.
mlir::func::FuncOp getWinogradStepsOutput(mlir::ModuleOp module,
                                          const TargetInfo &target);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_WINOGRADTRANSFORMS_H
