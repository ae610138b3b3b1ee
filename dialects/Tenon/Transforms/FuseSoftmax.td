//===- FuseSoftmax.td - the pass tenon-fuse-softmax --------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_FUSESOFTMAX_TD
#define TENON_TRANSFORMS_FUSESOFTMAX_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def FuseSoftmaxPass : Tenon_GraphPass<"tenon-fuse-softmax"> {
  let summary = "Recover softmax, and the guard against rows that are NaN";
  let description = [{
    exp(x - max(x)) / sum(exp(x - max(x))) over the last dim becomes
    `tenon.softmax`. The exporters' Softmax -> IsNaN -> Where(..., 0, softmax)
    becomes `tenon.softmax guard`, which means exactly that. Where rows of a
    softmax are set to 0 before it is multiplied (Attention's fully masked
    rows), the rows of the product are instead.

    ```mlir
    %0 = tenon.softmax %x : tensor<4x8xf32>
    %1 = tenon.is_nan %0 : tensor<4x8xf32>
    %2 = tenon.select %1, %zero, %0 : tensor<4x8xi1>, tensor<f32>, tensor<4x8xf32>
    // becomes
    %2 = tenon.softmax %x guard : tensor<4x8xf32>
    ```
  }];
}

#endif // TENON_TRANSFORMS_FUSESOFTMAX_TD
