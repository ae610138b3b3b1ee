//===- SelectRows.td - the pass tenon-select-rows ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_SELECTROWS_TD
#define TENON_TRANSFORMS_SELECTROWS_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def SelectRowsPass : Tenon_GraphPass<"tenon-select-rows"> {
  let summary = "Compute outputs for the rows alone that an input names, or for the last";
  let description = [{
    In a ragged run the first dim counts tokens, of which few have an output that
    somebody reads: the last of each sequence. @main gets an input `output_rows`,
    i64, and its results that have the first dim of pasts that grow, but for
    presents, have the rows that it names. What is computed row by row, a head
    and the norm before it, is computed for these alone.

    With `last` the rows are the tokens that a run adds to each sequence, the dim
    that is written into pasts beside their own dims; results that have it, but
    for presents, have the last one alone, and no input names it. A model whose
    results have no such dim is refused.

    What stands against a selection further up is a remark.

    Behind tenon-find-state, which says what is a past.

    ```mlir
    %y = tenon.matmul %x, %head : ...
    return %y, %present
    // becomes
    %few = tenon.gather %x, %output_rows axis 0 : ...
    %y = tenon.matmul %few, %head : ...
    return %y, %present
    ```
  }];
  let options = [
    Option<"last", "last", "bool", "false",
           "Outputs of the last new token of each sequence">
  ];
}

#endif // TENON_TRANSFORMS_SELECTROWS_TD
