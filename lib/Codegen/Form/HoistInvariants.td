//===- HoistInvariants.td - the pass tenon-hoist-invariants -*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_HOISTINVARIANTS_TD
#define TENON_CODEGEN_HOISTINVARIANTS_TD

include "mlir/Pass/PassBase.td"

def HoistInvariantsPass : Pass<"tenon-hoist-invariants"> {
  let summary = "Compute before a loop what its iterations do not change";
  let description = [{
    An op of a tenon.loop's body that reads nothing of the iteration is moved
    before the loop if it computes: a product, the packing of its right operand,
    a reduction, a norm, arithmetic on as many elements as it reads. So is what
    such an op reads. What only moves elements stays, where it is computed as it
    is read; so does a single number, and what may end the run with an error
    (an index out of range) that no iteration might reach.

    ```mlir
    %0:2 = tenon.loop "loop"(%h) trips "n" : ... {
    ^bb0(%number: tensor<i64>, %before: tensor<1x8xf32>):
      %w = tenon.pack_b %weight : tensor<8x8xf32>
      %1 = tenon.packed_matmul %before, %w columns "8" : ...
      tenon.yield %1, %1 : ...
    }
    // becomes
    %w = tenon.pack_b %weight : tensor<8x8xf32>
    %0:2 = tenon.loop "loop"(%h) trips "n" : ... {
    ^bb0(%number: tensor<i64>, %before: tensor<1x8xf32>):
      %1 = tenon.packed_matmul %before, %w columns "8" : ...
      tenon.yield %1, %1 : ...
    }
    ```
  }];
  let statistics = [Statistic<"numHoisted", "hoisted", "Ops moved before a loop">];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_HOISTINVARIANTS_TD
