//===- TenonContract.td - matrix products ------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CONTRACT_TD
#define TENON_CONTRACT_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_NarrowFloatTensor : Tenon_TensorOf<[F32, F16, BF16], "f32, f16 or bf16">;

def Tenon_LinearAttentionOp : Tenon_PureOp<"linear_attention",
    [AttrSizedOperandSegments, Tenon_FusesAs<"Own", "true">]> {
  let summary = "Recurrence of linear attention, state and outputs in one result (ONNX LinearAttention, opset 27)";
  let description = [{
    query is [B, T, H, G, dk] (G queries share a state), key [B, T, H, dk] and
    value [B, T, H, dv]. A state S of [dk, dv] per batch and head starts as
    `state` [B, H, dk, dv], or 0. For each t:

    ```
    S *= decay[b, t, h, :] in each row            where there is a decay
    v  = value[b, t, h, :]
    v  = beta[b, t, h, 0] * (v - key . S)         where there is a beta
    S += outer(key[b, t, h, :], v)
    o[g] = query[b, t, h, g, :] . S               for each g
    ```

    decay is [B, T, H, dk or 1] and beta [B, T, H or 1, 1]. The result is
    [B, H, dk + T*G, dv]: the rows of the last state, then o of each t and g.
    It is computed and stored in f32.
  }];
  let arguments = (ins Tenon_NarrowFloatTensor:$query, Tenon_NarrowFloatTensor:$key,
                       Tenon_NarrowFloatTensor:$value, Optional<Tenon_NarrowFloatTensor>:$state,
                       Optional<Tenon_NarrowFloatTensor>:$decay,
                       Optional<Tenon_NarrowFloatTensor>:$beta);
  let results = (outs Tenon_TensorOf<[F32], "f32">:$result);
  let assemblyFormat = "$query `,` $key `,` $value (`state` $state^)? (`decay` $decay^)? (`beta` $beta^)? "
                       "attr-dict `:` type($query) `,` type($key) `,` type($value) "
                       "(`state` type($state)^)? (`decay` type($decay)^)? (`beta` type($beta)^)?";
}

def Tenon_CellKind : Tenon_I32Enum<"CellKind", "cell of a recurrent layer", [
    I32EnumAttrCase<"lstm", 0>, I32EnumAttrCase<"gru", 1>, I32EnumAttrCase<"rnn", 2>]>;
def Tenon_CellKindAttr : Tenon_EnumAttr<Tenon_CellKind, "cell_kind">;
def Tenon_F32Tensor : Tenon_TensorOf<[F32], "f32">;
def Tenon_StateWeightTensor : Tenon_TensorOf<[F32, I8, UI8], "f32, i8 or ui8">;
def Tenon_ColumnSumsTensor : Tenon_TensorOf<[I32], "i32">;
// That of TenonFormat.td, whose class is no part of TenonDialect.h.
def Tenon_StateFormatAttr : Attr<CPred<"::llvm::isa<::tenon::FormatAttr>($_self)">, "a format"> {
  let storageType = "::tenon::FormatAttr";
  let returnType = "::tenon::FormatAttr";
  let convertFromStorage = "$_self";
}
def Tenon_ZeroPointTensor : Tenon_TensorOf<[I8, UI8], "i8 or ui8">;
def Tenon_RecurrentOp : Tenon_PureOp<"recurrent",
    [AttrSizedOperandSegments, Tenon_FusesAs<"Own", "", "operand == 1">]> {
  let summary = "All steps of a recurrent layer, of one direction or two (ONNX LSTM, GRU, RNN, DynamicQuantizeLSTM)";
  let description = [{
    `inputs` [T, B, D*G*H] is what the gates take from the layer's input, for each
    of D directions G gates of H units; `weight` [D, G*H, H], or its panels
    [D, ceil(G*H/32), H, 32], is multiplied with the state before the step, and
    `bias` [D, G*H] added to that:

    ```
    g = h . transposed(weight[d]) + bias[d],   x = inputs[t]
    lstm: i, o, f = sigmoid(x + g);  c = f*c + i*tanh(x + g);  h = o*tanh(c)
    gru:  z, r = sigmoid(x + g);  h = (1 - z)*tanh(x + r*g) + z*h
    rnn:  h = tanh(x + g)
    ```

    `activations` names other functions than these, in this order: of an lstm's
    gates, its candidate and its cell, a gru's gates and candidate, an rnn's state.
    `parameters` has two numbers for each, a and b:

    ```
    affine  a*x + b                        elu               x < 0: a*(exp(x) - 1)
    relu    max(x, 0)                      leaky_relu        x < 0: a*x
    softplus  log(exp(x) + 1)              thresholded_relu  x <= a: 0
    softsign  x / (1 + abs(x))             hard_sigmoid      min(max(a*x + b, 0), 1)
    sigmoid, tanh                          scaled_tanh       a*tanh(b*x)
    ```

    Gate i of those that weight, bias and inputs have, in the order i, o, f and
    candidate, or z, r and candidate, has columns from `order`[i]*H on; without an
    order from i*H on. `clip` bounds what activations take, but the cell. `peephole` [D, 3*H] times c is added
    to i and f before the step, to o behind it, in the order i, o, f. A `coupled`
    lstm forgets 1 - i. With `resets_first` a gru's candidate takes the product of
    r*h in place of r times that of h.

    A weight of integers is [D, H, G*H], less `zero`, times `scale`, both [D, G*H]
    or [D, 1]. What it multiplies is the state of all sequences as a step finds it,
    quantised to 8 bits over its range (ONNX DynamicQuantizeLinear). With a `format`
    the weight is tenon.pack_weight's panels of i8, those of a direction behind
    those of the other, and `sums` [D, G*H] is what each of its columns adds up to.

    The states start as `hidden` and, of an lstm, `cell`, both [D, B, H], or 0.
    The second direction, or the only one if it is `backward`, walks the steps from
    the last to the first. Past `lengths` [B] a sequence keeps its state and gives
    0. The result is [K + T, D, B, H]: the last states, K of them (h and, of an
    lstm, c), then h of each step. Tasks are directions and a few sequences, of
    quantised ones all.
  }];
  let arguments = (ins Tenon_F32Tensor:$inputs, Tenon_StateWeightTensor:$weight, Optional<Tenon_F32Tensor>:$bias,
                       Optional<Tenon_F32Tensor>:$hidden, Optional<Tenon_F32Tensor>:$cell,
                       Optional<Tenon_TensorOf<[I64], "i64">>:$lengths,
                       Optional<Tenon_F32Tensor>:$peephole, Optional<Tenon_F32Tensor>:$scale,
                       Optional<Tenon_ZeroPointTensor>:$zero, Optional<Tenon_ColumnSumsTensor>:$sums,
                       Tenon_CellKindAttr:$kind, I64Attr:$units, UnitAttr:$backward,
                       UnitAttr:$coupled, UnitAttr:$resets_first, OptionalAttr<F64Attr>:$clip,
                       OptionalAttr<StrArrayAttr>:$activations,
                       OptionalAttr<DenseF64ArrayAttr>:$parameters,
                       OptionalAttr<DenseI64ArrayAttr>:$order,
                       OptionalAttr<Tenon_StateFormatAttr>:$format);
  let results = (outs Tenon_F32Tensor:$result);
  let assemblyFormat = "$kind $inputs `,` $weight (`bias` $bias^)? (`hidden` $hidden^)? (`cell` $cell^)? "
                       "(`lengths` $lengths^)? (`peephole` $peephole^)? (`scale` $scale^)? (`zero` $zero^)? "
                       "(`sums` $sums^)? `units` $units (`backward` $backward^)? (`coupled` $coupled^)? "
                       "(`resets_first` $resets_first^)? (`clip` $clip^)? (`activations` $activations^)? "
                       "(`parameters` $parameters^)? (`order` $order^)? (`as` $format^)? attr-dict "
                       "`:` type($inputs) `,` type($weight) (`bias` type($bias)^)? "
                       "(`hidden` type($hidden)^)? (`cell` type($cell)^)? (`lengths` type($lengths)^)? "
                       "(`peephole` type($peephole)^)? (`scale` type($scale)^)? (`zero` type($zero)^)? "
                       "(`sums` type($sums)^)?";
  let hasVerifier = 1; // the attributes, the weight's type
  let extraClassDeclaration = [{
    int64_t getNumGates() {
      return getKind() == CellKind::lstm ? 4 : getKind() == CellKind::gru ? 3 : 1;
    }
    /// Rows of the result before those of the steps.
    int64_t getNumStates() { return getKind() == CellKind::lstm ? 2 : 1; }
    int64_t getNumActivations() {
      return getKind() == CellKind::lstm ? 3 : getKind() == CellKind::gru ? 2 : 1;
    }
    /// Panels of 32 columns that a direction's gates are.
    int64_t getNumPanels();
    /// Where gate `i` stands among the columns.
    int64_t getPlace(int64_t i) { return getOrder() ? (*getOrder())[i] : i; }
    /// The name of activation `i`, and its parameters.
    ::llvm::StringRef getActivation(size_t i);
    std::pair<double, double> getParametersOf(size_t i);
  }];
}

def Tenon_MatMulOp : Tenon_PureOp<"matmul", [Tenon_FusesAs<"Loop", "true">]> {
  let summary = "Matrix product of the last two dims, the others broadcast (ONNX MatMul, Gemm without its bias)";
  let description = [{
    Both operands have rank >= 2 (the importer adds and removes unit dims).
    `transposeA`/`transposeB` read the last two dims swapped.
  }];
  let arguments = (ins Tenon_NumberTensor:$lhs, Tenon_NumberTensor:$rhs,
                       UnitAttr:$transposeA, UnitAttr:$transposeB);
  let results = (outs Tenon_NumberTensor:$result);
  let assemblyFormat = "$lhs (`transposed` $transposeA^)? `,` $rhs (`transposed` $transposeB^)? "
                       "attr-dict `:` type($lhs) `,` type($rhs)";
  let hasVerifier = 1;
  let hasCanonicalizer = 1; // absorbs tenon.transpose of the last two dims
}

def Tenon_ConvOp : Tenon_PureOp<"conv"> {
  let summary = "Convolution over the spatial dims of [N, C, spatial...] (ONNX Conv)";
  let description = [{
    weight is [Cout, Cin/group, kernel...]; `pads` are low ends then high ends;
    output dim = floordiv(in + low + high - dilation*(k-1) - 1, stride) + 1.
  }];
  let arguments = (ins Tenon_FloatTensor:$input, Tenon_FloatTensor:$weight,
                       DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads,
                       DenseI64ArrayAttr:$dilations, I64Attr:$group);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input `,` $weight `strides` $strides `pads` $pads `dilations` $dilations "
                       "`group` $group attr-dict `:` type($input) `,` type($weight)";
  let hasVerifier = 1;
}

#endif // TENON_CONTRACT_TD
