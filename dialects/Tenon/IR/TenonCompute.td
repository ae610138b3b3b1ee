//===- TenonCompute.td - reductions, norms, contractions ---*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_COMPUTE_TD
#define TENON_COMPUTE_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_ReduceKind : Tenon_I32Enum<"ReduceKind", "reduction", [
    I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"mean", 1>, I32EnumAttrCase<"max", 2>,
    I32EnumAttrCase<"min", 3>, I32EnumAttrCase<"prod", 4>, I32EnumAttrCase<"all", 5>,
    I32EnumAttrCase<"any", 6>]>;
def Tenon_ReduceKindAttr : Tenon_EnumAttr<Tenon_ReduceKind, "reduce_kind">;
def Tenon_ReduceOp : Tenon_PureOp<"reduce"> {
  let summary = "Reduces over axes (ONNX ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd)";
  let description = [{
    `axes` are sorted, unique and non-negative. Over no elements: sum 0, prod 1,
    max the type's lowest value (-inf), min its highest, mean NaN.
  }];
  let arguments = (ins Tenon_ReduceKindAttr:$kind, Tenon_ValueTensor:$input,
                       DenseI64ArrayAttr:$axes, UnitAttr:$keepdims);
  let results = (outs Tenon_ValueTensor:$result);
  let assemblyFormat = "`` $kind $input `over` $axes (`keepdims` $keepdims^)? attr-dict `:` type($input)";
  let hasVerifier = 1;
}
def Tenon_ArgReduceOp : Tenon_PureOp<"arg_reduce"> {
  let summary = "Index (i64) of the largest or smallest element (ONNX ArgMax, ArgMin)";
  let arguments = (ins Tenon_NumberTensor:$input, I64Attr:$axis, UnitAttr:$min,
                       UnitAttr:$keepdims, UnitAttr:$selectLast);
  let results = (outs Tenon_TensorOf<[I64], "i64">:$result);
  let assemblyFormat = "$input `over` $axis (`min` $min^)? (`keepdims` $keepdims^)? "
                       "(`select_last` $selectLast^)? attr-dict `:` type($input)";
}
def Tenon_CumulateOp : Tenon_PureOp<"cumulate"> {
  let summary = "Running sum or product along an axis (ONNX CumSum, CumProd)";
  let description = [{
    `kind` is sum or prod. `exclusive` leaves the element itself out, `reverse`
    runs from the end. f16 and bf16 are accumulated in f32; integers wrap.
  }];
  let arguments = (ins Tenon_ReduceKindAttr:$kind, Tenon_NumberTensor:$input, I64Attr:$axis,
                       UnitAttr:$exclusive, UnitAttr:$reverse);
  let results = (outs Tenon_NumberTensor:$result);
  let assemblyFormat = "`` $kind $input `over` $axis (`exclusive` $exclusive^)? "
                       "(`reverse` $reverse^)? attr-dict `:` type($input)";
  let hasVerifier = 1;
}
def Tenon_TopKOp : Tenon_PureOp<"top_k"> {
  let summary = "Indices (i64) of the k largest elements of the last dim, in order (ONNX TopK)";
  let description = [{
    The importer transposes so that the axis is the last dim, and gathers the
    values. With `smallest` the k smallest, rising. Of equal elements the one
    with the lower index comes first; -0 equals 0; NaN is above every number.
    `k` must be at most the last dim: a check guards it.
  }];
  let arguments = (ins Tenon_NumberTensor:$input, StrAttr:$k, UnitAttr:$smallest);
  let results = (outs Tenon_TensorOf<[I64], "i64">:$result);
  let assemblyFormat = "$input `k` $k (`smallest` $smallest^)? attr-dict `:` type($input)";
}
def Tenon_NarrowFloatTensor : Tenon_TensorOf<[F32, F16, BF16], "f32, f16 or bf16">;
def Tenon_LinearAttentionOp : Tenon_PureOp<"linear_attention", [AttrSizedOperandSegments]> {
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
def Tenon_SoftmaxOp : Tenon_PureOp<"softmax"> {
  let summary = "exp(x - max) / sum over the last dim (ONNX Softmax, LogSoftmax)";
  let description = [{
    The importer transposes so that the axis is the last dim. With `guard` a
    result that is NaN becomes 0: the exact meaning of the exporters'
    Softmax -> IsNaN -> Where(…, 0, softmax). With `log` the result is the
    logarithm, computed as x - max - log(sum).
  }];
  let arguments = (ins Tenon_FloatTensor:$input, UnitAttr:$guard, UnitAttr:$log);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input (`guard` $guard^)? (`log` $log^)? attr-dict `:` type($input)";
}
def Tenon_LayerNormOp : Tenon_PureOp<"layer_norm", [AttrSizedOperandSegments]> {
  let summary = "(x - mean) / sqrt(var + epsilon) * scale + bias over the last `dims` dims (ONNX LayerNormalization, opset 17)";
  let description = [{
    scale and bias have the normalised dims. The variance is the biased one,
    computed from the differences to the mean (two passes).
  }];
  let arguments = (ins Tenon_FloatTensor:$input, Optional<Tenon_FloatTensor>:$scale,
                       Optional<Tenon_FloatTensor>:$bias, F64Attr:$epsilon, I64Attr:$dims);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input (`scale` $scale^)? (`bias` $bias^)? `epsilon` $epsilon `dims` $dims "
                       "attr-dict `:` type($input) (`,` type($scale)^)? (`,` type($bias)^)?";
  let hasVerifier = 1;
}
def Tenon_RmsNormOp : Tenon_PureOp<"rms_norm"> {
  let summary = "x / sqrt(mean(x^2) + epsilon) * scale over the last `dims` dims (ONNX RMSNormalization, opset 23)";
  let arguments = (ins Tenon_FloatTensor:$input, Optional<Tenon_FloatTensor>:$scale,
                       F64Attr:$epsilon, I64Attr:$dims);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input (`scale` $scale^)? `epsilon` $epsilon `dims` $dims "
                       "attr-dict `:` type($input) (`,` type($scale)^)?";
  let hasVerifier = 1;
}
def Tenon_MatMulOp : Tenon_PureOp<"matmul"> {
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

#endif // TENON_COMPUTE_TD
