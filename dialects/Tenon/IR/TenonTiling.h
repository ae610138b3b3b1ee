//===- TenonTiling.h - how a kernel is cut into tasks -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONTILING_H
#define TENON_IR_TENONTILING_H

#include "dialects/Tenon/IR/TenonDialect.h"

namespace tenon {

/// Columns of a packed panel (tenon.pack_b), the same for every target.
inline constexpr int64_t kPanelColumns = 32;
/// The largest register tile of a product on a CPU: 6 rows by 2 panels. The
/// same at every level, so that tasks are.
inline constexpr int64_t kTileRows = 6;
inline constexpr int64_t kTilePanels = 2;
} // namespace tenon

#include "dialects/Tenon/IR/TenonTilingEnums.h.inc"
#include "dialects/Tenon/IR/TenonTilingInterface.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/Tenon/IR/TenonTiling.h.inc"

#endif // TENON_IR_TENONTILING_H
