//===- GridSample.cpp - GridSample, AffineGrid ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The input becomes a table of pixels [batch * positions, channels]. Each dim
// has one, two or four taps per sample; every combination of taps is a gather
// from the table, and the sum of all, weighted, is the result.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Registry.h"

using namespace mlir;

namespace tenon::onnximport {

namespace {

struct Tap {
  Value index;  // int64, inside the dim
  Value weight; // null: 1
};

struct Sampler {
  NodeImporter &n;
  std::string mode, padding;
  bool corners;

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
  Value cubic(Value t, double a, bool inner) {
    if (inner)
      return n.addScalar(
          n.mul(n.mul(n.addScalar(n.mulScalar(t, a + 2), -(a + 3)), t), t), 1);
    Value v = n.addScalar(n.mulScalar(t, a), -5 * a);
    v = n.addScalar(n.mul(v, t), 8 * a);
    return n.addScalar(n.mul(v, t), -4 * a);
  }
  /// One tap at a whole position, which may lie outside.
  Tap tap(Value at, Value weight, const SymExpr &dim) {
    Value last = n.addScalar(size(dim), -1);
    if (padding == "zeros") {
      Value inside = n.andOp(n.compareScalar(CompareKind::ge, at, 0),
                             n.compare(CompareKind::le, at, last));
      weight = n.select(inside, weight ? weight : f32(1), f32(0));
    } else if (padding == "reflection") {
      at = reflect(at, dim);
    }
    Type i64 = n.builder.getI64Type();
    // Clamped as an integer: a coordinate may be NaN.
    Value index = n.cast(clamp(at, f32(-1), n.addScalar(last, 1)), i64);
    Value end = n.addScalar(n.dimScalar(dim, i64), -1);
    return {clamp(index, n.scalar(0, i64), end), weight};
  }
  SmallVector<Tap> taps(Value normalised, const SymExpr &dim);
  void run();
};

SmallVector<Tap> Sampler::taps(Value v, const SymExpr &dim) {
  Value length = size(dim);
  Value x = n.addScalar(v, 1);
  x = corners ? n.mul(n.mulScalar(x, 0.5), n.addScalar(length, -1))
              : n.mulScalar(n.addScalar(n.mul(x, length), -1), 0.5);
  if (mode == "nearest")
    x = n.make<RoundOp>({x});
  if (padding == "border")
    x = clamp(x, f32(0), n.addScalar(length, -1));
  else if (padding == "reflection")
    x = reflect(x, dim);
  if (mode == "nearest")
    // Between a pixel and the border a reflected one is cut towards zero.
    return {tap(padding == "reflection" ? n.max(floor(x), f32(0)) : x, nullptr,
                dim)};
  Value base = floor(x), ratio = n.sub(x, base);
  Value rest = n.sub(f32(1), ratio);
  if (mode == "linear")
    return {tap(base, rest, dim), tap(n.addScalar(base, 1), ratio, dim)};
  constexpr double a = -0.75;
  return {
      tap(n.addScalar(base, -1), cubic(n.addScalar(ratio, 1), a, false), dim),
      tap(base, cubic(ratio, a, true), dim),
      tap(n.addScalar(base, 1), cubic(rest, a, true), dim),
      tap(n.addScalar(base, 2), cubic(n.addScalar(rest, 1), a, false), dim)};
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
  Ints perm = {0};
  for (int64_t i = 2; i < rank; ++i)
    perm.push_back(i);
  perm.push_back(1);
  SymExpr pixels = productOf(ArrayRef(dims).drop_front(2));
  Value table = n.reshape(n.transpose(x, perm), {dims[0] * pixels, dims[1]});
  ArrayRef<SymExpr> outDims = ArrayRef(points).drop_front().drop_back();
  SymExpr count = productOf(outDims);
  grid = n.cast(grid, n.builder.getF32Type());

  // Every combination of taps so far, as (flat index, weight).
  Type i64 = n.builder.getI64Type();
  SmallVector<Tap> all = {
      {n.reshape(n.iota(dims[0], i64), {dims[0], SymExpr(1)}), nullptr}};
  for (int64_t i = 0; i < spatial; ++i) {
    // Coordinates come innermost dim first.
    Value v = n.slice(grid, rank - 1, SymExpr(spatial - 1 - i), SymExpr(1));
    v = n.reshape(v, {points[0], count});
    SmallVector<Tap> next;
    SmallVector<Tap> here = taps(v, dims[2 + i]);
    for (const Tap &left : all)
      for (const Tap &right : here) {
        Value index = n.add(n.mul(left.index, n.dimScalar(dims[2 + i], i64)),
                            right.index);
        Value weight = left.weight && right.weight
                           ? n.mul(left.weight, right.weight)
                           : (left.weight ? left.weight : right.weight);
        next.push_back({index, weight});
      }
    all = next;
  }
  Value sum;
  for (const Tap &t : all) {
    Value part = n.gather(table, t.index, 0); // [batch, points, channels]
    if (t.weight)
      part = n.mul(part,
                   n.cast(n.unsqueeze(t.weight, {2}), NodeImporter::elem(x)));
    sum = sum ? n.add(sum, part) : part;
  }
  Dims to = {dims[0], dims[1]};
  to.append(outDims.begin(), outDims.end());
  n.out(0, n.reshape(n.transpose(sum, {0, 2, 1}), to));
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
