//===- FoldShapes.td - the pass tenon-fold-shapes ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_FOLDSHAPES_TD
#define TENON_TRANSFORMS_FOLDSHAPES_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def FoldShapesPass : Tenon_GraphPass<"tenon-fold-shapes"> {
  let summary = "Fold integer arithmetic on dims; infer all types again";
  let description = [{
    Visits the ops in order. Each gets the type that its operands imply now;
    small integer tensors whose elements are expressions of dims become
    `tenon.dims_value` or `tenon.constant`. Checks that say nothing new go; one
    that can never hold is an error.

    ```mlir
    %0 = tenon.dims_value <"batch", "seq"> : i64
    %1 = tenon.constant dense<2> : tensor<i64>
    %2 = tenon.mul %0, %1 : tensor<2xi64>, tensor<i64>
    // becomes
    %2 = tenon.dims_value <"2*batch", "2*seq"> : i64
    ```
  }];
}

#endif // TENON_TRANSFORMS_FOLDSHAPES_TD
