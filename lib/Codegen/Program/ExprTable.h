//===- ExprTable.h - dim expressions as numbered slots ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_PROGRAM_EXPRTABLE_H
#define TENON_LIB_CODEGEN_PROGRAM_EXPRTABLE_H

#include "tenon/Codegen/Kernels.h"
#include "tenon/abi.h"
#include <array>
#include <map>

namespace tenon {

/// Numbers every expression that the program needs; equal ones share a slot.
class ExprTable {
public:
  /// Binds each symbol to the input dim that is that symbol alone, or to an
  /// input dim minus what else is added there.
  void bindInputs(const std::vector<SchedulePort> &inputs);
  /// Binds elements; only those that `slot` meets become part of the table.
  void bindElements(const std::vector<ScheduleElements> &elements);
  /// Binds what says whether states are there, and how much they hold.
  void bindStates(const std::vector<ScheduleState> &states);
  /// Numbers what the run decides; `bindElements` comes first. Gives the first
  /// number of each control's own, and of the one after it.
  std::vector<int> bindControls(const std::vector<ScheduleControl> &controls);
  /// The slot of `e`; unknown symbols are remembered in `unbound`.
  int slot(const SymExpr &e);

  std::vector<tenon_expr> exprs;
  std::vector<std::string> unbound;

private:
  int add(int op, int a, int b, int64_t imm);

  std::map<std::array<int64_t, 4>, int> known;
  std::map<std::string, int> symbols;
  std::map<std::string, std::pair<int, int64_t>> inputElements;
  std::map<std::string, int> texts;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_PROGRAM_EXPRTABLE_H
