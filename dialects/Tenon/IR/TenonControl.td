//===- TenonControl.td - what the run itself decides -------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CONTROL_TD
#define TENON_CONTROL_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_MergeOp : Tenon_PureOp<"merge"> {
  let summary = "One of two values, by a condition known before it is needed (ONNX If)";
  let description = [{
    `condition` is a dim expression that is 0 or 1: the result is `onTrue` where
    it is 1, else `onFalse`. Both branches stand in the same block. What only
    one of them needs is not computed when the other is taken, and takes no
    memory then; which steps these are follows from the uses, so that passes
    may share and move ops as they like. `dims` are the result's.
  }];
  let arguments = (ins StrAttr:$condition, Tenon_Tensor:$onTrue,
                       Tenon_Tensor:$onFalse, Tenon_DimsAttr:$dims);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$condition `then` $onTrue `else` $onFalse `to` $dims "
                       "attr-dict `:` type($onTrue) `,` type($onFalse)";
  let hasVerifier = 1; // one element type and rank; the condition parses
  let hasFolder = 1;   // of a constant condition or two equal branches
}

#endif // TENON_CONTROL_TD
