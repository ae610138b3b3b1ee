//===- TenonPacked.h - products of packed operands --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONPACKED_H
#define TENON_IR_TENONPACKED_H

#include "dialects/Tenon/IR/TenonOpBase.h"

#define GET_ATTRDEF_CLASSES
#include "dialects/Tenon/IR/TenonFormat.h.inc"

#define GET_OP_CLASSES
#include "dialects/Tenon/IR/TenonPacked.h.inc"

#endif // TENON_IR_TENONPACKED_H
