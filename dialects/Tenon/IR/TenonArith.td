//===- TenonArith.td - arithmetic --------------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_ARITH_TD
#define TENON_ARITH_TD

include "dialects/Tenon/IR/TenonElementwise.td"

def Tenon_NegOp : Tenon_Unary<"neg", "-x (ONNX Neg)">;
def Tenon_AbsOp : Tenon_Unary<"abs", "|x| (ONNX Abs)">;
def Tenon_SignOp : Tenon_Unary<"sign", "-1, 0 or 1; NaN stays (ONNX Sign)">;
def Tenon_AddOp : Tenon_Binary<"add", "x + y; integers wrap (ONNX Add)">;
def Tenon_SubOp : Tenon_Binary<"sub", "x - y; integers wrap (ONNX Sub)">;
def Tenon_MulOp : Tenon_Binary<"mul", "x * y; integers wrap (ONNX Mul)">;
def Tenon_DivOp : Tenon_Binary<"div", "x / y; integers truncate, by 0 give 0 (ONNX Div)", Tenon_NumberTensor, [Tenon_FusionCost<8>]>;
def Tenon_SingleTensor : Tenon_TensorOf<[F32], "f32">;
def Tenon_QuotientOp : Tenon_ElementwiseOp<"quotient", "operands.front()", [Tenon_FusionCost<8>]> {
  let summary = "x / y of f32, where the number nearest to 1 / y is known";
  let description = [{
    What `tenon.div` gives, rounded once; in wide vectors `fma(x, inverse, x * rest)`, where
    the rest is what the inverse lacks. By 97 of 100 numbers y that gives the quotients of
    all x, and by no others is this op one. y is in [2^-60, 2^60]; of quotients that f32
    does not hold, or that are below 2^-100, the last bits are not those of a division.
    tenon-pack-matmul makes it of quotients that are rounded to codes.
  }];
  let arguments = (ins Tenon_SingleTensor:$lhs, Tenon_SingleTensor:$rhs, Tenon_SingleTensor:$inverse);
  let results = (outs Tenon_SingleTensor:$result);
  let assemblyFormat = "$lhs `,` $rhs `inverse` $inverse attr-dict `:` type($lhs) `,` type($rhs) "
                       "`,` type($inverse)";
}
def Tenon_ModOp : Tenon_Binary<"mod", "Remainder with the divisor's sign (ONNX Mod, fmod = 0)", Tenon_NumberTensor, [Tenon_FusionCost<8>]>;
def Tenon_FModOp : Tenon_Binary<"fmod", "Remainder with the dividend's sign (ONNX Mod, fmod = 1)", Tenon_NumberTensor, [Tenon_FusionCost<8>]>;
def Tenon_PowOp : Tenon_Binary<"pow", "x^y, both of x's type (ONNX Pow)", Tenon_NumberTensor, [Tenon_FusionCost<8>]>;
def Tenon_MaxOp : Tenon_Binary<"max", "Larger; NaN wins (ONNX Max)">;
def Tenon_MinOp : Tenon_Binary<"min", "Smaller; NaN wins (ONNX Min)">;

#endif // TENON_ARITH_TD
