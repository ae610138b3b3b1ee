//===- SymExpr.h - symbolic dims as canonical polynomials -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A dim known only at run time is a polynomial with integer coefficients over
// *atoms*. An atom is a symbol ("batch", taken from ONNX's dim_param), an
// element of a tensor ("shape[2]"), or a call of one of the functions below,
// kept opaque:
//
//   floordiv(a,b) ceildiv(a,b) quot(a,b) mod(a,b) min(a,b) max(a,b)
//   bcast(a,b)
//   eq(a,b) ne(a,b) lt(a,b) le(a,b) select(c,a,b)
//   fadd(a,b) fsub(a,b) fmul(a,b) fdiv(a,b) f32(a) float(n)
//   floor(a) ceil(a) trunc(a)
//
// quot(a,b) rounds towards zero, as a tensor's division does. bcast(a,b) is the
// size of two broadcast dims: a == 1 ? b : a. The comparisons give 0 or 1;
// select is c != 0 ? a : b. Symbols are dims, so never negative; an element is
// any integer. The last two lines are for sizes that a model computes in
// floating point: there a, b and the results of the first of them are the bits
// of a double, as is an element of a float tensor. f32 rounds to float; floor,
// ceil and trunc give an integer.
// Expressions are kept in one canonical form, so that equal polynomials print
// and compare equal: "384*batch*seq", "past + seq", "floordiv(seq + 1,2) - 1".
// Coefficients that overflow saturate: such a dim stays unusably large.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_SUPPORT_SYMEXPR_H
#define TENON_SUPPORT_SYMEXPR_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenon {

namespace symexpr {
struct Atom;
}

class SymExpr {
public:
  enum class Fn {
    FloorDiv,
    CeilDiv,
    Quot,
    Mod,
    Min,
    Max,
    Bcast,
    Eq,
    Ne,
    Lt,
    Le,
    Select,
    FAdd,
    FSub,
    FMul,
    FDiv,
    F32,
    Float,
    Floor,
    Ceil,
    Trunc
  };

  SymExpr(int64_t value = 0);
  // Not here, and the comparisons neither: every file that knows dims would
  // compile those of the map, a fifth of what it takes.
  SymExpr(const SymExpr &);
  SymExpr(SymExpr &&) noexcept;
  SymExpr &operator=(const SymExpr &);
  SymExpr &operator=(SymExpr &&) noexcept;
  ~SymExpr();
  /// A symbol; `name` is sanitised.
  static SymExpr symbol(std::string name);
  /// `name` with every character outside [A-Za-z0-9_.:/] made '_', and a '_'
  /// put before it where it does not start with a letter or '_'.
  static std::string sanitizeSymbol(std::string_view name);
  /// Element `index` (row-major) of the tensor called `name`: "name[index]".
  static SymExpr element(std::string_view name, int64_t index);
  /// Is this symbol an element's?
  static bool isElement(std::string_view symbol);
  /// The bits of a float constant.
  static SymExpr floatBits(double value);
  /// Applies `fn` (to `a` alone, where it takes one operand), simplifying what
  /// is certain: constants fold, exact monomial division divides, min/max/bcast
  /// of equal operands vanish, bcast(x,1) = x.
  static SymExpr apply(Fn fn, const SymExpr &a, const SymExpr &b = 0);
  /// c != 0 ? a : b.
  static SymExpr select(const SymExpr &c, const SymExpr &a, const SymExpr &b);
  /// Parses the printed form and ordinary arithmetic (+ - * parentheses, the
  /// functions above); nullopt for anything else.
  static std::optional<SymExpr> parse(std::string_view text);

  std::optional<int64_t> constant() const;
  bool isConstant() const { return constant().has_value(); }
  /// The name, when the expression is a single symbol.
  std::optional<std::string> asSymbol() const;
  std::string str() const;
  /// Roughly the length of str(); what derives dims from a model's arithmetic
  /// gives up above maxComplexity instead of growing without bound.
  size_t complexity() const;
  static constexpr size_t maxComplexity = 8192;

  SymExpr operator+(const SymExpr &o) const;
  SymExpr operator-(const SymExpr &o) const;
  SymExpr operator*(const SymExpr &o) const;
  bool operator==(const SymExpr &o) const;
  bool operator!=(const SymExpr &o) const { return !(*this == o); }
  bool operator<(const SymExpr &o) const;

  /// this / divisor when the division is exact for every value of the symbols.
  std::optional<SymExpr> divideExactly(const SymExpr &divisor) const;
  /// Certainly >= 0 when every symbol is >= 0 (all coefficients >= 0), whatever
  /// the elements are.
  bool isNonNegative() const;
  /// Does it depend on an element of a tensor?
  bool hasElements() const;
  /// Certainly >= 1 is never claimed for symbols: dims may be zero.

  /// When the expression is exactly one application of a function.
  struct Call;
  std::optional<Call> asCall() const;
  /// The operands of nested calls of min, max or bcast, flattened:
  /// min(a,min(b,c)) gives a, b, c; anything else gives itself.
  static std::vector<SymExpr> operandsOf(Fn fn, const SymExpr &e);

  /// The products that it is the sum of; none of 0.
  std::vector<SymExpr> summands() const;

  /// Evaluates with symbol values; nullopt when one is missing.
  std::optional<int64_t> evaluate(
      const std::function<std::optional<int64_t>(const std::string &)> &) const;
  /// Replaces symbols.
  SymExpr substitute(const std::map<std::string, SymExpr> &) const;
  void collectSymbols(std::vector<std::string> &out) const;

  /// Structural fold for writers (the artifact's expression table), bottom-up.
  /// An element is a symbol here.
  struct Visitor {
    std::function<int(int64_t)> constant;
    std::function<int(const std::string &)> symbol;
    std::function<int(char op, int a, int b)> arith; // '+', '*'
    std::function<int(Fn fn, int a, int b)> call;
    std::function<int(int c, int a, int b)> select;
  };
  int visit(const Visitor &) const;

private:
  friend struct symexpr::Atom;
  static SymExpr applyFloorDiv(const SymExpr &a, const SymExpr &b);
  static SymExpr applyQuot(const SymExpr &a, const SymExpr &b);
  static SymExpr applyMod(const SymExpr &a, const SymExpr &b);
  static SymExpr applyLattice(Fn fn, const SymExpr &a, const SymExpr &b);
  static SymExpr applyComparison(Fn fn, const SymExpr &a, const SymExpr &b);
  static SymExpr applyFloat(Fn fn, const SymExpr &a, const SymExpr &b);
  /// Is it one comparison, so 0 or 1?
  static bool isTruth(const SymExpr &e);
  static SymExpr opaqueCall(Fn fn, const SymExpr &a, const SymExpr &b);

  // A monomial is a sorted list of atom texts (repeated for powers); an atom
  // is its canonical text. terms: monomial -> coefficient, no zeros.
  using Monomial = std::vector<std::string>;
  std::map<Monomial, int64_t> terms;
};

/// fn(a, b), fn(a) with b = 0, or select(a, b, c).
struct SymExpr::Call {
  Fn fn;
  SymExpr a, b, c = 0;
};

} // namespace tenon

#endif // TENON_SUPPORT_SYMEXPR_H
