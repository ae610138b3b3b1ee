//===- GpuProgram.h - kernels and tables of a GPU ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_GPUPROGRAM_H
#define TENON_CODEGEN_GPUPROGRAM_H

#include "tenon/Codegen/Kernels.h"

namespace llvm {
class Module;
} // namespace llvm

namespace tenon {

/// Replaces a kernel's function, as MLIR translated it, by what is launched:
///   entry(buffers..., error, scratch: ptr, dims..., tasks: i32, maps...)
/// runs the task of its block or thread. The body becomes a part of it. Maps
/// are there, of 128 bytes each, where this level's body takes them.
void addGpuEntry(llvm::Module &module, const KernelInfo &info,
                 size_t numBuffers);

} // namespace tenon

#endif // TENON_CODEGEN_GPUPROGRAM_H
