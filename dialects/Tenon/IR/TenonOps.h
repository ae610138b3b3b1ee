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

/// Is this one of the element types that the dialect computes with?
bool isSupportedElementType(mlir::Type type);

} // namespace tenon

#define GET_OP_CLASSES
#include "dialects/Tenon/IR/TenonOps.h.inc"

#endif // TENON_IR_TENONOPS_H
