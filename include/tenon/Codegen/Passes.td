//===- Passes.td - code generation passes ------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_CODEGEN_PASSES_TD
#define TENON_CODEGEN_PASSES_TD

include "mlir/Pass/PassBase.td"

def ExpandMathPass : Pass<"tenon-expand-math"> {
  let summary = "Rewrite transcendental math ops as polynomials";
  let description = [{
    Replaces exp, log, erf, tanh, sin and their kin on f16, bf16, f32 and f64
    scalars and vectors by arith, math.fma and other operations that are single
    instructions, so that an artifact calls no libm. The operations do not
    depend on the vector length: a value has the same bits in any lane and in a
    scalar tail. Error bounds: docs/Math.md.
  }];
  let dependentDialects = ["mlir::arith::ArithDialect",
                           "mlir::math::MathDialect",
                           "mlir::vector::VectorDialect"];
}

def FlattenNormsPass : Pass<"tenon-flatten-norms"> {
  let summary = "Make every norm one over the last dim";
  let description = [{
    A norm over several dims becomes one over their product, between two
    reshapes: a kernel's row is then always one dim.
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
}

def LowerConvPass : Pass<"tenon-lower-conv"> {
  let summary = "Turn convolutions into matmuls of patches";
  let description = [{
    conv(x, w) ==> transpose(matmul(im2col(x), reshape(w) transposed)). The
    matmul kernel pulls the patches block by block; they are stored only where
    x is computed as well. Groups become a batch dim.

    The matmul's result has the channels last, and keeps them there as long as
    nothing else is asked for: elementwise ops move before the transpose, to end
    the matmul's kernel, and a convolution of what is such a transpose, the
    model's own included, takes `channels_last` patches, which are copies of
    rows, and its weight in their order (a constant is stored so). An input
    whose channels fill vectors is transposed first to the same end. Only values
    that are asked for by name stay where the model has them.
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
}

def PackMatMulPass : Pass<"tenon-pack-matmul"> {
  let summary = "Give matmul's right operand the packed layout";
  let description = [{
    matmul(a, b) ==> packed_matmul(a, pack_b(b)) for float element types but
    f64. pack_b of a constant is a layout of the weights' file; of anything
    else it is a kernel of its own.
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
}

def MergeMatMulPass : Pass<"tenon-merge-matmul"> {
  let summary = "One matmul where several multiply the same operand by weights";
  let description = [{
    Q, K and V of an attention layer multiply the same rows by three weights.
    Their panels are put after one another (each has a multiple of 32 columns)
    and multiplied at once, with their biases joined; the results are slices of
    the product. Only results that are moved or scaled take part: an activation
    or a residual is better computed where its own matmul ends. Two results that
    come together pointwise, the gate of a gated MLP and what it lets through,
    are merged whatever is computed on the way: the kernel takes a panel of each
    at a time and stores only what comes of both.

    ```mlir
    %q = tenon.packed_matmul %x, %0 columns "64" : tensor<4x64xf32>, tensor<2x64x32xf32>
    %k = tenon.packed_matmul %x, %1 columns "32" : tensor<4x64xf32>, tensor<1x64x32xf32>
    // becomes
    %2 = tenon.concat %0, %1 axis 0 : tensor<2x64x32xf32>, tensor<1x64x32xf32>
    %3 = tenon.packed_matmul %x, %2 columns "96" : tensor<4x64xf32>, tensor<3x64x32xf32>
    %q = tenon.slice %3 from <"0", "0"> step [1, 1] to <"4", "64"> : tensor<4x96xf32>
    %k = tenon.slice %3 from <"0", "64"> step [1, 1] to <"4", "32"> : tensor<4x96xf32>
    ```
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
}

def FormKernelsPass : Pass<"tenon-form-kernels"> {
  let summary = "Group the graph's ops into kernels";
  let description = [{
    1. Every matmul, softmax and norm is the anchor of a kernel; the pointwise
       ops after it, as long as each is the only user and keeps the dims, are
       its epilogue. A matmul whose rows go through a softmax into another
       matmul forms one "attention" with it: scores never reach memory.
    2. Any other op is computed where it is used, unless that would repeat real
       work: several users, or a user that reads an element many times.
    3. What must reach memory is the root of a "map" kernel. A reshape of
       something in memory is an alias and costs nothing.

    ```mlir
    %0 = tenon.packed_matmul %x, %w columns "384" : ...
    %1 = tenon.add %0, %bias : ...
    ==>
    %1 = tenon.kernel "matmul"(%x, %w, %bias) : ... { ... }
    ```
    With `materialize-all` every op is a kernel of its own, for debugging.
  }];
  let options = [Option<"materializeAll", "materialize-all", "bool", "false",
                        "Store the result of every op">];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_PASSES_TD
