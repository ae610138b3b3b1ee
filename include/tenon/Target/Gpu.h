//===- Gpu.h - NVIDIA's GPUs as targets -------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TARGET_GPU_H
#define TENON_TARGET_GPU_H

#include "tenon/Target/TargetInfo.h"

namespace llvm {
class Module;
} // namespace llvm

namespace tenon {

/// Is it the name of a GPU: "nvptx:sm_80"?
bool isGpuTarget(llvm::StringRef name);

/// Resolves such a name. The error for any other lists the valid ones.
llvm::Expected<TargetInfo> resolveGpuTarget(llvm::StringRef name);

/// Does it have products of warpgroups (wgmma)?
bool hasWarpgroups(const TargetInfo &target);

/// Sets the triple and data layout, right after translation from MLIR.
llvm::Error prepareGpuModule(llvm::Module &module, const TargetInfo &target);

/// Optimises the module in place, and gives its PTX. What is no kernel's entry
/// becomes a part of the entries that call it.
llvm::Expected<std::string> emitPtx(llvm::Module &module,
                                    const TargetInfo &target, int optLevel);

/// NVIDIA's assembler: the program `given`, or where that is empty the one on
/// the PATH; empty for `none`, and where there is none. An error where the one
/// that is given cannot be run.
llvm::Expected<std::string> findPtxas(llvm::StringRef given);

/// A cubin of PTX.
llvm::Expected<std::string> assemblePtx(llvm::StringRef ptxas,
                                        llvm::StringRef ptx,
                                        const TargetInfo &target);

} // namespace tenon

#endif // TENON_TARGET_GPU_H
