//===- TenonContract.td - matrix products ------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CONTRACT_TD
#define TENON_CONTRACT_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_NarrowFloatTensor : Tenon_TensorOf<[F32, F16, BF16], "f32, f16 or bf16">;

def Tenon_LinearAttentionOp : Tenon_PureOp<"linear_attention",
    [AttrSizedOperandSegments, Tenon_FusesAs<"Own", "true">]> {
  let summary = "Recurrence of linear attention, state and outputs in one result (ONNX LinearAttention, opset 27)";
  let description = [{
    query is [B, T, H, G, dk] (G queries share a state), key [B, T, H, dk] and
    value [B, T, H, dv]. A state S of [dk, dv] per batch and head starts as
    `state` [B, H, dk, dv], or 0. For each t:

    ```
    S *= decay[b, t, h, :] in each row            where there is a decay
    v  = value[b, t, h, :]
    v  = beta[b, t, h, 0] * (v - key . S)         where there is a beta
    S += outer(key[b, t, h, :], v)
    o[g] = query[b, t, h, g, :] . S               for each g
    ```

    decay is [B, T, H, dk or 1] and beta [B, T, H or 1, 1]. The result is
    [B, H, dk + T*G, dv]: the rows of the last state, then o of each t and g.
    It is computed and stored in f32.
  }];
  let arguments = (ins Tenon_NarrowFloatTensor:$query, Tenon_NarrowFloatTensor:$key,
                       Tenon_NarrowFloatTensor:$value, Optional<Tenon_NarrowFloatTensor>:$state,
                       Optional<Tenon_NarrowFloatTensor>:$decay,
                       Optional<Tenon_NarrowFloatTensor>:$beta);
  let results = (outs Tenon_TensorOf<[F32], "f32">:$result);
  let assemblyFormat = "$query `,` $key `,` $value (`state` $state^)? (`decay` $decay^)? (`beta` $beta^)? "
                       "attr-dict `:` type($query) `,` type($key) `,` type($value) "
                       "(`state` type($state)^)? (`decay` type($decay)^)? (`beta` type($beta)^)?";
}

def Tenon_MatMulOp : Tenon_PureOp<"matmul", [Tenon_FusesAs<"Loop", "true">]> {
  let summary = "Matrix product of the last two dims, the others broadcast (ONNX MatMul, Gemm without its bias)";
  let description = [{
    Both operands have rank >= 2 (the importer adds and removes unit dims).
    `transposeA`/`transposeB` read the last two dims swapped.
  }];
  let arguments = (ins Tenon_NumberTensor:$lhs, Tenon_NumberTensor:$rhs,
                       UnitAttr:$transposeA, UnitAttr:$transposeB);
  let results = (outs Tenon_NumberTensor:$result);
  let assemblyFormat = "$lhs (`transposed` $transposeA^)? `,` $rhs (`transposed` $transposeB^)? "
                       "attr-dict `:` type($lhs) `,` type($rhs)";
  let hasVerifier = 1;
  let hasCanonicalizer = 1; // absorbs tenon.transpose of the last two dims
}

def Tenon_ConvOp : Tenon_PureOp<"conv"> {
  let summary = "Convolution over the spatial dims of [N, C, spatial...] (ONNX Conv)";
  let description = [{
    weight is [Cout, Cin/group, kernel...]; `pads` are low ends then high ends;
    output dim = floordiv(in + low + high - dilation*(k-1) - 1, stride) + 1.
  }];
  let arguments = (ins Tenon_FloatTensor:$input, Tenon_FloatTensor:$weight,
                       DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads,
                       DenseI64ArrayAttr:$dilations, I64Attr:$group);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input `,` $weight `strides` $strides `pads` $pads `dilations` $dilations "
                       "`group` $group attr-dict `:` type($input) `,` type($weight)";
  let hasVerifier = 1;
}

#endif // TENON_CONTRACT_TD
