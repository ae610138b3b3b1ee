//===- Identifiers.h - a model's names in C and C++ -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_IDENTIFIERS_H
#define TENON_TOOLS_IDENTIFIERS_H

#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/StringSet.h"
#include <map>
#include <optional>
#include <string>

namespace tenon {

/// Names that stand side by side, each once.
class Identifiers {
public:
  /// `name` with every character that C does not allow as '_', and whatever
  /// else it takes: no keyword, no macro, none that was handed out before.
  std::string add(llvm::StringRef name);

private:
  llvm::StringSet<> taken;
};

/// A string literal, quotes included.
std::string quoted(llvm::StringRef text);
/// What may stand in a comment to the end of its line.
std::string inComment(llvm::StringRef text);
/// The expression in C, its symbols by their identifiers; nullopt where it has
/// other symbols, or computes in floating point.
std::optional<std::string>
expressionInC(const SymExpr &expr,
              const std::map<std::string, std::string> &identifiers);

} // namespace tenon

#endif // TENON_TOOLS_IDENTIFIERS_H
