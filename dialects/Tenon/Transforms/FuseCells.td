//===- FuseCells.td - the pass tenon-fuse-cells ------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_FUSECELLS_TD
#define TENON_TRANSFORMS_FUSECELLS_TD

include "dialects/Tenon/Transforms/GraphPass.td"

def FuseCellsPass : Tenon_GraphPass<"tenon-fuse-cells"> {
  let summary = "Recover recurrent layers from loops that spell their cell out";
  let description = [{
    A loop that hands on the states of an LSTM, GRU or plain recurrent cell and
    computes the next ones by the cell's formulas, however sums and products are
    spelled, in any order of its gates and by one product or several, with
    peepholes or without, is a tenon.recurrent. What its gates take from rows that
    the loop scans, from the first or from the last one on, is computed for all
    rows before it. A gate that is 1 minus another, or that keeps a gru's state as
    1 - z, is the activation of what is negated.

    ```mlir
    %0:2 = tenon.loop "loop"(%h) trips "5" : ... {
    ^bb0(%number: tensor<i64>, %before: tensor<1x8xf32>):
      %x = tenon.gather %rows, %number axis 0 : tensor<5x1x8xf32>, tensor<i64>
      %1 = tenon.matmul %before, %weight : tensor<1x8xf32>, tensor<8x8xf32>
      %2 = tenon.add %x, %1 : tensor<1x8xf32>, tensor<1x8xf32>
      %3 = tenon.tanh %2 : tensor<1x8xf32>
      tenon.yield %3, %3 : tensor<1x8xf32>, tensor<1x8xf32>
    }
    // becomes
    %0 = tenon.recurrent rnn %rows, %w units 8 : tensor<5x1x8xf32>, tensor<1x8x8xf32>
    ```

    A product of a scanned row and a state that are joined is two. Of any other loop
    products of a scanned row by a matrix that iterations do
    not change are one product of all rows before the loop. So they are where a
    weight of one cell is too large for a core's cache, so that all threads share
    the product of each step.
  }];
  let statistics = [
    Statistic<"numCells", "cells", "Loops that are recurrent layers">,
    Statistic<"numProducts", "products", "Products moved before a loop">];
}

#endif // TENON_TRANSFORMS_FUSECELLS_TD
