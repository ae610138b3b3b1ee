//===- Match.cpp - what the fusing passes share ---------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

using namespace mlir;

namespace tenon::match {

DenseElementsAttr smallConstant(Value value, int64_t limit) {
  ElementsAttr elements;
  if (!matchPattern(value, m_Constant(&elements)))
    return {};
  ShapedType type = elements.getShapedType();
  if (type.getNumElements() > limit)
    return {};
  if (auto dense = dyn_cast<DenseElementsAttr>(elements))
    return dense;
  auto resource = dyn_cast<DenseResourceElementsAttr>(elements);
  AsmResourceBlob *blob =
      resource ? resource.getRawHandle().getBlob() : nullptr;
  bool splat = false;
  // The dense form packs bools, the resource does not.
  if (!blob || type.getElementType().isInteger(1) ||
      !DenseElementsAttr::isValidRawBuffer(type, blob->getData(), splat))
    return {};
  return DenseElementsAttr::getFromRawBuffer(type, blob->getData());
}

ArrayRef<char> bytesOf(ElementsAttr value) {
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(value)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    return blob ? blob->getData() : ArrayRef<char>();
  }
  auto dense = dyn_cast<DenseElementsAttr>(value);
  return dense && !dense.isSplat() && !dense.getElementType().isInteger(1)
             ? dense.getRawData()
             : ArrayRef<char>();
}

std::optional<double> scalarOf(Value value) {
  DenseElementsAttr constant = smallConstant(value);
  if (!constant || !constant.isSplat())
    return std::nullopt;
  Type element = constant.getElementType();
  if (isa<FloatType>(element)) {
    APFloat v = constant.getSplatValue<APFloat>();
    bool lost;
    v.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
    return v.convertToDouble();
  }
  auto integer = dyn_cast<IntegerType>(element);
  if (!integer || integer.getWidth() > 64)
    return std::nullopt;
  APInt v = constant.getSplatValue<APInt>();
  return integer.isUnsigned() || integer.getWidth() == 1
             ? double(v.getZExtValue())
             : double(v.getSExtValue());
}

bool isNear(double found, double expected, Type type) {
  double tolerance = 1e-6;
  if (type.isF16())
    tolerance = 1.0 / 1024;
  else if (type.isBF16())
    tolerance = 1.0 / 128;
  return std::abs(found - expected) <= tolerance * std::abs(expected);
}

bool isScalar(Value value, double expected) {
  std::optional<double> found = scalarOf(value);
  return found && isNear(*found, expected, getElementTypeOrSelf(value));
}

int64_t trailingDims(ReduceOp op) {
  ArrayRef<int64_t> axes = op.getAxes();
  int64_t rank = op.getInput().getType().getRank();
  if (!op.getKeepdims() || axes.empty() ||
      axes.front() + int64_t(axes.size()) != rank)
    return 0; // rising and unique, so these are exactly the last ones otherwise
  return axes.size();
}

Location fuseLocations(MLIRContext *context, ArrayRef<Operation *> ops) {
  SmallVector<Location> locations;
  for (Operation *op : ops)
    if (op)
      locations.push_back(op->getLoc());
  return FusedLoc::get(context, locations);
}

} // namespace tenon::match
