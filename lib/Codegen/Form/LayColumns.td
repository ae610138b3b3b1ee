//===- LayColumns.td - the pass tenon-lay-columns ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_LAYCOLUMNS_TD
#define TENON_CODEGEN_LAYCOLUMNS_TD

include "mlir/Pass/PassBase.td"

def LayColumnsPass : Pass<"tenon-lay-columns", "::mlir::ModuleOp"> {
  let summary = "Store few columns of a weight one after the other";
  let description = [{
    A kernel of a CPU whose lanes lie along the rows that it multiplies meets a
    column's weights as neighbours. Those of a constant of up to 7 columns, which no
    other kernel reads, lie so in the file then, in place of a panel of 32 columns
    that each task would turn. Of a convolution each of the runs that are met together
    is filled up with zeros to whole vectors, 16 numbers.

    ```mlir
    %p = tenon.pack_b %w : tensor<512x2xf32>
    %0 = tenon.kernel matmul(%x, %p) : (tensor<4096x512xf32>, tensor<1x512x32xf32>) -> ...
    // becomes
    %p = tenon.constant ... : tensor<2x512x1xf32>
    %0 = tenon.kernel matmul(%x, %p) : (tensor<4096x512xf32>, tensor<2x512x1xf32>) -> ...
    ```

    Not where GPUs run the same artifact: their kernels read panels, and both have
    one file of weights.
  }];
  let statistics = [Statistic<"numLaid", "laid", "Weights stored by columns">];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_LAYCOLUMNS_TD
