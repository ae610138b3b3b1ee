//===- TenonPacked.td - products of packed operands --------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_PACKED_TD
#define TENON_PACKED_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_Im2ColOp : Tenon_PureOp<"im2col", [Tenon_FusesAs<"Moving", "true">]> {
  let summary = "Patches of a convolution as rows: [N, out positions, C*kernel]";
  let description = [{
    result[n, o, c*prod(kernel) + k] = input[n, c, position(o)*stride - pad + k*dilation],
    0 outside. With `channels_last` the channels come last, in the input as in
    the patch: result[n, o, k*C + c] = input[n, position(o)*stride - pad + k*dilation, c].
    Made by tenon-lower-conv; fused into the matmul that follows, unless the
    input is computed as well.
  }];
  let arguments = (ins Tenon_FloatTensor:$input, DenseI64ArrayAttr:$kernel,
                       DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads,
                       DenseI64ArrayAttr:$dilations, UnitAttr:$channels_last);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input `kernel` $kernel `strides` $strides `pads` $pads "
                       "`dilations` $dilations (`channels_last` $channels_last^)? "
                       "attr-dict `:` type($input)";
}

def Tenon_PackBOp : Tenon_PureOp<"pack_b", [Tenon_FusesAs<"Loop">]> {
  let summary = "A matmul's right operand in panels of 32 columns: [..., ceil(N/32), K, 32]";
  let description = [{
    result[..., p, k, n] = input[..., k, 32 p + n], 0 past the last column; with
    `transposed` the input is [..., N, K]. One layout serves every instruction
    set. Of a constant it costs nothing at run time: the weight is stored so.
  }];
  let arguments = (ins Tenon_FloatTensor:$input, UnitAttr:$transposed);
  let results = (outs Tenon_FloatTensor:$result); // always f32
  let assemblyFormat = "$input (`transposed` $transposed^)? attr-dict `:` type($input)";
}

def Tenon_PackedMatMulOp : Tenon_PureOp<"packed_matmul", [Tenon_FusesAs<"Anchor">]> {
  let summary = "lhs [..., M, K] times a tenon.pack_b'd right operand of `n` columns";
  let description = [{
    result is [..., M, n]; the dims before M and before the panels broadcast.
  }];
  let arguments = (ins Tenon_FloatTensor:$lhs, Tenon_FloatTensor:$packed, StrAttr:$n);
  let results = (outs Tenon_FloatTensor:$result); // lhs' element type
  let assemblyFormat = "$lhs `,` $packed `columns` $n attr-dict `:` type($lhs) `,` type($packed)";
}

#endif // TENON_PACKED_TD
