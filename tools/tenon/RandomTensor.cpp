//===- RandomTensor.cpp - tensors of random numbers -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "RandomTensor.h"

#include "tenon/Support/SmallFloat.h"
#include "llvm/ADT/APFloat.h"

using namespace llvm;

namespace tenon {

namespace {

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

} // namespace

void fillTensor(Tensor &tensor, Random &random, function_ref<double()> real,
                function_ref<int64_t()> integer) {
  switch (tensor.dtype) {
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

} // namespace tenon
