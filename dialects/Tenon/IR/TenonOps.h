//===- TenonOps.h - the tenon ops -------------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONOPS_H
#define TENON_IR_TENONOPS_H

#include "dialects/Tenon/IR/TenonDialect.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "tenon/Support/SmallFloat.h"
#include "llvm/ADT/StringSet.h"

namespace tenon {

namespace OpTrait {
/// result[i] is computed from operand[i] alone, after broadcast.
template <typename ConcreteOp>
class Elementwise : public mlir::OpTrait::TraitBase<ConcreteOp, Elementwise> {};
} // namespace OpTrait

/// Shape inference of every elementwise op (called by generated code).
llvm::LogicalResult
inferElementwise(llvm::StringRef opName, std::optional<mlir::Location> location,
                 mlir::ValueRange operands, mlir::Type elementType,
                 llvm::SmallVectorImpl<mlir::Type> &inferred);

/// Equal but for the texts of dynamic dims.
bool areCompatibleTypes(mlir::TypeRange l, mlir::TypeRange r);

/// Is every dynamic dim of the tensor type described by #tenon.dims?
bool hasNamedDims(mlir::Type type);

/// Is this one of the dialect's element types?
bool isSupportedElementType(mlir::Type type);

/// The format of a float of 8 or 4 bits; null for any other type.
const SmallFloatFormat *smallFloatFormat(mlir::Type type);
/// Bits that ONNX gives an element: 4 or 2 where inputs and outputs are packed.
unsigned storedBits(mlir::Type type);
/// Is a tensor of this element type packed at the graph's border?
inline bool isPackedType(mlir::Type type) { return storedBits(type) < 8; }
/// Is it only moved, selected and converted?
inline bool isStorageType(mlir::Type type) {
  return smallFloatFormat(type) || isPackedType(type);
}

} // namespace tenon

#define GET_OP_CLASSES
#include "dialects/Tenon/IR/TenonOps.h.inc"

namespace tenon {

/// The symbols that an iteration of a loop gives values: the loop's own, what
/// its body reads, and those of inner loops.
class BodySymbols {
public:
  BodySymbols(mlir::Block &body, llvm::StringRef loop);
  /// Does the expression depend on one?
  bool in(const SymExpr &e) const;

private:
  llvm::StringSet<> names;
};

} // namespace tenon

#endif // TENON_IR_TENONOPS_H
