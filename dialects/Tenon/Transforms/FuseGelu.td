//===- FuseGelu.td - the pass tenon-fuse-gelu --------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_FUSEGELU_TD
#define TENON_TRANSFORMS_FUSEGELU_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def FuseGeluPass : Tenon_GraphPass<"tenon-fuse-gelu"> {
  let summary = "Recover GELU and its tanh form from the exporters' spellings";
  let description = [{
    A product that consists of x, constants and 1 + erf(a) (or 0.5 + 0.5 erf(a),
    or tanh instead of erf) is a GELU when the constants multiply to 1/2 and
    `a`, read as a polynomial in x, is x/sqrt(2), or
    sqrt(2/pi) (x + 0.044715 x^3) for tanh. Operand order, association, Pow or
    repeated Mul, Div or Mul by the inverse make no difference.

    ```mlir
    %0 = tenon.div %x, %sqrt2 : tensor<8xf32>, tensor<f32>
    %1 = tenon.erf %0 : tensor<8xf32>
    %2 = tenon.add %1, %one : tensor<8xf32>, tensor<f32>
    %3 = tenon.mul %half, %2 : tensor<f32>, tensor<8xf32>
    %4 = tenon.mul %x, %3 : tensor<8xf32>, tensor<8xf32>
    // becomes
    %4 = tenon.gelu %x : tensor<8xf32>
    ```
  }];
}

#endif // TENON_TRANSFORMS_FUSEGELU_TD
