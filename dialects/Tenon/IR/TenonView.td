//===- TenonView.td - the same elements in other places ----*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_VIEW_TD
#define TENON_VIEW_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_ReshapeOp : Tenon_PureOp<"reshape"> {
  let summary = "The same elements in order under other dims (ONNX Reshape, Flatten, Squeeze, Unsqueeze)";
  let description = [{
    `dims` are the result's; -1 and 0 of ONNX are resolved at import. The
    element counts are equal; where that is not provable a check guards it.
  }];
  let arguments = (ins Tenon_Tensor:$input, Tenon_DimsAttr:$dims);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `to` $dims attr-dict `:` type($input)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Tenon_BroadcastToOp : Tenon_PureOp<"broadcast_to",
    [Tenon_FusesAs<"Moving", "true">]> {
  let summary = "Broadcast to dims that already include the input's (ONNX Expand after dims are joined)";
  let arguments = (ins Tenon_Tensor:$input, Tenon_DimsAttr:$dims);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `to` $dims attr-dict `:` type($input)";
  let hasFolder = 1;
}

def Tenon_TransposeOp : Tenon_PureOp<"transpose"> {
  let summary = "result dim i is input dim perm[i] (ONNX Transpose)";
  let arguments = (ins Tenon_Tensor:$input, DenseI64ArrayAttr:$perm);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input $perm attr-dict `:` type($input)";
  let hasFolder = 1;
  let hasCanonicalizer = 1; // transpose of transpose
}

def Tenon_SliceOp : Tenon_PureOp<"slice"> {
  let summary = "result[i] = input[start + i*step] in each dim (ONNX Slice, Split)";
  let description = [{
    `starts` and `dims` (the result's dims) have one expression per dim, already
    clamped as ONNX says; `steps` may be negative.
  }];
  let arguments = (ins Tenon_Tensor:$input, Tenon_DimsAttr:$starts,
                       DenseI64ArrayAttr:$steps, Tenon_DimsAttr:$dims);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `from` $starts `step` $steps `to` $dims attr-dict `:` type($input)";
  let hasFolder = 1;
}

def Tenon_ConcatOp : Tenon_PureOp<"concat", [Tenon_FusionCost<2>]> {
  let summary = "Joins tensors along one axis (ONNX Concat)";
  let arguments = (ins Variadic<Tenon_Tensor>:$inputs, I64Attr:$axis);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$inputs `axis` $axis attr-dict `:` type($inputs)";
  let hasFolder = 1; // of one input
}

def Tenon_PadMode : Tenon_I32Enum<"PadMode", "what lies outside", [
    I32EnumAttrCase<"constant", 0>, I32EnumAttrCase<"edge", 1>,
    I32EnumAttrCase<"reflect", 2>, I32EnumAttrCase<"wrap", 3>]>;
def Tenon_PadModeAttr : Tenon_EnumAttr<Tenon_PadMode, "pad_mode">;
def Tenon_PadOp : Tenon_PureOp<"pad", [Tenon_FusionCost<2>]> {
  let summary = "Adds (or with negative amounts removes) elements at both ends (ONNX Pad)";
  let arguments = (ins Tenon_PadModeAttr:$mode, Tenon_Tensor:$input, Tenon_Tensor:$value,
                       Tenon_DimsAttr:$low, Tenon_DimsAttr:$high);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "`` $mode $input `,` $value `low` $low `high` $high attr-dict "
                       "`:` type($input) `,` type($value)";
}

#endif // TENON_VIEW_TD
