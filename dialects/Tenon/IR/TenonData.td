//===- TenonData.td - constants, shapes, data movement -----*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_DATA_TD
#define TENON_DATA_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_ConstantOp : Tenon_PureOp<"constant", [ConstantLike]> {
  let summary = "A constant tensor (ONNX initializer, Constant)";
  let description = [{
    Large values are `dense_resource` blobs over the mapped model file; they
    are never copied into the IR.
  }];
  let arguments = (ins ElementsAttr:$value);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "attr-dict $value";
  let hasFolder = 1;
}

def Tenon_DimsValueOp : Tenon_PureOp<"dims_value"> {
  let summary = "An integer tensor of rank 0 or 1 computed from dims (ONNX Shape, Size and arithmetic on them)";
  let arguments = (ins Tenon_DimsAttr:$exprs, TypeAttr:$elementType, UnitAttr:$scalar);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "(`scalar` $scalar^)? $exprs `:` $elementType attr-dict";
  let hasVerifier = 1; // a scalar has exactly one expression
  let hasFolder = 1;   // to a constant, when no expression has a symbol
}

def Tenon_CheckKind : Tenon_I32Enum<"CheckKind", "relation of two dims", [
    I32EnumAttrCase<"eq", 0>, I32EnumAttrCase<"le", 1>, I32EnumAttrCase<"bcast", 2>]>;
def Tenon_CheckKindAttr : Tenon_EnumAttr<Tenon_CheckKind, "check_kind">;
def Tenon_CheckOp : Tenon_Op<"check"> {
  let summary = "A relation of dims that what follows relies on; tested before each run";
  let description = [{
    `tenon.check le "seq", "512"`: a run whose dims break it is refused with a
    status that names both sides and this op's location. `bcast` means equal,
    or either side 1. `when` is an expression that is 0 where the branch that
    relies on the relation is not taken.
  }];
  let arguments = (ins Tenon_CheckKindAttr:$kind, StrAttr:$lhs, StrAttr:$rhs,
                       OptionalAttr<StrAttr>:$when);
  let builders = [OpBuilder<(ins "::tenon::CheckKind":$kind, "::llvm::StringRef":$lhs,
                                 "::llvm::StringRef":$rhs),
                  [{ build($_builder, $_state, kind, lhs, rhs, ::mlir::StringAttr()); }]>];
  let assemblyFormat = "`` $kind $lhs `,` $rhs (`when` $when^)? attr-dict";
  let hasVerifier = 1; // both parse
}

def Tenon_ReadDimsOp : Tenon_Op<"read_dims"> {
  let summary = "Names the elements of a small tensor, for dims that depend on them";
  let description = [{
    `tenon.read_dims %shape as "shape" : tensor<2xi64>`: in dim expressions
    `shape[0]` and `shape[1]` are the elements of `%shape`, row-major. Unlike a
    symbol of an input's dim an element can be negative: what relies on more
    states it with `tenon.check`. A bool is 0 or 1, and a float the bits of its
    value as a double, for the functions that compute with those. The runtime
    reads an input's elements at the beginning of each run, those of a computed
    value when its kernel is done. With `bound` all are between 0 and that
    expression. `when` is an expression that is 0 in a branch that is not taken:
    nothing is read there, and the elements count as 0.
  }];
  let arguments = (ins Tenon_Tensor:$input, StrAttr:$name, OptionalAttr<StrAttr>:$bound,
                       OptionalAttr<StrAttr>:$when);
  let builders = [OpBuilder<(ins "::mlir::Value":$input, "::mlir::StringAttr":$name),
                  [{ build($_builder, $_state, input, name, {}, {}); }]>];
  let assemblyFormat = "$input `as` $name (`bound` $bound^)? (`when` $when^)? attr-dict `:` type($input)";
  let hasVerifier = 1; // static dims; the name is a symbol
}

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
def Tenon_BroadcastToOp : Tenon_PureOp<"broadcast_to"> {
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
def Tenon_ConcatOp : Tenon_PureOp<"concat"> {
  let summary = "Joins tensors along one axis (ONNX Concat)";
  let arguments = (ins Variadic<Tenon_Tensor>:$inputs, I64Attr:$axis);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$inputs `axis` $axis attr-dict `:` type($inputs)";
  let hasFolder = 1; // of one input
}
def Tenon_UnpackOp : Tenon_PureOp<"unpack"> {
  let summary = "`size` numbers of 2 or 4 bits from bytes, the lowest bits first (ONNX's raw data)";
  let arguments = (ins Tenon_ByteTensor:$input, StrAttr:$size, TypeAttr:$elementType);
  let results = (outs Tenon_PackedTensor:$result);
  let assemblyFormat = "$input `size` $size `to` $elementType attr-dict `:` type($input)";
}
def Tenon_PackOp : Tenon_PureOp<"pack"> {
  let summary = "Bytes of numbers of 2 or 4 bits, the lowest bits first; the last is filled up with zeros";
  let arguments = (ins Tenon_PackedTensor:$input);
  let results = (outs Tenon_ByteTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasFolder = 1; // of an unpack
}
def Tenon_PadMode : Tenon_I32Enum<"PadMode", "what lies outside", [
    I32EnumAttrCase<"constant", 0>, I32EnumAttrCase<"edge", 1>,
    I32EnumAttrCase<"reflect", 2>, I32EnumAttrCase<"wrap", 3>]>;
def Tenon_PadModeAttr : Tenon_EnumAttr<Tenon_PadMode, "pad_mode">;
def Tenon_PadOp : Tenon_PureOp<"pad"> {
  let summary = "Adds (or with negative amounts removes) elements at both ends (ONNX Pad)";
  let arguments = (ins Tenon_PadModeAttr:$mode, Tenon_Tensor:$input, Tenon_Tensor:$value,
                       Tenon_DimsAttr:$low, Tenon_DimsAttr:$high);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "`` $mode $input `,` $value `low` $low `high` $high attr-dict "
                       "`:` type($input) `,` type($value)";
}
def Tenon_IotaOp : Tenon_PureOp<"iota"> {
  let summary = "start + i*step along one dim (ONNX Range of dims)";
  let arguments = (ins StrAttr:$start, StrAttr:$step, StrAttr:$size, TypeAttr:$elementType);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$start `step` $step `size` $size `:` $elementType attr-dict";
  let hasVerifier = 1;
}
def Tenon_GatherOp : Tenon_PureOp<"gather"> {
  let summary = "result[o..., i..., r...] = input[o..., indices[i...], r...] (ONNX Gather)";
  let description = [{
    Negative indices count from the end; any other index outside is a run-time
    error that names the node.
  }];
  let arguments = (ins Tenon_Tensor:$input, Tenon_IndexTensor:$indices, I64Attr:$axis);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `,` $indices `axis` $axis attr-dict `:` type($input) `,` type($indices)";
}
def Tenon_GatherElementsOp : Tenon_PureOp<"gather_elements"> {
  let summary = "result[..., i, ...] = input[..., indices[..., i, ...], ...] (ONNX GatherElements)";
  let arguments = (ins Tenon_Tensor:$input, Tenon_IndexTensor:$indices, I64Attr:$axis);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `,` $indices `axis` $axis attr-dict `:` type($input) `,` type($indices)";
}
def Tenon_GatherNDOp : Tenon_PureOp<"gather_nd"> {
  let summary = "Gather with index tuples in the last dim of indices (ONNX GatherND)";
  let arguments = (ins Tenon_Tensor:$input, Tenon_IndexTensor:$indices, I64Attr:$batchDims);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `,` $indices `batch_dims` $batchDims attr-dict `:` type($input) `,` type($indices)";
}
def Tenon_ScatterKind : Tenon_I32Enum<"ScatterKind", "how an update meets the element before it", [
    I32EnumAttrCase<"none", 0>, I32EnumAttrCase<"add", 1>, I32EnumAttrCase<"mul", 2>,
    I32EnumAttrCase<"max", 3>, I32EnumAttrCase<"min", 4>]>;
def Tenon_ScatterKindAttr : Tenon_EnumAttr<Tenon_ScatterKind, "scatter_kind">;
def Tenon_ScatterElementsOp : Tenon_PureOp<"scatter_elements"> {
  let summary = "A copy of input with result[..., indices[..., i, ...], ...] = updates[..., i, ...] (ONNX ScatterElements, Scatter)";
  let description = [{
    Updates are applied in the row-major order of `indices`: of several to one
    element, `none` keeps the last, the other kinds combine all. Indices are as
    in tenon.gather.
  }];
  let arguments = (ins Tenon_ScatterKindAttr:$kind, Tenon_Tensor:$input,
                       Tenon_IndexTensor:$indices, Tenon_Tensor:$updates, I64Attr:$axis);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "`` $kind $input `,` $indices `,` $updates `axis` $axis attr-dict "
                       "`:` type($input) `,` type($indices) `,` type($updates)";
  let hasVerifier = 1;
}
def Tenon_ScatterNDOp : Tenon_PureOp<"scatter_nd"> {
  let summary = "A copy of input with result[indices[i..., :], r...] = updates[i..., r...] (ONNX ScatterND)";
  let description = [{
    Index tuples are in the last dim of `indices`, whose size is static. Order
    and duplicates are as in tenon.scatter_elements.
  }];
  let arguments = (ins Tenon_ScatterKindAttr:$kind, Tenon_Tensor:$input,
                       Tenon_IndexTensor:$indices, Tenon_Tensor:$updates);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "`` $kind $input `,` $indices `,` $updates attr-dict "
                       "`:` type($input) `,` type($indices) `,` type($updates)";
  let hasVerifier = 1;
}

#endif // TENON_DATA_TD
