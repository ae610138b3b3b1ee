//===- StackDepth.cpp - convolutions of fewer taps or dims ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A convolution over three dims is one over two, of images that have the
// channels of all taps along the depth: so windows of 3x3 need Winograd's fewer
// multiplications there, too.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/StackDepth.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include <cstring>

using namespace mlir;

namespace tenon {

/// Known dims, or empty.
static SmallVector<int64_t> staticDims(ArrayRef<SymExpr> dims) {
  SmallVector<int64_t> known;
  for (const SymExpr &d : dims) {
    if (!d.constant())
      return {};
    known.push_back(*d.constant());
  }
  return known;
}

/// A weight's elements where they are at hand, of whole bytes or one number;
/// else null.
static ElementsAttr elementsOfWeight(ConvOp op) {
  auto constant = skipReshapes(op.getWeight()).getDefiningOp<ConstantOp>();
  if (!constant || staticDims(getDims(op.getWeight())).empty())
    return {};
  auto value = cast<ElementsAttr>(constant.getValue());
  size_t bits =
      getElementTypeOrSelf(constant.getType()).getIntOrFloatBitWidth();
  bool isWhole =
      match::bytesOf(value).size() * 8 == size_t(value.getNumElements()) * bits;
  return isa<SplatElementsAttr>(value) || isWhole ? value : ElementsAttr();
}

/// A constant of these dims: `from` tells of each run of `run` elements, in
/// their order, where the elements lie in the weight.
static Value constantOf(OpBuilder &b, ConvOp op, ArrayRef<SymExpr> dims,
                        int64_t run, ArrayRef<int64_t> from) {
  RankedTensorType type =
      getTensorType(dims, getElementTypeOrSelf(op.getWeight().getType()));
  ElementsAttr value = elementsOfWeight(op);
  if (auto splat = dyn_cast<SplatElementsAttr>(value))
    return ConstantOp::create(b, op.getLoc(), splat.resizeSplat(type));
  int64_t width = type.getElementTypeBitWidth() / 8;
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(
      type.getNumElements() * width, alignof(uint64_t));
  char *to = blob.getMutableData().data();
  const char *bytes = match::bytesOf(value).data();
  for (int64_t first : from) {
    memcpy(to, bytes + first * width, run * width);
    to += run * width;
  }
  auto &manager =
      DenseResourceElementsHandle::getManagerInterface(b.getContext());
  return ConstantOp::create(b, op.getLoc(),
                            DenseResourceElementsAttr::get(
                                type, manager.insert("taps", std::move(blob))));
}

namespace {
struct Taps {
  int64_t first, count;
};
} // namespace

/// Of the taps along a dim of `size` elements those from the first to the last
/// one that meets an element at some position; all of them where padding would
/// become negative without the others.
static Taps tapsInside(int64_t taps, int64_t size, int64_t positions,
                       int64_t stride, int64_t dilation, int64_t low,
                       int64_t high) {
  auto isInside = [&](int64_t tap) {
    int64_t at = tap * dilation - low;
    int64_t position = at < 0 ? (-at + stride - 1) / stride : 0;
    return position < positions && at + position * stride < size;
  };
  int64_t first = 0, last = taps - 1;
  while (first < last && !isInside(first))
    ++first;
  while (last > first && !isInside(last))
    --last;
  if (first * dilation > low || (taps - 1 - last) * dilation > high)
    return {0, taps};
  return {first, last - first + 1};
}

ConvOp cropTaps(ConvOp op) {
  SmallVector<int64_t> in = staticDims(
                           ArrayRef(getDims(op.getInput())).drop_front(2)),
                       out = staticDims(
                           ArrayRef(getDims(op.getResult())).drop_front(2)),
                       weight = staticDims(getDims(op.getWeight()));
  size_t rank = op.getStrides().size();
  if (in.size() != rank || out.size() != rank || weight.size() != rank + 2)
    return op;
  SmallVector<int64_t> pads(op.getPads());
  SmallVector<Taps> taps;
  bool isCropped = false;
  for (size_t d = 0; d < rank; ++d) {
    int64_t dilation = op.getDilations()[d], all = weight[d + 2];
    taps.push_back(tapsInside(all, in[d], out[d], op.getStrides()[d], dilation,
                              pads[d], pads[d + rank]));
    pads[d] -= taps[d].first * dilation;
    pads[d + rank] -= (all - taps[d].first - taps[d].count) * dilation;
    isCropped |= taps[d].count != all;
  }
  if (!isCropped || !elementsOfWeight(op))
    return op;
  // Runs of the last dim.
  SmallVector<int64_t> from;
  for (int64_t i = 0; i < weight[0] * weight[1]; ++i)
    from.push_back(i);
  SmallVector<SymExpr> dims(getDims(op.getWeight()));
  for (size_t d = 0; d < rank; ++d) {
    SmallVector<int64_t> next;
    bool isLast = d + 1 == rank;
    for (int64_t place : from)
      for (int64_t t = 0; t < (isLast ? 1 : taps[d].count); ++t)
        next.push_back(place * weight[d + 2] + taps[d].first + t);
    from = std::move(next);
    dims[d + 2] = taps[d].count;
  }
  OpBuilder b(op);
  Value kept = constantOf(b, op, dims, taps.back().count, from);
  auto cropped = cast<ConvOp>(b.clone(*op));
  cropped.getWeightMutable().assign(kept);
  cropped.setPads(pads);
  op.getResult().replaceAllUsesWith(cropped.getResult());
  op.erase();
  return cropped;
}

bool canStackDepth(ConvOp op) {
  constexpr int64_t lanes = 16; // of the widest vectors
  SmallVector<int64_t> weight = staticDims(getDims(op.getWeight()));
  ArrayRef<int64_t> strides = op.getStrides(), dilations = op.getDilations();
  constexpr size_t rank = 3;
  return strides.size() == rank && op.getGroup() == 1 && !weight.empty() &&
         weight[0] >= lanes && weight[1] >= lanes && weight[3] == 3 &&
         weight[4] == 3 && strides[1] == strides[2] &&
         (strides[1] == 1 || (strides[1] == 2 && dilations[1] == 1)) &&
         dilations[1] == dilations[2] &&
         getElementTypeOrSelf(op.getInput().getType()).isF32() &&
         elementsOfWeight(op);
}

Value stackDepth(OpBuilder &b, ConvOp op, Value image) {
  constexpr size_t rank = 3, dim = 1;
  Location loc = op.getLoc();
  SmallVector<SymExpr> dims = getDims(image), part = dims;
  part[dim] = getDims(op.getResult())[2];
  int64_t taps = *getDims(op.getWeight())[2].constant();
  auto attr = [&](ArrayRef<SymExpr> d) {
    return DimsAttr::get(b.getContext(), d);
  };
  SmallVector<SymExpr> low(dims.size(), SymExpr(0)), high(low);
  low[dim] = op.getPads()[0];
  high[dim] = op.getPads()[rank];
  if (op.getPads()[0] || op.getPads()[rank]) {
    Type element = getElementTypeOrSelf(image.getType());
    Value zero = createConstant(
        b, loc,
        DenseElementsAttr::get(RankedTensorType::get({}, element),
                               b.getZeroAttr(element)));
    image = PadOp::create(b, loc, PadMode::constant, image, zero, attr(low),
                          attr(high));
  }
  SmallVector<int64_t> steps(dims.size(), 1);
  steps[dim] = op.getStrides()[0];
  SmallVector<Value> parts;
  for (int64_t t = 0; t < taps; ++t) {
    SmallVector<SymExpr> starts(dims.size(), SymExpr(0));
    starts[dim] = t * op.getDilations()[0];
    parts.push_back(getDims(image) == part
                        ? image
                        : createSlice(b, loc, image, starts, steps, part));
  }
  Value all =
      parts.size() == 1 ? parts[0] : ConcatOp::create(b, loc, parts, rank + 1);
  return createReshape(
      b, loc, all, {part[0] * part[dim], part[2], part[3], part.back() * taps});
}

Value stackedWeight(OpBuilder &b, ConvOp op) {
  SmallVector<int64_t> dims = staticDims(getDims(op.getWeight()));
  int64_t channels = dims[1], taps = dims[2], window = dims[3] * dims[4];
  SmallVector<int64_t> from;
  for (int64_t n = 0; n < dims[0]; ++n)
    for (int64_t w = 0; w < window; ++w)
      for (int64_t t = 0; t < taps; ++t)
        for (int64_t c = 0; c < channels; ++c)
          from.push_back(((n * channels + c) * taps + t) * window + w);
  return constantOf(b, op, {dims[0], window * taps * channels}, 1, from);
}

} // namespace tenon
