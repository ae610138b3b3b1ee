//===- SymExpr.cpp - symbolic dims as canonical polynomials ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Arithmetic and queries. The function calls' simplifications are in
// SymExprApply.cpp, the text form in SymExprText.cpp.
//
//===----------------------------------------------------------------------===//
#include "tenon/Support/SymExpr.h"
#include "SymExprDetail.h"
#include <algorithm>
#include <bit>
#include <cmath>

namespace tenon {
using namespace symexpr;

SymExpr::SymExpr(int64_t value) {
  if (value != 0)
    terms[Monomial()] = value;
}

SymExpr::SymExpr(const SymExpr &) = default;
SymExpr::SymExpr(SymExpr &&) noexcept = default;
SymExpr &SymExpr::operator=(const SymExpr &) = default;
SymExpr &SymExpr::operator=(SymExpr &&) noexcept = default;
SymExpr::~SymExpr() = default;

bool SymExpr::operator==(const SymExpr &o) const { return terms == o.terms; }
bool SymExpr::operator<(const SymExpr &o) const { return terms < o.terms; }

SymExpr SymExpr::symbol(std::string name) {
  SymExpr e;
  e.terms[{sanitizeSymbol(name)}] = 1;
  return e;
}

SymExpr SymExpr::element(std::string_view name, int64_t index) {
  bool isCount = name.starts_with(kCountMark);
  std::string text = isCount ? std::string(1, kCountMark) : std::string();
  text += sanitizeSymbol(name.substr(isCount));
  return Atom::of(text + "[" + std::to_string(index) + "]");
}

bool SymExpr::isElement(std::string_view symbol) {
  return !symbol.empty() && isElementText(symbol);
}

std::optional<int64_t> SymExpr::constant() const {
  if (terms.empty())
    return 0;
  if (terms.size() == 1 && terms.begin()->first.empty())
    return terms.begin()->second;
  return std::nullopt;
}

/// The atom, when the expression is one atom with coefficient 1.
static const std::string *
singleAtom(const std::map<std::vector<std::string>, int64_t> &terms) {
  if (terms.size() != 1 || terms.begin()->second != 1 ||
      terms.begin()->first.size() != 1)
    return nullptr;
  return &terms.begin()->first.front();
}

std::optional<std::string> SymExpr::asSymbol() const {
  const std::string *atom = singleAtom(terms);
  if (!atom || isCallText(*atom))
    return std::nullopt;
  return *atom;
}

std::optional<SymExpr::Call> SymExpr::asCall() const {
  const std::string *atom = singleAtom(terms);
  if (!atom)
    return std::nullopt;
  return parseCallText(*atom);
}

size_t SymExpr::complexity() const {
  size_t size = 0;
  for (const auto &[monomial, coefficient] : terms) {
    size += 4;
    for (const std::string &atom : monomial)
      size += atom.size() + 1;
  }
  return size;
}

//===----------------------------------------------------------------------===//
// Polynomial arithmetic
//===----------------------------------------------------------------------===//

SymExpr SymExpr::operator+(const SymExpr &o) const {
  SymExpr sum = *this;
  for (const auto &[monomial, coefficient] : o.terms) {
    auto [it, inserted] = sum.terms.try_emplace(monomial, coefficient);
    if (inserted)
      continue;
    it->second = saturatingAdd(it->second, coefficient);
    if (it->second == 0)
      sum.terms.erase(it);
  }
  return sum;
}

SymExpr SymExpr::operator-(const SymExpr &o) const {
  return *this + o * SymExpr(-1);
}

SymExpr SymExpr::operator*(const SymExpr &o) const {
  SymExpr product;
  for (const auto &[ma, ca] : terms)
    for (const auto &[mb, cb] : o.terms) {
      Monomial merged;
      merged.reserve(ma.size() + mb.size());
      std::merge(ma.begin(), ma.end(), mb.begin(), mb.end(),
                 std::back_inserter(merged));
      int64_t coefficient = saturatingMul(ca, cb);
      auto [it, inserted] =
          product.terms.try_emplace(std::move(merged), coefficient);
      if (inserted)
        continue;
      it->second = saturatingAdd(it->second, coefficient);
      if (it->second == 0)
        product.terms.erase(it);
    }
  return product;
}

/// Graded lexicographic order: admissible, so that long division terminates
/// with the leading term cancelled in each step.
static bool gradedLess(const std::vector<std::string> &a,
                       const std::vector<std::string> &b) {
  if (a.size() != b.size())
    return a.size() < b.size();
  return b < a; // the atom that sorts first counts as the largest variable
}

std::optional<SymExpr> SymExpr::divideExactly(const SymExpr &divisor) const {
  if (divisor.terms.empty())
    return std::nullopt;
  auto leading = [](const std::map<Monomial, int64_t> &t) {
    return std::max_element(t.begin(), t.end(),
                            [](const auto &x, const auto &y) {
                              return gradedLess(x.first, y.first);
                            });
  };
  auto lead = leading(divisor.terms);
  SymExpr rest = *this, quotient;
  while (!rest.terms.empty()) {
    auto top = leading(rest.terms);
    // INT64_MIN / -1 has no value; nothing sensible is that large.
    if (top->second == INT64_MIN || top->second % lead->second != 0 ||
        !std::includes(top->first.begin(), top->first.end(),
                       lead->first.begin(), lead->first.end()))
      return std::nullopt;
    Monomial monomial;
    std::set_difference(top->first.begin(), top->first.end(),
                        lead->first.begin(), lead->first.end(),
                        std::back_inserter(monomial));
    SymExpr step;
    step.terms[monomial] = top->second / lead->second;
    quotient = quotient + step;
    SymExpr next = rest - step * divisor;
    // Saturated coefficients need not cancel; stop rather than loop.
    if (next.terms.count(top->first))
      return std::nullopt;
    rest = std::move(next);
  }
  return quotient;
}

/// Is that float a number >= 0, or infinite?
static bool isNonNegativeFloat(const SymExpr &e) {
  if (std::optional<int64_t> bits = e.constant())
    return std::bit_cast<double>(*bits) >= 0;
  std::optional<SymExpr::Call> call = e.asCall();
  if (!call)
    return false;
  switch (call->fn) {
  case SymExpr::Fn::Float:
    return call->a.isNonNegative();
  case SymExpr::Fn::F32:
    return isNonNegativeFloat(call->a);
  case SymExpr::Fn::FMul: { // 0 times infinity is no number
    auto isFinite = [](const SymExpr &e) {
      double value = std::bit_cast<double>(e.constant().value_or(0));
      return value > 0 && std::isfinite(value);
    };
    return (isFinite(call->a) && isNonNegativeFloat(call->b)) ||
           (isFinite(call->b) && isNonNegativeFloat(call->a));
  }
  default:
    return false;
  }
}

static bool isNonNegativeAtom(const std::string &atom) {
  std::optional<SymExpr::Call> call = parseCallText(atom);
  if (!call)
    return !isCallText(atom) && isNonNegativeName(atom);
  bool b = call->b.isNonNegative();
  if (call->fn == SymExpr::Fn::Quot) // above -b it is 0 or more
    return b &&
           (call->b.constant().value_or(0) > 0 ? call->a + call->b - SymExpr(1)
                                               : call->a)
               .isNonNegative();
  bool a = call->a.isNonNegative();
  switch (call->fn) {
  case SymExpr::Fn::Max:
    return a || b;
  case SymExpr::Fn::Mod:
    return b; // takes the divisor's sign
  case SymExpr::Fn::Eq:
  case SymExpr::Fn::Ne:
  case SymExpr::Fn::Lt:
  case SymExpr::Fn::Le:
    return true;
  case SymExpr::Fn::Select:
    return b && call->c.isNonNegative();
  case SymExpr::Fn::Floor:
  case SymExpr::Fn::Ceil:
  case SymExpr::Fn::Trunc:
    return isNonNegativeFloat(call->a);
  default: // floats
    return false;
  case SymExpr::Fn::FloorDiv:
  case SymExpr::Fn::CeilDiv:
  case SymExpr::Fn::Min:
  case SymExpr::Fn::Bcast:
    return a && b;
  }
  return false;
}

bool SymExpr::isNonNegative() const {
  for (const auto &[monomial, coefficient] : terms) {
    if (coefficient < 0)
      return false;
    for (const std::string &atom : monomial)
      if (!isNonNegativeAtom(atom))
        return false;
  }
  return true;
}

std::vector<SymExpr> SymExpr::summands() const {
  std::vector<SymExpr> parts;
  for (const auto &term : terms) {
    SymExpr part;
    part.terms.insert(term);
    parts.push_back(std::move(part));
  }
  return parts;
}

//===----------------------------------------------------------------------===//
// Folds over the structure
//===----------------------------------------------------------------------===//

std::optional<int64_t> SymExpr::evaluate(
    const std::function<std::optional<int64_t>(const std::string &)> &values)
    const {
  int64_t sum = 0;
  for (const auto &[monomial, coefficient] : terms) {
    int64_t product = coefficient;
    for (const std::string &atom : monomial) {
      std::optional<int64_t> value;
      if (std::optional<Call> call = parseCallText(atom)) {
        std::optional<int64_t> a = call->a.evaluate(values);
        std::optional<int64_t> b = call->b.evaluate(values);
        if (call->fn == Fn::Select && a && b)
          value = *a ? b : call->c.evaluate(values);
        else if (a && b)
          value = foldConstants(call->fn, *a, *b);
      } else {
        value = values(atom);
      }
      if (!value)
        return std::nullopt;
      product = saturatingMul(product, *value);
    }
    sum = saturatingAdd(sum, product);
  }
  return sum;
}

SymExpr
SymExpr::substitute(const std::map<std::string, SymExpr> &replacements) const {
  SymExpr sum;
  for (const auto &[monomial, coefficient] : terms) {
    SymExpr product(coefficient);
    for (const std::string &atom : monomial) {
      SymExpr factor;
      if (std::optional<Call> call = parseCallText(atom)) {
        SymExpr a = call->a.substitute(replacements);
        SymExpr b = call->b.substitute(replacements);
        factor = call->fn == Fn::Select
                     ? select(a, b, call->c.substitute(replacements))
                     : apply(call->fn, a, b);
      } else if (auto it = replacements.find(atom); it != replacements.end()) {
        factor = it->second;
      } else {
        factor.terms[{atom}] = 1;
      }
      product = product * factor;
    }
    sum = sum + product;
  }
  return sum;
}

void SymExpr::collectSymbols(std::vector<std::string> &out) const {
  for (const auto &[monomial, coefficient] : terms)
    for (const std::string &atom : monomial) {
      if (std::optional<Call> call = parseCallText(atom)) {
        call->a.collectSymbols(out);
        call->b.collectSymbols(out);
        call->c.collectSymbols(out);
      } else if (std::find(out.begin(), out.end(), atom) == out.end()) {
        out.push_back(atom);
      }
    }
}

bool SymExpr::hasElements() const {
  // Nothing but an element has a bracket, wherever it stands.
  for (const auto &[monomial, coefficient] : terms)
    for (const std::string &atom : monomial)
      if (atom.find('[') != std::string::npos)
        return true;
  return false;
}

int SymExpr::visit(const Visitor &visitor) const {
  if (terms.empty())
    return visitor.constant(0);
  std::optional<int> sum;
  for (const auto &[monomial, coefficient] : terms) {
    std::optional<int> product;
    for (const std::string &atom : monomial) {
      int factor;
      if (std::optional<Call> call = parseCallText(atom)) {
        int a = call->a.visit(visitor);
        int b = call->b.visit(visitor);
        factor = call->fn == Fn::Select
                     ? visitor.select(a, b, call->c.visit(visitor))
                     : visitor.call(call->fn, a, b);
      } else {
        factor = visitor.symbol(atom);
      }
      product = product ? visitor.arith('*', *product, factor) : factor;
    }
    if (!product)
      product = visitor.constant(coefficient);
    else if (coefficient != 1)
      product = visitor.arith('*', *product, visitor.constant(coefficient));
    sum = sum ? visitor.arith('+', *sum, *product) : *product;
  }
  return *sum;
}

} // namespace tenon
