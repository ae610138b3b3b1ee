//===- MergeMatMul.td - the pass tenon-merge-matmul --------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_MERGEMATMUL_TD
#define TENON_CODEGEN_MERGEMATMUL_TD

include "mlir/Pass/PassBase.td"

def MergeMatMulPass : Pass<"tenon-merge-matmul"> {
  let summary = "One matmul where several multiply the same operand by weights";
  let description = [{
    Q, K and V of an attention layer multiply the same rows by three weights.
    Their panels are put after one another (each has a multiple of 32 columns)
    and multiplied at once, with their biases joined; the results are slices of
    the product. Only results that are moved or scaled take part: an activation
    or a residual is better computed where its own matmul ends. Two results that
    come together pointwise, the gate of a gated MLP and what it lets through,
    are merged whatever is computed on the way: the kernel takes a panel of each
    at a time and stores only what comes of both. Products of integers take part
    with what they end with: sums of columns, scales and biases of the weights are
    put side by side, what belongs to the rows is the same for all.

    ```mlir
    %q = tenon.packed_matmul %x, %0 columns "64" : tensor<4x64xf32>, tensor<2x64x32xf32>
    %k = tenon.packed_matmul %x, %1 columns "32" : tensor<4x64xf32>, tensor<1x64x32xf32>
    // becomes
    %2 = tenon.concat %0, %1 axis 0 : tensor<2x64x32xf32>, tensor<1x64x32xf32>
    %3 = tenon.packed_matmul %x, %2 columns "96" : tensor<4x64xf32>, tensor<3x64x32xf32>
    %q = tenon.slice %3 from <"0", "0"> step [1, 1] to <"4", "64"> : tensor<4x96xf32>
    %k = tenon.slice %3 from <"0", "64"> step [1, 1] to <"4", "32"> : tensor<4x96xf32>
    ```
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_MERGEMATMUL_TD
