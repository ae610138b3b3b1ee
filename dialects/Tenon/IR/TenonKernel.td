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

#endif // TENON_KERNEL_TD
