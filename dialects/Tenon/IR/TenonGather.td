//===- TenonGather.td - elements found by indices ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_GATHER_TD
#define TENON_GATHER_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_GatherOp : Tenon_PureOp<"gather",
    [Tenon_FusionCost<2>, Tenon_FusesAs<"Moving", "true">]> {
  let summary = "result[o..., i..., r...] = input[o..., indices[i...], r...] (ONNX Gather)";
  let description = [{
    Negative indices count from the end; any other index outside is a run-time
    error that names the node.
  }];
  let arguments = (ins Tenon_Tensor:$input, Tenon_IndexTensor:$indices, I64Attr:$axis);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `,` $indices `axis` $axis attr-dict `:` type($input) `,` type($indices)";
}

def Tenon_GatherElementsOp : Tenon_PureOp<"gather_elements",
    [Tenon_FusionCost<2>, Tenon_FusesAs<"Moving", "true">]> {
  let summary = "result[..., i, ...] = input[..., indices[..., i, ...], ...] (ONNX GatherElements)";
  let arguments = (ins Tenon_Tensor:$input, Tenon_IndexTensor:$indices, I64Attr:$axis);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `,` $indices `axis` $axis attr-dict `:` type($input) `,` type($indices)";
}

def Tenon_GatherNDOp : Tenon_PureOp<"gather_nd",
    [Tenon_FusionCost<2>, Tenon_FusesAs<"Moving", "true">]> {
  let summary = "Gather with index tuples in the last dim of indices (ONNX GatherND)";
  let arguments = (ins Tenon_Tensor:$input, Tenon_IndexTensor:$indices, I64Attr:$batchDims);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `,` $indices `batch_dims` $batchDims attr-dict `:` type($input) `,` type($indices)";
}

def Tenon_ScatterKind : Tenon_I32Enum<"ScatterKind", "how an update meets the element before it", [
    I32EnumAttrCase<"none", 0>, I32EnumAttrCase<"add", 1>, I32EnumAttrCase<"mul", 2>,
    I32EnumAttrCase<"max", 3>, I32EnumAttrCase<"min", 4>]>;
def Tenon_ScatterKindAttr : Tenon_EnumAttr<Tenon_ScatterKind, "scatter_kind">;
// A scatter reads its indices in every task, its updates by position.

def Tenon_ScatterElementsOp : Tenon_PureOp<"scatter_elements",
    [Tenon_FusesAs<"Own", "", "operand > 0">]> {
  let summary = "A copy of input with result[..., indices[..., i, ...], ...] = updates[..., i, ...] (ONNX ScatterElements, Scatter)";
  let description = [{
    Updates are applied in the row-major order of `indices`: of several to one
    element, `none` keeps the last, the other kinds combine all. Indices are as
    in tenon.gather.
  }];
  let arguments = (ins Tenon_ScatterKindAttr:$kind, Tenon_Tensor:$input,
                       Tenon_IndexTensor:$indices, Tenon_Tensor:$updates, I64Attr:$axis,
                       OptionalAttr<StrAttr>:$carried);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "`` $kind $input `,` $indices `,` $updates `axis` $axis attr-dict "
                       "`:` type($input) `,` type($indices) `,` type($updates)";
  let hasVerifier = 1;
}

def Tenon_ScatterNDOp : Tenon_PureOp<"scatter_nd",
    [Tenon_FusesAs<"Own", "", "operand > 0">]> {
  let summary = "A copy of input with result[indices[i..., :], r...] = updates[i..., r...] (ONNX ScatterND)";
  let description = [{
    Index tuples are in the last dim of `indices`, whose size is static. Order
    and duplicates are as in tenon.scatter_elements.
  }];
  let arguments = (ins Tenon_ScatterKindAttr:$kind, Tenon_Tensor:$input,
                       Tenon_IndexTensor:$indices, Tenon_Tensor:$updates,
                       OptionalAttr<StrAttr>:$carried);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "`` $kind $input `,` $indices `,` $updates attr-dict "
                       "`:` type($input) `,` type($indices) `,` type($updates)";
  let hasVerifier = 1;
}

def Tenon_AppendOp : Tenon_PureOp<"append",
    [Tenon_FusesAs<"Own", "", "operand == 0">]> {
  let summary = "A copy of input with result[b, ..., rows[b, s], ...] = fresh[b, ..., s, ...] (caches of keys and values)";
  let description = [{
    The result is `length` long along the axis, at least as long as `input`; what
    neither gives is 0. `rows` has a row per row of the first dim, or one for
    all. A row outside the result is left out.

    With `carried`, a dim expression that is 0 or 1, the result may lie in the
    memory of `input`: where it is 0 all but the new rows stays as it is. The
    scatters have the same attribute. tenon-find-state gives it. Where the memory
    holds pages a tenon.store_pages writes the new rows then.
  }];
  let arguments = (ins Tenon_Tensor:$input, Tenon_Tensor:$fresh, Tenon_IndexTensor:$rows,
                       I64Attr:$axis, StrAttr:$length, OptionalAttr<StrAttr>:$carried);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `,` $fresh `at` $rows `axis` $axis `to` $length attr-dict "
                       "`:` type($input) `,` type($fresh) `,` type($rows)";
  let hasVerifier = 1;
}

#endif // TENON_GATHER_TD
