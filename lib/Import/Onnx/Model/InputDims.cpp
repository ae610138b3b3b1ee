//===- InputDims.cpp - the names of the inputs' dims ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Model/InputDims.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include <set>

namespace tenon::onnximport {

static llvm::StringRef trimmed(const std::string &text) {
  return llvm::StringRef(text).trim();
}

static std::optional<int64_t> asInteger(const std::string &text) {
  int64_t value;
  if (trimmed(text).getAsInteger(10, value))
    return std::nullopt;
  return value;
}

/// An expression that is more than a name.
static std::optional<SymExpr> asExpression(const std::string &text) {
  std::optional<SymExpr> e = SymExpr::parse(trimmed(text).str());
  return e && !e->asSymbol() && !e->isConstant() ? e : std::nullopt;
}

/// What exporters write for a dim of which they know nothing; two such dims
/// need not be the same.
static bool isUnknown(const std::string &text) {
  llvm::StringRef name = trimmed(text);
  std::optional<int64_t> value = asInteger(text);
  return name.empty() || name == "?" || name == "None" || (value && *value < 0);
}

/// What a dim is called whose name in the model, if any, does not count.
static std::string ownName(const onnx::ValueInfoProto &input, int axis) {
  return input.name() + ".d" + std::to_string(axis);
}

/// The symbol for a dim_param; two texts that sanitise alike stay apart.
std::string InputDims::symbolFor(const std::string &text) {
  auto it = symbols.find(text);
  if (it != symbols.end())
    return it->second;
  std::string base = SymExpr::sanitizeSymbol(trimmed(text).str());
  std::string symbol = base;
  auto taken = [&](const std::string &s) {
    return llvm::any_of(symbols, [&](auto &pair) { return pair.second == s; });
  };
  for (int i = 2; taken(symbol); ++i)
    symbol = base + "." + std::to_string(i);
  symbols[text] = symbol;
  return symbol;
}

/// Notes what is fixed, and within which bounds the others are.
std::string
InputDims::apply(const std::map<std::string, DimSetting> &settings) {
  for (const auto &[name, setting] : settings) {
    std::string symbol;
    for (const auto &[text, own] : symbols)
      if (text == name || own == name)
        symbol = own;
    if (symbol.empty()) {
      std::string known;
      for (const auto &[text, own] : symbols)
        known += (known.empty() ? "" : ", ") + own;
      return "--dim: unknown dim '" + name + "': expected one of " +
             (known.empty() ? "none (every dim is static)" : known);
    }
    if (setting.lo < 0 || setting.hi < setting.lo)
      return "--dim: invalid range " + std::to_string(setting.lo) + ".." +
             std::to_string(setting.hi) + " of '" + name + "'";
    // Under one of its spellings and under the other.
    if (fixed.count(symbol) || declared.count(symbol))
      return "--dim: '" + symbol + "' is given twice";
    if (setting.lo == setting.hi)
      fixed.emplace(symbol, SymExpr(setting.lo));
    else
      declared[symbol] = setting;
  }
  return "";
}

std::string
InputDims::build(llvm::ArrayRef<const onnx::ValueInfoProto *> inputs,
                 const std::map<std::string, DimSetting> &settings,
                 bool zeroIsUnknown) {
  // A setting of a dim's own name tells it from others that the model calls
  // alike.
  auto textOf = [&](const onnx::ValueInfoProto &input, int i) {
    const auto &dim = input.type().tensor_type().shape().dim(i);
    bool named = dim.has_dim_param() && !isUnknown(dim.dim_param()) &&
                 !settings.count(ownName(input, i));
    return named ? dim.dim_param() : ownName(input, i);
  };
  // Plain names first: an expression is one only if its names are dims.
  std::set<std::string> plain;
  for (const auto *input : inputs)
    for (int i = 0; i < input->type().tensor_type().shape().dim_size(); ++i) {
      std::string text = textOf(*input, i);
      if (text != ownName(*input, i) && !asInteger(text) && !asExpression(text))
        plain.insert(symbolFor(text));
    }
  auto overPlain = [&](const SymExpr &e) {
    std::vector<std::string> used;
    e.collectSymbols(used);
    return llvm::all_of(used,
                        [&](const std::string &s) { return plain.count(s); });
  };

  for (const auto *input : inputs) {
    llvm::SmallVector<SymExpr> dims;
    const auto &shape = input->type().tensor_type().shape();
    for (int i = 0; i < shape.dim_size(); ++i) {
      const auto &dim = shape.dim(i);
      if (dim.has_dim_value() &&
          (zeroIsUnknown ? dim.dim_value() > 0 : dim.dim_value() >= 0)) {
        dims.push_back(SymExpr(dim.dim_value()));
        continue;
      }
      std::string text = textOf(*input, i);
      if (std::optional<int64_t> value = asInteger(text)) {
        dims.push_back(SymExpr(*value));
        continue;
      }
      std::optional<SymExpr> e = asExpression(text);
      dims.push_back(e && overPlain(*e) ? *e
                                        : SymExpr::symbol(symbolFor(text)));
    }
    all.push_back(std::move(dims));
  }

  if (std::string wrong = apply(settings); !wrong.empty())
    return wrong;
  for (auto [input, dims] : llvm::zip(inputs, all))
    for (SymExpr &dim : dims) {
      dim = dim.substitute(fixed);
      if (dim.isConstant() && *dim.constant() < 0)
        return "--dim: a dim of input '" + input->name() +
               "' would be negative";
    }
  return "";
}

SymExpr InputDims::innerDim(const onnx::TensorShapeProto::Dimension &dim,
                            const std::string &otherwise) {
  if (dim.has_dim_value() && dim.dim_value() >= 0)
    return SymExpr(dim.dim_value());
  auto it = symbols.find(dim.dim_param());
  if (dim.has_dim_param() && it != symbols.end())
    return SymExpr::symbol(it->second).substitute(fixed);
  return SymExpr::symbol(symbolFor(otherwise));
}

} // namespace tenon::onnximport
