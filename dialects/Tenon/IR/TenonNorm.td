//===- TenonNorm.td - softmax and norms --------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_NORM_TD
#define TENON_NORM_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_SoftmaxOp : Tenon_PureOp<"softmax", [Tenon_FusesAs<"Anchor">]> {
  let summary = "exp(x - max) / sum over the last dim (ONNX Softmax, LogSoftmax)";
  let description = [{
    The importer transposes so that the axis is the last dim. With `guard` a
    result that is NaN becomes 0: the exact meaning of the exporters'
    Softmax -> IsNaN -> Where(…, 0, softmax). With `log` the result is the
    logarithm, computed as x - max - log(sum).
  }];
  let arguments = (ins Tenon_FloatTensor:$input, UnitAttr:$guard, UnitAttr:$log);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input (`guard` $guard^)? (`log` $log^)? attr-dict `:` type($input)";
}

def Tenon_LayerNormOp : Tenon_PureOp<"layer_norm",
    [AttrSizedOperandSegments, Tenon_FusesAs<"Anchor", "operand > 0">]> {
  let summary = "(x - mean) / sqrt(var + epsilon) * scale + bias over the last `dims` dims (ONNX LayerNormalization, opset 17)";
  let description = [{
    scale and bias have the normalised dims. The variance is the biased one,
    computed from the differences to the mean (two passes).
  }];
  let arguments = (ins Tenon_FloatTensor:$input, Optional<Tenon_FloatTensor>:$scale,
                       Optional<Tenon_FloatTensor>:$bias, F64Attr:$epsilon, I64Attr:$dims);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input (`scale` $scale^)? (`bias` $bias^)? `epsilon` $epsilon `dims` $dims "
                       "attr-dict `:` type($input) (`,` type($scale)^)? (`,` type($bias)^)?";
  let hasVerifier = 1;
}

def Tenon_RmsNormOp : Tenon_PureOp<"rms_norm", [Tenon_FusesAs<"Anchor", "operand > 0">]> {
  let summary = "x / sqrt(mean(x^2) + epsilon) * scale over the last `dims` dims (ONNX RMSNormalization, opset 23)";
  let arguments = (ins Tenon_FloatTensor:$input, Optional<Tenon_FloatTensor>:$scale,
                       F64Attr:$epsilon, I64Attr:$dims);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input (`scale` $scale^)? `epsilon` $epsilon `dims` $dims "
                       "attr-dict `:` type($input) (`,` type($scale)^)?";
  let hasVerifier = 1;
}

#endif // TENON_NORM_TD
