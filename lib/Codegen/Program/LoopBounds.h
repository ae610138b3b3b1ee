//===- LoopBounds.h - how large handed values can become --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A dim that iterations change is s at first and next(s) for each following
// iteration. Where next(s) <= max(s + add, most), with neither depending on the
// iteration, it is at most max(s, most) + trips * add: known before the run, so
// that memory is planned for it.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_PROGRAM_LOOPBOUNDS_H
#define TENON_LIB_CODEGEN_PROGRAM_LOOPBOUNDS_H

#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>

namespace tenon {

class LoopOp;

/// An upper bound, in terms of what is known when the loop begins, for each of
/// its `changingDims`; nullopt where none is known.
llvm::SmallVector<std::optional<SymExpr>> boundsOfChangingDims(LoopOp loop);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_PROGRAM_LOOPBOUNDS_H
