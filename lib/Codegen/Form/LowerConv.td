//===- LowerConv.td - the pass tenon-lower-conv ------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_LOWERCONV_TD
#define TENON_CODEGEN_LOWERCONV_TD

include "mlir/Pass/PassBase.td"

def LowerConvPass : Pass<"tenon-lower-conv"> {
  let summary = "Turn convolutions into matmuls of patches";
  let description = [{
    conv(x, w) ==> transpose(matmul(im2col(x), reshape(w) transposed)). The
    matmul kernel takes the patches out of x block by block.

    The matmul's result has the channels last, and keeps them there as long as
    nothing else is asked for: elementwise ops move before the transpose, to end
    the matmul's kernel; pads, slices, concats, gathers of positions, reductions
    over all of them or of parts of the channels, and channels that become
    positions follow. A convolution of what is such a transpose, the model's own included, takes `channels_last`
    patches, which are copies of rows, and its weight in their order (a constant
    is stored so). An input whose channels fill vectors, or of whose patches many
    hold the same elements, is transposed first to the same end. Only values that are asked for by name stay where the model
    has them.

    A product by a constant of flattened channels and pixels takes its rows as they
    lie, and the constant in their order.

    Windows of 3x3 at several depths are one window of images that have the
    channels of all those depths, so that tenon-winograd takes them. Taps at the
    ends of a kernel that meet padding at all positions are left out. Where taps
    meet it at most positions, each is a product of the others.

    Groups of 8 output channels and more are a batch dim of the matmul. Smaller
    ones, a channel each in the first place, become tenon.depthwise, and so do
    those of 2, 4, 8 or 16 channels of as many inputs, whose lanes are permuted.
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_LOWERCONV_TD
