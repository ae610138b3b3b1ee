//===- TenonOpBase.h - what every tenon op is made of -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The ops themselves stand in groups, a header and a .td file each
// (TenonArith.h to TenonPacked.h), and those of the commonest groups have
// headers of their own (Ops/Add.h), so that a change of one op compiles again
// what names it, not all that names any. A file includes what it names.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONOPBASE_H
#define TENON_IR_TENONOPBASE_H

#include "dialects/Tenon/IR/TenonDialect.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "tenon/Support/SmallFloat.h"

namespace tenon {

class ShapeJoiner;

namespace OpTrait {
/// result[i] is computed from operand[i] alone, after broadcast.
template <typename ConcreteOp>
class Elementwise : public mlir::OpTrait::TraitBase<ConcreteOp, Elementwise> {};
/// Marks of what overrides the fusion interface (TenonInterfaces.td).
template <typename ConcreteOp>
class Fuses : public mlir::OpTrait::TraitBase<ConcreteOp, Fuses> {};
template <typename ConcreteOp>
class Costs : public mlir::OpTrait::TraitBase<ConcreteOp, Costs> {};
} // namespace OpTrait

/// Where forming kernels computes an op.
enum class FusionRole {
  Moving,      ///< where its result is read: an element is some operand's
  Elementwise, ///< there too, or behind an anchor as its epilogue
  Loop,        ///< loops inside: worth storing once
  Anchor,      ///< begins a kernel, which an epilogue may follow
  Own,         ///< ends a kernel of a kind of its own
  Native,      ///< a kernel of the runtime, from and to memory
};

/// Has the op's result more elements than this operand?
bool isBroadcast(mlir::Operation *op, unsigned operand);

/// Shape inference of every elementwise op (called by generated code).
llvm::LogicalResult
inferElementwise(llvm::StringRef opName, std::optional<mlir::Location> location,
                 mlir::ValueRange operands, mlir::Type elementType,
                 llvm::SmallVectorImpl<mlir::Type> &inferred);

/// The relations of dims that this relies on.
void recordElementwise(mlir::Operation *op, ShapeJoiner &joiner);

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

#include "dialects/Tenon/IR/TenonInterfaces.h.inc"

#endif // TENON_IR_TENONOPBASE_H
