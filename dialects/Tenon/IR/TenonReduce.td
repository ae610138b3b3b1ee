//===- TenonReduce.td - reductions and other walks ---------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_REDUCE_TD
#define TENON_REDUCE_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_ReduceKind : Tenon_I32Enum<"ReduceKind", "reduction", [
    I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"mean", 1>, I32EnumAttrCase<"max", 2>,
    I32EnumAttrCase<"min", 3>, I32EnumAttrCase<"prod", 4>, I32EnumAttrCase<"all", 5>,
    I32EnumAttrCase<"any", 6>]>;
def Tenon_ReduceKindAttr : Tenon_EnumAttr<Tenon_ReduceKind, "reduce_kind">;
def Tenon_ReduceOp : Tenon_PureOp<"reduce", [Tenon_FusesAs<"Loop">]> {
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

def Tenon_ArgReduceOp : Tenon_PureOp<"arg_reduce", [Tenon_FusesAs<"Loop">]> {
  let summary = "Index (i64) of the largest or smallest element (ONNX ArgMax, ArgMin)";
  let arguments = (ins Tenon_NumberTensor:$input, I64Attr:$axis, UnitAttr:$min,
                       UnitAttr:$keepdims, UnitAttr:$selectLast);
  let results = (outs Tenon_TensorOf<[I64], "i64">:$result);
  let assemblyFormat = "$input `over` $axis (`min` $min^)? (`keepdims` $keepdims^)? "
                       "(`select_last` $selectLast^)? attr-dict `:` type($input)";
}

def Tenon_CumulateOp : Tenon_PureOp<"cumulate", [Tenon_FusesAs<"Own">]> {
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

def Tenon_TopKOp : Tenon_PureOp<"top_k", [Tenon_FusesAs<"Own">]> {
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

#endif // TENON_REDUCE_TD
