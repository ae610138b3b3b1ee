//===- HoistReshapes.td - the pass tenon-hoist-reshapes ----*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_HOISTRESHAPES_TD
#define TENON_TRANSFORMS_HOISTRESHAPES_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def HoistReshapesPass : Tenon_GraphPass<"tenon-hoist-reshapes"> {
  let summary = "Move reshapes of rows above matmuls and elementwise ops";
  let description = [{
    Exporters spell a linear layer as Gemm between two reshapes, [b, s, k] to
    [b*s, k] and back. The second one hides the layer's bias, activation and
    residual from each other. A reshape that keeps the last dim moves above a
    matmul whose right operand has two dims and above elementwise ops, where it
    meets the first one.

    ```mlir
    %0 = tenon.reshape %x to <"b*s", "8"> : tensor<?x?x8xf32, #tenon.dims<"b", "s", "8">>
    %1 = tenon.matmul %0, %w : tensor<?x8xf32, #tenon.dims<"b*s", "8">>, tensor<8x16xf32>
    %2 = tenon.reshape %1 to <"b", "s", "16"> : tensor<?x16xf32, #tenon.dims<"b*s", "16">>
    // becomes
    %2 = tenon.matmul %x, %w : tensor<?x?x8xf32, #tenon.dims<"b", "s", "8">>, tensor<8x16xf32>
    ```

    Nor is an operand of an elementwise op spread (`tenon.broadcast_to`) where
    another one has all dims: a slope per channel stays one.
  }];
}

#endif // TENON_TRANSFORMS_HOISTRESHAPES_TD
