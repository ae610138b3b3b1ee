//===- WinogradRule.h - where Winograd's products are faster ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_WINOGRADRULE_H
#define TENON_LIB_CODEGEN_FORM_WINOGRADRULE_H

#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/StringRef.h"

namespace tenon {

class Im2ColOp;

/// Where direct sums are as fast.
struct WinogradLoss {
  SymExpr where;            ///< 0 or 1
  llvm::StringRef why = {}; ///< of an image of whatever size
};
/// Of a product of patches of so many channels by so many columns, on levels
/// whose widest vectors have `vectorBits`. An image's sizes decide, and of a
/// batch that a run may choose nothing: a row of it has the same bits in any.
WinogradLoss lossByWinograd(Im2ColOp patches, int64_t channels, int64_t columns,
                            int64_t vectorBits);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_WINOGRADRULE_H
