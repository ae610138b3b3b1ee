//===- Winograd.td - the pass tenon-winograd ---------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_WINOGRAD_TD
#define TENON_CODEGEN_WINOGRAD_TD

include "mlir/Pass/PassBase.td"

def WinogradPass : Pass<"tenon-winograd"> {
  let summary = "Multiply patches of 3x3 pixels by Winograd's F(2x2, 3x3)";
  let description = [{
    A product in f32 of an image's 3x3 patches, one beside the other, by a constant
    becomes 16 products of a quarter as many rows, each a ninth as long: 2.25 times
    fewer multiplications for what the transforms add (tenon.packed_matmul,
    `winograd`). The weight's matrices are computed in f64 and rounded once; the
    file holds them in place of the weight, 16 numbers for 9.

    Where taps lie a dilation of d apart, so do a square's two by two positions:
    each block of 2d rows and columns has its own squares.

    Patches in steps of 2 share less: 25 numbers take the place of 36
    multiplications. The weight is one matrix then, 25 numbers for 9.

    That is not done where the channels fill no vectors, where squares of 2x2
    positions would leave much of a small image's result out, or where so few
    positions meet a weight that reading it takes most of the time. Where only a run
    knows whether that is so the product keeps both weights, `unless` says when, and
    tenon-choose-products makes two kernels of it; not of a large weight that an
    input of 32 pixels a side does not make slower.

    ```mlir
    %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1]
           channels_last : tensor<1x28x28x64xf32>
    %w = tenon.pack_b %weight transposed : tensor<64x576xf32>
    %0 = tenon.packed_matmul %p, %w columns "64" : ...
    // becomes
    %u = tenon.constant dense_resource<winograd> : tensor<16x64x64xf32>
    %w = tenon.pack_b %u transposed : tensor<16x64x64xf32>
    %0 = tenon.packed_matmul %p, %w columns "64" winograd : ...
    ```
  }];
  let options = [
    Option<"vectorBits", "vector-bits", "int64_t", "512",
           "The widest vectors of the levels. Products by narrow ones hide more of a "
           "large weight's way from memory.">
  ];
  let dependentDialects = ["::tenon::TenonDialect"];
  let statistics = [Statistic<"numProducts", "products", "Products by transformed filters">];
}

#endif // TENON_CODEGEN_WINOGRAD_TD
