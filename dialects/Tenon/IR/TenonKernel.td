//===- TenonKernel.td - fused groups -----------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_KERNEL_TD
#define TENON_KERNEL_TD

include "dialects/Tenon/IR/TenonBase.td"
include "dialects/Tenon/IR/TenonTiling.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

/// An attribute of TenonTiling.td.
def Tenon_AnyTiling : Attr<CPred<"::llvm::isa<::tenon::TilingInterface>($_self)">, "a tiling"> {
  let storageType = "::tenon::TilingInterface";
  let returnType = "::tenon::TilingInterface";
  let convertFromStorage = "$_self";
}

def Tenon_KernelOp : Tenon_Op<"kernel", [Pure, IsolatedFromAbove,
    SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "Ops that become one compiled kernel";
  let description = [{
    The operands are tensors in memory; what the region computes between them
    and the yielded values never reaches memory. Kernels that print alike are
    emitted once.

    `kind` names the emitter. It follows from what the region holds: `matmul`
    (one packed_matmul), `row` (a softmax or a norm: a row at a time),
    `depthwise` and `attention` (packed_matmul, softmax, packed_matmul) are
    around an anchor, with what leads to it and what comes after. `scan`
    (cumulate), `scatter` (and append), `top_k`, `recurrence`
    (linear_attention) and `native` (a function of the
    runtime) are of the op that the region ends with. A `map` is one loop nest
    over anything else.

    `tiling` says how the work is cut into tasks; tenon-tile writes it.

    ```
    %0 = tenon.kernel map (%x) : (tensor<8xf32>) -> tensor<8xf32> tiling #tenon.cpu_elements<chunk = 1024> { ... }
    ```
  }];
  let arguments = (ins Variadic<Tenon_Tensor>:$inputs, Tenon_KernelKindAttr:$kind,
                       OptionalAttr<Tenon_AnyTiling>:$tiling);
  let results = (outs Variadic<Tenon_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  // The tiling stands behind the type: after an attribute a colon is its own.
  let assemblyFormat = "$kind `(` $inputs `)` attr-dict `:` "
                       "functional-type($inputs, $results) (`tiling` $tiling^)? $body";
  let builders = [OpBuilder<(ins "::mlir::TypeRange":$results, "::mlir::ValueRange":$inputs,
                                 "::tenon::KernelKind":$kind),
                  [{ build($_builder, $_state, results, inputs, kind, ::tenon::TilingInterface()); }]>];
  let extraClassDeclaration = [{
    /// The op whose result is stored; null for a copy.
    ::mlir::Operation *getRoot();
    /// The kind that follows from what a region holds; nullopt: none.
    static std::optional<::tenon::KernelKind> kindOf(::mlir::Block &body);
  }];
  let hasVerifier = 1; // types of the region; kind and tiling fit what it holds
}

def Tenon_YieldOp : Tenon_Op<"yield", [Pure, Terminator, ParentOneOf<["KernelOp", "LoopOp"]>]> {
  let summary = "Ends a kernel or a loop's iteration with the values that reach memory";
  let arguments = (ins Variadic<Tenon_Tensor>:$values);
  let builders = [OpBuilder<(ins), [{ /* yields nothing */ }]>];
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}

#endif // TENON_KERNEL_TD
