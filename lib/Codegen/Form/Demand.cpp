//===- Demand.cpp - in which branches a value is needed -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Form/Demand.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include <algorithm>

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// Guard
//===----------------------------------------------------------------------===//

static std::string opposite(const std::string &condition) {
  return (SymExpr(1) - SymExpr::parse(condition).value_or(SymExpr(0))).str();
}

Guard Guard::always() {
  Guard g;
  g.terms.insert(Term());
  return g;
}

Guard Guard::of(const SymExpr &condition) { return always() & condition; }

bool Guard::isAlways() const { return terms.count(Term()) != 0; }

bool Guard::implies(const SymExpr &condition) const {
  std::string text = condition.str();
  return llvm::all_of(terms,
                      [&](const Term &term) { return term.count(text) != 0; });
}

/// Drops a term that a weaker one covers; of A and b, A and not b makes A.
/// False where there is nothing to do.
bool Guard::simplifyOnce() {
  for (const Term &x : terms)
    for (const Term &y : terms) {
      if (&x == &y)
        continue;
      if (std::includes(y.begin(), y.end(), x.begin(), x.end())) {
        terms.erase(Term(y));
        return true;
      }
      for (const std::string &condition : x) {
        Term rest = x;
        rest.erase(condition);
        Term flipped = rest;
        flipped.insert(opposite(condition));
        if (flipped != y)
          continue;
        terms.erase(Term(x));
        terms.erase(flipped);
        terms.insert(rest);
        return true;
      }
    }
  return false;
}

void Guard::simplify() {
  while (simplifyOnce()) {
  }
}

Guard Guard::operator|(const Guard &o) const {
  Guard g = *this;
  g.terms.insert(o.terms.begin(), o.terms.end());
  g.simplify();
  return g;
}

Guard Guard::operator&(const SymExpr &condition) const {
  if (auto constant = condition.constant())
    return *constant ? *this : never();
  std::string text = condition.str(), other = opposite(text);
  Guard g;
  for (Term term : terms) {
    if (term.count(other))
      continue;
    term.insert(text);
    g.terms.insert(term);
  }
  g.simplify();
  return g;
}

SymExpr Guard::expr() const {
  SymExpr any(0);
  bool first = true;
  for (const Term &term : terms) {
    SymExpr all(1);
    for (const std::string &condition : term)
      all = all * SymExpr::parse(condition).value_or(SymExpr(0));
    any = first ? all : SymExpr::apply(SymExpr::Fn::Max, any, all);
    first = false;
  }
  return any;
}

//===----------------------------------------------------------------------===//
// Demand
//===----------------------------------------------------------------------===//

Demand::Demand(Block &block) : block(block) {
  for (Operation &op : llvm::reverse(block)) {
    if (op.getNumResults() == 0) {
      auto when = op.getAttrOfType<StringAttr>("when");
      guards[&op] =
          when ? Guard::of(SymExpr::parse(when.str()).value_or(SymExpr(1)))
               : Guard::always();
      continue;
    }
    Guard guard = Guard::never();
    for (OpOperand &use : op.getUses()) {
      guard = guard | of(use);
      if (guard.isAlways())
        break;
    }
    guards[&op] = guard;
  }
}

Guard Demand::of(Operation *op) const {
  auto it = guards.find(op);
  return it == guards.end() ? Guard::always() : it->second;
}

Guard Demand::of(OpOperand &use) const {
  Operation *user = block.findAncestorOpInBlock(*use.getOwner());
  Guard guard = of(user);
  auto merge = dyn_cast_or_null<MergeOp>(user);
  if (!merge || user != use.getOwner())
    return guard;
  SymExpr condition =
      SymExpr::parse(merge.getCondition().str()).value_or(SymExpr(0));
  return guard &
         (use.getOperandNumber() == 0 ? condition : SymExpr(1) - condition);
}

} // namespace tenon
