//===- TenonFormat.h - formats of weights -----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONFORMAT_H
#define TENON_IR_TENONFORMAT_H

#include "dialects/Tenon/IR/TenonDialect.h"

#define GET_ATTRDEF_CLASSES
#include "dialects/Tenon/IR/TenonFormat.h.inc"

#endif // TENON_IR_TENONFORMAT_H
