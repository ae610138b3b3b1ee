//===- TenonFormat.h - formats of weights -----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONFORMAT_H
#define TENON_IR_TENONFORMAT_H

#include "dialects/Tenon/IR/TenonDialect.h"

namespace tenon {

/// What a list of groups is of (`i8 block 4`), and its bytes before them.
inline constexpr int64_t kRowsOfList = 1024, kColumnsOfList = 8,
                         kListHeader = 4 * kColumnsOfList + 4;
/// Of a panel's lists of K rows, or of the first ones.
int64_t bytesOfLists(int64_t K);

} // namespace tenon

#define GET_ATTRDEF_CLASSES
#include "dialects/Tenon/IR/TenonFormat.h.inc"

#endif // TENON_IR_TENONFORMAT_H
