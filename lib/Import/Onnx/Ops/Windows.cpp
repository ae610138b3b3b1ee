//===- Windows.cpp - windows of unknown size, Col2Im, MaxUnpool -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Element k of window o along one dim is input element o*stride + k*dilation -
// low. Unfolding gathers by that table [windows, kernel], one dim after the
// other. Folding turns it around: image element i belongs, as element k, to
// window (i + low - k*dilation) / stride where that is whole and exists; a
// gather by the table [image, kernel] and a sum over all k.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Mod.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "lib/Import/Onnx/Ops/Window.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace tenon::onnximport {

SymExpr Window::count(size_t i, const SymExpr &size) const {
  SymExpr span = size + low[i] + high[i] - extent(i);
  SymExpr out =
      SymExpr::apply(SymExpr::Fn::FloorDiv, span, SymExpr(strides[i])) +
      SymExpr(1);
  if (!out.isNonNegative())
    out = SymExpr::apply(SymExpr::Fn::Max, out, SymExpr(0));
  return out;
}

Value gatherWindows(NodeImporter &n, Value padded, const Window &w,
                    ArrayRef<SymExpr> places) {
  Type i64 = n.builder.getI64Type();
  for (size_t i = 0; i < w.rank(); ++i) {
    Value place = n.unsqueeze(n.iota(places[i], i64), {1});
    Value inside = n.iota(w.kernel[i], i64);
    Value at = n.add(n.mulScalar(place, double(w.strides[i])),
                     n.mulScalar(inside, double(w.dilations[i])));
    padded = n.gather(padded, at, 2 + 2 * i);
  }
  return padded;
}

Value unfoldWindows(NodeImporter &n, Value x, const Window &w) {
  if (!x)
    return x;
  Dims dims = n.dims(x), places;
  for (size_t i = 0; i < w.rank(); ++i)
    places.push_back(w.count(i, dims[i + 2]));
  return gatherWindows(n, padSpatial(n, x, n.scalarLike(0, x), w.low, w.high),
                       w, places);
}

Value foldWindows(NodeImporter &n, Value columns, const Window &w,
                  ArrayRef<SymExpr> image) {
  if (!columns)
    return columns;
  Type i64 = n.builder.getI64Type();
  Dims dims = n.dims(columns);
  size_t rank = w.rank();
  // [N, C, k0, l0, k1, l1, ...], then each pair as one dim.
  Ints perm = {0, 1}, kernels;
  Dims joined = {dims[0], dims[1]};
  for (size_t i = 0; i < rank; ++i) {
    perm.append({int64_t(2 + i), int64_t(2 + rank + i)});
    joined.push_back(dims[2 + i] * dims[2 + rank + i]);
    kernels.push_back(3 + 2 * i);
  }
  Value v = n.reshape(n.transpose(columns, perm), joined);
  Value inside;
  for (size_t i = 0; i < rank; ++i) {
    SymExpr places = dims[2 + rank + i];
    Value k = n.iota(dims[2 + i], i64);
    Value pixel = n.add(n.iota(image[i], i64), n.dimScalar(w.low[i], i64));
    Value first =
        n.sub(n.unsqueeze(pixel, {1}), n.mulScalar(k, double(w.dilations[i])));
    Value stride = n.scalar(double(w.strides[i]), i64);
    Value place = n.div(first, stride);
    Value fits =
        n.andOp(n.andOp(n.compareScalar(CompareKind::ge, first, 0),
                        n.compareScalar(CompareKind::eq,
                                        n.make<ModOp>({first, stride}), 0)),
                n.compare(CompareKind::lt, place, n.dimScalar(places, i64)));
    Value last = n.addScalar(n.dimScalar(places, i64), -1);
    place = n.max(n.min(place, last), n.scalar(0, i64));
    Value at = n.add(n.mul(k, n.dimScalar(places, i64)), place);
    v = n.gather(v, at, 2 + 2 * i);
    Ints later;
    for (size_t j = 2 * (i + 1); j < 2 * rank; ++j)
      later.push_back(j - 2 * i);
    fits = later.empty() ? fits : n.unsqueeze(fits, later);
    inside = inside ? n.andOp(inside, fits) : fits;
  }
  v = n.select(inside, v, n.scalarLike(0, v));
  return n.reduce(ReduceKind::sum, v, kernels, /*keepdims=*/false);
}

//===----------------------------------------------------------------------===//
// Convolutions
//===----------------------------------------------------------------------===//

/// dim / group, which a check finds exact where that is not certain.
static SymExpr partOf(NodeImporter &n, const SymExpr &dim, int64_t group) {
  if (std::optional<SymExpr> exact = dim.divideExactly(SymExpr(group)))
    return *exact;
  SymExpr part = SymExpr::apply(SymExpr::Fn::FloorDiv, dim,
                                SymExpr(std::max<int64_t>(group, 1)));
  n.checkEqual(dim, part * SymExpr(group));
  return part;
}

Value convByWindows(NodeImporter &n, Value x, Value weight, const Window &w,
                    int64_t group) {
  if (!x || !weight)
    return nullptr;
  if (group < 1)
    return n.error("group must be 1 or more, found " + Twine(group));
  Dims dims = n.dims(x), wd = n.dims(weight);
  size_t rank = w.rank();
  SymExpr channels = partOf(n, dims[1], group), out = partOf(n, wd[0], group);
  n.checkEqual(channels, wd[1]);
  Value v = unfoldWindows(n, x, w);
  if (!v)
    return nullptr;
  // [N, g, C/g, o0, k0, ...] as [N, g, o..., C/g, k...]
  Dims unfolded = n.dims(v), split = unfolded, places, result;
  split.insert(split.begin() + 2, channels);
  split[1] = SymExpr(group);
  Ints perm = {0, 1};
  for (size_t i = 0; i < rank; ++i) {
    perm.push_back(3 + 2 * i);
    places.push_back(unfolded[2 + 2 * i]);
  }
  perm.push_back(2);
  for (size_t i = 0; i < rank; ++i)
    perm.push_back(4 + 2 * i);
  SymExpr terms = channels * productOf(w.kernel);
  SymExpr count = productOf(places);
  v = n.reshape(n.transpose(n.reshape(v, split), perm),
                {dims[0], SymExpr(group), count, terms});
  Value flat = n.reshape(weight, {SymExpr(group), out, terms});
  Value y = n.matmul(v, flat, false, /*transposeB=*/true);
  result = {dims[0], wd[0]};
  result.append(places);
  return n.reshape(n.transpose(y, {0, 1, 3, 2}), result);
}

Value convTransposeByWindows(NodeImporter &n, Value x, Value weight,
                             const Window &w, ArrayRef<SymExpr> image,
                             int64_t group) {
  if (!x || !weight)
    return nullptr;
  if (group < 1)
    return n.error("group must be 1 or more, found " + Twine(group));
  Dims dims = n.dims(x), wd = n.dims(weight);
  n.checkEqual(dims[1], wd[0]);
  SymExpr channels = partOf(n, dims[1], group);
  ArrayRef<SymExpr> places = ArrayRef<SymExpr>(dims).drop_front(2);
  SymExpr terms = wd[1] * productOf(w.kernel);
  Value flat = n.reshape(weight, {SymExpr(group), channels, terms});
  Value v =
      n.reshape(x, {dims[0], SymExpr(group), channels, productOf(places)});
  Value columns = n.matmul(flat, v, /*transposeA=*/true);
  Dims apart = {dims[0], SymExpr(group) * wd[1]};
  apart.append(w.kernel);
  apart.append(places.begin(), places.end());
  return foldWindows(n, n.reshape(columns, apart), w, image);
}

//===----------------------------------------------------------------------===//
// Col2Im
//===----------------------------------------------------------------------===//

static void col2Im(NodeImporter &n) {
  Value x = n.in(0);
  std::optional<Dims> image = n.knownDims(n.in(1), "image_shape");
  std::optional<Dims> block = n.knownDims(n.in(2), "block_shape");
  if (!image || !block)
    return;
  Dims dims = n.dims(x);
  if (dims.size() != 3 || image->size() != block->size() || image->empty()) {
    n.error("expected an input of rank 3 and one size of the image and the "
            "block for each spatial dim, found rank " +
            Twine(dims.size()) + ", " + Twine(image->size()) + " and " +
            Twine(block->size()) + " sizes");
    return;
  }
  std::optional<Window> w = readWindow(n, *image, *block);
  if (!w)
    return;
  Dims apart = {dims[0], SymExpr(1)}, places;
  SymExpr elements = productOf(*block);
  if (std::optional<SymExpr> exact = dims[1].divideExactly(elements)) {
    apart[1] = *exact;
  } else {
    apart[1] = SymExpr::apply(SymExpr::Fn::FloorDiv, dims[1], elements);
    n.checkEqual(dims[1], apart[1] * elements);
  }
  apart.append(*block);
  for (size_t i = 0; i < image->size(); ++i) {
    n.checkNonNegative((*image)[i]);
    n.checkNonNegative((*block)[i]);
    places.push_back(w->count(i, (*image)[i]));
  }
  n.checkEqual(dims[2], productOf(places));
  apart.append(places);
  n.out(0, foldWindows(n, n.reshape(x, apart), *w, *image));
}

//===----------------------------------------------------------------------===//
// MaxUnpool
//===----------------------------------------------------------------------===//

/// Each element at its index in the image that was pooled, zeros elsewhere.
static void maxUnpool(NodeImporter &n) {
  Value x = n.in(0), at = n.in(1);
  Dims dims = n.dims(x);
  std::optional<Ints> kernel = n.getInts("kernel_shape");
  if (dims.size() < 3 || !kernel) {
    n.error("expected an input of rank 3 or more and a kernel_shape");
    return;
  }
  ArrayRef<SymExpr> spatial = ArrayRef<SymExpr>(dims).drop_front(2);
  std::optional<Window> w =
      readWindow(n, spatial, Dims(kernel->begin(), kernel->end()));
  if (!w)
    return;
  Dims image = {dims[0], dims[1]};
  for (size_t i = 0; i < spatial.size(); ++i) {
    image.push_back((spatial[i] - SymExpr(1)) * SymExpr(w->strides[i]) -
                    w->low[i] - w->high[i] + w->kernel[i]);
    n.checkNonNegative(image.back());
  }
  SymExpr count = productOf(dims);
  for (auto [own, other] : llvm::zip(dims, n.dims(at)))
    n.checkEqual(own, other);
  Value flat = n.make<ScatterElementsOp>(
      {n.broadcast(n.scalarLike(0, x), {productOf(image)}),
       n.reshape(at, {count}), n.reshape(x, {count})},
      {n.named("kind",
               ScatterKindAttr::get(n.builder.getContext(), ScatterKind::none)),
       n.named("axis", n.builder.getI64IntegerAttr(0))});
  Value y = n.reshape(flat, image);
  if (!n.has(2)) {
    n.out(0, y);
    return;
  }
  std::optional<Dims> wanted = n.knownDims(n.in(2), "output_shape");
  if (!wanted)
    return;
  if (wanted->size() != dims.size()) {
    n.error("output_shape must have one size per dim: expected " +
            Twine(dims.size()) + ", found " + Twine(wanted->size()));
    return;
  }
  // Zeros at the high ends make it as large as asked.
  Dims low(spatial.size(), SymExpr(0)), high;
  for (size_t i = 0; i < dims.size(); ++i) {
    SymExpr more = (*wanted)[i] - image[i];
    if (i < 2)
      n.checkEqual((*wanted)[i], image[i]);
    else
      high.push_back(more);
    n.checkNonNegative(more);
  }
  n.out(0, padSpatial(n, y, n.scalarLike(0, y), low, high));
}

void registerWindows(Registry &r) {
  r.add("Col2Im", 18, col2Im);
  r.add("MaxUnpool", 9, maxUnpool);
}

} // namespace tenon::onnximport
