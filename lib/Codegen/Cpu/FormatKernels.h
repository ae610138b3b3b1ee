//===- FormatKernels.h - products by weights in a format --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What MicroKernel.cpp is for f32 panels. Each is one function per format (and
// row count) for all layers.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_FORMATKERNELS_H
#define TENON_LIB_CODEGEN_CPU_FORMATKERNELS_H

#include "dialects/Tenon/IR/TenonPacked.h"
#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// func(B, bAt, first, last, to, toAt): rows [first, last) of the panel at bAt
/// as f32, [row][32]. `first` begins a block; of one block alone, a group.
mlir::func::FuncOp getDequantizer(mlir::ModuleOp module,
                                  const TargetInfo &target, FormatAttr format);

/// Calls func(A, aAt, lda, B, bAt, K, C, cAt): C [rows][32] is A's rows times
/// the panel at bAt, which is dequantised in registers. `rows` is in
/// [1, kTileRows].
void emitFormatKernel(KernelEmitter &e, mlir::Value rows, FormatAttr format,
                      llvm::ArrayRef<mlir::Value> operands);

/// How rows of the left operand of a product of integers lie in memory: ui8
/// where the level multiplies bytes, else i16.
mlir::Type integerRowType(mlir::MLIRContext *context, const TargetInfo &target);

/// Calls func(A, aAt, lda, B, bAt, panelStride, K, C, cAt): C, i32
/// [panels][rows][32], is A's rows times the panels, or with `accumulate` that
/// and what it was. K is a multiple of 4; `rows` is in [1, kTileRows].
void emitIntegerKernel(KernelEmitter &e, mlir::Value rows, int64_t panels,
                       bool accumulate, llvm::ArrayRef<mlir::Value> operands);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_FORMATKERNELS_H
