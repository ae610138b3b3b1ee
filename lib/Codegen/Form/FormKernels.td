//===- FormKernels.td - the pass tenon-form-kernels --------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_FORMKERNELS_TD
#define TENON_CODEGEN_FORMKERNELS_TD

include "mlir/Pass/PassBase.td"

def FormKernelsPass : Pass<"tenon-form-kernels"> {
  let summary = "Group the graph's ops into kernels";
  let description = [{
    1. Every packed matmul, softmax and norm is the anchor of a kernel; the
       pointwise ops after it, as long as each is the only user and keeps the
       dims, are its epilogue. A matmul whose rows go through a softmax into
       another matmul forms one "attention" with it: scores never reach memory.
       Pointwise ops between the softmax and that matmul (a quantised model
       rounds its probabilities) are part of it too with `finished-rows`, and
       products of codes.
    2. Any other op is computed where it is used, unless that would repeat real
       work: several users, or a user that reads an element many times. A
       product of few columns computes an operation or two on its rows (the
       scale of squeezed channels) as it packs them. A map that gathers from a
       tensor along its rows alone (an image whose height is resized before its
       width) computes each row once, which never reaches memory.
       Neither does what comes together again in one map of the same rows, or
       of one (the places of samples of an image of one channel).
    3. What must reach memory is the root of a "map" kernel. A reshape of
       something in memory is an alias and costs nothing.

    ```mlir
    %0 = tenon.packed_matmul %x, %w columns "384" : ...
    %1 = tenon.add %0, %bias : ...
    // becomes
    %1 = tenon.kernel matmul(%x, %w, %bias) : ... { ... }
    ```
    A state that attention alone reads is kept in pages (tenon.store_pages): keys
    always, values where there is a `kv`. Where nothing but such
    attentions depends on how long the pasts are each sequence has a length of
    its own there (`ends` of tenon.load_pages).

    With `materialize-all` every op is a kernel of its own, for debugging.
  }];
  let options = [Option<"materializeAll", "materialize-all", "bool", "false",
                        "Store the result of every op">,
                 Option<"kv", "kv", "std::string", "\"\"",
                        "What states that attention reads hold, in pages: f32, "
                        "bf16, f16 or int8; empty: f32, values in rows">,
                 Option<"ragged", "ragged", "bool", "false",
                        "Refuse a model whose sequences cannot have lengths of "
                        "their own">,
                 Option<"prologueColumns", "prologue-columns", "int64_t", "128",
                        "Products by at most so many columns may compute their "
                        "rows">,
                 Option<"finishedRows", "finished-rows", "bool", "true",
                        "An attention may have products of codes, and "
                        "pointwise ops behind its softmax">,
                 Option<"gathersRows", "gathers-rows", "bool", "true",
                        "Maps may compute rows that they gather from">,
                 Option<"turnedTiles", "turned-tiles", "bool", "true",
                        "Convolutions of few terms may store their channels "
                        "first">,
                 Option<"widensImages", "widens-images", "bool", "true",
                        "Convolutions of channels alone may widen codes">];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_FORMKERNELS_TD
