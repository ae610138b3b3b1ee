//===- SymExprDetail.h - shared by SymExpr's three files --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_SUPPORT_SYMEXPRDETAIL_H
#define TENON_SUPPORT_SYMEXPRDETAIL_H

#include "tenon/Support/SymExpr.h"

namespace tenon::symexpr {

// A dim that overflows must stay unusably large, not wrap to something small.
inline int64_t saturatingAdd(int64_t a, int64_t b) {
  int64_t r;
  if (!__builtin_add_overflow(a, b, &r))
    return r;
  return a < 0 ? INT64_MIN : INT64_MAX;
}
inline int64_t saturatingMul(int64_t a, int64_t b) {
  int64_t r;
  if (!__builtin_mul_overflow(a, b, &r))
    return r;
  return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
}

/// The value of fn(a, b); division by zero gives 0 as in the artifact.
int64_t foldConstants(SymExpr::Fn fn, int64_t a, int64_t b);

/// Atoms are symbols, elements or calls; only calls have a parenthesis.
inline bool isCallText(std::string_view atom) {
  return atom.find('(') != std::string_view::npos;
}
/// Of those, only elements end with a bracket.
inline bool isElementText(std::string_view atom) { return atom.back() == ']'; }
/// Of those, only counts begin so.
constexpr char kCountMark = '#';
/// Is the value of this symbol or element never negative? That of a dim is not,
/// nor that of a count.
inline bool isNonNegativeName(std::string_view atom) {
  return !isElementText(atom) || atom.front() == kCountMark;
}
/// Atoms are made of texts that are canonical already.
struct Atom {
  static SymExpr of(std::string text) {
    SymExpr e;
    e.terms[{std::move(text)}] = 1;
    return e;
  }
  /// Monomials and their coefficients.
  static const auto &termsOf(const SymExpr &e) { return e.terms; }
};
/// The call that an atom's text spells, or nullopt for a symbol or element.
std::optional<SymExpr::Call> parseCallText(std::string_view atom);
/// How many operands it takes.
inline int arityOf(SymExpr::Fn fn) {
  if (fn == SymExpr::Fn::Select)
    return 3;
  return fn >= SymExpr::Fn::F32 ? 1 : 2;
}
/// "min" etc.
std::string_view fnName(SymExpr::Fn fn);

} // namespace tenon::symexpr

#endif // TENON_SUPPORT_SYMEXPRDETAIL_H
