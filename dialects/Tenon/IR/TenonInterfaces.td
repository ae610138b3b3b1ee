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

def Tenon_FusionInterface : OpInterface<"FusionInterface"> {
  let cppNamespace = "::tenon";
  let description = [{
    What forming kernels asks of an op that computes tensors
    (lib/Codegen/Form/FormKernels.cpp). Tenon_FusesAs says other than what is
    assumed here. An op without the interface reads its operands from memory.
  }];
  let methods = [
    InterfaceMethod<"Where the op is computed.",
                    "::tenon::FusionRole", "getFusionRole", (ins), "", [{
        return ConcreteOp::template hasTrait<::tenon::OpTrait::Elementwise>()
                   ? ::tenon::FusionRole::Elementwise
                   : ::tenon::FusionRole::Moving;
      }]>,
    InterfaceMethod<"Rough arithmetic per element, 0 for what only moves.",
                    "unsigned", "getFusionCost", (ins), "", [{
        return ConcreteOp::template hasTrait<::tenon::OpTrait::Elementwise>();
      }]>,
    InterfaceMethod<"Is some element of the operand read more than once?",
                    "bool", "rereads", (ins "unsigned":$operand), "", [{
        return ConcreteOp::template hasTrait<::tenon::OpTrait::Elementwise>() &&
               ::tenon::isBroadcast($_op, operand);
      }]>,
    InterfaceMethod<"Is the operand read from memory alone?",
                    "bool", "readsMemory", (ins "unsigned":$operand), "", [{
        return $_op.getFusionRole() == ::tenon::FusionRole::Native;
      }]>
  ];
}

/// Overrides of the fusion interface, in C++: a FusionRole, the cost of an
/// element, and whether operand number `operand` is read more than once or from
/// memory alone.
class Tenon_FusesAs<string role, string rereads = "", string readsMemory = "">
    : NativeOpTrait<"Fuses", [], [{
        ::tenon::FusionRole getFusionRole() {
          return ::tenon::FusionRole::}] # role # [{;
        }
      }] # !if(!empty(rereads), "", "bool rereads(unsigned operand) { return "
                                    # rereads # "; }\n")
         # !if(!empty(readsMemory), "",
               "bool readsMemory(unsigned operand) { return " # readsMemory
               # "; }\n")> {
  let cppNamespace = "::tenon::OpTrait";
}
class Tenon_FusionCost<int cost>
    : NativeOpTrait<"Costs", [], "unsigned getFusionCost() { return " # cost
                                 # "; }\n"> {
  let cppNamespace = "::tenon::OpTrait";
}

#endif // TENON_INTERFACES_TD
