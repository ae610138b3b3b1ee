//===- GridSample.cpp - GridSample, AffineGrid ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A channel is a row of pixels. Each dim has one, two or four taps per sample,
// which lie along a dim of their own; every combination of taps is a gather
// from all of these rows by one row of indices, and the sum of all, weighted,
// is the result.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Registry.h"

using namespace mlir;

namespace tenon::onnximport {

namespace {

/// Of each sample, [batch, taps, samples].
struct Taps {
  int64_t count;
  Value index;  // inside the dim
  Value weight; // null: 1
};

struct Sampler {
  NodeImporter &n;
  std::string mode, padding;
  bool corners;
  Type indexType = {};

  Value f32(double v) { return n.scalar(v, n.builder.getF32Type()); }
  Value size(const SymExpr &dim) {
    Type i64 = n.builder.getI64Type();
    return n.cast(n.dimScalar(dim, i64), n.builder.getF32Type());
  }
  Value floor(Value v) { return n.make<FloorOp>({v}); }
  Value clamp(Value v, Value low, Value high) {
    return n.max(n.min(v, high), low);
  }
  /// Folds v at the borders into [low, high].
  Value reflect(Value v, const SymExpr &dim) {
    Value low = f32(corners ? 0 : -0.5);
    Value range = corners ? n.addScalar(size(dim), -1) : size(dim);
    range = n.max(range, f32(corners ? 1e-6 : 1));
    Value twice = n.mulScalar(range, 2);
    Value t = n.make<AbsOp>({n.sub(v, low)});
    t = n.sub(t, n.mul(floor(n.div(t, twice)), twice));
    Value back = n.compare(CompareKind::gt, t, range);
    return n.add(low, n.select(back, n.sub(twice, t), t));
  }
  /// The filter's weight at a distance of at most 2.
  Value cubic(Value t) {
    constexpr double a = -0.75;
    Value near = n.addScalar(n.mulScalar(t, a + 2), -(a + 3));
    near = n.addScalar(n.mul(n.mul(near, t), t), 1);
    Value far = n.addScalar(n.mulScalar(t, a), -5 * a);
    far = n.addScalar(n.mul(far, t), 8 * a);
    far = n.addScalar(n.mul(far, t), -4 * a);
    return n.select(n.compareScalar(CompareKind::le, t, 1), near, far);
  }
  /// Those at whole positions, which may lie outside.
  Taps inside(int64_t count, Value at, Value weight, const SymExpr &dim) {
    Value last = n.addScalar(size(dim), -1);
    if (padding == "zeros") {
      Value isInside = n.andOp(n.compareScalar(CompareKind::ge, at, 0),
                               n.compare(CompareKind::le, at, last));
      weight = n.select(isInside, weight ? weight : f32(1), f32(0));
    } else if (padding == "reflection") {
      at = reflect(at, dim);
    }
    // Clamped as an integer: a coordinate may be NaN.
    Value index = n.cast(clamp(at, f32(-1), n.addScalar(last, 1)), indexType);
    Value end = n.addScalar(n.dimScalar(dim, indexType), -1);
    return {count, clamp(index, n.scalar(0, indexType), end), weight};
  }
  Taps taps(Value normalised, const SymExpr &dim);
  Value own(Value taps, int64_t tap);
  Value byChannel(const Taps &taps, const SymExpr &samples);
  Value byPixel(const Taps &taps);
  void run();
};

Taps Sampler::taps(Value v, const SymExpr &dim) {
  Value length = size(dim);
  Value x = n.addScalar(v, 1);
  x = corners ? n.mul(n.mulScalar(x, 0.5), n.addScalar(length, -1))
              : n.mulScalar(n.addScalar(n.mul(x, length), -1), 0.5);
  if (mode == "nearest")
    x = n.make<RoundOp>({x});
  if (padding == "border" &&
      mode != "cubic") // whose taps are cut by themselves
    x = clamp(x, f32(0), n.addScalar(length, -1));
  else if (padding == "reflection")
    x = reflect(x, dim);
  if (mode == "nearest")
    // Between a pixel and the border a reflected one is cut towards zero.
    return inside(1, padding == "reflection" ? n.max(floor(x), f32(0)) : x,
                  nullptr, dim);
  int64_t count = mode == "linear" ? 2 : 4;
  Value base = floor(x), ratio = n.sub(x, base);
  Value tap = n.iota(SymExpr(1 - count / 2), SymExpr(1), SymExpr(count),
                     n.builder.getF32Type());
  tap = n.reshape(tap, {SymExpr(count), SymExpr(1)});
  Value distance = n.make<AbsOp>({n.sub(tap, ratio)});
  Value weight = mode == "linear" ? n.sub(f32(1), distance) : cubic(distance);
  return inside(count, n.add(base, tap), weight, dim);
}

void Sampler::run() {
  Value x = n.in(0), grid = n.in(1);
  Dims dims = n.dims(x), points = n.dims(grid);
  int64_t rank = dims.size(), spatial = rank - 2;
  bool fits = spatial >= 1 && spatial <= 3 && int64_t(points.size()) == rank;
  if (!fits || points.back().constant().value_or(spatial) != spatial) {
    n.error("expected an input of rank 3 to 5 and as many coordinates per "
            "point as it has spatial dims");
    return;
  }
  n.checkEqual(points.back(), SymExpr(spatial));
  SymExpr pixels = productOf(ArrayRef(dims).drop_front(2));
  ArrayRef<SymExpr> outDims = ArrayRef(points).drop_front().drop_back();
  SymExpr count = productOf(outDims);
  grid = n.cast(grid, n.builder.getF32Type());
  n.checkEqual(points[0], dims[0]);
  // Many channels of each pixel are a row, if several pixels make a sample and
  // there are no more pixels than samples.
  constexpr int64_t many = 8;
  bool isByPixel = mode != "nearest" &&
                   dims[1].constant().value_or(0) >= many &&
                   (count - pixels).isNonNegative();
  SymExpr row = isByPixel ? dims[0] * pixels : pixels;
  indexType = row.constant().value_or(INT64_MAX) <= INT32_MAX
                  ? n.builder.getI32Type()
                  : n.builder.getI64Type();

  // Every combination of taps so far: flat indices, weights.
  Taps all = {1, nullptr, nullptr};
  for (int64_t i = 0; i < spatial; ++i) {
    // Coordinates come innermost dim first.
    Value v = n.slice(grid, rank - 1, SymExpr(spatial - 1 - i), SymExpr(1));
    Taps here = taps(n.reshape(v, {dims[0], SymExpr(1), count}), dims[2 + i]);
    SymExpr times(all.count * here.count);
    auto combine = [&](Value left, Value right, auto join) {
      if (!left || !right)
        return left ? left : right;
      return n.reshape(join(n.unsqueeze(left, {2}), n.unsqueeze(right, {1})),
                       {dims[0], times, count});
    };
    if (all.index)
      all.index = n.mul(all.index, n.dimScalar(dims[2 + i], indexType));
    all.index = combine(all.index, here.index,
                        [&](Value x, Value y) { return n.add(x, y); });
    all.weight = combine(all.weight, here.weight,
                         [&](Value x, Value y) { return n.mul(x, y); });
    all.count *= here.count;
  }
  Value sum = isByPixel ? byPixel(all) : byChannel(all, count);
  Dims to = {dims[0], dims[1]};
  to.append(outDims.begin(), outDims.end());
  n.out(0, n.reshape(sum, to));
}

/// One of the taps.
Value Sampler::own(Value taps, int64_t tap) {
  return n.slice(taps, 1, SymExpr(tap), SymExpr(1));
}

/// Of the rows that channels are, [batch, channels, samples].
Value Sampler::byChannel(const Taps &taps, const SymExpr &samples) {
  Value x = n.in(0), sum;
  Dims dims = n.dims(x);
  Value rows =
      n.reshape(x, {dims[0], dims[1], productOf(ArrayRef(dims).drop_front(2))});
  for (int64_t tap = 0; tap < taps.count; ++tap) {
    Value index =
        n.broadcast(own(taps.index, tap), {dims[0], dims[1], samples});
    Value part = n.make<GatherElementsOp>(
        {rows, index}, {n.named("axis", n.builder.getI64IntegerAttr(2))});
    if (taps.weight)
      part = n.mul(part, n.cast(own(taps.weight, tap), NodeImporter::elem(x)));
    sum = sum ? n.add(sum, part) : part;
  }
  return sum;
}

/// The same of the rows that pixels are.
Value Sampler::byPixel(const Taps &taps) {
  Value x = n.in(0), sum;
  Dims dims = n.dims(x);
  SymExpr pixels = productOf(ArrayRef(dims).drop_front(2));
  Ints perm = llvm::to_vector(llvm::seq<int64_t>(0, dims.size()));
  perm.erase(perm.begin() + 1);
  perm.push_back(1);
  Value rows = n.reshape(n.transpose(x, perm), {dims[0] * pixels, dims[1]});
  Value first =
      n.mul(n.iota(dims[0], indexType), n.dimScalar(pixels, indexType));
  Value index =
      n.add(taps.index, n.reshape(first, {dims[0], SymExpr(1), SymExpr(1)}));
  for (int64_t tap = 0; tap < taps.count; ++tap) {
    Value part = n.gather(rows, n.squeeze(own(index, tap), {1}), 0);
    if (taps.weight) {
      Value weight = n.cast(own(taps.weight, tap), NodeImporter::elem(x));
      part = n.mul(part, n.unsqueeze(n.squeeze(weight, {1}), {2}));
    }
    sum = sum ? n.add(sum, part) : part;
  }
  return n.transpose(sum, {0, 2, 1});
}

void gridSample(NodeImporter &n) {
  std::string mode = n.getString("mode", "linear");
  if (StringRef(mode).starts_with("bi")) // before opset 20
    mode = mode.substr(2);
  std::string padding = n.getString("padding_mode", "zeros");
  if (mode != "linear" && mode != "nearest" && mode != "cubic") {
    n.error("mode '" + mode + "' is unknown");
    return;
  }
  if (padding != "zeros" && padding != "border" && padding != "reflection") {
    n.error("padding_mode '" + padding + "' is unknown");
    return;
  }
  Sampler{n, mode, padding, n.getInt("align_corners", 0) != 0}.run();
}

//===----------------------------------------------------------------------===//
// AffineGrid
//===----------------------------------------------------------------------===//

/// Where the elements of a dim lie when its ends are -1 and 1: the outer edges
/// of the first and last element or, with `corners`, their centres.
Value evenlySpaced(NodeImporter &n, const SymExpr &dim, bool corners,
                   Type type) {
  Type i64 = n.builder.getI64Type();
  Value size = n.dimScalar(corners ? dim - SymExpr(1) : dim, i64);
  Value step = n.div(n.scalar(2, type), n.cast(size, type));
  if (corners) // one element lies at -1
    step = n.select(n.compareScalar(CompareKind::eq, size, 0),
                    n.scalar(0, type), step);
  Value at = n.mul(n.cast(n.iota(dim, i64), type), step);
  return n.add(at, corners ? n.scalar(-1, type)
                           : n.addScalar(n.mulScalar(step, 0.5), -1));
}

/// theta [N, d, d + 1] times the points (x, y, z, 1) of an image of d dims.
void affineGrid(NodeImporter &n) {
  Value theta = n.in(0);
  std::optional<Dims> size = n.knownDims(n.in(1), "size");
  if (!size)
    return;
  int64_t spatial = int64_t(size->size()) - 2;
  if (n.rank(theta) != 3 || spatial < 2 || spatial > 3) {
    n.error("expected matrices of rank 3 and a size of 4 or 5 elements, found "
            "rank " +
            Twine(n.rank(theta)) + " and " + Twine(size->size()) + " elements");
    return;
  }
  Type type = NodeImporter::elem(theta);
  Type wide = type.isF64() ? type : Type(n.builder.getF32Type());
  theta = n.cast(theta, wide);
  Dims dims = n.dims(theta);
  n.checkEqual(dims[0], (*size)[0]);
  n.checkEqual(dims[1], SymExpr(spatial));
  n.checkEqual(dims[2], SymExpr(spatial + 1));
  bool corners = n.getInt("align_corners", 0) != 0;
  // Column `i` of each matrix, as [N, 1, ..., 1, d].
  auto column = [&](int64_t i) {
    Dims to(spatial + 2, SymExpr(1));
    to.front() = (*size)[0];
    to.back() = SymExpr(spatial);
    return n.reshape(n.slice(theta, 2, SymExpr(i), SymExpr(1)), to);
  };
  Value sum;
  for (int64_t i = 0; i < spatial; ++i) { // x, the last dim, comes first
    const SymExpr &dim = (*size)[1 + spatial - i];
    n.checkNonNegative(dim);
    Dims along(spatial + 2, SymExpr(1));
    along[spatial - i] = dim;
    Value at = n.reshape(evenlySpaced(n, dim, corners, wide), along);
    Value part = n.mul(column(i), at);
    sum = sum ? n.add(sum, part) : part;
  }
  n.out(0, n.cast(n.add(sum, column(spatial)), type));
}

} // namespace

void registerGridSample(Registry &r) {
  r.add("GridSample", 16, gridSample);
  r.add("AffineGrid", 20, affineGrid);
}

} // namespace tenon::onnximport
