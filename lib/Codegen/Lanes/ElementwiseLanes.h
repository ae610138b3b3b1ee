//===- ElementwiseLanes.h - elementwise ops on lanes ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_LANES_ELEMENTWISELANES_H
#define TENON_LIB_CODEGEN_LANES_ELEMENTWISELANES_H

#include "dialects/Tenon/IR/TenonDialect.h"
#include "lib/Codegen/Lanes/LaneBuilder.h"

namespace tenon {

/// The lanes of an elementwise op from its operands' lanes (all scalar or all
/// vector); null when the op has no rule. `corrects`: fused multiply-adds are
/// faster than a division.
mlir::Value emitElementwise(LaneBuilder &L, mlir::Operation *op,
                            llvm::ArrayRef<mlir::Value> operands,
                            bool corrects);
/// lhs (kind) rhs of a reduction, and its neutral element.
mlir::Value emitCombine(LaneBuilder &L, ReduceKind kind, mlir::Type elementType,
                        mlir::Value lhs, mlir::Value rhs);
mlir::Value emitNeutral(LaneBuilder &L, ReduceKind kind, mlir::Type elementType,
                        mlir::Type valueType);
/// lhs (kind) rhs.
mlir::Value emitCompare(LaneBuilder &L, CompareKind kind,
                        mlir::Type elementType, mlir::Value lhs,
                        mlir::Value rhs);
/// x / y, with what is nearest to 1 / y: x times that is off by an ulp or two,
/// and the remainder, which is exact, says by how much. x and the quotient are
/// finite.
mlir::Value emitQuotient(LaneBuilder &L, mlir::Value x, mlir::Value y,
                         mlir::Value inverse);
/// What an inverse lacks of 1 / y.
mlir::Value emitRestOfInverse(LaneBuilder &L, mlir::Value y,
                              mlir::Value inverse);
/// x / y with a tenon.quotient's inverse and what that lacks. `isFinite`: so
/// are x and the quotient.
mlir::Value emitKnownQuotient(LaneBuilder &L, mlir::Value x,
                              mlir::Value inverse, mlir::Value rest,
                              bool isFinite);
mlir::Value emitSigmoid(LaneBuilder &L, mlir::Value x);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_LANES_ELEMENTWISELANES_H
