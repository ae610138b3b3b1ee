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

/// The runtime's kernel that computes the one op of a "native" kernel.
KernelInfo describeNativeKernel(KernelOp kernel);

// One per kind of kernel that is emitted.
void emitMapKernel(KernelEmitter &e);
void emitRowKernel(KernelEmitter &e);
void emitScanKernel(KernelEmitter &e);
void emitScatterKernel(KernelEmitter &e);
void emitTopKKernel(KernelEmitter &e);
void emitRecurrenceKernel(KernelEmitter &e);
/// The map kernel of a reduction.
void emitReduceKernel(KernelEmitter &e, ReduceOp op);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_KERNELKINDS_H
