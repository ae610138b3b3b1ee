//===- SplitPhases.td - the pass tenon-split-phases --------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_SPLITPHASES_TD
#define TENON_CODEGEN_SPLITPHASES_TD

include "mlir/Pass/PassBase.td"

def SplitPhasesPass : Pass<"tenon-split-phases"> {
  let summary = "Read neighbours in place of indices where a last dim grows by 2 or 4";
  let description = [{
    A gather along the last dim, by constant indices that take for each element k
    in turn the ones at certain distances from it (Resize by 2 or 4, by any
    filter), gets its elements by views: of each distance all elements, shifted,
    beside each other. An emitter computes them as vectors, which it interleaves.

    ```mlir
    %i = tenon.constant dense<[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]> : tensor<16xi64>
    %0 = tenon.gather %x, %i axis 1 : tensor<3x8xf32>, tensor<16xi64>
    // becomes
    %1 = tenon.reshape %x to <"3", "8", "1"> : tensor<3x8xf32>
    %2 = tenon.broadcast_to %1 to <"3", "8", "2"> : tensor<3x8x1xf32>
    %0 = tenon.reshape %2 to <"3", "16"> : tensor<3x8x2xf32>
    ```

    Behind the first and the last element these are repeated. A row of 16 floats
    and more keeps its gather: an emitter permutes vectors of it, and computes what
    the row is made of, if it is computed, beside them.
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
  let statistics = [Statistic<"numSplit", "split", "Gathers replaced by views">];
}

#endif // TENON_CODEGEN_SPLITPHASES_TD
