//===- EmitKernels.td - the pass tenon-emit-kernels --------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_EMITKERNELS_TD
#define TENON_CODEGEN_EMITKERNELS_TD

include "mlir/Pass/PassBase.td"

def EmitKernelsPass : Pass<"tenon-emit-kernels", "::mlir::ModuleOp"> {
  let summary = "Emit each kernel as a function of its own, for one level";
  let description = [{
    The module's kernels, which carry tilings (tenon-tile), become functions on
    memory: scf loops, vectors, memrefs. Whatever held them goes away. This is
    what the stage `tile` of `tenon compile` does besides listing the steps, for
    tests of emitters. The level is said in its figures, which are those of
    x86-64-v3; of x86-64-v4: `vector-bits=512 vector-registers=32`.

    ```mlir
    func.func @f(%x: tensor<8xf32>) -> tensor<8xf32> {
      %0 = tenon.kernel map(%x) : ... tiling #tenon.cpu_elements<chunk = 1024>
    // becomes
    func.func @map_0(%begin: index, %end: index, %scratch: memref<?xi8>,
                     %error: memref<?xi64>, %x: memref<?xf32>, %0: memref<?xf32>) -> i32
    ```
  }];
  let options = [
    Option<"family", "family", "std::string", "\"cpu\"", "Of targets">,
    Option<"vectorBits", "vector-bits", "unsigned", "256", "Of a vector register">,
    Option<"vectorRegisters", "vector-registers", "unsigned", "16", "How many there are">,
    Option<"fma", "fma", "bool", "true", "Are multiply-adds one operation?">,
    Option<"vnni", "vnni", "bool", "false", "Are there dot products of bytes?">
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::math::MathDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

#endif // TENON_CODEGEN_EMITKERNELS_TD
