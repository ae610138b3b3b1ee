//===- CastLanes.h - conversions on lanes -----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Lanes of tenon element types (see computeType), scalar or vector.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_LANES_CASTLANES_H
#define TENON_LIB_CODEGEN_LANES_CASTLANES_H

#include "dialects/Tenon/IR/TenonDialect.h"
#include "lib/Codegen/Lanes/LaneBuilder.h"
#include "tenon/Support/SmallFloat.h"

namespace tenon {

class CastOp;

/// x of tenon type `from` as the cast says.
mlir::Value emitCast(LaneBuilder &L, CastOp cast, mlir::Value x,
                     mlir::Type from);
/// f32 to the nearest number of `to`, f16 or bf16, as tenon.round_to says.
mlir::Value emitRoundTo(LaneBuilder &L, mlir::Value x, mlir::Type to);
/// The bits of x read as `to`.
mlir::Value emitBitCast(LaneBuilder &L, mlir::Value x, mlir::Type from,
                        mlir::Type to);
/// The low 4 or 2 bits of i8 lanes as lanes of `type`.
mlir::Value emitLowBits(LaneBuilder &L, mlir::Value x, mlir::Type type);

/// f32 or f64 to a code in i8 and back to f32. SmallFloatLanes.cpp.
mlir::Value emitEncodeSmallFloat(LaneBuilder &L, mlir::Value x,
                                 const SmallFloatFormat &format, bool saturate,
                                 RoundMode round);
mlir::Value emitDecodeSmallFloat(LaneBuilder &L, mlir::Value code,
                                 const SmallFloatFormat &format);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_LANES_CASTLANES_H
