//===- TenonTilingBase.td - what tilings are ---------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TILINGBASE_TD
#define TENON_TILINGBASE_TD

include "dialects/Tenon/IR/TenonDialect.td"

def Tenon_TilingInterface : AttrInterface<"TilingInterface"> {
  let cppNamespace = "::tenon";
  let description = [{What every tiling has.}];
  let methods = [
    InterfaceMethod<"The family of targets that it is for: `cpu` or `gpu`.",
                    "::llvm::StringRef", "getFamily">,
    InterfaceMethod<"Fails, after an error of the tenon.kernel, where this is no tiling of its form.",
                    "::llvm::LogicalResult", "verifyFor", (ins "::mlir::Operation *":$kernel)>
  ];
}

class Tenon_GpuTiling<string name, string mnem>
    : Tenon_Attr<name, mnem, [Tenon_TilingInterface]> {
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    ::llvm::StringRef getFamily() const { return "gpu"; }
    ::llvm::LogicalResult verifyFor(::mlir::Operation *kernel) const;
  }];
}

#endif // TENON_TILINGBASE_TD
