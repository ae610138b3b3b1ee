//===- ChannelWeights.cpp - weights that meet rows of channels ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Form/ChannelsLast.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include <cstring>

using namespace mlir;

namespace tenon {

static Value reshaped(OpBuilder &b, Location loc, Value v,
                      ArrayRef<SymExpr> dims) {
  return getDims(v) == dims ? v : createReshape(b, loc, v, dims);
}

/// The constant that `weight` is, as matrices of [rows, columns], each of them
/// with its dims swapped and all of them together of `type`; null where it is
/// none, or where its elements are not at hand.
static Value swapped(OpBuilder &b, Location loc, Value weight, int64_t rows,
                     int64_t columns, RankedTensorType type) {
  while (auto view = weight.getDefiningOp<ReshapeOp>())
    weight = view.getInput();
  auto constant = weight.getDefiningOp<ConstantOp>();
  size_t bytes = type.getElementTypeBitWidth() / 8; // 0: packed
  ArrayRef<char> data =
      constant ? match::bytesOf(constant.getValue()) : ArrayRef<char>();
  size_t size = type.getNumElements() * bytes;
  if (bytes == 0 || data.size() < size)
    return nullptr;
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(size, alignof(uint64_t));
  char *to = blob.getMutableData().data();
  for (const char *matrix = data.data(); matrix < data.data() + size;
       matrix += rows * columns * bytes)
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = 0; r < rows; ++r, to += bytes)
        memcpy(to, matrix + (r * columns + c) * bytes, bytes);
  // Convolutions of two images may share a weight: it is stored once.
  Operation *next = constant->getNextNode();
  for (; auto made = dyn_cast_or_null<ConstantOp>(next);
       next = next->getNextNode())
    if (made.getType() == type &&
        match::bytesOf(made.getValue()) == blob.getData())
      return made;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointAfter(constant); // it may stand before a loop
  auto &manager =
      DenseResourceElementsHandle::getManagerInterface(b.getContext());
  return ConstantOp::create(
      b, loc,
      DenseResourceElementsAttr::get(
          type, manager.insert("channels_last", std::move(blob))));
}

Value flattenChannelsLast(OpBuilder &b, Location loc, Value weight) {
  SmallVector<SymExpr> dims = getDims(weight);
  SymExpr kernel = productOf(ArrayRef(dims).drop_front(2));
  SmallVector<SymExpr> flat{dims[0], dims[1] * kernel};
  if (kernel.constant() == 1 || dims[1].constant() == 1)
    return reshaped(b, loc, weight, flat);
  RankedTensorType type = getTensorType(flat, getElementTypeOrSelf(weight));
  if (type.hasStaticShape())
    if (Value stored = swapped(b, loc, weight, *dims[1].constant(),
                               *kernel.constant(), type))
      return stored;
  return reshaped(b, loc, transposeChannelsLast(b, loc, weight), flat);
}

Value transposeMatrix(OpBuilder &b, Location loc, Value matrix) {
  SmallVector<SymExpr> dims = getDims(matrix);
  RankedTensorType type =
      getTensorType({dims[1], dims[0]}, getElementTypeOrSelf(matrix));
  if (type.hasStaticShape())
    if (Value stored = swapped(b, loc, matrix, *dims[0].constant(),
                               *dims[1].constant(), type))
      return stored;
  return TransposeOp::create(b, loc, matrix, ArrayRef<int64_t>{1, 0});
}

} // namespace tenon
