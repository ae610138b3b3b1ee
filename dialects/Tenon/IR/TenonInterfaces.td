//===- TenonInterfaces.td - what passes ask of any op ------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_INTERFACES_TD
#define TENON_INTERFACES_TD

include "mlir/IR/OpBase.td"

def Tenon_InferDimsInterface : OpInterface<"InferDimsInterface"> {
  let cppNamespace = "::tenon";
  let description = [{
    Ops whose result's dims are inferred from their operands'. An op that leaves
    the method out does not link: one that states no check by oversight would
    read out of bounds.
  }];
  let methods = [
    InterfaceMethod<"Records the relations of dims that the result's type relies on.",
                    "void", "recordChecks", (ins "::tenon::ShapeJoiner &":$joiner)>
  ];
}

#endif // TENON_INTERFACES_TD
