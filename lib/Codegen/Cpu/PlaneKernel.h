//===- PlaneKernel.h - few columns of images with channels first *- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_PLANEKERNEL_H
#define TENON_LIB_CODEGEN_CPU_PLANEKERNEL_H

#include "lib/Codegen/Cpu/Product.h"

namespace tenon {

/// Is it a product of the pixels of a stored image, whose channels come first,
/// by few columns? At any level: all share the tasks.
bool isPlaneProduct(PackedMatMulOp op, const PackedOperand &operand);
/// Its kernel; a task is so many pixels of an image.
void emitPlaneKernel(KernelEmitter &e, PackedMatMulOp op,
                     const PackedOperand &operand, int64_t taskRows);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_PLANEKERNEL_H
