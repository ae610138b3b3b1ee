//===- FindState.td - the pass tenon-find-state ------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_FINDSTATE_TD
#define TENON_TRANSFORMS_FINDSTATE_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def FindStatePass : Tenon_GraphPass<"tenon-find-state"> {
  let summary = "Find pasts and presents that may share their memory";
  let description = [{
    A *state* is an input of @main (a past) and a result (its present) that
    holds the same rows and a few new ones. Where a `tenon.concat` joins the two,
    it becomes a `tenon.append` to memory with room for more rows,
    `state.capacity` of them, of which the users of the present read the first;
    an append or a scatter into a buffer stays what it is. Both are told by
    `carried` when the old rows lie there already. Of a model whose numbers are f16
    but for pasts and presents the casts between them move to the fresh rows and to
    the readers of all.

    An input that has another value of the same size among the results (what is
    left of it by moving elements, the last state of a layer that went from step
    to step, or what is called alike) is *replaced*: nothing of the graph changes,
    since a run writes beside what it reads.

    The past's argument gets `tenon.state`: its result, the axis along which
    rows are added, and of one that grows the symbol of its capacity and how long
    the present is without one; or that it is replaced and, of a window that
    fills, its axis and most rows. An argument that looks like a past, but is none,
    gets `tenon.stateless`, the reason, which is a remark as well. All rows lie
    at one distance: dims other than the first and the axis must be static.

    What the model counts from the length of pasts that grow, its positions,
    counts from that of each sequence (`tenon.stored_rows`): these may be
    unequal where tenon-form-kernels finds that nothing else depends on them.

    ```mlir
    func.func @main(%past: tensor<?x4x?x8xf32, #tenon.dims<"b", "4", "past", "8">>,
                    %k: tensor<?x4x?x8xf32, #tenon.dims<"b", "4", "seq", "8">>) -> ... {
      %present = tenon.concat %past, %k axis 2 : ...
    // becomes
    func.func @main(%past: ... {tenon.state = {axis = 2 : i64, output = 0 : i64,
                                capacity = "state.capacity", length = "past + seq"}}, ...
      %rows = tenon.iota "past" step "1" size "seq" : i64
      %0 = tenon.reshape %rows to <"1", "seq"> : ...
      %present = tenon.append %past, %k at %0 axis 2 to "state.capacity" {carried = "state.carried"} : ...
    ```
  }];
}

#endif // TENON_TRANSFORMS_FINDSTATE_TD
