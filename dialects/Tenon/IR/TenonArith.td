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
def Tenon_ModOp : Tenon_Binary<"mod", "Remainder with the divisor's sign (ONNX Mod, fmod = 0)", Tenon_NumberTensor, [Tenon_FusionCost<8>]>;
def Tenon_FModOp : Tenon_Binary<"fmod", "Remainder with the dividend's sign (ONNX Mod, fmod = 1)", Tenon_NumberTensor, [Tenon_FusionCost<8>]>;
def Tenon_PowOp : Tenon_Binary<"pow", "x^y, both of x's type (ONNX Pow)", Tenon_NumberTensor, [Tenon_FusionCost<8>]>;
def Tenon_MaxOp : Tenon_Binary<"max", "Larger; NaN wins (ONNX Max)">;
def Tenon_MinOp : Tenon_Binary<"min", "Smaller; NaN wins (ONNX Min)">;

#endif // TENON_ARITH_TD
