//===- TenonLogic.td - bools, bits, comparisons ------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LOGIC_TD
#define TENON_LOGIC_TD

include "dialects/Tenon/IR/TenonElementwise.td"

def Tenon_NotOp : Tenon_Unary<"not", "Logical not (ONNX Not)", Tenon_BoolTensor> {
  let hasFolder = 1; // not(not(x))
}

def Tenon_BitNotOp : Tenon_Unary<"bit_not", "Bitwise not (ONNX BitwiseNot)", Tenon_IntTensor>;

class Tenon_FloatTest<string mnemonic, string what>
    : Tenon_ElementwiseOp<mnemonic, "::mlir::IntegerType::get(context, 1)"> {
  let summary = what;
  let arguments = (ins Tenon_FloatTensor:$input);
  let results = (outs Tenon_BoolTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

def Tenon_IsNanOp : Tenon_FloatTest<"is_nan", "Is x NaN? (ONNX IsNaN)">;
def Tenon_IsInfOp : Tenon_FloatTest<"is_inf", "Is x infinite? (ONNX IsInf, both signs)">;

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

#endif // TENON_LOGIC_TD
