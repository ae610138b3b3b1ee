//===- TenonElementwise.td - bases of elementwise ops ------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// All broadcast as NumPy does. A result dim follows `broadcastDims`
// (TenonShape.h): equal texts are equal; where the relation of two dims is
// unknown the result is bcast(a,b) and a `tenon.check` guards it.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_ELEMENTWISE_TD
#define TENON_ELEMENTWISE_TD

include "dialects/Tenon/IR/TenonBase.td"

/// Marks ops that compute result[i] from operand[i] alone (after broadcast).
def Tenon_Elementwise : NativeOpTrait<"Elementwise"> {
  let cppNamespace = "::tenon::OpTrait";
}

/// lhs and rhs have one element type.
def SameTypeElements : PredOpTrait<"operands have one element type",
    CPred<"::mlir::getElementTypeOrSelf($_op.getOperand(0)) == "
          "::mlir::getElementTypeOrSelf($_op.getOperand(1))">>;

/// An elementwise op: the result has the broadcast dims of the operands and
/// `element` (C++, over `adaptor` and `operands`) as its element type.
class Tenon_ElementwiseOp<string mnemonic, string element = "operands.back()",
                          list<Trait> traits = []>
    : Tenon_PureOp<mnemonic, traits # [Tenon_Elementwise]> {
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::inferReturnTypes(
        ::mlir::MLIRContext *context, std::optional<::mlir::Location> location,
        Adaptor adaptor, ::llvm::SmallVectorImpl<::mlir::Type> &inferred) {
      ::mlir::ValueRange operands = adaptor.getOperands();
      return ::tenon::inferElementwise(getOperationName(), location, operands,
          ::mlir::getElementTypeOrSelf(}] # element # [{), inferred);
    }
    void $cppClass::recordChecks(::tenon::ShapeJoiner &joiner) {
      ::tenon::recordElementwise(*this, joiner);
    }
  }];
}

class Tenon_Unary<string mnemonic, string what, Type operand = Tenon_NumberTensor,
                  list<Trait> traits = []>
    : Tenon_ElementwiseOp<mnemonic, "operands.back()", traits> {
  let summary = what;
  let arguments = (ins operand:$input);
  let results = (outs operand:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

class Tenon_Binary<string mnemonic, string what, Type operand = Tenon_NumberTensor,
                   list<Trait> traits = []>
    : Tenon_ElementwiseOp<mnemonic, "operands.back()",
                          traits # [SameTypeElements]> {
  let summary = what;
  let arguments = (ins operand:$lhs, operand:$rhs);
  let results = (outs operand:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs)";
}

#endif // TENON_ELEMENTWISE_TD
