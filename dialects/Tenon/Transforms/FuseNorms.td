//===- FuseNorms.td - the pass tenon-fuse-norms ------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_FUSENORMS_TD
#define TENON_TRANSFORMS_FUSENORMS_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def FuseNormsPass : Tenon_GraphPass<"tenon-fuse-norms"> {
  let summary = "Recover layer norm and RMS norm from the exporters' spellings";
  let description = [{
    d / sqrt(mean(d^2) + epsilon) over the last dims, spelled with Div, with
    Reciprocal and Mul, or with Pow, is an RMS norm of d; where d = x - mean(x)
    it is a layer norm of x. A product with a vector of the normalised dims
    becomes its scale, a sum after that its bias. Casts stay where they are, so
    that rounding does not change. What is left of the form d = x - mean(x) and
    squared is centred a second time, d - mean(d): a float's mean may be further
    off than x spreads.

    ```mlir
    %0 = tenon.pow %x, %two : tensor<4x8xf32>, tensor<f32>
    %1 = tenon.reduce mean %0 over [1] keepdims : tensor<4x8xf32>
    %2 = tenon.add %1, %eps : tensor<4x1xf32>, tensor<f32>
    %3 = tenon.sqrt %2 : tensor<4x1xf32>
    %4 = tenon.reciprocal %3 : tensor<4x1xf32>
    %5 = tenon.mul %x, %4 : tensor<4x8xf32>, tensor<4x1xf32>
    %6 = tenon.mul %w, %5 : tensor<8xf32>, tensor<4x8xf32>
    // becomes
    %6 = tenon.rms_norm %x scale %w epsilon 1.0E-6 dims 1 : tensor<4x8xf32>, tensor<8xf32>
    ```
  }];
}

#endif // TENON_TRANSFORMS_FUSENORMS_TD
