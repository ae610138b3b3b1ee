//===- CopyResults.h - memory of their own for results ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_COPYRESULTS_H
#define TENON_LIB_CODEGEN_FORM_COPYRESULTS_H

#include "mlir/IR/Block.h"

namespace tenon {

/// Copies results of the block, and a branch's in a merge, that are no kernel's
/// own result.
void copyResults(mlir::Block &block);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_COPYRESULTS_H
