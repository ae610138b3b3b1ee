//===- Passes.td - graph passes ----------------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_PASSES_TD
#define TENON_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

class Tenon_GraphPass<string name> : Pass<name, "::mlir::func::FuncOp"> {
  let dependentDialects = ["::tenon::TenonDialect"];
}

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
  let statistics = [
    Statistic<"numFolded", "folded", "Ops folded to expressions of dims">
  ];
}

def FoldConstantsPass : Tenon_GraphPass<"tenon-fold-constants"> {
  let summary = "Compute ops on small constants";
  let description = [{
    Ops whose operands are all constants of at most 4096 elements are computed
    here when their result is as small. Weights are never computed with: they
    stay on disk.

    ```mlir
    %0 = tenon.constant dense<64.0> : tensor<f32>
    %1 = tenon.sqrt %0 : tensor<f32>
    // becomes
    %1 = tenon.constant dense<8.0> : tensor<f32>
    ```
  }];
  let statistics = [Statistic<"numFolded", "folded", "Ops computed">];
}

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
  let statistics = [
    Statistic<"numFolded", "folded", "Ops replaced by ranges and views">
  ];
}

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
  let statistics = [Statistic<"numFused", "fused", "GELUs recovered">];
}

def FuseNormsPass : Tenon_GraphPass<"tenon-fuse-norms"> {
  let summary = "Recover layer norm and RMS norm from the exporters' spellings";
  let description = [{
    d / sqrt(mean(d^2) + epsilon) over the last dims, spelled with Div, with
    Reciprocal and Mul, or with Pow, is an RMS norm of d; where d = x - mean(x)
    it is a layer norm of x. A product with a vector of the normalised dims
    becomes its scale, a sum after that its bias. Casts stay where they are, so
    that rounding does not change.

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
  let statistics = [Statistic<"numFused", "fused", "Norms recovered">];
}

def FuseSiluPass : Tenon_GraphPass<"tenon-fuse-silu"> {
  let summary = "Recover SiLU from x * sigmoid(x) and x / (1 + exp(-x))";
  let statistics = [Statistic<"numFused", "fused", "SiLUs recovered">];
}

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
  }];
  let statistics = [Statistic<"numHoisted", "hoisted", "reshapes hoisted">];
}

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
  let statistics = [Statistic<"numFused", "fused", "Softmaxes recovered or guarded">];
}

#endif // TENON_TRANSFORMS_PASSES_TD
