//===- FoldIndices.td - the pass tenon-fold-indices --------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_FOLDINDICES_TD
#define TENON_TRANSFORMS_FOLDINDICES_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def FoldIndicesPass : Tenon_GraphPass<"tenon-fold-indices"> {
  let summary = "Recover ranges, masks and whole tensors from index arithmetic";
  let description = [{
    Exporters spell positions and attention masks with ranges that they expand,
    slice, concatenate, subtract, compare and gather with. An integer tensor
    that is affine in its position becomes a `tenon.iota` per dim that it
    depends on; a comparison that is certain, and a running sum of a constant,
    go; a `gather_nd` whose tuples walk over its whole input is a view; a
    constant triangle (a causal mask stored in the file) is a comparison of
    ranges again. What is not affine stays as it is. Dims that make the tensor
    empty need not be considered.

    ```mlir
    %0 = tenon.iota "0" step "1" size "seq" : i64
    %1 = tenon.reshape %0 to <"1", "seq"> : tensor<?xi64, #tenon.dims<"seq">>
    %2 = tenon.gather_nd %1, %tuples batch_dims 0 : ... // tuples (0, j)
    // becomes
    %2 = tenon.iota "0" step "1" size "seq" : i64
    ```
  }];
}

#endif // TENON_TRANSFORMS_FOLDINDICES_TD
