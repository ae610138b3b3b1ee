//===- KernelParts.h - a level's kernels in several modules -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels are compiled on all cores: each part is a module of its own from the
// buffer stage to its object. What is in a part depends on the kernels alone,
// so that an artifact's bytes do not depend on the number of threads.
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_PIPELINES_KERNELPARTS_H
#define TENON_LIB_PIPELINES_KERNELPARTS_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "tenon/Codegen/Kernels.h"
#include "tenon/Target/TargetInfo.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace tenon {

/// Leaves one of the kernels whose functions are the same in all of the levels'
/// modules: dims are arguments, so layers of other sizes may have such.
void mergeKernels(llvm::ArrayRef<mlir::ModuleOp> levels, Schedule &schedule);

/// Moves the functions into modules of about the same size, in order. Where one
/// calls a function of another part it is declared there.
mlir::OwningOpRef<mlir::ModuleOp> splitKernels(mlir::ModuleOp kernels);

/// One module with all functions, to be printed.
mlir::OwningOpRef<mlir::ModuleOp> joinKernels(mlir::ModuleOp parts);

/// How long a part takes to compile, beside others.
size_t sizeOfPart(mlir::ModuleOp part);

/// How many arguments a kernel's entry hands on.
struct EntryShape {
  size_t numBuffers, numDims;
};
/// Of every function that one of the parts defines; none for micro-kernels.
using PartFunctions = llvm::StringMap<std::optional<EntryShape>>;
PartFunctions functionsOfParts(mlir::ModuleOp parts, const Schedule &schedule);

/// LLVM IR of a part for `target`, its functions' names ending in `suffix`.
/// May run for several parts at once, each in a context of its own.
llvm::Expected<std::unique_ptr<llvm::Module>>
translatePart(mlir::ModuleOp part, const PartFunctions &functions,
              const TargetInfo &target, llvm::StringRef suffix,
              llvm::LLVMContext &context);

} // namespace tenon

#endif // TENON_LIB_PIPELINES_KERNELPARTS_H
