//===- GpuToLLVM.td - the pass tenon-gpu-to-llvm -----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_GPUTOLLVM_TD
#define TENON_CODEGEN_GPUTOLLVM_TD

include "mlir/Pass/PassBase.td"

def GpuToLLVMPass : Pass<"tenon-gpu-to-llvm", "::mlir::ModuleOp"> {
  let summary = "Lower a GPU's kernels to the LLVM dialect, with indices of 32 bits";
  let description = [{
    What upstream's conversions do one after the other is done at once: they do
    not agree on the width of an index (convert-vector-to-llvm has no option for
    it), and a GPU computes 64-bit integers in two steps. No buffer of a GPU
    program has 2^31 elements; the compiler and the entry checks see to it.

    ```mlir
    func.func @map_0(%begin: index, %end: index, %scratch: memref<?xi8>, ...) -> i32
    // becomes
    llvm.func @map_0(%arg0: i32, %arg1: i32, %arg2: !llvm.ptr, %arg3: !llvm.ptr, %arg4: i32, ...) -> i32
    ```
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

#endif // TENON_CODEGEN_GPUTOLLVM_TD
