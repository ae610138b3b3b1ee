//===- TenonElementwise.td - elementwise ops ---------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// All broadcast as NumPy does. A result dim follows `broadcastDims`
// (TenonShape.h): equal texts are equal; where the relation of two dims is
// unknown the result is bcast(a,b) and a `tenon.check` guards it.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_ELEMENTWISE_TD
#define TENON_ELEMENTWISE_TD

include "dialects/Tenon/IR/TenonBase.td"

/// Marks ops that compute result[i] from operand[i] alone (after broadcast).
def Tenon_Elementwise : NativeOpTrait<"Elementwise"> {
  let cppNamespace = "::tenon::OpTrait";
}

/// lhs and rhs have one element type.
def SameTypeElements : PredOpTrait<"operands have one element type",
    CPred<"::mlir::getElementTypeOrSelf($_op.getOperand(0)) == "
          "::mlir::getElementTypeOrSelf($_op.getOperand(1))">>;

/// An elementwise op: the result has the broadcast dims of the operands and
/// `element` (C++, over `adaptor` and `operands`) as its element type.
class Tenon_ElementwiseOp<string mnemonic, string element = "operands.back()",
                          list<Trait> traits = []>
    : Tenon_PureOp<mnemonic, traits # [Tenon_Elementwise]> {
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::inferReturnTypes(
        ::mlir::MLIRContext *context, std::optional<::mlir::Location> location,
        Adaptor adaptor, ::llvm::SmallVectorImpl<::mlir::Type> &inferred) {
      ::mlir::ValueRange operands = adaptor.getOperands();
      return ::tenon::inferElementwise(getOperationName(), location, operands,
          ::mlir::getElementTypeOrSelf(}] # element # [{), inferred);
    }
  }];
}

class Tenon_Unary<string mnemonic, string what, Type operand = Tenon_NumberTensor>
    : Tenon_ElementwiseOp<mnemonic> {
  let summary = what;
  let arguments = (ins operand:$input);
  let results = (outs operand:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}
def Tenon_NegOp : Tenon_Unary<"neg", "-x (ONNX Neg)">;
def Tenon_AbsOp : Tenon_Unary<"abs", "|x| (ONNX Abs)">;
def Tenon_SignOp : Tenon_Unary<"sign", "-1, 0 or 1; NaN stays (ONNX Sign)">;
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
def Tenon_NotOp : Tenon_Unary<"not", "Logical not (ONNX Not)", Tenon_BoolTensor> {
  let hasFolder = 1; // not(not(x))
}
def Tenon_BitNotOp : Tenon_Unary<"bit_not", "Bitwise not (ONNX BitwiseNot)", Tenon_IntTensor>;

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

class Tenon_FloatTest<string mnemonic, string what>
    : Tenon_ElementwiseOp<mnemonic, "::mlir::IntegerType::get(context, 1)"> {
  let summary = what;
  let arguments = (ins Tenon_FloatTensor:$input);
  let results = (outs Tenon_BoolTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}
def Tenon_IsNanOp : Tenon_FloatTest<"is_nan", "Is x NaN? (ONNX IsNaN)">;
def Tenon_IsInfOp : Tenon_FloatTest<"is_inf", "Is x infinite? (ONNX IsInf, both signs)">;

class Tenon_Binary<string mnemonic, string what, Type operand = Tenon_NumberTensor>
    : Tenon_ElementwiseOp<mnemonic, "operands.back()", [SameTypeElements]> {
  let summary = what;
  let arguments = (ins operand:$lhs, operand:$rhs);
  let results = (outs operand:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs)";
}
def Tenon_AddOp : Tenon_Binary<"add", "x + y; integers wrap (ONNX Add)">;
def Tenon_SubOp : Tenon_Binary<"sub", "x - y; integers wrap (ONNX Sub)">;
def Tenon_MulOp : Tenon_Binary<"mul", "x * y; integers wrap (ONNX Mul)">;
def Tenon_DivOp : Tenon_Binary<"div", "x / y; integers truncate, by 0 give 0 (ONNX Div)">;
def Tenon_ModOp : Tenon_Binary<"mod", "Remainder with the divisor's sign (ONNX Mod, fmod = 0)">;
def Tenon_FModOp : Tenon_Binary<"fmod", "Remainder with the dividend's sign (ONNX Mod, fmod = 1)">;
def Tenon_PowOp : Tenon_Binary<"pow", "x^y, both of x's type (ONNX Pow)">;
def Tenon_MaxOp : Tenon_Binary<"max", "Larger; NaN wins (ONNX Max)">;
def Tenon_MinOp : Tenon_Binary<"min", "Smaller; NaN wins (ONNX Min)">;
def Tenon_AndOp : Tenon_Binary<"and", "Logical and (ONNX And)", Tenon_BoolTensor> {
  let hasFolder = 1; // with true, with false
}
def Tenon_OrOp : Tenon_Binary<"or", "Logical or (ONNX Or)", Tenon_BoolTensor> {
  let hasFolder = 1; // with true, with false
}
def Tenon_XorOp : Tenon_Binary<"xor", "Logical xor (ONNX Xor)", Tenon_BoolTensor>;
def Tenon_BitAndOp : Tenon_Binary<"bit_and", "Bitwise and (ONNX BitwiseAnd)", Tenon_IntTensor>;
def Tenon_BitOrOp : Tenon_Binary<"bit_or", "Bitwise or (ONNX BitwiseOr)", Tenon_IntTensor>;
def Tenon_BitXorOp : Tenon_Binary<"bit_xor", "Bitwise xor (ONNX BitwiseXor)", Tenon_IntTensor>;
def Tenon_ShlOp : Tenon_Binary<"shl", "Shift left; a shift past the width gives 0 (ONNX BitShift LEFT)", Tenon_IntTensor>;
def Tenon_ShrOp : Tenon_Binary<"shr", "Shift right; a signed value keeps its sign (ONNX BitShift RIGHT)", Tenon_IntTensor>;

def Tenon_CompareKind : Tenon_I32Enum<"CompareKind", "comparison", [
    I32EnumAttrCase<"eq", 0>, I32EnumAttrCase<"ne", 1>, I32EnumAttrCase<"lt", 2>,
    I32EnumAttrCase<"le", 3>, I32EnumAttrCase<"gt", 4>, I32EnumAttrCase<"ge", 5>]>;
def Tenon_CompareKindAttr : Tenon_EnumAttr<Tenon_CompareKind, "compare_kind">;
def Tenon_CompareOp : Tenon_ElementwiseOp<
    "compare", "::mlir::IntegerType::get(context, 1)", [SameTypeElements]> {
  let summary = "Ordered comparison (ONNX Equal, Less, LessOrEqual, Greater, GreaterOrEqual)";
  let arguments = (ins Tenon_CompareKindAttr:$kind, Tenon_ValueTensor:$lhs, Tenon_ValueTensor:$rhs);
  let results = (outs Tenon_BoolTensor:$result);
  let assemblyFormat = "`` $kind $lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs)";
}
def Tenon_SelectOp : Tenon_ElementwiseOp<"select", "operands.back()", [
    PredOpTrait<"both branches have one element type",
        CPred<"::mlir::getElementTypeOrSelf($_op.getOperand(1)) == "
              "::mlir::getElementTypeOrSelf($_op.getOperand(2))">>]> {
  let summary = "condition ? x : y (ONNX Where)";
  let arguments = (ins Tenon_BoolTensor:$condition, Tenon_Tensor:$lhs, Tenon_Tensor:$rhs);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$condition `,` $lhs `,` $rhs attr-dict `:` "
                       "type($condition) `,` type($lhs) `,` type($rhs)";
  let hasFolder = 1; // of a splat condition or two equal branches
}
def Tenon_RoundMode : Tenon_I32Enum<"RoundMode", "how f8E8M0FNU rounds", [
    I32EnumAttrCase<"up", 0>, I32EnumAttrCase<"down", 1>, I32EnumAttrCase<"nearest", 2>]>;
def Tenon_RoundModeAttr : Tenon_EnumAttr<Tenon_RoundMode, "round_mode">;
def Tenon_CastOp : Tenon_ElementwiseOp<"cast", "adaptor.getTo()"> {
  let summary = "Element type conversion (ONNX Cast)";
  let description = [{
    Float to integer truncates and saturates NaN to 0, but wraps in the types of
    4 and 2 bits; float narrowing rounds to nearest even; anything to bool is
    x != 0; integers wrap.

    Narrowing to a float of 8 bits saturates; `unsaturated` makes what is too
    large infinity, or NaN where there is none. `round` is f8E8M0FNU's, which
    takes the exponent alone: `up` where it is left out.
  }];
  let arguments = (ins Tenon_Tensor:$input, TypeAttr:$to, UnitAttr:$unsaturated,
                       OptionalAttr<Tenon_RoundModeAttr>:$round);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `to` $to (`unsaturated` $unsaturated^)? (`round` $round^)? "
                       "attr-dict `:` type($input)";
  let hasFolder = 1; // to the same type
}
def Tenon_BitCastOp : Tenon_ElementwiseOp<"bitcast", "adaptor.getTo()"> {
  let summary = "The same bits as another type of their width (ONNX BitCast)";
  let description = [{A bool has 8 bits here.}];
  let arguments = (ins Tenon_Tensor:$input, TypeAttr:$to);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$input `to` $to attr-dict `:` type($input)";
  let hasVerifier = 1; // equal widths
  let hasFolder = 1;   // to the same type
}

#endif // TENON_ELEMENTWISE_TD
