//===- ThinKernel.h - products of few terms ---------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_THINKERNEL_H
#define TENON_LIB_CODEGEN_CPU_THINKERNEL_H

#include "lib/Codegen/Cpu/Product.h"

namespace tenon {

/// Is it a product of stored rows of few terms by few panels? At any
/// level: all share the tasks.
bool isThinProduct(PackedMatMulOp op, const PackedOperand &operand);
/// Its kernel; a task is so many rows.
void emitThinKernel(KernelEmitter &e, PackedMatMulOp op,
                    const PackedOperand &operand, int64_t taskRows);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_THINKERNEL_H
