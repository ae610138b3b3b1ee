//===- TenonDialect.td - the dialect, bases of attributes --*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_DIALECT_TD
#define TENON_DIALECT_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"

def Tenon_Dialect : Dialect {
  let name = "tenon";
  let cppNamespace = "::tenon";
  let summary = "What a transformer graph means, with dims kept by name";
  let description = [{
    Value-semantics ops on ranked tensors, one op per meaning that a pass needs
    to see whole. Dims that are only known at run time keep their name in the
    tensor's encoding:

    ```mlir
    tensor<?x?x384xf32, #tenon.dims<"batch", "seq", "384">>
    ```

    Integers: `iN` is signed, `uiN` unsigned, `i1` a bool (one byte in memory).

    Storage types: `i4`, `ui4`, `i2`, `ui2` and the floats of 8 and 4 bits are
    moved, selected and converted, but nothing computes in them. An element
    takes one byte in memory; only inputs, outputs and large weights are packed,
    as bytes (`ui8`) that `tenon.unpack` reads and `tenon.pack` makes.
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let extraClassDeclaration = [{
  private:
    // One per group of ops, beside the group's generated definitions.
    void addArithOps();
    void addMathOps();
    void addLogicOps();
    void addCastOps();
    void addValueOps();
    void addViewOps();
    void addGatherOps();
    void addReduceOps();
    void addNormOps();
    void addContractOps();
    void addControlOps();
    void addKernelOps();
    void addPackedOps();
  }];
}

class Tenon_Attr<string name, string mnem, list<Trait> traits = []>
    : AttrDef<Tenon_Dialect, name, traits> {
  let mnemonic = mnem;
}

class Tenon_I32Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::tenon";
  let genSpecializedAttr = 0;
}
class Tenon_EnumAttr<EnumInfo info, string mnem>
    : EnumAttr<Tenon_Dialect, info, mnem> {
  let assemblyFormat = "$value";
}

#endif // TENON_DIALECT_TD
