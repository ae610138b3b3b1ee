//===- TenonKernel.td - fused groups -----------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_KERNEL_TD
#define TENON_KERNEL_TD

include "dialects/Tenon/IR/TenonBase.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

def Tenon_KernelOp : Tenon_Op<"kernel", [Pure, IsolatedFromAbove,
    SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "Ops that become one compiled kernel";
  let description = [{
    The operands are tensors in memory; what the region computes between them
    and the yielded values never reaches memory. `kind` names the emitter:
    "map" (one loop nest), "row" (softmax, norms: a row at a time), "matmul", "attention" (matmul,
    softmax, matmul), "scan" (cumulate), "scatter", "top_k", "recurrence" (linear_attention).
    `anchor`-typed ops appear once in the region; the ops before it are its
    prologue, the ops after it its epilogue. Kernels that print alike are
    emitted once.
  }];
  let arguments = (ins Variadic<Tenon_Tensor>:$inputs, StrAttr:$kind);
  let results = (outs Variadic<Tenon_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$kind `(` $inputs `)` attr-dict `:` functional-type($inputs, $results) $body";
  let hasVerifier = 1; // block arguments and yielded values match the types
}

def Tenon_YieldOp : Tenon_Op<"yield", [Pure, Terminator, ParentOneOf<["KernelOp", "LoopOp"]>]> {
  let summary = "Ends a kernel or a loop's iteration with the values that reach memory";
  let arguments = (ins Variadic<Tenon_Tensor>:$values);
  let builders = [OpBuilder<(ins), [{ /* yields nothing */ }]>];
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}

def Tenon_Im2ColOp : Tenon_PureOp<"im2col"> {
  let summary = "Patches of a convolution as rows: [N, out positions, C*kernel]";
  let description = [{
    result[n, o, c*prod(kernel) + k] = input[n, c, position(o)*stride - pad + k*dilation],
    0 outside. With `channels_last` the channels come last, in the input as in
    the patch: result[n, o, k*C + c] = input[n, position(o)*stride - pad + k*dilation, c].
    Made by tenon-lower-conv; fused into the matmul that follows, unless the
    input is computed as well.
  }];
  let arguments = (ins Tenon_FloatTensor:$input, DenseI64ArrayAttr:$kernel,
                       DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads,
                       DenseI64ArrayAttr:$dilations, UnitAttr:$channels_last);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input `kernel` $kernel `strides` $strides `pads` $pads "
                       "`dilations` $dilations (`channels_last` $channels_last^)? "
                       "attr-dict `:` type($input)";
}

def Tenon_PackBOp : Tenon_PureOp<"pack_b"> {
  let summary = "A matmul's right operand in panels of 32 columns: [..., ceil(N/32), K, 32]";
  let description = [{
    result[..., p, k, n] = input[..., k, 32 p + n], 0 past the last column; with
    `transposed` the input is [..., N, K]. One layout serves every instruction
    set. Of a constant it costs nothing at run time: the weight is stored so.
  }];
  let arguments = (ins Tenon_FloatTensor:$input, UnitAttr:$transposed);
  let results = (outs Tenon_FloatTensor:$result); // always f32
  let assemblyFormat = "$input (`transposed` $transposed^)? attr-dict `:` type($input)";
}

def Tenon_PackedMatMulOp : Tenon_PureOp<"packed_matmul"> {
  let summary = "lhs [..., M, K] times a tenon.pack_b'd right operand of `n` columns";
  let description = [{
    result is [..., M, n]; the dims before M and before the panels broadcast.
  }];
  let arguments = (ins Tenon_FloatTensor:$lhs, Tenon_FloatTensor:$packed, StrAttr:$n);
  let results = (outs Tenon_FloatTensor:$result); // lhs' element type
  let assemblyFormat = "$lhs `,` $packed `columns` $n attr-dict `:` type($lhs) `,` type($packed)";
}

#endif // TENON_KERNEL_TD
