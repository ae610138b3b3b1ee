//===- SymExprApply.cpp - simplifying function calls on dims --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Only rewrites that hold for every value of the symbols (dims, so >= 0) and
// elements:
//
//   floordiv(c*q + r, c) = q + floordiv(r, c)      c a constant > 0
//   floordiv(floordiv(x,a) + k, b) = floordiv(x + a*k, a*b)
//   quot(quot(x,a), b) = quot(x, a*b), and floordiv of what is not negative
//   mod(c*q + r, c) = mod(r, c)
//   min, max, bcast: associative, commutative, idempotent, so their operands
//   are a sorted set; operands that another one dominates are dropped.
//   eq, ne, lt, le: decided where the sign of a - b is certain.
//   x - c < c*floordiv(x, c) <= x, for signs.
//
//===----------------------------------------------------------------------===//
#include "SymExprDetail.h"
#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace tenon {
using namespace symexpr;

static int64_t floorDivide(int64_t a, int64_t b) {
  if (b == 0)
    return 0;
  if (b == -1)
    return saturatingMul(a, -1);
  int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

/// As the runtime's: what is no number, or too large, is the end of the range.
static int64_t toInteger(double value) {
  if (std::isnan(value) || value <= -0x1p63)
    return INT64_MIN;
  return value >= 0x1p63 ? INT64_MAX : static_cast<int64_t>(value);
}

static int64_t foldFloat(SymExpr::Fn fn, int64_t a, int64_t b) {
  auto x = std::bit_cast<double>(a), y = std::bit_cast<double>(b);
  switch (fn) {
  case SymExpr::Fn::FAdd:
    return std::bit_cast<int64_t>(x + y);
  case SymExpr::Fn::FSub:
    return std::bit_cast<int64_t>(x - y);
  case SymExpr::Fn::FMul:
    return std::bit_cast<int64_t>(x * y);
  case SymExpr::Fn::FDiv:
    return std::bit_cast<int64_t>(x / y);
  case SymExpr::Fn::F32:
    return std::bit_cast<int64_t>(double(float(x)));
  case SymExpr::Fn::Float:
    return std::bit_cast<int64_t>(double(a));
  case SymExpr::Fn::Floor:
    return toInteger(std::floor(x));
  case SymExpr::Fn::Ceil:
    return toInteger(std::ceil(x));
  case SymExpr::Fn::Trunc:
    return toInteger(x);
  default:
    return 0;
  }
}

int64_t symexpr::foldConstants(SymExpr::Fn fn, int64_t a, int64_t b) {
  switch (fn) {
  case SymExpr::Fn::FloorDiv:
    return floorDivide(a, b);
  case SymExpr::Fn::CeilDiv:
    return saturatingMul(floorDivide(saturatingMul(a, -1), b), -1);
  case SymExpr::Fn::Quot:
    return b == -1 ? saturatingMul(a, -1) : b == 0 ? 0 : a / b;
  case SymExpr::Fn::Mod:
    if (b == 0 || b == -1)
      return 0;
    return a % b != 0 && (a < 0) != (b < 0) ? a % b + b : a % b;
  case SymExpr::Fn::Min:
    return std::min(a, b);
  case SymExpr::Fn::Max:
    return std::max(a, b);
  case SymExpr::Fn::Bcast:
    return a == 1 ? b : a;
  case SymExpr::Fn::Eq:
    return a == b;
  case SymExpr::Fn::Ne:
    return a != b;
  case SymExpr::Fn::Lt:
    return a < b;
  case SymExpr::Fn::Le:
    return a <= b;
  case SymExpr::Fn::Select: // has three operands: SymExpr::select
    break;
  default:
    return foldFloat(fn, a, b);
  }
  return 0;
}

SymExpr SymExpr::opaqueCall(Fn fn, const SymExpr &a, const SymExpr &b) {
  SymExpr e;
  std::string second = arityOf(fn) > 1 ? "," + b.str() : "";
  e.terms[{std::string(fnName(fn)) + "(" + a.str() + second + ")"}] = 1;
  return e;
}

//===----------------------------------------------------------------------===//
// Division
//===----------------------------------------------------------------------===//

SymExpr SymExpr::applyFloorDiv(const SymExpr &a, const SymExpr &b) {
  if (std::optional<SymExpr> exact = a.divideExactly(b))
    return *exact;
  std::optional<int64_t> divisor = b.constant();
  if (!divisor || *divisor <= 0)
    return opaqueCall(Fn::FloorDiv, a, b);
  int64_t c = *divisor;

  // What the divisor divides leaves the call; the constant keeps a remainder
  // in [0, c).
  SymExpr whole, rest;
  for (const auto &[monomial, coefficient] : a.terms) {
    int64_t q = monomial.empty() ? floorDivide(coefficient, c)
                                 : (coefficient % c == 0 ? coefficient / c : 0);
    if (q != 0)
      whole.terms[monomial] = q;
    if (int64_t r = coefficient - q * c)
      rest.terms[monomial] = r;
  }
  if (rest.isConstant()) // 0 <= rest < c
    return whole;

  // floor((g*n + k) / (g*m)) = floor((n + floor(k/g)) / m).
  int64_t g = c;
  for (const auto &[monomial, coefficient] : rest.terms)
    if (!monomial.empty())
      g = std::gcd(g, coefficient);
  if (g > 1) {
    SymExpr reduced;
    for (const auto &[monomial, coefficient] : rest.terms)
      if (int64_t r = floorDivide(coefficient, g))
        reduced.terms[monomial] = r;
    rest = std::move(reduced);
    c /= g;
    if (c == 1)
      return whole + rest;
  }

  // A division of a division by constants is one division.
  std::optional<int64_t> offset;
  SymExpr inner;
  for (const auto &[monomial, coefficient] : rest.terms)
    if (monomial.empty())
      offset = coefficient;
    else
      inner.terms[monomial] = coefficient;
  if (std::optional<Call> call = inner.asCall();
      call && call->fn == Fn::FloorDiv) {
    std::optional<int64_t> d = call->b.constant();
    int64_t joined;
    if (d && *d > 0 && !__builtin_mul_overflow(*d, c, &joined))
      return whole +
             applyFloorDiv(call->a + SymExpr(offset.value_or(0)) * SymExpr(*d),
                           SymExpr(joined));
  }
  return whole + opaqueCall(Fn::FloorDiv, rest, SymExpr(c));
}

SymExpr SymExpr::applyQuot(const SymExpr &a, const SymExpr &b) {
  if (a.isNonNegative() && b.isNonNegative())
    return apply(Fn::FloorDiv, a, b);
  if (std::optional<SymExpr> exact = a.divideExactly(b))
    return *exact;
  std::optional<int64_t> divisor = b.constant();
  if (SymExpr negated = SymExpr(0) - a; divisor && negated.isNonNegative())
    return SymExpr(0) - applyQuot(negated, b);
  if (std::optional<Call> inner = a.asCall(); inner && inner->fn == Fn::Quot) {
    std::optional<int64_t> first = inner->b.constant();
    int64_t joined;
    if (first && divisor && !__builtin_mul_overflow(*first, *divisor, &joined))
      return applyQuot(inner->a, SymExpr(joined));
  }
  return opaqueCall(Fn::Quot, a, b);
}

SymExpr SymExpr::applyMod(const SymExpr &a, const SymExpr &b) {
  if (a.divideExactly(b))
    return SymExpr(0);
  std::optional<int64_t> divisor = b.constant();
  if (!divisor || *divisor <= 0)
    return opaqueCall(Fn::Mod, a, b);
  SymExpr rest;
  for (const auto &[monomial, coefficient] : a.terms)
    if (int64_t r = foldConstants(Fn::Mod, coefficient, *divisor))
      rest.terms[monomial] = r;
  if (rest.isConstant())
    return rest;
  return opaqueCall(Fn::Mod, rest, b);
}

//===----------------------------------------------------------------------===//
// Signs
//===----------------------------------------------------------------------===//

/// A multiple of `e` or less, without its divisions by constants: those that
/// are added count as the least that they may be, others as the most.
static std::optional<SymExpr> leastWithoutDivisions(const SymExpr &e) {
  constexpr int64_t largest = int64_t(1) << 30; // products of two fit
  struct Part {
    SymExpr whole, dividend;
    int64_t coefficient, divisor;
  };
  std::vector<Part> parts;
  int64_t multiple = 1;
  for (const SymExpr &summand : e.summands()) {
    const auto &[monomial, coefficient] = *Atom::termsOf(summand).begin();
    Part part = {summand, 0, coefficient, 0};
    std::optional<SymExpr::Call> call =
        monomial.size() == 1 ? parseCallText(monomial.front()) : std::nullopt;
    if (call && call->fn == SymExpr::Fn::FloorDiv) {
      int64_t divisor = call->b.constant().value_or(0);
      if (divisor > 0 && divisor <= largest) {
        part.dividend = call->a;
        part.divisor = divisor;
        multiple = std::lcm(multiple, divisor);
      }
    }
    if (multiple > largest || coefficient > largest || coefficient < -largest)
      return std::nullopt;
    parts.push_back(std::move(part));
  }
  if (multiple == 1)
    return std::nullopt;
  SymExpr least;
  for (const Part &part : parts) {
    if (part.divisor == 0) {
      least = least + SymExpr(multiple) * part.whole;
      continue;
    }
    SymExpr slack(part.coefficient > 0 ? part.divisor - 1 : 0);
    least = least + SymExpr(multiple / part.divisor * part.coefficient) *
                        (part.dividend - slack);
  }
  return least;
}

/// As isNonNegative, and by the bounds of divisions: the pads of convolutions
/// that follow each other (auto_pad) have a sign by these alone.
static bool isCertainlyNonNegative(const SymExpr &e) {
  if (e.isNonNegative())
    return true;
  std::optional<SymExpr> least = leastWithoutDivisions(e);
  return least && isCertainlyNonNegative(*least);
}

//===----------------------------------------------------------------------===//
// min, max, bcast
//===----------------------------------------------------------------------===//

static void flatten(SymExpr::Fn fn, const SymExpr &e,
                    std::vector<SymExpr> &operands) {
  SymExpr rest = e;
  while (std::optional<SymExpr::Call> call = rest.asCall()) {
    if (call->fn != fn)
      break;
    flatten(fn, call->a, operands);
    rest = call->b;
  }
  operands.push_back(rest);
}

std::vector<SymExpr> SymExpr::operandsOf(Fn fn, const SymExpr &e) {
  std::vector<SymExpr> operands;
  flatten(fn, e, operands);
  return operands;
}

/// Is `x` made redundant by `y` in fn(x, y)?
static bool isDominated(SymExpr::Fn fn, const SymExpr &x, const SymExpr &y) {
  switch (fn) {
  case SymExpr::Fn::Min:
    return isCertainlyNonNegative(x - y);
  case SymExpr::Fn::Max:
    return isCertainlyNonNegative(y - x);
  case SymExpr::Fn::Bcast: {
    // A constant other than 1 is the joined size, whatever x is.
    std::optional<int64_t> cx = x.constant(), cy = y.constant();
    return cx == 1 || (cy && *cy != 1 && !cx);
  }
  default:
    return false;
  }
}

SymExpr SymExpr::applyLattice(Fn fn, const SymExpr &a, const SymExpr &b) {
  std::vector<SymExpr> all, kept;
  flatten(fn, a, all);
  flatten(fn, b, all);
  // Symbols first, constants last: "min(seq,512)".
  std::sort(all.begin(), all.end(), [](const SymExpr &x, const SymExpr &y) {
    bool cx = x.isConstant(), cy = y.isConstant();
    return cx != cy ? cy : x < y;
  });
  all.erase(std::unique(all.begin(), all.end()), all.end());
  for (size_t i = 0; i < all.size(); ++i) {
    bool dominated = false;
    for (size_t j = 0; j < all.size() && !dominated; ++j)
      dominated = i != j && isDominated(fn, all[i], all[j]);
    if (!dominated)
      kept.push_back(all[i]);
  }
  // Domination is antisymmetric on distinct expressions, so one is left.
  if (kept.empty())
    return opaqueCall(fn, a, b);
  SymExpr result = kept.back();
  for (size_t i = kept.size() - 1; i-- > 0;)
    result = opaqueCall(fn, kept[i], result);
  return result;
}

//===----------------------------------------------------------------------===//
// Comparisons
//===----------------------------------------------------------------------===//

SymExpr SymExpr::applyComparison(Fn fn, const SymExpr &a, const SymExpr &b) {
  SymExpr more = a - b, less = b - a;
  bool ge = more.isNonNegative(), le = less.isNonNegative();
  bool gt = (more - SymExpr(1)).isNonNegative();
  bool lt = (less - SymExpr(1)).isNonNegative();
  bool equality = fn == Fn::Eq || fn == Fn::Ne;
  if (equality && ((ge && le) || gt || lt))
    return SymExpr((ge && le) == (fn == Fn::Eq));
  if (fn == Fn::Lt && (lt || ge))
    return SymExpr(lt);
  if (fn == Fn::Le && (le || gt))
    return SymExpr(le);
  // "eq(x,1)": either order is the same.
  if (equality && (a.isConstant() || (!b.isConstant() && b < a)))
    return opaqueCall(fn, b, a);
  return opaqueCall(fn, a, b);
}

SymExpr SymExpr::select(const SymExpr &c, const SymExpr &a, const SymExpr &b) {
  if (std::optional<int64_t> certain = c.constant())
    return *certain ? a : b;
  if (a == b)
    return a;
  if (a == SymExpr(1) && b == SymExpr(0) && isTruth(c))
    return c;
  SymExpr e;
  e.terms[{"select(" + c.str() + "," + a.str() + "," + b.str() + ")"}] = 1;
  return e;
}

bool SymExpr::isTruth(const SymExpr &e) {
  std::optional<Call> call = e.asCall();
  return call && call->fn >= Fn::Eq && call->fn <= Fn::Le;
}

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

SymExpr SymExpr::floatBits(double value) {
  return SymExpr(std::bit_cast<int64_t>(value));
}

SymExpr SymExpr::applyFloat(Fn fn, const SymExpr &a, const SymExpr &b) {
  std::optional<Call> call = a.asCall();
  bool toInt = fn == Fn::Floor || fn == Fn::Ceil || fn == Fn::Trunc;
  // Dims are far below 2^53.
  if (toInt && call && call->fn == Fn::Float)
    return call->a;
  // A whole multiple of a dim.
  if (toInt && call && call->fn == Fn::FMul) {
    std::optional<Call> x = call->a.asCall();
    std::optional<int64_t> bits = call->b.constant();
    double by = bits ? std::bit_cast<double>(*bits) : 0.5;
    if (x && x->fn == Fn::Float && by == std::floor(by) &&
        std::abs(by) < 0x1p31)
      return x->a * SymExpr(int64_t(by));
  }
  if (fn == Fn::F32 && call && call->fn == Fn::F32)
    return a;
  return opaqueCall(fn, a, b);
}

SymExpr SymExpr::apply(Fn fn, const SymExpr &a, const SymExpr &b) {
  std::optional<int64_t> ca = a.constant(), cb = b.constant();
  if (ca && cb && fn != Fn::Select)
    return SymExpr(foldConstants(fn, *ca, *cb));
  switch (fn) {
  case Fn::FloorDiv:
  case Fn::CeilDiv:
    if (cb == 0 || ca == 0)
      return SymExpr(0);
    if (cb && *cb < 0 && *cb != INT64_MIN)
      return apply(fn, SymExpr(0) - a, SymExpr(-*cb));
    if (fn == Fn::FloorDiv)
      return applyFloorDiv(a, b);
    if (cb && *cb > 0) // ceil(a/c) = floor((a + c - 1)/c)
      return applyFloorDiv(a + SymExpr(*cb - 1), b);
    if (std::optional<SymExpr> exact = a.divideExactly(b))
      return *exact;
    return opaqueCall(fn, a, b);
  case Fn::Quot:
    if (cb == 0 || ca == 0)
      return SymExpr(0);
    if (cb && *cb < 0 && *cb != INT64_MIN)
      return applyQuot(SymExpr(0) - a, SymExpr(-*cb));
    return applyQuot(a, b);
  case Fn::Mod:
    if (cb == 0 || ca == 0)
      return SymExpr(0);
    return applyMod(a, b);
  case Fn::Min:
  case Fn::Max:
  case Fn::Bcast:
    return applyLattice(fn, a, b);
  case Fn::Eq:
  case Fn::Ne:
  case Fn::Lt:
  case Fn::Le:
    return applyComparison(fn, a, b);
  case Fn::Select: // has three operands
    break;
  default:
    return applyFloat(fn, a, b);
  }
  return SymExpr(0);
}

} // namespace tenon
