//===- GpuImage.h - what a GPU's code needs ---------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_GPUIMAGE_H
#define TENON_TOOLS_GPUIMAGE_H

#include "tenon/abi.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace tenon {

struct GpuKernelCode {
  int64_t registers = 0;   ///< of a thread; 0: not known
  int64_t sharedBytes = 0; ///< of a block, static
};
struct GpuCode {
  llvm::StringRef image; ///< its name
  llvm::StringMap<GpuKernelCode> kernels;
};

/// The image that a GPU of this capability (ten times major.minor) would run,
/// the first that it can: what its kernels need, by the assembled code or, of
/// PTX, shared memory alone.
llvm::Expected<GpuCode> readGpuCode(const tenon_gpu &gpu, int32_t capability);

/// What the kernels' tensor cores multiply, `tf32x3`, `bf16`, ...: each once.
std::vector<llvm::StringRef> findProducts(const tenon_gpu &gpu);

} // namespace tenon

#endif // TENON_TOOLS_GPUIMAGE_H
