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
#include "dialects/Tenon/IR/Ops/Add.h"
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

/// Of the widest vectors.
static constexpr int64_t kLanes = 16;

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

/// Of the images' spatial dims, and of the weight's dims; empty where they are
/// not known.
namespace {
struct Sizes {
  SmallVector<int64_t> in, out, weight;
};
} // namespace

static Sizes sizesOf(ConvOp op) {
  auto spatial = [](Value image) {
    return staticDims(ArrayRef(getDims(image)).drop_front(2));
  };
  return {spatial(op.getInput()), spatial(op.getResult()),
          staticDims(getDims(op.getWeight()))};
}

ConvOp cropTaps(ConvOp op) {
  auto [in, out, weight] = sizesOf(op);
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

/// Positions from `first` to before `end` where a tap meets an element.
namespace {
struct Inside {
  int64_t first, end;
  int64_t count() const { return std::max<int64_t>(end - first, 0); }
};
} // namespace

static Inside positionsInside(ConvOp op, size_t d, int64_t tap) {
  int64_t size = *getDims(op.getInput())[d + 2].constant(),
          positions = *getDims(op.getResult())[d + 2].constant(),
          stride = op.getStrides()[d],
          at = tap * op.getDilations()[d] - op.getPads()[d];
  auto from = [&](int64_t place) { // the first position that is not before
    return place - at > 0 ? (place - at + stride - 1) / stride : 0;
  };
  return {from(0), std::min(from(size), positions)};
}

bool meetsPadding(ConvOp op) {
  constexpr int64_t mostTaps = 9, least = 3; // times as much to multiply
  auto [in, out, weight] = sizesOf(op);
  size_t rank = op.getStrides().size();
  if (op.getGroup() != 1 || in.size() != rank || out.size() != rank ||
      weight.empty() || weight[0] < kLanes || weight[1] < kLanes ||
      !elementsOfWeight(op))
    return false;
  int64_t taps = 1;
  double inside = 1, all = 1;
  for (size_t d = 0; d < rank; ++d) {
    taps *= weight[d + 2];
    if (taps > mostTaps)
      return false;
    int64_t ofDim = 0;
    for (int64_t t = 0; t < weight[d + 2]; ++t)
      ofDim += positionsInside(op, d, t).count();
    inside *= ofDim;
    all *= double(out[d]) * weight[d + 2];
  }
  return inside > 0 && inside * least < all;
}

Value tapByTap(OpBuilder &b, ConvOp op, Value image) {
  Location loc = op.getLoc();
  SmallVector<int64_t> weight = staticDims(getDims(op.getWeight()));
  ArrayRef<int64_t> kernel = ArrayRef(weight).drop_front(2);
  SmallVector<SymExpr> dims = getDims(image), out = getDims(op.getResult());
  size_t rank = kernel.size();
  SmallVector<int64_t> steps(rank + 2, 1), tap(rank, 0);
  llvm::copy(op.getStrides(), steps.begin() + 1);
  auto attr = [&](ArrayRef<SymExpr> d) {
    return DimsAttr::get(b.getContext(), d);
  };
  Type element = getElementTypeOrSelf(image.getType());
  Value zero =
      createConstant(b, loc,
                     DenseElementsAttr::get(RankedTensorType::get({}, element),
                                            b.getZeroAttr(element)));
  Value sum;
  for (int64_t t = 0, taps = llvm::product_of(kernel); t < taps; ++t) {
    SmallVector<SymExpr> starts(rank + 2, SymExpr(0)),
        part = dims, low = starts, high = starts;
    int64_t places = 1, rest = t;
    for (size_t d = rank; d-- > 0; rest /= kernel[d])
      tap[d] = rest % kernel[d];
    for (size_t d = 0; d < rank; ++d) {
      Inside inside = positionsInside(op, d, tap[d]);
      places *= inside.count();
      starts[d + 1] = inside.first * op.getStrides()[d] +
                      tap[d] * op.getDilations()[d] - op.getPads()[d];
      part[d + 1] = inside.count();
      low[d + 1] = inside.first;
      high[d + 1] = out[d + 2] - SymExpr(inside.end);
    }
    if (places == 0)
      continue;
    SmallVector<int64_t> from;
    for (int64_t i = 0; i < weight[0] * weight[1]; ++i)
      from.push_back(i * taps + t);
    Value x =
        part == dims ? image : createSlice(b, loc, image, starts, steps, part);
    x = createReshape(b, loc, x, {dims[0], places, dims.back()});
    Value y = MatMulOp::create(
        b, loc, x, constantOf(b, op, {weight[0], weight[1]}, 1, from), false,
        true);
    part.back() = weight[0];
    y = createReshape(b, loc, y, part);
    y = PadOp::create(b, loc, PadMode::constant, y, zero, attr(low),
                      attr(high));
    sum = sum ? AddOp::create(b, loc, sum, y).getResult() : y;
  }
  return createReshape(
      b, loc, sum, {out[0], productOf(ArrayRef(out).drop_front(2)), out[1]});
}

bool canStackDepth(ConvOp op) {
  SmallVector<int64_t> weight = staticDims(getDims(op.getWeight()));
  ArrayRef<int64_t> strides = op.getStrides(), dilations = op.getDilations();
  constexpr size_t rank = 3;
  return strides.size() == rank && op.getGroup() == 1 && !weight.empty() &&
         weight[0] >= kLanes && weight[1] >= kLanes && weight[3] == 3 &&
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
