//===- TenonCast.td - one element type as another ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CAST_TD
#define TENON_CAST_TD

include "dialects/Tenon/IR/TenonElementwise.td"

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

def Tenon_RoundToOp : Tenon_ElementwiseOp<"round_to"> {
  let summary = "The nearest number of a float type of 16 bits, as f32";
  let description = [{
    Ties go to even. Where `to` is bf16 a denormal becomes zero, as what multiplies
    bf16 takes it. A product whose format says what its rows are (`by bf16`) reads
    such numbers.
  }];
  let arguments = (ins Tenon_TensorOf<[F32], "f32">:$input,
                       TypeAttrOf<AnyTypeOf<[F16, BF16]>>:$to);
  let results = (outs Tenon_TensorOf<[F32], "f32">:$result);
  let assemblyFormat = "$input `to` $to attr-dict `:` type($input)";
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

def Tenon_ByteCodeTensor : Tenon_TensorOf<[I8, UI8], "codes of 8 bits">;
def Tenon_LookUpOp : Tenon_ElementwiseOp<"look_up", "adaptor.getTo()", [Tenon_FusionCost<8>]> {
  let summary = "Of each code of 8 bits what a table of 256 has for its bits";
  let description = [{
    tenon-pack-matmul makes it of what is computed of codes alone, an activation
    between a dequantisation and a quantisation for one.
  }];
  let arguments = (ins Tenon_ByteCodeTensor:$input, DenseI8ArrayAttr:$table, TypeAttr:$to);
  let results = (outs Tenon_ByteCodeTensor:$result);
  let assemblyFormat = "$input `in` $table `to` $to attr-dict `:` type($input)";
  let hasVerifier = 1; // 256 codes
}

def Tenon_UnpackOp : Tenon_PureOp<"unpack", [Tenon_FusionCost<2>]> {
  let summary = "`size` numbers of 2 or 4 bits from bytes, the lowest bits first (ONNX's raw data)";
  let arguments = (ins Tenon_ByteTensor:$input, StrAttr:$size, TypeAttr:$elementType);
  let results = (outs Tenon_PackedTensor:$result);
  let assemblyFormat = "$input `size` $size `to` $elementType attr-dict `:` type($input)";
}

def Tenon_PackOp : Tenon_PureOp<"pack", [Tenon_FusionCost<2>]> {
  let summary = "Bytes of numbers of 2 or 4 bits, the lowest bits first; the last is filled up with zeros";
  let arguments = (ins Tenon_PackedTensor:$input);
  let results = (outs Tenon_ByteTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasFolder = 1; // of an unpack
}

#endif // TENON_CAST_TD
