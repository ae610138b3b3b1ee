//===- KernelKinds.h - emitters that targets share --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// They ask the emitter's Walk how a task goes over its elements, so that a
// family of targets needs its own emitters only for products and attention.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_KERNELKINDS_H
#define TENON_LIB_CODEGEN_EMIT_KERNELKINDS_H

#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// Pointwise on operands of the result's dims, but for single elements: all
/// dims of the map count as one.
bool isFlatMap(KernelEmitter &e, llvm::ArrayRef<SymExpr> dims);

/// The runtime's kernel that computes the one op of a "native" kernel.
KernelInfo describeNativeKernel(KernelOp kernel);

// One per kind of kernel that is emitted.
void emitMapKernel(KernelEmitter &e);
void emitRowKernel(KernelEmitter &e);
void emitTopKKernel(KernelEmitter &e);
// A task is so many columns of the dim that lanes lie along; a scatter by
// tuples has at most so many tasks, each of which reads all indices.
void emitScanKernel(KernelEmitter &e, int64_t columns);
void emitScatterKernel(KernelEmitter &e, int64_t columns, int64_t tasks);
void emitRecurrenceKernel(KernelEmitter &e, int64_t columns);
/// What a step of a recurrent layer multiplies: `rows` rows of the state, of so
/// many units, and panels [begin, end) of the weight's, [panel][unit][32] from
/// weightAt on; of a row the gates have panels * 32 elements.
struct StateProductOperands {
  mlir::Value rows, state;
  int64_t units;
  mlir::Value weight, weightAt;
  int64_t panels, begin, end;
  mlir::Value gates;
};
using StateProduct =
    std::function<void(KernelEmitter &, const StateProductOperands &)>;
/// The same of a layer of integers: `rows` rows of codes without a sign by the
/// weight's bytes, [unit][width] from weightAt on; of those without a sign 128
/// comes off first. Sums are i32, `width` for each row; `partial` has room for
/// partialOf(width) of each row that is multiplied at once.
struct CodeProductOperands {
  mlir::Value rows, codes;
  int64_t units;
  mlir::Value weight, weightAt;
  int64_t width;
  bool isUnsigned;
  mlir::Value partial, sums;
  static constexpr int64_t kMostRows = 4, kLeastWidth = 64;
  static int64_t partialOf(int64_t width) {
    return llvm::alignTo(width, kLeastWidth);
  }
};
using CodeProduct =
    std::function<void(KernelEmitter &, const CodeProductOperands &)>;
/// A task is so many sequences of one direction. Without a `product` each sum
/// is a loop.
void emitRecurrentKernel(KernelEmitter &e, int64_t sequences,
                         StateProduct product = {}, CodeProduct ofCodes = {});
/// The map kernel of a reduction.
void emitReduceKernel(KernelEmitter &e, ReduceOp op);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_KERNELKINDS_H
