//===- WidenHalves.cpp - constants of f16 and bf16 as f32 -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/Transforms/WidenHalves.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "tenon/Support/Half.h"
#include <cstring>

using namespace mlir;

namespace tenon {

bool isHalf(Type type) { return type.isF16() || type.isBF16(); }

RankedTensorType widened(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  return RankedTensorType::get(tensor.getShape(),
                               Float32Type::get(type.getContext()),
                               tensor.getEncoding());
}

DenseElementsAttr roundSplat(SplatElementsAttr splat, RankedTensorType type) {
  bool loses; // as every cast to fewer bits
  APFloat value = splat.getSplatValue<APFloat>();
  value.convert(cast<FloatType>(type.getElementType()).getFloatSemantics(),
                APFloat::rmNearestTiesToEven, &loses);
  return DenseElementsAttr::get(type, value);
}

ElementsAttr widenHalves(ElementsAttr halves) {
  /// More are held beside the text of the IR.
  constexpr int64_t few = 4096;
  Type half = halves.getElementType();
  auto from = dyn_cast<RankedTensorType>(halves.getType());
  if (!from || !isHalf(half) || !from.hasStaticShape())
    return {};
  RankedTensorType type = widened(from);
  if (auto splat = dyn_cast<SplatElementsAttr>(halves))
    return roundSplat(splat, type);
  size_t count = type.getNumElements();
  ArrayRef<char> data = match::bytesOf(halves);
  if (count == 0 || data.size() != 2 * count)
    return {};
  AsmResourceBlob blob =
      HeapAsmResourceBlob::allocate(4 * count, alignof(uint64_t));
  char *to = blob.getMutableData().data();
  for (size_t i = 0; i < count; ++i) {
    uint16_t bits;
    memcpy(&bits, &data[2 * i], 2);
    float value = widenHalf(bits, half.isF16());
    memcpy(to + 4 * i, &value, 4);
  }
  if (type.getNumElements() <= few)
    return DenseElementsAttr::getFromRawBuffer(type, blob.getData());
  auto &manager =
      DenseResourceElementsHandle::getManagerInterface(type.getContext());
  return DenseResourceElementsAttr::get(
      type, manager.insert("widened", std::move(blob)));
}

} // namespace tenon
