//===- RandomInputs.cpp - inputs that a model accepts ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Artifact.h"
#include "RandomTensor.h"

#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;

namespace tenon {

//===----------------------------------------------------------------------===//
// Dims
//===----------------------------------------------------------------------===//

/// A typical value for a dim that nobody gave.
static int64_t defaultDim(StringRef name, const OpenArtifact &artifact) {
  std::string lower = name.lower();
  StringRef text(lower);
  int64_t value = 1;
  if (text.contains("past"))
    value = 0;
  else if (text.contains("seq") || text.contains("len"))
    value = 128;
  for (const tenon_range_info &range : artifact.ranges)
    if (name == range.name)
      value = std::clamp(value, range.lo, range.hi);
  // A bound that the model itself sets: "seq" <= "512".
  int64_t bound;
  for (const tenon_check_info &check : artifact.checks)
    if (check.relation == TENON_RELATION_LESS_EQUAL && check.lhs && check.rhs &&
        name == check.lhs && !StringRef(check.rhs).getAsInteger(10, bound))
      value = std::min(value, std::max<int64_t>(bound, 0));
  return value;
}

namespace {

/// The checks that dims alone decide.
struct DimChecks {
  explicit DimChecks(const OpenArtifact &artifact);
  /// How many of them these dims break.
  size_t broken(const DimValues &dims) const;

  struct Relation {
    tenon_relation relation;
    SymExpr lhs, rhs;
  };
  std::vector<Relation> relations;
  std::set<int64_t> numbers; ///< that they name, and those behind them
};

DimChecks::DimChecks(const OpenArtifact &artifact) {
  constexpr int64_t kLargest = 1 << 16; // tensors are to fit
  for (const tenon_check_info &check : artifact.checks) {
    auto lhs = SymExpr::parse(check.lhs ? check.lhs : ""),
         rhs = SymExpr::parse(check.rhs ? check.rhs : "");
    if (!lhs || !rhs)
      continue;
    relations.push_back({check.relation, *lhs, *rhs});
    for (StringRef text : {StringRef(check.lhs), StringRef(check.rhs)})
      while (!(text = text.drop_until(isDigit)).empty()) {
        StringRef digits = text.take_while(isDigit);
        text = text.drop_front(digits.size());
        int64_t number;
        if (!digits.getAsInteger(10, number) && number > 0 && number < kLargest)
          numbers.insert({number, number + 1});
      }
  }
}

size_t DimChecks::broken(const DimValues &dims) const {
  auto valueOf = [&](const SymExpr &e) {
    return e.evaluate([&](const std::string &name) -> std::optional<int64_t> {
      auto at = dims.find(name);
      if (at == dims.end())
        return std::nullopt;
      return at->second;
    });
  };
  return size_t(count_if(relations, [&](const Relation &r) {
    auto lhs = valueOf(r.lhs), rhs = valueOf(r.rhs);
    if (!lhs || !rhs || lhs == rhs)
      return false;
    return r.relation == TENON_RELATION_LESS_EQUAL  ? *lhs > *rhs
           : r.relation == TENON_RELATION_BROADCAST ? *lhs != 1 && *rhs != 1
                                                    : true;
  }));
}

} // namespace

/// Moves dims that nobody gave to where the checks hold: two rows for a Squeeze
/// that leaves them, a signal as long as a frame.
static void settleDims(const OpenArtifact &artifact, ArrayRef<std::string> open,
                       DimValues &dims) {
  DimChecks checks(artifact);
  std::set<int64_t> numbers = checks.numbers;
  numbers.insert({2, 4, 16, 64, 256, 1024});
  size_t left = checks.broken(dims);
  for (const std::string &name : open) {
    int64_t best = dims[name];
    for (int64_t number : numbers) {
      bool isIn = all_of(artifact.ranges, [&](const tenon_range_info &range) {
        return name != range.name || (range.lo <= number && number <= range.hi);
      });
      if (left == 0 || !isIn)
        continue;
      dims[name] = number;
      if (size_t now = checks.broken(dims); now < left) {
        left = now;
        best = number;
      }
    }
    dims[name] = best;
  }
}

static bool hasName(const OpenArtifact &artifact, StringRef name) {
  for (const tenon_port_info &port : artifact.inputs)
    for (int32_t d = 0; d < port.rank; ++d)
      if (auto expr = SymExpr::parse(port.dim_names[d])) {
        std::vector<std::string> symbols;
        expr->collectSymbols(symbols);
        if (is_contained(symbols, name))
          return true;
      }
  return false;
}

Error chooseDims(const OpenArtifact &artifact, ArrayRef<Tensor> given,
                 DimValues &dims) {
  for (const auto &[name, value] : dims)
    if (!hasName(artifact, name)) {
      std::string known;
      for (const tenon_port_info &port : artifact.inputs)
        for (int32_t d = 0; d < port.rank; ++d)
          if (auto expr = SymExpr::parse(port.dim_names[d]))
            if (auto symbol = expr->asSymbol())
              if (!StringRef(known).contains("'" + *symbol + "'"))
                known += (known.empty() ? "'" : ", '") + *symbol + "'";
      return createStringError("the artifact's inputs have no dim '" + name +
                               "'" +
                               (known.empty() ? "" : "; they have " + known));
    }
  // Given tensors settle the dims that they name directly.
  for (auto [port, tensor] : zip(artifact.inputs, given))
    for (int32_t d = 0; tensor.given && d < port.rank; ++d)
      if (auto expr = SymExpr::parse(port.dim_names[d]))
        if (auto symbol = expr->asSymbol()) {
          auto [at, isNew] = dims.try_emplace(*symbol, tensor.dims[d]);
          if (!isNew && at->second != tensor.dims[d])
            return createStringError("input '" + Twine(port.name) + "': dim " +
                                     Twine(d) + " (" + *symbol + ") is " +
                                     Twine(tensor.dims[d]) + ", expected " +
                                     Twine(at->second));
        }
  std::vector<std::string> open;
  for (const tenon_port_info &port : artifact.inputs)
    for (int32_t d = 0; d < port.rank; ++d)
      if (auto expr = SymExpr::parse(port.dim_names[d])) {
        std::vector<std::string> symbols;
        expr->collectSymbols(symbols);
        for (const std::string &symbol : symbols)
          if (dims.try_emplace(symbol, defaultDim(symbol, artifact)).second)
            open.push_back(symbol);
      }
  settleDims(artifact, open, dims);
  return Error::success();
}

Expected<std::vector<int64_t>> portDims(const tenon_port_info &port,
                                        const DimValues &dims) {
  std::vector<int64_t> result;
  for (int32_t d = 0; d < port.rank; ++d) {
    std::optional<int64_t> value;
    if (port.dim_values[d] >= 0)
      value = port.dim_values[d];
    else if (auto expr = SymExpr::parse(port.dim_names[d]))
      value = expr->evaluate(
          [&](const std::string &name) -> std::optional<int64_t> {
            auto at = dims.find(name);
            if (at == dims.end())
              return std::nullopt;
            return at->second;
          });
    if (!value || *value < 0)
      return createStringError("input '" + Twine(port.name) + "': dim " +
                               Twine(d) + " (" + port.dim_names[d] +
                               ") has no value: give it with --dim or --input");
    result.push_back(*value);
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

namespace {

bool isInteger(tenon_dtype dtype) {
  switch (dtype) {
  case TENON_BOOL:
  case TENON_U8:
  case TENON_I8:
  case TENON_U16:
  case TENON_I16:
  case TENON_U32:
  case TENON_I32:
  case TENON_U64:
  case TENON_I64:
    return true;
  default:
    return false;
  }
}

bool isFloat(tenon_dtype dtype) {
  return dtype == TENON_F32 || dtype == TENON_F64 || dtype == TENON_F16 ||
         dtype == TENON_BF16;
}

/// One way to fill an input.
struct Filling {
  std::string how;
  std::vector<int64_t> given = {}; ///< these numbers, the last one repeated
  int64_t low = 0, count = 0;      ///< else `count` numbers from `low` on
  std::vector<double> floats = {}; ///< of a float input: these
  int64_t at(size_t i, Random &random) const {
    return given.empty() ? low + random.below(count)
                         : given[std::min(i, given.size() - 1)];
  }
};

Filling all(int64_t value) {
  return {value == 1   ? "ones"
          : value == 0 ? "zeros"
                       : std::to_string(value),
          {value}};
}
Filling among(int64_t low, int64_t count) {
  return {("random in [" + Twine(low) + ", " + Twine(low + count) + ")").str(),
          {},
          low,
          count};
}
Filling numbers(std::vector<int64_t> values, StringRef why) {
  std::string how;
  for (int64_t value : ArrayRef(values).take_front(8))
    how += (how.empty() ? "" : " ") + std::to_string(value);
  return {how + (why.empty() ? "" : (", " + why).str()), std::move(values)};
}

/// Chooses how to fill inputs, from what the artifact says about them.
class Choice {
public:
  Choice(const OpenArtifact &artifact, const DimValues &dims,
         std::vector<std::vector<int64_t>> shapes)
      : artifact(artifact), dims(dims), shapes(std::move(shapes)) {
    for (const tenon_check_info &check : artifact.checks)
      for (const char *text : {check.lhs, check.rhs})
        texts.push_back(text ? text : "");
    for (const tenon_port_info &port : artifact.outputs)
      for (int32_t d = 0; d < port.rank; ++d)
        texts.push_back(port.dim_names[d]);
  }
  /// The likeliest first.
  std::vector<Filling> of(size_t input) const;

private:
  bool givesDims(const std::string &symbol) const {
    return any_of(texts, [&](StringRef text) { return text.contains(symbol); });
  }
  std::optional<int64_t> settled(const std::string &symbol) const;
  std::optional<Filling> settledFloats(const std::string &symbol,
                                       size_t count) const;
  void addSettled(const std::string &symbol, size_t count,
                  std::vector<Filling> &fillings) const;
  void addDims(size_t input, std::vector<Filling> &fillings) const;

  const OpenArtifact &artifact;
  const DimValues &dims;
  std::vector<std::vector<int64_t>> shapes;
  std::vector<std::string> texts; // of dims and checks
};

/// What a check demands of an element, where the dims say it.
std::optional<int64_t> Choice::settled(const std::string &symbol) const {
  for (const tenon_check_info &check : artifact.checks) {
    if (check.relation != TENON_RELATION_EQUAL || !check.lhs || !check.rhs)
      continue;
    auto lhs = SymExpr::parse(check.lhs), rhs = SymExpr::parse(check.rhs);
    for (auto [one, other] : {std::pair(lhs, rhs), std::pair(rhs, lhs)})
      if (one && other && one->asSymbol() == symbol)
        if (auto value = other->evaluate(
                [&](const std::string &name) -> std::optional<int64_t> {
                  auto at = dims.find(name);
                  if (at == dims.end())
                    return std::nullopt;
                  return at->second;
                }))
          return value;
  }
  return std::nullopt;
}

/// The same of an input of floats, whose numbers stand in the checks.
std::optional<Filling> Choice::settledFloats(const std::string &symbol,
                                             size_t count) const {
  Filling filling = {"as the checks demand"};
  for (const tenon_check_info &check : artifact.checks) {
    StringRef element = check.lhs ? check.lhs : "";
    size_t i;
    double value;
    if (check.relation == TENON_RELATION_EQUAL && check.rhs &&
        element.consume_front(symbol) && element.consume_back("]") &&
        !element.getAsInteger(10, i) && i < count &&
        !StringRef(check.rhs).getAsDouble(value)) {
      filling.floats.resize(count, 1.0);
      filling.floats[i] = value;
    }
  }
  if (filling.floats.empty())
    return std::nullopt;
  return filling;
}

/// Numbers that checks and dims name beside the elements.
void Choice::addSettled(const std::string &symbol, size_t count,
                        std::vector<Filling> &fillings) const {
  std::vector<int64_t> values;
  bool any = false;
  for (size_t i = 0; i < count; ++i) {
    auto value = settled(symbol + std::to_string(i) + "]");
    any |= value.has_value();
    values.push_back(value.value_or(1));
  }
  if (any)
    fillings.push_back(numbers(values, "as the checks demand"));
  std::set<int64_t> known;
  for (StringRef text : texts) {
    if (!text.contains(symbol))
      continue;
    for (size_t at = 0; at < text.size(); ++at) {
      bool inWord = at && (isAlnum(text[at - 1]) || text[at - 1] == '[' ||
                           StringRef("_.:/").contains(text[at - 1]));
      int64_t value;
      StringRef digits = text.substr(at).take_while(isDigit);
      if (!digits.empty() && !inWord && !digits.getAsInteger(10, value) &&
          value > 1 && known.size() < 6 && known.insert(value).second)
        fillings.push_back(numbers({value}, "which the dims name"));
      at += digits.size();
    }
  }
}

/// A length, or the shape of another input.
void Choice::addDims(size_t input, std::vector<Filling> &fillings) const {
  const tenon_port_info &port = artifact.inputs[input];
  for (auto [i, other] : enumerate(artifact.inputs)) {
    if (i == input || port.rank > 1)
      continue;
    const std::vector<int64_t> &shape = shapes[i];
    // One number for each row of the other: how much of the row counts.
    if (port.rank == 1 && other.rank >= 2 && port.dim_values[0] < 0 &&
        StringRef(port.dim_names[0]) == other.dim_names[0]) {
      auto longest = std::max_element(shape.begin() + 1, shape.end());
      int32_t open = 1;
      while (open + 1 < other.rank && other.dim_values[open] >= 0)
        ++open;
      int64_t length =
          other.dim_values[open] < 0 ? shape[size_t(open)] : *longest;
      fillings.push_back(numbers(
          {length}, (Twine("the length of '") + other.name + "'").str()));
      return;
    }
  }
  std::set<std::vector<int64_t>> known;
  for (auto [i, other] : enumerate(artifact.inputs))
    if (i != input && port.rank == 1 && other.rank > 1 &&
        port.dim_values[0] == other.rank && known.insert(shapes[i]).second)
      fillings.push_back(numbers(
          shapes[i], (Twine("the dims of '") + other.name + "'").str()));
}

std::vector<Filling> Choice::of(size_t input) const {
  const tenon_port_info &port = artifact.inputs[input];
  size_t count = 1;
  int64_t smallest = INT64_MAX;
  for (int64_t dim : shapes[input])
    count *= size_t(dim);
  for (const auto &[name, dim] : dims)
    smallest = std::min(smallest, std::max<int64_t>(dim, 1));
  std::string symbol = SymExpr::sanitizeSymbol(port.name) + "[";
  if (isFloat(port.dtype)) {
    // Scales and sizes: 1 leaves what they scale as it is.
    Filling normal = {"normal"}, ones = all(1);
    if (std::optional<Filling> settled = settledFloats(symbol, count))
      return {*settled, ones, normal};
    if (givesDims(symbol))
      return {ones, normal};
    return count <= 16 ? std::vector{normal, ones} : std::vector{normal};
  }
  if (!isInteger(port.dtype))
    return {{"random codes"}};
  if (port.is_mask)
    return {all(1)};
  if (port.id_bound > 0)
    return {among(0, port.id_bound), all(0)};

  std::vector<Filling> fillings;
  unsigned bits = tenon_dtype_bits(port.dtype);
  bool isSigned = port.dtype == TENON_I8 || port.dtype == TENON_I16;
  if (givesDims(symbol)) {
    addSettled(symbol, count, fillings);
    addDims(input, fillings);
  } else if (port.rank <= 1) {
    addDims(input, fillings);
  }
  bool data = fillings.empty() && count > 1 && !givesDims(symbol);
  if (data && port.dtype == TENON_BOOL)
    fillings.push_back(among(0, 2));
  else if (data && bits <= 16)
    fillings.push_back(
        among(isSigned ? -(int64_t(1) << (bits - 1)) : 0, int64_t(1) << bits));
  else if (data) {
    // Codes of bytes, say; or positions in what some dim is the size of.
    fillings.push_back(among(0, 256));
    if (smallest < 256)
      fillings.push_back(among(0, smallest));
  }
  fillings.push_back(all(1));
  fillings.push_back(all(0));
  return fillings;
}

Error fillInput(const tenon_port_info &port, ArrayRef<int64_t> shape,
                size_t number, const Filling &filling, Tensor &tensor) {
  Expected<Tensor> made = makeTensor(port.dtype, shape);
  if (!made)
    return made.takeError();
  Random random(number + 1);
  bool normal = filling.given.empty() && filling.count == 0;
  size_t i = 0;
  fillTensor(
      *made, random,
      [&] {
        if (!filling.floats.empty())
          return filling.floats[i++];
        return normal ? random.normal() : double(filling.at(i++, random));
      },
      [&] { return filling.at(i++, random); });
  tensor = std::move(*made);
  return Error::success();
}

} // namespace

Expected<std::unique_ptr<Session>>
runFilled(const OpenArtifact &artifact, const SessionOptions &options,
          const DimValues &dims, std::vector<Tensor> &inputs, Filled &filled) {
  std::vector<std::vector<int64_t>> shapes;
  for (auto [port, tensor] : zip(artifact.inputs, inputs)) {
    Expected<std::vector<int64_t>> shape =
        tensor.given ? tensor.dims : portDims(port, dims);
    if (!shape)
      return shape.takeError();
    shapes.push_back(std::move(*shape));
  }
  Choice choice(artifact, dims, shapes);
  std::vector<std::vector<Filling>> ways(inputs.size());
  size_t most = 1;
  for (auto [i, tensor] : enumerate(inputs))
    if (!tensor.given && !artifact.inputs[i].is_optional) {
      ways[i] = choice.of(i);
      most = std::max(most, ways[i].size());
    }
  if (DimChecks(artifact).broken(dims)) // no input's numbers are to blame
    most = 1;
  // All inputs' likeliest ways, then each input's other ways alone, then all
  // their second ones, and so on.
  constexpr size_t kTries = 48;
  std::vector<std::vector<size_t>> tries;
  tries.emplace_back(inputs.size(), 0);
  for (size_t way = 1; way < most; ++way)
    for (size_t i = 0; i < inputs.size(); ++i)
      if (way < ways[i].size() && tries.size() < kTries) {
        tries.emplace_back(inputs.size(), 0);
        tries.back()[i] = way;
      }
  for (size_t way = 1; way < most; ++way)
    tries.emplace_back(inputs.size(), way);
  std::optional<std::string> problem;
  for (const std::vector<size_t> &attempt : tries) {
    filled.clear();
    for (auto [i, port] : enumerate(artifact.inputs)) {
      if (inputs[i].given || port.is_optional)
        continue;
      const Filling &way = ways[i][std::min(attempt[i], ways[i].size() - 1)];
      if (Error error = fillInput(port, shapes[i], i, way, inputs[i]))
        return std::move(error);
      filled.emplace_back(port.name, way.how);
    }
    Expected<std::unique_ptr<Session>> session =
        Session::open(artifact, options);
    if (!session)
      return session.takeError();
    Error error = (*session)->bind(inputs);
    if (!error)
      error = (*session)->run();
    if (!error)
      return session;
    // What the likeliest numbers meet tells most.
    std::string text = toString(std::move(error));
    if (!problem)
      problem = std::move(text);
  }
  if (tries.size() > 1)
    *problem += " (" + std::to_string(tries.size()) +
                " ways to fill the inputs that are not given were tried: give "
                "them with --input)";
  return createStringError(*problem);
}

std::string describeFilled(const Filled &filled) {
  MapVector<StringRef, SmallVector<StringRef>> byWay;
  for (const auto &[name, how] : filled)
    byWay[how].push_back(name);
  std::string text;
  constexpr size_t kNames = 6;
  for (const auto &[how, names] : byWay) {
    text += (text.empty() ? "" : "; ") + how.str() + ": ";
    text += join(ArrayRef(names).take_front(kNames), ", ");
    if (names.size() > kNames)
      text += ", " + std::to_string(names.size() - kNames) + " others";
  }
  return text;
}

} // namespace tenon
