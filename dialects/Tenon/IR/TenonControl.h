//===- TenonControl.h - what the run itself decides -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONCONTROL_H
#define TENON_IR_TENONCONTROL_H

#include "dialects/Tenon/IR/TenonOpBase.h"
#include "llvm/ADT/StringSet.h"

#define GET_OP_CLASSES
#include "dialects/Tenon/IR/TenonControl.h.inc"

namespace tenon {

/// The symbols that an iteration of a loop gives values: the loop's own, what
/// its body reads, and those of inner loops.
class BodySymbols {
public:
  BodySymbols(mlir::Block &body, llvm::StringRef loop);
  /// Does the expression depend on one?
  bool in(const SymExpr &e) const;
  /// Does an attribute that is dims, or the text of an expression?
  bool in(mlir::Attribute attr) const;

private:
  llvm::StringSet<> names;
};

} // namespace tenon

#endif // TENON_IR_TENONCONTROL_H
