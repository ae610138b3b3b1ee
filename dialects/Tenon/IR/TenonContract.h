//===- TenonContract.h - matrix products ------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONCONTRACT_H
#define TENON_IR_TENONCONTRACT_H

#include "dialects/Tenon/IR/TenonFormat.h"
#include "dialects/Tenon/IR/TenonOpBase.h"

#define GET_OP_CLASSES
#include "dialects/Tenon/IR/TenonContract.h.inc"

#endif // TENON_IR_TENONCONTRACT_H
