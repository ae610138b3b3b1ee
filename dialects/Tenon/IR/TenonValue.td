//===- TenonValue.td - constants and numbers from dims -----*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_VALUE_TD
#define TENON_VALUE_TD

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
    expression; a name that begins with `#` needs one, and its elements, counts,
    are taken for not negative wherever they are used. `when` is an expression
    that is 0 in a branch that is not taken: nothing is read there, and the
    elements count as 0.
  }];
  let arguments = (ins Tenon_Tensor:$input, StrAttr:$name, OptionalAttr<StrAttr>:$bound,
                       OptionalAttr<StrAttr>:$when);
  let builders = [OpBuilder<(ins "::mlir::Value":$input, "::mlir::StringAttr":$name),
                  [{ build($_builder, $_state, input, name, {}, {}); }]>];
  let assemblyFormat = "$input `as` $name (`bound` $bound^)? (`when` $when^)? attr-dict `:` type($input)";
  let hasVerifier = 1; // static dims; the name is a symbol
}

def Tenon_IotaOp : Tenon_PureOp<"iota"> {
  let summary = "start + i*step along one dim (ONNX Range of dims)";
  let arguments = (ins StrAttr:$start, StrAttr:$step, StrAttr:$size, TypeAttr:$elementType);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$start `step` $step `size` $size `:` $elementType attr-dict";
  let hasVerifier = 1;
}

#endif // TENON_VALUE_TD
