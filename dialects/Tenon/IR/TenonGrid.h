//===- TenonGrid.h - blocks that go from tile to tile -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONGRID_H
#define TENON_IR_TENONGRID_H

#include "dialects/Tenon/IR/TenonTiling.h"

#define GET_ATTRDEF_CLASSES
#include "dialects/Tenon/IR/TenonGrid.h.inc"

#endif // TENON_IR_TENONGRID_H
