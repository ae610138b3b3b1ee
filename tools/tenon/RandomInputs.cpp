//===- RandomInputs.cpp - inputs that a model accepts ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Artifact.h"

#include "tenon/Support/SmallFloat.h"
#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include <cmath>

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
  for (const tenon_port_info &port : artifact.inputs)
    for (int32_t d = 0; d < port.rank; ++d)
      if (auto expr = SymExpr::parse(port.dim_names[d])) {
        std::vector<std::string> symbols;
        expr->collectSymbols(symbols);
        for (const std::string &symbol : symbols)
          if (!dims.count(symbol))
            dims[symbol] = defaultDim(symbol, artifact);
      }
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

/// SplitMix64: a good stream from any seed, in four lines.
class Random {
public:
  explicit Random(uint64_t seed) : state(seed) {}
  uint64_t next() {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  double uniform() { return double(next() >> 11) * 0x1p-53; }
  int64_t below(int64_t bound) {
    return bound > 0 ? int64_t(next() % uint64_t(bound)) : 0;
  }
  /// About normal: twelve uniforms' sum has variance 1.
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i)
      sum += uniform();
    return sum;
  }

private:
  uint64_t state;
};

template <typename T>
void fill(Tensor &tensor, function_ref<T()> value) {
  auto *data = static_cast<T *>(tensor.data);
  for (size_t i = 0; i < tensor.bytes / sizeof(T); ++i)
    data[i] = value();
}

/// Codes of a small float.
void fillCodes(Tensor &tensor, const SmallFloatFormat &format, Random &random) {
  fill<uint8_t>(tensor,
                [&] { return encodeSmallFloat(format, random.normal()); });
}

uint16_t roundTo(const fltSemantics &semantics, double value) {
  APFloat number(value);
  bool lost;
  number.convert(semantics, APFloat::rmNearestTiesToEven, &lost);
  return uint16_t(number.bitcastToAPInt().getZExtValue());
}

void fillTensor(const tenon_port_info &port, Tensor &tensor, Random &random) {
  // Integers without a bound may be anything (positions, lengths): 1 is the
  // value that most models accept.
  auto integer = [&]() -> int64_t {
    return port.is_mask        ? 1
           : port.id_bound > 0 ? random.below(port.id_bound)
                               : 1;
  };
  auto real = [&] { return port.is_mask ? 1.0 : random.normal(); };
  switch (port.dtype) {
  case TENON_F32:
    return fill<float>(tensor, [&] { return float(real()); });
  case TENON_F64:
    return fill<double>(tensor, [&] { return real(); });
  case TENON_F16:
    return fill<uint16_t>(tensor,
                          [&] { return roundTo(APFloat::IEEEhalf(), real()); });
  case TENON_BF16:
    return fill<uint16_t>(tensor,
                          [&] { return roundTo(APFloat::BFloat(), real()); });
  case TENON_BOOL:
  case TENON_U8:
  case TENON_I8:
    return fill<uint8_t>(tensor, [&] { return uint8_t(integer()); });
  case TENON_U16:
  case TENON_I16:
    return fill<uint16_t>(tensor, [&] { return uint16_t(integer()); });
  case TENON_U32:
  case TENON_I32:
    return fill<uint32_t>(tensor, [&] { return uint32_t(integer()); });
  case TENON_U64:
  case TENON_I64:
    return fill<uint64_t>(tensor, [&] { return uint64_t(integer()); });
  case TENON_F8E4M3FN:
    return fillCodes(tensor, kF8E4M3FN, random);
  case TENON_F8E4M3FNUZ:
    return fillCodes(tensor, kF8E4M3FNUZ, random);
  case TENON_F8E5M2:
    return fillCodes(tensor, kF8E5M2, random);
  case TENON_F8E5M2FNUZ:
    return fillCodes(tensor, kF8E5M2FNUZ, random);
  case TENON_F8E8M0: // scales: near 1
    return fill<uint8_t>(tensor, [&] { return 124 + random.below(8); });
  case TENON_U4: // packed numbers are data: any will do
  case TENON_I4:
  case TENON_F4E2M1:
  case TENON_U2:
  case TENON_I2:
    return fill<uint8_t>(tensor, [&] { return uint8_t(random.next()); });
  }
}

} // namespace

Error fillInputs(const OpenArtifact &artifact, const DimValues &dims,
                 std::vector<Tensor> &inputs) {
  for (auto [i, port] : enumerate(artifact.inputs)) {
    if (inputs[i].given)
      continue;
    Expected<std::vector<int64_t>> shape = portDims(port, dims);
    if (!shape)
      return shape.takeError();
    Expected<Tensor> tensor = makeTensor(port.dtype, *shape);
    if (!tensor)
      return tensor.takeError();
    Random random(i + 1);
    fillTensor(port, *tensor, random);
    inputs[i] = std::move(*tensor);
  }
  return Error::success();
}

} // namespace tenon
