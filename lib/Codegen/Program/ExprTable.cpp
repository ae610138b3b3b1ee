//===- ExprTable.cpp - dim expressions as numbered slots ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Program/ExprTable.h"
#include <algorithm>

namespace tenon {

int ExprTable::add(int op, int a, int b, int64_t imm) {
  std::array<int64_t, 4> key = {op, a, b, imm};
  auto [it, fresh] = known.try_emplace(key, (int)exprs.size());
  if (fresh)
    exprs.push_back({op, a, b, 0, imm});
  return it->second;
}

void ExprTable::bindInputs(const std::vector<SchedulePort> &inputs) {
  // Dims that are one symbol first.
  for (size_t i = 0; i < inputs.size(); ++i)
    for (size_t d = 0; d < inputs[i].dims.size(); ++d)
      if (auto name = inputs[i].dims[d].asSymbol();
          name && !symbols.count(*name))
        symbols[*name] = add(TENON_EXPR_INPUT_DIM, i, d, 0);
  // Then dims like "past + seq" with one unknown: past = dim - seq.
  bool again = true;
  while (again) {
    again = false;
    for (size_t i = 0; i < inputs.size(); ++i)
      for (size_t d = 0; d < inputs[i].dims.size(); ++d) {
        const SymExpr &e = inputs[i].dims[d];
        std::vector<std::string> names;
        e.collectSymbols(names);
        std::erase_if(names, [&](auto &n) { return symbols.count(n) != 0; });
        if (names.size() != 1)
          continue;
        SymExpr rest = e - SymExpr::symbol(names[0]);
        std::vector<std::string> left;
        rest.collectSymbols(left);
        if (std::find(left.begin(), left.end(), names[0]) != left.end())
          continue;
        int dim = add(TENON_EXPR_INPUT_DIM, i, d, 0);
        symbols[names[0]] = add(TENON_EXPR_SUB, dim, slot(rest), 0);
        again = true;
      }
  }
}

void ExprTable::bindStates(const std::vector<ScheduleState> &states) {
  for (const ScheduleState &state : states) {
    if (!state.carried.empty())
      symbols[state.carried] = add(TENON_EXPR_STATE_CARRIED, 0, 0, 0);
    if (!state.table.empty())
      symbols[state.table] = add(TENON_EXPR_STATE_PAGES, 0, 0, 0);
    if (!state.lengths.empty())
      symbols[state.lengths] = add(TENON_EXPR_STATE_LENGTHS, 0, 0, 0);
    if (!state.capacity.empty())
      symbols[state.capacity] =
          add(TENON_EXPR_STATE_CAPACITY, slot(state.length), 0, 0);
  }
}

void ExprTable::bindElements(const std::vector<ScheduleElements> &elements) {
  for (const ScheduleElements &e : elements)
    for (int64_t i = 0; i < e.count; ++i)
      inputElements[SymExpr::element(e.name, i).str()] = {e.input, i};
}

/// Rows are collected in room for as many as the loop may have. Where it has
/// a condition as well, far fewer is likelier than more than this.
constexpr int64_t kMostRowElements = int64_t(1) << 26;
/// Beyond all memory: the runtime takes it for no bound, and makes room as rows
/// come.
constexpr int64_t kNoBound = int64_t(1) << 62;

/// For how many iterations there is to be room.
static std::optional<SymExpr> iterationsInMemory(const ScheduleControl &loop,
                                                 const ScheduleControl &next) {
  if (!loop.bound || loop.condition < 0)
    return loop.bound;
  SymExpr row = 1;
  for (const ScheduleControl::Copy &copy : next.copies)
    if (copy.row)
      row = row + copy.elements;
  // Of sizes that the loop itself decides nothing is known.
  if (row.str().find(loop.name + "[") != std::string::npos)
    row = 1;
  // Not the product: of a bound near 2^63 it is no number.
  SymExpr fits =
      SymExpr::apply(SymExpr::Fn::FloorDiv, SymExpr(kMostRowElements), row);
  return SymExpr::select(SymExpr::apply(SymExpr::Fn::Le, *loop.bound, fits),
                         *loop.bound, kNoBound);
}

std::vector<int>
ExprTable::bindControls(const std::vector<ScheduleControl> &controls) {
  std::vector<int> first;
  int values = 0;
  for (const ScheduleControl &c : controls) {
    first.push_back(values);
    if (c.kind == TENON_CONTROL_NEXT)
      continue; // the loop's
    auto define = [&](const SymExpr &symbol,
                      const std::optional<SymExpr> &bound,
                      const std::optional<SymExpr> &first) {
      int most = bound ? 1 + slot(*bound) : 0;
      int begin = first ? 1 + slot(*first) : 0;
      symbols[symbol.str()] = add(TENON_EXPR_RUN_VALUE, most, begin, values++);
    };
    if (c.kind != TENON_CONTROL_LOOP) {
      for (int64_t i = 0; i < c.count; ++i)
        define(SymExpr::element(c.name, i), c.bound, {});
      continue;
    }
    // What is known behind the loop outlives what its iterations have.
    for (const ScheduleControl::Size &size : c.sizes)
      define(size.behind, size.bound, size.value);
    define(SymExpr::element(c.name, 1),
           iterationsInMemory(c, controls[c.partner]), {});
    define(SymExpr::element(c.name, 0), c.bound, {});
    for (const ScheduleControl::Size &size : c.sizes)
      define(size.inside, size.bound, size.value);
  }
  first.push_back(values);
  return first;
}

int ExprTable::slot(const SymExpr &e) {
  auto [it, fresh] = texts.try_emplace(e.str(), -1);
  if (!fresh && it->second >= 0)
    return it->second;
  SymExpr::Visitor v;
  v.constant = [&](int64_t c) { return add(TENON_EXPR_CONST, 0, 0, c); };
  v.symbol = [&](const std::string &name) {
    auto found = symbols.find(name);
    if (found != symbols.end())
      return found->second;
    if (auto at = inputElements.find(name); at != inputElements.end())
      return add(TENON_EXPR_INPUT_VALUE, at->second.first, 0,
                 at->second.second);
    if (std::find(unbound.begin(), unbound.end(), name) == unbound.end())
      unbound.push_back(name);
    return add(TENON_EXPR_CONST, 0, 0, 0);
  };
  v.arith = [&](char op, int a, int b) {
    return add(op == '+' ? TENON_EXPR_ADD : TENON_EXPR_MUL, a, b, 0);
  };
  v.call = [&](SymExpr::Fn fn, int a, int b) {
    static constexpr int ops[] = {
        TENON_EXPR_FLOORDIV, TENON_EXPR_CEILDIV, TENON_EXPR_QUOT,
        TENON_EXPR_MOD,      TENON_EXPR_MIN,     TENON_EXPR_MAX,
        TENON_EXPR_BCAST,    TENON_EXPR_EQ,      TENON_EXPR_NE,
        TENON_EXPR_LT,       TENON_EXPR_LE,      TENON_EXPR_SELECT,
        TENON_EXPR_FADD,     TENON_EXPR_FSUB,    TENON_EXPR_FMUL,
        TENON_EXPR_FDIV,     TENON_EXPR_F32,     TENON_EXPR_FLOAT,
        TENON_EXPR_FLOOR,    TENON_EXPR_CEIL,    TENON_EXPR_TRUNC};
    return add(ops[(int)fn], a, b, 0);
  };
  v.select = [&](int c, int a, int b) {
    return add(TENON_EXPR_SELECT, c, a, b);
  };
  int r = e.visit(v);
  texts[e.str()] = r;
  return r;
}

} // namespace tenon
