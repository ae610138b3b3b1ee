//===- TenonMath.td - functions of one number --------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_MATH_TD
#define TENON_MATH_TD

include "dialects/Tenon/IR/TenonElementwise.td"

def Tenon_ExpOp : Tenon_Unary<"exp", "e^x (ONNX Exp)", Tenon_FloatTensor>;
def Tenon_LogOp : Tenon_Unary<"log", "Natural logarithm (ONNX Log)", Tenon_FloatTensor>;
def Tenon_SqrtOp : Tenon_Unary<"sqrt", "Square root (ONNX Sqrt)", Tenon_FloatTensor>;
def Tenon_ReciprocalOp : Tenon_Unary<"reciprocal", "1/x (ONNX Reciprocal)", Tenon_FloatTensor>;
def Tenon_ErfOp : Tenon_Unary<"erf", "Error function (ONNX Erf)", Tenon_FloatTensor>;
def Tenon_TanhOp : Tenon_Unary<"tanh", "Hyperbolic tangent (ONNX Tanh)", Tenon_FloatTensor>;
def Tenon_SigmoidOp : Tenon_Unary<"sigmoid", "1/(1+e^-x) (ONNX Sigmoid)", Tenon_FloatTensor>;
def Tenon_SiluOp : Tenon_Unary<"silu", "x*sigmoid(x) (ONNX Swish, alpha 1)", Tenon_FloatTensor>;
def Tenon_SinOp : Tenon_Unary<"sin", "Sine (ONNX Sin)", Tenon_FloatTensor>;
def Tenon_CosOp : Tenon_Unary<"cos", "Cosine (ONNX Cos)", Tenon_FloatTensor>;
def Tenon_TanOp : Tenon_Unary<"tan", "Tangent (ONNX Tan)", Tenon_FloatTensor>;
def Tenon_AsinOp : Tenon_Unary<"asin", "Arc sine (ONNX Asin)", Tenon_FloatTensor>;
def Tenon_AcosOp : Tenon_Unary<"acos", "Arc cosine (ONNX Acos)", Tenon_FloatTensor>;
def Tenon_AtanOp : Tenon_Unary<"atan", "Arc tangent (ONNX Atan)", Tenon_FloatTensor>;
def Tenon_SinhOp : Tenon_Unary<"sinh", "Hyperbolic sine (ONNX Sinh)", Tenon_FloatTensor>;
def Tenon_CoshOp : Tenon_Unary<"cosh", "Hyperbolic cosine (ONNX Cosh)", Tenon_FloatTensor>;
def Tenon_AsinhOp : Tenon_Unary<"asinh", "Inverse hyperbolic sine (ONNX Asinh)", Tenon_FloatTensor>;
def Tenon_AcoshOp : Tenon_Unary<"acosh", "Inverse hyperbolic cosine (ONNX Acosh)", Tenon_FloatTensor>;
def Tenon_AtanhOp : Tenon_Unary<"atanh", "Inverse hyperbolic tangent (ONNX Atanh)", Tenon_FloatTensor>;
def Tenon_FloorOp : Tenon_Unary<"floor", "Round down (ONNX Floor)", Tenon_FloatTensor>;
def Tenon_CeilOp : Tenon_Unary<"ceil", "Round up (ONNX Ceil)", Tenon_FloatTensor>;
def Tenon_RoundOp : Tenon_Unary<"round", "Round half to even (ONNX Round)", Tenon_FloatTensor>;

def Tenon_GeluOp : Tenon_ElementwiseOp<"gelu"> {
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
