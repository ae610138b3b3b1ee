//===- ConstantView.cpp - some elements of a constant ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/ConstantView.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/APFloat.h"

using namespace mlir;

namespace tenon {

llvm::Expected<std::pair<const char *, uint64_t>>
rawData(mlir::ElementsAttr weight, std::vector<char> &copy) {
  Type element = weight.getElementType();
  uint64_t bytes = std::max(1u, element.getIntOrFloatBitWidth() / 8);
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(weight)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    uint64_t need = resource.getNumElements() * bytes;
    if (!blob || blob->getData().size() < need)
      return llvm::createStringError("a weight's data is %zu bytes, expected "
                                     "%zu",
                                     blob ? blob->getData().size() : size_t(0),
                                     size_t(need));
    return std::pair{blob->getData().data(), bytes};
  }
  auto dense = dyn_cast<DenseElementsAttr>(weight);
  if (!dense)
    return llvm::createStringError("a weight is neither dense nor a resource");
  if (element.isInteger(1)) {
    for (bool v : dense.getValues<bool>())
      copy.push_back(v);
    return std::pair{(const char *)copy.data(), uint64_t(1)};
  }
  if (isPackedType(element) && element.isSignlessInteger()) {
    for (const APInt &v : dense.getValues<APInt>()) // with their sign
      copy.push_back(char(v.getSExtValue()));
    return std::pair{(const char *)copy.data(), uint64_t(1)};
  }
  return std::pair{dense.getRawData().data(), dense.isSplat() ? 0 : bytes};
}

llvm::Expected<MatrixReader> MatrixReader::open(mlir::ElementsAttr constant,
                                                MatrixAttr at) {
  MatrixReader reader;
  auto raw = rawData(constant, reader.copy);
  if (!raw)
    return raw.takeError();
  std::tie(reader.data, reader.stride) = *raw;
  reader.element = at.getElement();
  reader.isSigned = !reader.element.isUnsignedInteger();
  // Elements of their own type have a byte each; of bytes they are parts.
  if (constant.getElementType() != reader.element)
    reader.width = storedBits(reader.element);
  reader.offset = at.getOffset();
  reader.strideK = at.getStrideK();
  reader.strideN = at.getStrideN();
  return reader;
}

float MatrixReader::number(int64_t k, int64_t n) const {
  if (isa<IntegerType>(element))
    return float(integer(k, n));
  const char *p = at(k, n);
  if (element.isF32()) {
    float value;
    memcpy(&value, p, 4);
    return value;
  }
  uint16_t bits;
  memcpy(&bits, p, 2);
  return APFloat(element.isF16() ? APFloat::IEEEhalf() : APFloat::BFloat(),
                 APInt(16, bits))
      .convertToDouble();
}

static SmallVector<int64_t> rowMajor(ArrayRef<int64_t> dims) {
  SmallVector<int64_t> strides(dims.size());
  int64_t next = 1;
  for (size_t i = dims.size(); i-- > 0; next *= dims[i])
    strides[i] = next;
  return strides;
}

std::optional<ConstantView> ConstantView::of(Value v) {
  auto type = cast<RankedTensorType>(v.getType());
  Operation *op = v.getDefiningOp();
  if (!op || !type.hasStaticShape())
    return std::nullopt;
  if (auto constant = dyn_cast<ConstantOp>(op))
    return ConstantView{constant, type.getElementType(),
                        SmallVector<int64_t>(type.getShape()),
                        rowMajor(type.getShape()), 0};
  if (!isReshape(op) && !isTranspose(op) && !isa<UnpackOp, SliceOp>(op))
    return std::nullopt;
  std::optional<ConstantView> view = of(op->getOperand(0));
  if (!view)
    return std::nullopt;
  ArrayRef<int64_t> from(view->dims);
  if (isReshape(op) || isa<UnpackOp>(op)) {
    // Neighbours stay neighbours: of all elements, or there is no view.
    if (view->strides != rowMajor(from) || view->offset != 0)
      return std::nullopt;
    view->strides = rowMajor(type.getShape());
  } else if (auto slice = dyn_cast<SliceOp>(op)) {
    for (auto [stride, start, step] :
         llvm::zip_equal(view->strides, slice.getStarts().getSymExprs(),
                         slice.getSteps())) {
      if (!start.isConstant())
        return std::nullopt;
      view->offset += *start.constant() * stride;
      stride *= step;
    }
  } else {
    SmallVector<int64_t> strides;
    for (int64_t p : permOf(op))
      strides.push_back(view->strides[p]);
    view->strides = strides;
  }
  view->dims.assign(type.getShape().begin(), type.getShape().end());
  view->element = type.getElementType();
  return view;
}

MatrixAttr ConstantView::matrix(int64_t dimK, int64_t dimN) const {
  auto along = [&](int64_t dim) {
    return dim < 0 || dims[dim] == 1 ? 0 : strides[dim];
  };
  return MatrixAttr::get(element.getContext(), element, offset, along(dimK),
                         along(dimN));
}

} // namespace tenon
