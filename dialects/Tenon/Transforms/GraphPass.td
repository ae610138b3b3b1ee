//===- GraphPass.td - what graph passes share --------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_GRAPHPASS_TD
#define TENON_TRANSFORMS_GRAPHPASS_TD

include "mlir/Pass/PassBase.td"

class Tenon_GraphPass<string name> : Pass<name, "::mlir::func::FuncOp"> {
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_TRANSFORMS_GRAPHPASS_TD
