//===- Identifiers.cpp - a model's names in C and C++ ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Identifiers.h"
#include "llvm/ADT/StringExtras.h"
#include <vector>

using namespace llvm;

namespace tenon {

/// Keywords of C and C++, macros of the standard headers and of compilers, and
/// the names that the generated functions use themselves.
static bool isReserved(StringRef name) {
  static const StringSet<> words{
      "alignas", "alignof", "and", "and_eq", "asm", "assert", "auto", "bitand",
      "bitor", "bool", "break", "case", "catch", "char", "char16_t", "char32_t",
      "char8_t", "class", "co_await", "co_return", "co_yield", "compl",
      "complex", "concept", "const", "const_cast", "consteval", "constexpr",
      "constinit", "continue", "decltype", "default", "delete", "do", "double",
      "dynamic_cast", "else", "enum", "errno", "explicit", "export", "extern",
      "false", "float", "for", "friend", "goto", "i386", "if", "imaginary",
      "inline", "int", "int16_t", "int32_t", "int64_t", "int8_t", "linux",
      "long", "main", "mutable", "namespace", "new", "noexcept", "not", "not_eq",
      "nullptr", "operator", "or", "or_eq", "private", "protected", "public",
      "register", "reinterpret_cast", "requires", "restrict", "return", "short",
      "signed", "size_t", "sizeof", "static", "static_assert", "static_cast",
      "std", "stderr", "stdin", "stdout", "struct", "switch", "template",
      "tenon", "this", "thread_local", "throw", "true", "try", "typedef",
      "typeid", "typename", "typeof", "uint16_t", "uint32_t", "uint64_t",
      "uint8_t", "union", "unix", "unsigned", "using", "virtual", "void",
      "volatile", "wchar_t", "while", "xor", "xor_eq", "NULL", "EOF",
      "INFINITY", "NAN", "I", "BUFSIZ", "RAND_MAX"};
  return words.contains(name);
}

std::string Identifiers::add(StringRef name) {
  std::string result;
  for (char c : name.rtrim("?!.:/-+ "))
    result += isAlnum(c) ? c : '_';
  // No leading digit, and none of the names that are the implementation's.
  size_t letter = result.find_first_not_of('_');
  if (letter == std::string::npos)
    result = "x";
  else if (letter > 0 || isDigit(result[0]))
    result = "x" + std::string(isDigit(result[letter]) ? "" : "_") +
             result.substr(letter);
  for (size_t at; (at = result.find("__")) != std::string::npos;)
    result.erase(at, 1);
  if (isReserved(result))
    result += "_";
  std::string unique = result;
  for (int i = 2; !taken.insert(unique).second; ++i)
    unique = result + (result.back() == '_' ? "" : "_") + std::to_string(i);
  return unique;
}

std::string quoted(StringRef text) {
  std::string result = "\"";
  for (unsigned char c : text)
    if (isPrint(c) && c != '"' && c != '\\' && c != '?') {
      result += char(c);
    } else { // three digits, so that none of the text's is taken for one more
      result += '\\';
      result += char('0' + (c >> 6));
      result += char('0' + (c >> 3 & 7));
      result += char('0' + (c & 7));
    }
  return result + "\"";
}

std::string inComment(StringRef text) {
  std::string result;
  for (unsigned char c : text)
    result += c == '\\' || c < ' ' || c == 127 ? '?' : char(c);
  for (size_t at; (at = result.find("*/")) != std::string::npos;)
    result[at] = '?';
  for (size_t at; (at = result.find("/*")) != std::string::npos;)
    result[at + 1] = '?';
  return result;
}

std::optional<std::string>
expressionInC(const SymExpr &expr,
              const std::map<std::string, std::string> &identifiers) {
  std::vector<std::string> texts;
  bool fine = true;
  auto add = [&](std::string text) {
    texts.push_back(std::move(text));
    return int(texts.size()) - 1;
  };
  SymExpr::Visitor visitor;
  visitor.constant = [&](int64_t value) {
    // INT64_MIN has no literal, and no dim is that.
    fine &= value > INT64_MIN;
    return add(value < 0 ? "(" + std::to_string(value) + ")"
                         : std::to_string(value));
  };
  visitor.symbol = [&](const std::string &name) {
    auto at = identifiers.find(name);
    fine &= at != identifiers.end();
    return add(at == identifiers.end() ? name : at->second);
  };
  visitor.arith = [&](char op, int a, int b) {
    std::string sign = op == '*' ? " * " : " + ";
    return add("(" + texts[a] + sign + texts[b] + ")");
  };
  visitor.call = [&](SymExpr::Fn fn, int a, int b) {
    auto call = [&](const char *name) {
      return add(std::string(name) + "(" + texts[a] + ", " + texts[b] + ")");
    };
    auto compare = [&](const char *sign) {
      return add("(" + texts[a] + sign + texts[b] + ")");
    };
    switch (fn) {
    case SymExpr::Fn::FloorDiv:
      return call("tenon_floordiv");
    case SymExpr::Fn::CeilDiv:
      return call("tenon_ceildiv");
    case SymExpr::Fn::Mod:
      return call("tenon_mod");
    case SymExpr::Fn::Min:
      return call("tenon_min");
    case SymExpr::Fn::Max:
      return call("tenon_max");
    case SymExpr::Fn::Bcast:
      return call("tenon_bcast");
    case SymExpr::Fn::Eq:
      return compare(" == ");
    case SymExpr::Fn::Ne:
      return compare(" != ");
    case SymExpr::Fn::Lt:
      return compare(" < ");
    case SymExpr::Fn::Le:
      return compare(" <= ");
    default:
      fine = false;
      return add("0");
    }
  };
  visitor.select = [&](int c, int a, int b) {
    return add("(" + texts[c] + " ? " + texts[a] + " : " + texts[b] + ")");
  };
  std::string result = texts[expr.visit(visitor)];
  if (!fine)
    return std::nullopt;
  return result;
}

} // namespace tenon
