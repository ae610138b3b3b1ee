//===- FuseSilu.td - the pass tenon-fuse-silu --------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_FUSESILU_TD
#define TENON_TRANSFORMS_FUSESILU_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def FuseSiluPass : Tenon_GraphPass<"tenon-fuse-silu"> {
  let summary = "Recover SiLU from x * sigmoid(x) and x / (1 + exp(-x))";
  let description = [{
    ```mlir
    %0 = tenon.sigmoid %x : tensor<8xf32>
    %1 = tenon.mul %x, %0 : tensor<8xf32>, tensor<8xf32>
    // becomes
    %1 = tenon.silu %x : tensor<8xf32>
    ```
  }];
}

#endif // TENON_TRANSFORMS_FUSESILU_TD
