//===- TenonMath.td - functions of one number --------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_MATH_TD
#define TENON_MATH_TD

include "dialects/Tenon/IR/TenonElementwise.td"

/// A function of many operations.
class Tenon_Function<string mnemonic, string what>
    : Tenon_Unary<mnemonic, what, Tenon_FloatTensor, [Tenon_FusionCost<8>]>;

def Tenon_ExpOp : Tenon_Function<"exp", "e^x (ONNX Exp)">;
def Tenon_LogOp : Tenon_Function<"log", "Natural logarithm (ONNX Log)">;
def Tenon_SqrtOp : Tenon_Function<"sqrt", "Square root (ONNX Sqrt)">;
def Tenon_ReciprocalOp : Tenon_Function<"reciprocal", "1/x (ONNX Reciprocal)">;
def Tenon_ErfOp : Tenon_Function<"erf", "Error function (ONNX Erf)">;
def Tenon_TanhOp : Tenon_Function<"tanh", "Hyperbolic tangent (ONNX Tanh)">;
def Tenon_SigmoidOp : Tenon_Function<"sigmoid", "1/(1+e^-x) (ONNX Sigmoid)">;
def Tenon_SiluOp : Tenon_Function<"silu", "x*sigmoid(x) (ONNX Swish, alpha 1)">;
def Tenon_SinOp : Tenon_Function<"sin", "Sine (ONNX Sin)">;
def Tenon_CosOp : Tenon_Function<"cos", "Cosine (ONNX Cos)">;
def Tenon_TanOp : Tenon_Function<"tan", "Tangent (ONNX Tan)">;
def Tenon_AsinOp : Tenon_Function<"asin", "Arc sine (ONNX Asin)">;
def Tenon_AcosOp : Tenon_Function<"acos", "Arc cosine (ONNX Acos)">;
def Tenon_AtanOp : Tenon_Function<"atan", "Arc tangent (ONNX Atan)">;
def Tenon_SinhOp : Tenon_Function<"sinh", "Hyperbolic sine (ONNX Sinh)">;
def Tenon_CoshOp : Tenon_Function<"cosh", "Hyperbolic cosine (ONNX Cosh)">;
def Tenon_AsinhOp : Tenon_Function<"asinh", "Inverse hyperbolic sine (ONNX Asinh)">;
def Tenon_AcoshOp : Tenon_Function<"acosh", "Inverse hyperbolic cosine (ONNX Acosh)">;
def Tenon_AtanhOp : Tenon_Function<"atanh", "Inverse hyperbolic tangent (ONNX Atanh)">;
def Tenon_FloorOp : Tenon_Unary<"floor", "Round down (ONNX Floor)", Tenon_FloatTensor>;
def Tenon_CeilOp : Tenon_Unary<"ceil", "Round up (ONNX Ceil)", Tenon_FloatTensor>;
def Tenon_RoundOp : Tenon_Unary<"round", "Round half to even (ONNX Round)", Tenon_FloatTensor>;

def Tenon_GeluOp : Tenon_ElementwiseOp<"gelu", "operands.back()",
                                       [Tenon_FusionCost<8>]> {
  let summary = "Gaussian error linear unit (ONNX Gelu, opset 20)";
  let description = [{
    x/2 * (1 + erf(x/sqrt 2)), or with `approximate`
    x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).
  }];
  let arguments = (ins Tenon_FloatTensor:$input, UnitAttr:$approximate);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input (`approximate` $approximate^)? attr-dict `:` type($input)";
}

#endif // TENON_MATH_TD
