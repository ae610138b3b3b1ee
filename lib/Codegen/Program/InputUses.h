//===- InputUses.h - what integer inputs are used as ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_PROGRAM_INPUTUSES_H
#define TENON_LIB_CODEGEN_PROGRAM_INPUTUSES_H

#include "mlir/IR/Value.h"

namespace tenon {

/// What users of an artifact are told of an input of integers or bools.
struct InputUses {
  int64_t idBound = 0; ///< the smallest table that it is an index of; 0: none
  /// 1 stands for what counts and 0 for what does not, in every use.
  bool isMask = false;
};
InputUses usesOfInput(mlir::BlockArgument input);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_PROGRAM_INPUTUSES_H
