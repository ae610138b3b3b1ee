//===- Magnitude.cpp - how large a dim expression can be ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Support/Magnitude.h"
#include "SymExprDetail.h"
#include <algorithm>
#include <cmath>

namespace tenon {

namespace {
struct Bound {
  double size;
  bool isConstant;
  bool isNonNegative;
};
} // namespace

/// What is no larger than a dim counts once, as the larger of the two.
static double product(const Bound &a, const Bound &b, double most) {
  if (a.isConstant || b.isConstant)
    return a.size * b.size;
  return std::max(std::min(a.size, most), std::min(b.size, most)) *
         std::max(1.0, a.size / most) * std::max(1.0, b.size / most);
}

static double call(SymExpr::Fn fn, const Bound &a, const Bound &b,
                   double most) {
  using Fn = SymExpr::Fn;
  switch (fn) {
  case Fn::FloorDiv:
  case Fn::CeilDiv:
    return a.size + 1;
  case Fn::Quot:
    return a.size;
  case Fn::Mod:
    return b.size;
  case Fn::Min:
    if (a.isNonNegative && b.isNonNegative)
      return std::min(a.size, b.size);
    [[fallthrough]];
  case Fn::Max:
  case Fn::Bcast:
    return std::max(a.size, b.size);
  case Fn::Eq:
  case Fn::Ne:
  case Fn::Lt:
  case Fn::Le:
    return 1;
  case Fn::Floor:
  case Fn::Ceil:
  case Fn::Trunc:
    return most; // a dim that went through floats
  default:
    return HUGE_VAL;
  }
}

static bool isNonNegative(SymExpr::Fn fn, const Bound &a, const Bound &b) {
  using Fn = SymExpr::Fn;
  if (fn >= Fn::Eq && fn <= Fn::Le)
    return true;
  if (fn == Fn::Mod) // takes the divisor's sign
    return b.isNonNegative;
  if (fn == Fn::Max)
    return a.isNonNegative || b.isNonNegative;
  return fn <= Fn::Bcast && a.isNonNegative && b.isNonNegative;
}

double magnitude(const SymExpr &e, double most) {
  std::vector<Bound> bounds;
  auto add = [&](double size, bool isConstant, bool isNonNegative) {
    bounds.push_back({size, isConstant, isNonNegative});
    return int(bounds.size()) - 1;
  };
  SymExpr::Visitor visitor;
  visitor.constant = [&](int64_t c) {
    return add(std::abs(double(c)), true, c >= 0);
  };
  visitor.symbol = [&](const std::string &name) {
    return add(most, false, symexpr::isNonNegativeName(name));
  };
  visitor.arith = [&](char op, int x, int y) {
    Bound a = bounds[x], b = bounds[y];
    return add(op == '+' ? a.size + b.size : product(a, b, most), false,
               a.isNonNegative && b.isNonNegative);
  };
  visitor.call = [&](SymExpr::Fn fn, int x, int y) {
    Bound a = bounds[x], b = bounds[y];
    return add(call(fn, a, b, most), false, isNonNegative(fn, a, b));
  };
  visitor.select = [&](int, int x, int y) {
    Bound a = bounds[x], b = bounds[y];
    return add(std::max(a.size, b.size), false,
               a.isNonNegative && b.isNonNegative);
  };
  return bounds[e.visit(visitor)].size;
}

} // namespace tenon
