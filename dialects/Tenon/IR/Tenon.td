//===- Tenon.td - ops but of kernels -----------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Whose enums and attributes every file sees (TenonDialect.h). Those of kernels
// are TenonTiling.td's and TenonFormat.td's.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TD
#define TENON_TD

include "dialects/Tenon/IR/TenonBase.td"
include "dialects/Tenon/IR/TenonArith.td"
include "dialects/Tenon/IR/TenonMath.td"
include "dialects/Tenon/IR/TenonLogic.td"
include "dialects/Tenon/IR/TenonCast.td"
include "dialects/Tenon/IR/TenonValue.td"
include "dialects/Tenon/IR/TenonView.td"
include "dialects/Tenon/IR/TenonGather.td"
include "dialects/Tenon/IR/TenonReduce.td"
include "dialects/Tenon/IR/TenonNorm.td"
include "dialects/Tenon/IR/TenonContract.td"
include "dialects/Tenon/IR/TenonControl.td"

#endif // TENON_TD
