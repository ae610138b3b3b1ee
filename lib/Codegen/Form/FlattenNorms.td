//===- FlattenNorms.td - the pass tenon-flatten-norms ------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_FLATTENNORMS_TD
#define TENON_CODEGEN_FLATTENNORMS_TD

include "mlir/Pass/PassBase.td"

def FlattenNormsPass : Pass<"tenon-flatten-norms"> {
  let summary = "Make every norm one over the last dim";
  let description = [{
    A norm over several dims becomes one over their product, between two
    reshapes: a kernel's row is then always one dim.
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_FLATTENNORMS_TD
