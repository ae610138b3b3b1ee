//===- WidenConvs.td - the pass tenon-widen-convs ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_WIDENCONVS_TD
#define TENON_CODEGEN_WIDENCONVS_TD

include "mlir/Pass/PassBase.td"

def WidenConvsPass : Pass<"tenon-widen-convs"> {
  let summary = "Store as f32 what convolutions of f16 and bf16 read patches of";
  let description = [{
    A CPU multiplies and adds halves as f32. A convolution of several taps reads
    each pixel many times, in place or by Winograd's form, which do not widen: of
    an image of halves it would copy its patches first.

    So what such a convolution reads is stored as f32, which holds every half; what
    slices, concats, pads, maxima and the like make of halves for it is computed
    in f32 as well. All convolutions by constants that read such an image become
    ones of f32, their results rounded to halves; all else that reads it narrows
    it again. Results have the bits that they had, but for the order of a
    convolution's sums.

    ```mlir
    %0 = tenon.silu %x : tensor<1x64x9x9xf16>
    %1 = tenon.conv %0, %w ... : tensor<1x64x9x9xf16>, tensor<64x64x3x3xf16>
    // becomes
    %0 = tenon.silu %x : tensor<1x64x9x9xf16>
    %2 = tenon.cast %0 to f32 : tensor<1x64x9x9xf16> // stored
    %3 = tenon.conv %2, %w32 ... : tensor<1x64x9x9xf32>, tensor<64x64x3x3xf32>
    %1 = tenon.cast %3 to f16 : tensor<1x64x9x9xf32>
    ```

    Images that such convolutions read take twice the memory, and so do their
    weights; rows of products, and images whose channels are convolved alone, stay
    halves.
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
  let statistics = [Statistic<"numWidened", "widened", "Convolutions of halves in f32">];
}

#endif // TENON_CODEGEN_WIDENCONVS_TD
