//===- Regions.cpp - sampling in regions of an image ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both operators look up pixels in a table [images * positions, channels] and
// weigh the four neighbours of each point.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Ops/Window.h"

using namespace mlir;

namespace tenon::onnximport {

namespace {
/// One of the two neighbours along a dim.
struct Neighbour {
  Value index, weight; // int64 inside the dim; f32 or f64
};

struct Pixels {
  NodeImporter &n;
  Type i64 = n.builder.getI64Type();

  Value size(const SymExpr &dim, Type type) {
    return n.cast(n.dimScalar(dim, i64), type);
  }
  /// A whole float position as an index, moved into the dim.
  Value indexOf(Value at, const SymExpr &dim) {
    Type type = NodeImporter::elem(at);
    // Bounded before the cast: a position may be huge or NaN.
    Value bounded = n.max(n.min(at, size(dim, type)), n.scalar(-1, type));
    Value last = n.addScalar(n.dimScalar(dim, i64), -1);
    return n.max(n.min(n.cast(bounded, i64), last), n.scalar(0, i64));
  }
};
} // namespace

static Value zeroOutside(NodeImporter &n, Value inside, Value v) {
  return n.select(inside, v, n.scalarLike(0, v));
}

//===----------------------------------------------------------------------===//
// DeformConv
//===----------------------------------------------------------------------===//

/// Both neighbours of v, of weight 0 outside.
static SmallVector<Neighbour> bilinear(Pixels &p, Value v, const SymExpr &dim) {
  NodeImporter &n = p.n;
  Value base = n.make<FloorOp>({v}), ratio = n.sub(v, base);
  SmallVector<Neighbour> result;
  for (int64_t i : {0, 1}) {
    Value at = n.addScalar(base, double(i));
    Value weight = i ? ratio : n.sub(n.scalarLike(1, ratio), ratio);
    Value inside = n.andOp(
        n.compareScalar(CompareKind::ge, at, 0),
        n.compare(CompareKind::lt, at, p.size(dim, NodeImporter::elem(v))));
    result.push_back({p.indexOf(at, dim), zeroOutside(n, inside, weight)});
  }
  return result;
}

/// Where each kernel element of each place looks along spatial dim `i`:
/// [N, groups, kh, kw, oh, ow], from offsets of the same dims.
static Value pointsOf(NodeImporter &n, Value offsets, const Window &w,
                      size_t i) {
  Type i64 = n.builder.getI64Type();
  Dims dims = n.dims(offsets);
  auto along = [&](size_t at) {
    Dims to(6, SymExpr(1));
    to[at] = dims[at];
    return n.reshape(n.iota(dims[at], i64), to);
  };
  Value at = n.add(n.mulScalar(along(4 + i), double(w.strides[i])),
                   n.mulScalar(along(2 + i), double(w.dilations[i])));
  at = n.sub(at, n.dimScalar(w.low[i], i64));
  return n.add(n.cast(at, NodeImporter::elem(offsets)), offsets);
}

static void deformConv(NodeImporter &n) {
  Value x = n.in(0), weight = n.in(1), offset = n.in(2);
  if (n.rank(x) != 4 || n.rank(weight) != 4 || n.rank(offset) != 4) {
    n.error("expected an input, weight and offset of rank 4, found " +
            Twine(n.rank(x)) + ", " + Twine(n.rank(weight)) + " and " +
            Twine(n.rank(offset)));
    return;
  }
  int64_t group = n.getInt("group", 1), parts = n.getInt("offset_group", 1);
  if (group < 1 || parts < 1) {
    n.error("group and offset_group must be 1 or more");
    return;
  }
  Dims d = n.dims(x), wd = n.dims(weight), od = n.dims(offset);
  std::optional<Window> w = readWindow(n, ArrayRef<SymExpr>(d).drop_front(2),
                                       ArrayRef<SymExpr>(wd).drop_front(2));
  if (!w)
    return;
  for (size_t i : {0, 1})
    n.checkEqual(od[2 + i], w->count(i, d[2 + i]));
  SymExpr g(group), og(parts), kh = wd[2], kw = wd[3], oh = od[2], ow = od[3];
  auto divided = [&](const SymExpr &dim, const SymExpr &by) {
    SymExpr part = SymExpr::apply(SymExpr::Fn::FloorDiv, dim, by);
    n.checkEqual(dim, part * by);
    return part;
  };
  SymExpr perPart = divided(d[1], og), out = divided(wd[0], g);
  n.checkEqual(d[1], wd[1] * g);
  Value offsets = n.reshape(offset, {d[0], og, kh, kw, SymExpr(2), oh, ow});
  if (n.failed()) // there are no values to look at
    return;
  Pixels p{n};
  Dims points = {d[0], og, kh, kw, oh, ow};
  SmallVector<SmallVector<Neighbour>> taps;
  for (size_t i : {0, 1}) {
    Value own = n.reshape(n.slice(offsets, 4, SymExpr(i), SymExpr(1)), points);
    taps.push_back(bilinear(p, pointsOf(n, own, *w, i), d[2 + i]));
  }
  // [images, positions, channels] with an image per sample and offset group.
  SymExpr pixels = d[2] * d[3];
  Value table =
      n.transpose(n.reshape(x, {d[0], og, perPart, pixels}), {0, 1, 3, 2});
  table = n.reshape(table, {d[0] * og * pixels, perPart});
  Value image =
      n.reshape(n.iota(d[0] * og, p.i64),
                {d[0], og, SymExpr(1), SymExpr(1), SymExpr(1), SymExpr(1)});
  image = n.mul(image, n.dimScalar(pixels, p.i64));
  Value sum;
  for (const Neighbour &row : taps[0])
    for (const Neighbour &column : taps[1]) {
      Value at =
          n.add(n.add(n.mul(row.index, n.dimScalar(d[3], p.i64)), column.index),
                image);
      Value v = n.mul(n.gather(table, at, 0),
                      n.unsqueeze(n.mul(row.weight, column.weight), {6}));
      sum = sum ? n.add(sum, v) : v;
    }
  if (n.has(4))
    sum = n.mul(sum, n.unsqueeze(n.reshape(n.in(4), points), {6}));
  // As columns of a matrix product, [N, groups, channels * kernel, places].
  SymExpr terms = wd[1] * kh * kw, places = oh * ow;
  Value columns = n.reshape(n.transpose(sum, {0, 1, 6, 2, 3, 4, 5}),
                            {d[0], g, terms, places});
  Value y = n.matmul(n.reshape(weight, {g, out, terms}), columns);
  y = n.reshape(y, {d[0], wd[0], oh, ow});
  if (n.has(3))
    y = n.add(y, n.reshape(n.in(3), {wd[0], SymExpr(1), SymExpr(1)}));
  n.out(0, y);
}

//===----------------------------------------------------------------------===//
// RoiAlign
//===----------------------------------------------------------------------===//

/// The samples along one dim: [regions, places, samples], neighbours and
/// whether a sample counts at all.
struct Samples {
  SmallVector<Neighbour> neighbours;
  Value inside;
};

static Samples samplesOf(NodeImporter &n, Value start, Value end,
                         int64_t places, int64_t ratio, const SymExpr &dim,
                         bool halfPixel) {
  Pixels p{n};
  Type type = NodeImporter::elem(start);
  Value length = n.sub(end, start); // [regions, 1, 1]
  if (!halfPixel)
    length = n.max(length, n.scalar(1, type)); // malformed regions are 1 by 1
  Value bin = n.mulScalar(length, 1.0 / double(places));
  auto counting = [&](int64_t count) {
    return n.cast(n.iota(SymExpr(count), p.i64), type);
  };
  Value place = n.mul(n.unsqueeze(counting(places), {1}), bin);
  Value inBin = n.mul(
      n.mulScalar(n.addScalar(counting(ratio), 0.5), 1.0 / double(ratio)), bin);
  Value at = n.add(n.add(start, place), inBin);
  Value size = p.size(dim, type), last = n.addScalar(size, -1);
  Samples s;
  s.inside = n.andOp(n.compareScalar(CompareKind::ge, at, -1),
                     n.compare(CompareKind::le, at, size));
  at = n.max(n.min(at, last), n.scalar(0, type));
  Value base = n.make<FloorOp>({at}), above = n.sub(at, base);
  s.neighbours.push_back(
      {p.indexOf(base, dim), n.sub(n.scalar(1, type), above)});
  s.neighbours.push_back({p.indexOf(n.addScalar(base, 1), dim), above});
  return s;
}

static void roiAlign(NodeImporter &n) {
  Value x = n.in(0), rois = n.in(1);
  if (n.rank(x) != 4 || n.rank(rois) != 2 || n.rank(n.in(2)) != 1) {
    n.error("expected an input of rank 4, regions of rank 2 and batch indices "
            "of rank 1");
    return;
  }
  int64_t height = n.getInt("output_height", 1);
  int64_t width = n.getInt("output_width", 1);
  int64_t ratio = n.getInt("sampling_ratio", 0);
  if (ratio < 1 || height < 1 || width < 1) {
    n.error("expected a sampling_ratio, output_height and output_width of 1 or "
            "more, found " +
            Twine(ratio) + ", " + Twine(height) + " and " + Twine(width) +
            " (a ratio of 0 takes as many samples as each region's size says)");
    return;
  }
  std::string mode = n.getString("mode", "avg");
  std::string placing =
      n.getString("coordinate_transformation_mode",
                  n.opset < 16 ? "output_half_pixel" : "half_pixel");
  if ((mode != "avg" && mode != "max") ||
      (placing != "half_pixel" && placing != "output_half_pixel")) {
    n.error("mode must be avg or max and coordinate_transformation_mode "
            "half_pixel or output_half_pixel, found '" +
            mode + "' and '" + placing + "'");
    return;
  }
  bool halfPixel = placing == "half_pixel";
  Dims d = n.dims(x), rd = n.dims(rois);
  n.checkEqual(rd[1], SymExpr(4));
  Type type = NodeImporter::elem(x), i64 = n.builder.getI64Type();
  if (type.getIntOrFloatBitWidth() < 32)
    type = n.builder.getF32Type();
  // x1, y1, x2, y2
  auto edge = [&](int64_t i) {
    Value v = n.cast(n.slice(rois, 1, SymExpr(i), SymExpr(1)), type);
    v = n.mulScalar(v, n.getFloat("spatial_scale", 1));
    v = n.addScalar(v, halfPixel ? -0.5 : 0);
    return n.reshape(v, {rd[0], SymExpr(1), SymExpr(1)});
  };
  Samples rows = samplesOf(n, edge(1), edge(3), height, ratio, d[2], halfPixel);
  Samples columns =
      samplesOf(n, edge(0), edge(2), width, ratio, d[3], halfPixel);
  // [regions, height, samples, width, samples, channels]
  auto asRow = [&](Value v) { return n.unsqueeze(v, {3, 4}); };
  auto asColumn = [&](Value v) { return n.unsqueeze(v, {1, 2}); };
  Value table =
      n.reshape(n.transpose(x, {0, 2, 3, 1}), {d[0] * d[2] * d[3], d[1]});
  // A gather of its own finds a batch index that is out of range.
  Value firsts = n.mul(n.iota(d[0], i64), n.dimScalar(d[2] * d[3], i64));
  Value image =
      n.unsqueeze(n.gather(firsts, n.cast(n.in(2), i64), 0), {1, 2, 3, 4});
  Value joined;
  for (const Neighbour &row : rows.neighbours)
    for (const Neighbour &column : columns.neighbours) {
      Value at = n.add(n.mul(asRow(row.index), n.dimScalar(d[3], i64)),
                       asColumn(column.index));
      Value v = n.cast(n.gather(table, n.add(at, image), 0), type);
      v = n.mul(v, n.unsqueeze(
                       n.mul(asRow(row.weight), asColumn(column.weight)), {5}));
      joined = !joined         ? v
               : mode == "max" ? n.max(joined, v)
                               : n.add(joined, v);
    }
  Value inside = n.andOp(asRow(rows.inside), asColumn(columns.inside));
  joined = zeroOutside(n, n.unsqueeze(inside, {5}), joined);
  Value y = n.reduce(mode == "max" ? ReduceKind::max : ReduceKind::mean, joined,
                     {2, 4}, /*keepdims=*/false);
  n.out(0, n.cast(n.transpose(y, {0, 3, 1, 2}), NodeImporter::elem(x)));
}

void registerRegions(Registry &r) {
  r.add("DeformConv", 19, deformConv);
  r.add("RoiAlign", 10, roiAlign);
}

} // namespace tenon::onnximport
