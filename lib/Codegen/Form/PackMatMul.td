//===- PackMatMul.td - the pass tenon-pack-matmul ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_PACKMATMUL_TD
#define TENON_CODEGEN_PACKMATMUL_TD

include "mlir/Pass/PassBase.td"

def PackMatMulPass : Pass<"tenon-pack-matmul"> {
  let summary = "Give matmul's right operand the packed layout";
  let description = [{
    matmul(a, b) ==> packed_matmul(a, pack_b(b)) for float element types but
    f64. pack_b of a constant is a layout of the weights' file; of anything
    else it is a kernel of its own.
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_PACKMATMUL_TD
