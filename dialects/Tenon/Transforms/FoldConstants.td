//===- FoldConstants.td - the pass tenon-fold-constants ----*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_FOLDCONSTANTS_TD
#define TENON_TRANSFORMS_FOLDCONSTANTS_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def FoldConstantsPass : Tenon_GraphPass<"tenon-fold-constants"> {
  let summary = "Compute ops on small constants";
  let description = [{
    Ops whose operands are all constants of at most 4096 elements are computed
    here when their result is as small, or has at most 131,072 elements and all
    that it is computed of is f32 (a filter or a table that a model spells out).
    Weights are never computed with: they stay on disk. What a slice takes of
    one, where it lies together (a direction's part of an LSTM's weights), is a
    constant as well, of the same bytes, and so is a weight that a concat joins of
    several, up to 64 MB (an LSTM's gates in another order). A constant of f32
    that a model casts to f16 or bf16 is stored as such, up to 64 MB. A filter
    that the model stores as f16 or bf16 and casts is one of f32: every position
    of an image meets it, and its layout is made when compiling.
    A weight that a model normalises by sums over its elements (weight
    standardization, weight norm) is a constant, up to 64 MB.
    So is one that is dequantised, up to 4 million elements, where the model makes
    no codes of its images, by which it would be multiplied as it is, or in
    groups. Small weights of codes stay codes in a model that makes such, and of
    a convolution of channels alone both scales are multiplied by what comes of
    the codes, which f32 holds exactly.

    ```mlir
    %0 = tenon.constant dense<64.0> : tensor<f32>
    %1 = tenon.sqrt %0 : tensor<f32>
    // becomes
    %1 = tenon.constant dense<8.0> : tensor<f32>
    ```
  }];
}

#endif // TENON_TRANSFORMS_FOLDCONSTANTS_TD
