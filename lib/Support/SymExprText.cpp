//===- SymExprText.cpp - printing and parsing of dims ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   sum     := ['-'] product { ('+' | '-') product }
//   product := factor { '*' factor }
//   factor  := integer | '-' factor | '(' sum ')' | name
//            | ['#'] name '[' integer ']' | fn '(' sum { ',' sum } ')'
//
//===----------------------------------------------------------------------===//
#include "SymExprDetail.h"
#include <cstring>

namespace tenon {
using namespace symexpr;

static constexpr struct {
  std::string_view name;
  SymExpr::Fn fn;
} functions[] = {{"floordiv", SymExpr::Fn::FloorDiv},
                 {"ceildiv", SymExpr::Fn::CeilDiv},
                 {"quot", SymExpr::Fn::Quot},
                 {"mod", SymExpr::Fn::Mod},
                 {"min", SymExpr::Fn::Min},
                 {"max", SymExpr::Fn::Max},
                 {"bcast", SymExpr::Fn::Bcast},
                 {"eq", SymExpr::Fn::Eq},
                 {"ne", SymExpr::Fn::Ne},
                 {"lt", SymExpr::Fn::Lt},
                 {"le", SymExpr::Fn::Le},
                 {"select", SymExpr::Fn::Select},
                 {"fadd", SymExpr::Fn::FAdd},
                 {"fsub", SymExpr::Fn::FSub},
                 {"fmul", SymExpr::Fn::FMul},
                 {"fdiv", SymExpr::Fn::FDiv},
                 {"f32", SymExpr::Fn::F32},
                 {"float", SymExpr::Fn::Float},
                 {"floor", SymExpr::Fn::Floor},
                 {"ceil", SymExpr::Fn::Ceil},
                 {"trunc", SymExpr::Fn::Trunc}};

std::string_view symexpr::fnName(SymExpr::Fn fn) {
  for (const auto &f : functions)
    if (f.fn == fn)
      return f.name;
  return "";
}

// Not <cctype>: the grammar does not depend on the locale.
static bool isLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool isDigit(char c) { return c >= '0' && c <= '9'; }
static bool isNameChar(char c) {
  return isLetter(c) || isDigit(c) || c == '.' || c == ':' || c == '/';
}

std::string SymExpr::sanitizeSymbol(std::string_view name) {
  std::string out;
  if (name.empty() || !isLetter(name.front()))
    out = "_";
  for (char c : name)
    out += isNameChar(c) ? c : '_';
  return out;
}

std::string SymExpr::str() const {
  if (terms.empty())
    return "0";
  std::string out;
  auto print = [&](const Monomial &monomial, int64_t coefficient) {
    bool negative = coefficient < 0;
    out += out.empty() ? (negative ? "-" : "") : (negative ? " - " : " + ");
    // The magnitude as unsigned: INT64_MIN has no positive counterpart.
    uint64_t magnitude =
        negative ? 0 - static_cast<uint64_t>(coefficient) : coefficient;
    if (magnitude != 1 || monomial.empty())
      out += std::to_string(magnitude);
    bool first = magnitude == 1;
    for (const std::string &atom : monomial) {
      if (!first)
        out += '*';
      out += atom;
      first = false;
    }
  };
  // "seq - 1", "1 - seq", "b - a": no minus in front where it can be avoided,
  // and the constant at the end otherwise.
  auto constant = terms.find(Monomial());
  for (const auto &[monomial, coefficient] : terms)
    if (!monomial.empty() && coefficient > 0)
      print(monomial, coefficient);
  bool early = out.empty() && constant != terms.end() && constant->second > 0;
  if (early)
    print(constant->first, constant->second);
  for (const auto &[monomial, coefficient] : terms)
    if (!monomial.empty() && coefficient < 0)
      print(monomial, coefficient);
  if (!early && constant != terms.end())
    print(constant->first, constant->second);
  return out;
}

//===----------------------------------------------------------------------===//
// Parsing
//===----------------------------------------------------------------------===//

namespace {
class Parser {
public:
  explicit Parser(std::string_view text) : text(text) {}

  std::optional<SymExpr> parseAll() {
    std::optional<SymExpr> e = sum();
    skipSpace();
    if (!e || pos != text.size())
      return std::nullopt;
    return e;
  }

  /// A call and nothing else. Its text is canonical, so neither it nor the
  /// calls in its operands are simplified again: those stay texts, or reading a
  /// nested call would take the square of its length for each level.
  std::optional<SymExpr::Call> parseCall() {
    isCanonical = true;
    std::optional<SymExpr::Fn> fn = function(name());
    if (!fn)
      return std::nullopt;
    std::optional<SymExpr::Call> c = arguments(*fn);
    if (!c || pos != text.size())
      return std::nullopt;
    return c;
  }

private:
  // Texts come from files; nesting must not exhaust the stack, nor products
  // of sums the memory.
  static constexpr int maxDepth = 256;
  static constexpr size_t maxSize = 1 << 16, maxCanonical = 1 << 20;
  static constexpr int maxFactors = 1 << 10;

  void skipSpace() {
    while (pos < text.size() && text[pos] == ' ')
      ++pos;
  }
  bool eat(char c) {
    skipSpace();
    if (pos >= text.size() || text[pos] != c)
      return false;
    ++pos;
    return true;
  }
  std::string_view name() {
    skipSpace();
    size_t begin = pos;
    if (pos < text.size() && isLetter(text[pos]))
      while (pos < text.size() && isNameChar(text[pos]))
        ++pos;
    return text.substr(begin, pos - begin);
  }
  static std::optional<SymExpr::Fn> function(std::string_view name) {
    for (const auto &f : functions)
      if (f.name == name)
        return f.fn;
    return std::nullopt;
  }

  std::optional<SymExpr::Call> arguments(SymExpr::Fn fn) {
    if (!eat('('))
      return std::nullopt;
    std::optional<SymExpr> a = sum(), b = 0, c = 0;
    if (a && arityOf(fn) > 1)
      b = eat(',') ? sum() : std::nullopt;
    if (a && b && arityOf(fn) > 2)
      c = eat(',') ? sum() : std::nullopt;
    if (!a || !b || !c || !eat(')'))
      return std::nullopt;
    return SymExpr::Call{fn, *a, *b, *c};
  }

  std::optional<SymExpr> factor() {
    if (++depth > maxDepth)
      return std::nullopt;
    struct Leave {
      int &depth;
      ~Leave() { --depth; }
    } leave{depth};
    if (eat('(')) {
      std::optional<SymExpr> e = sum();
      return e && eat(')') ? e : std::nullopt;
    }
    if (eat('-')) {
      constexpr std::string_view lowest = "9223372036854775808";
      if (text.substr(pos, lowest.size()) == lowest) {
        pos += lowest.size();
        return SymExpr(INT64_MIN);
      }
      std::optional<SymExpr> e = factor();
      return e ? std::optional(SymExpr(0) - *e) : std::nullopt;
    }
    if (pos < text.size() && isDigit(text[pos]))
      return integer();
    skipSpace();
    size_t begin = pos;
    bool isCount = pos < text.size() && text[pos] == kCountMark;
    if (isCount && (++pos == text.size() || !isLetter(text[pos])))
      return std::nullopt;
    std::string_view id = name();
    if (id.empty())
      return std::nullopt;
    if (pos < text.size() && text[pos] == '[')
      return element(text.substr(begin, pos - begin));
    if (isCount)
      return std::nullopt;
    skipSpace();
    if (pos >= text.size() || text[pos] != '(')
      return SymExpr::symbol(std::string(id));
    if (isCanonical)
      return skipCall() ? std::optional(Atom::of(std::string(
                              text.substr(begin, pos - begin))))
                        : std::nullopt;
    std::optional<SymExpr::Fn> fn = function(id);
    if (!fn)
      return std::nullopt;
    std::optional<SymExpr::Call> call = arguments(*fn);
    if (!call)
      return std::nullopt;
    return call->fn == SymExpr::Fn::Select
               ? SymExpr::select(call->a, call->b, call->c)
               : SymExpr::apply(call->fn, call->a, call->b);
  }

  /// To behind the parenthesis that closes the one here.
  bool skipCall() {
    size_t open = 0;
    do {
      if (pos == text.size())
        return false;
      open += text[pos] == '(';
      open -= text[pos] == ')';
      ++pos;
    } while (open);
    return true;
  }

  std::optional<SymExpr> element(std::string_view name) {
    ++pos; // the bracket
    if (pos >= text.size() || !isDigit(text[pos]))
      return std::nullopt;
    std::optional<SymExpr> index = integer();
    if (!index || pos >= text.size() || text[pos] != ']')
      return std::nullopt;
    ++pos;
    return SymExpr::element(name, *index->constant());
  }

  std::optional<SymExpr> integer() {
    int64_t value = 0;
    for (; pos < text.size() && isDigit(text[pos]); ++pos)
      if (__builtin_mul_overflow(value, 10, &value) ||
          __builtin_add_overflow(value, text[pos] - '0', &value))
        return std::nullopt;
    // "384x" is no product.
    if (pos < text.size() && isNameChar(text[pos]))
      return std::nullopt;
    return SymExpr(value);
  }

  std::optional<SymExpr> product() {
    std::optional<SymExpr> e = factor();
    for (int count = 1; e && eat('*'); ++count) {
      std::optional<SymExpr> f = factor();
      if (!f || count == maxFactors)
        return std::nullopt;
      // A canonical text multiplies atoms alone, which may be long calls.
      bool ofSums = e->summands().size() > 1 && f->summands().size() > 1;
      if (ofSums && e->complexity() * f->complexity() > maxSize * 16)
        return std::nullopt;
      e = *e * *f;
      if (e->complexity() > (ofSums ? maxSize : maxCanonical))
        return std::nullopt;
    }
    return e;
  }

  std::optional<SymExpr> sum() {
    std::optional<SymExpr> e = product();
    while (e) {
      if (eat('+')) {
        std::optional<SymExpr> f = product();
        e = f ? std::optional(*e + *f) : std::nullopt;
      } else if (eat('-')) {
        std::optional<SymExpr> f = product();
        e = f ? std::optional(*e - *f) : std::nullopt;
      } else {
        break;
      }
    }
    return e;
  }

  std::string_view text;
  size_t pos = 0;
  int depth = 0;
  bool isCanonical = false;
};
} // namespace

std::optional<SymExpr> SymExpr::parse(std::string_view text) {
  return Parser(text).parseAll();
}

std::optional<SymExpr::Call> symexpr::parseCallText(std::string_view atom) {
  if (!isCallText(atom))
    return std::nullopt;
  return Parser(atom).parseCall();
}

} // namespace tenon
