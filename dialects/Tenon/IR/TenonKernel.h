//===- TenonKernel.h - fused groups -----------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONKERNEL_H
#define TENON_IR_TENONKERNEL_H

#include "dialects/Tenon/IR/TenonOpBase.h"
#include "dialects/Tenon/IR/TenonTiling.h"

namespace tenon {
class LoopOp; // which ends with tenon.yield too
} // namespace tenon

#define GET_OP_CLASSES
#include "dialects/Tenon/IR/TenonKernel.h.inc"

#endif // TENON_IR_TENONKERNEL_H
