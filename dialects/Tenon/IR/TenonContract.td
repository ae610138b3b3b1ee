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
def Tenon_RecurrentOp : Tenon_PureOp<"recurrent",
    [AttrSizedOperandSegments, Tenon_FusesAs<"Own", "", "operand == 1">]> {
  let summary = "All steps of a recurrent layer, of one direction or two (ONNX LSTM, GRU, RNN)";
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

    The states start as `hidden` and, of an lstm, `cell`, both [D, B, H], or 0.
    The second direction, or the only one if it is `backward`, walks the steps from
    the last to the first. Past `lengths` [B] a sequence keeps its state and gives
    0. The result is [K + T, D, B, H]: the last states, K of them (h and, of an
    lstm, c), then h of each step. Tasks are directions and a few sequences.
  }];
  let arguments = (ins Tenon_F32Tensor:$inputs, Tenon_F32Tensor:$weight, Optional<Tenon_F32Tensor>:$bias,
                       Optional<Tenon_F32Tensor>:$hidden, Optional<Tenon_F32Tensor>:$cell,
                       Optional<Tenon_TensorOf<[I64], "i64">>:$lengths,
                       Tenon_CellKindAttr:$kind, I64Attr:$units, UnitAttr:$backward);
  let results = (outs Tenon_F32Tensor:$result);
  let assemblyFormat = "$kind $inputs `,` $weight (`bias` $bias^)? (`hidden` $hidden^)? (`cell` $cell^)? "
                       "(`lengths` $lengths^)? `units` $units (`backward` $backward^)? attr-dict "
                       "`:` type($inputs) `,` type($weight) (`bias` type($bias)^)? "
                       "(`hidden` type($hidden)^)? (`cell` type($cell)^)? (`lengths` type($lengths)^)?";
  let extraClassDeclaration = [{
    int64_t getNumGates() {
      return getKind() == CellKind::lstm ? 4 : getKind() == CellKind::gru ? 3 : 1;
    }
    /// Rows of the result before those of the steps.
    int64_t getNumStates() { return getKind() == CellKind::lstm ? 2 : 1; }
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
