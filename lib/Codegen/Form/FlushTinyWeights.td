//===- FlushTinyWeights.td - tenon-flush-tiny-weights ---------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_FLUSHTINYWEIGHTS_TD
#define TENON_CODEGEN_FLUSHTINYWEIGHTS_TD

include "mlir/Pass/PassBase.td"

def FlushTinyWeightsPass : Pass<"tenon-flush-tiny-weights"> {
  let summary = "Make zeros of the weights that are far below all others";
  let description = [{
    Channels that training made useless end as numbers near 2^-126 and below:
    CPUs take a hundred times as long for a multiply-add whose operand, or whose
    sum, is subnormal. In a constant of f32, what is below 2^-96, and 2^64 times
    smaller than the largest number, becomes zero, which changes a sum by less
    than its rounding unless the other weights meet zeros. This is done where
    the constant is multiplied (tenon.conv, tenon.matmul), and where it scales or
    shifts what such a product has computed; a constant that is read elsewhere,
    too, keeps its bits.

    ```mlir
    %w = tenon.constant dense<[[1.0, 1.0e-40], [2.0, 3.0]]> : tensor<2x2xf32>
    %0 = tenon.matmul %x, %w : tensor<5x2xf32>, tensor<2x2xf32>
    // becomes
    %w = tenon.constant dense_resource<flushed> : tensor<2x2xf32> // 1.0, 0.0, 2.0, 3.0
    %0 = tenon.matmul %x, %w : tensor<5x2xf32>, tensor<2x2xf32>
    ```
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
  let statistics = [Statistic<"numFlushed", "flushed", "Constants with numbers made zeros">];
}

#endif // TENON_CODEGEN_FLUSHTINYWEIGHTS_TD
