//===- Resize.cpp - interpolation -----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Resizing is separable: each dim in turn (the width before a height that
// grows) is gathered at the taps of a filter and the taps are summed with their
// weights. For an output position with the source coordinate x, base =
// ceil(x) - 1 and ratio = x - base in (0, 1]; tap i lies at base + i with the
// weight kernel(|i - ratio|). Where dims are static all of the coordinates fold
// to constants later.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Node/Steps.h"
#include <bit>
#include <cmath>

using namespace mlir;

namespace tenon::onnximport {

namespace {
enum class Filter { Nearest, Linear, Cubic };

/// A filter is widened so many times and no more.
constexpr int64_t kMaxWidening = 1000;

/// How one dim is resized.
struct Axis {
  int64_t dim;
  SymExpr in, out;
  /// Given by the model, or out / in.
  std::optional<double> scale;
  /// Instead of `scale`, where it is known only at run time, and its bits; out
  /// / in where there are none.
  Value scaleValue = {};
  std::optional<SymExpr> scaleBits = {};
  /// The part of the input that tf_crop_and_resize looks at.
  Value roiStart = {}, roiEnd = {};
};

struct Method {
  Filter filter;
  std::string coordinates, rounding;
  double cubicA;
  bool excludeOutside, antialias;
  double extrapolation;
};
} // namespace

static Value f64(NodeImporter &n, double value) {
  return n.scalar(value, n.builder.getF64Type());
}

static Value dimF64(NodeImporter &n, const SymExpr &dim) {
  if (std::optional<int64_t> value = dim.constant())
    return f64(n, double(*value));
  return n.cast(n.dimScalar(dim, n.builder.getI64Type()),
                n.builder.getF64Type());
}

/// The source coordinates of the output positions [out], in double. Where the
/// nearest element is asked for they are rounded to f32 as onnxruntime's are:
/// 5 by the f32 below 5/3 is 3, and its floor no 2.
static Value coordinates(NodeImporter &n, const Axis &axis, const Method &m) {
  Type i64 = n.builder.getI64Type();
  auto rounded = [&](Value v) {
    if (m.filter != Filter::Nearest)
      return v;
    Type f32 = n.builder.getF32Type(), f64 = n.builder.getF64Type();
    return n.cast(n.cast(v, f32), f64);
  };
  Value at = n.cast(n.iota(axis.out, i64), n.builder.getF64Type());
  Value in = dimF64(n, axis.in), out = dimF64(n, axis.out);
  bool given = axis.scale || axis.scaleValue;
  Value scale = axis.scale        ? f64(n, *axis.scale)
                : axis.scaleValue ? axis.scaleValue
                                  : rounded(n.div(out, in));
  // The output's width before rounding to whole elements.
  Value width = given ? n.mul(scale, in) : out;
  Value middle = rounded(n.div(n.addScalar(at, 0.5), scale));
  Value halfPixel = rounded(n.addScalar(middle, -0.5));
  if (m.coordinates == "half_pixel")
    return halfPixel;
  Value one = n.compareScalar(CompareKind::eq, width, 1);
  if (m.coordinates == "pytorch_half_pixel")
    return n.select(one, f64(n, -0.5), halfPixel);
  if (m.coordinates == "asymmetric")
    return rounded(n.div(at, scale));
  if (m.coordinates == "tf_half_pixel_for_nn")
    return middle;
  if (m.coordinates == "half_pixel_symmetric") {
    Value adjustment = n.sub(f64(n, 1), n.div(out, width));
    return rounded(n.add(n.mul(n.mulScalar(in, 0.5), adjustment), halfPixel));
  }
  // The corners of input (or region) and output meet.
  Value last = n.addScalar(in, -1), span = n.addScalar(width, -1);
  span = n.select(one, f64(n, 1), span);
  if (m.coordinates == "align_corners")
    return n.select(one, f64(n, 0), rounded(n.div(n.mul(at, last), span)));
  Value step = n.div(last, span);
  if (m.coordinates != "tf_crop_and_resize")
    return n.error("coordinate_transformation_mode '" + m.coordinates +
                   "' is unknown");
  Value extent = n.sub(axis.roiEnd, axis.roiStart);
  Value inside = n.select(one, n.mul(last, n.mulScalar(extent, 0.5)),
                          n.mul(at, n.mul(step, extent)));
  return n.add(inside, n.mul(last, axis.roiStart));
}

/// Indices as int64 inside the input.
static Value clampedIndex(NodeImporter &n, Value index, const SymExpr &in) {
  Value last = n.addScalar(dimF64(n, in), -1);
  return n.cast(n.max(n.min(index, last), f64(n, 0)), n.builder.getI64Type());
}

static Value nearestIndex(NodeImporter &n, Value x, const Method &m) {
  if (m.rounding == "round_prefer_floor")
    return n.make<CeilOp>({n.addScalar(x, -0.5)});
  if (m.rounding == "round_prefer_ceil")
    return n.make<FloorOp>({n.addScalar(x, 0.5)});
  if (m.rounding == "floor")
    return n.make<FloorOp>({x});
  if (m.rounding == "ceil")
    return n.make<CeilOp>({x});
  return n.error("nearest_mode '" + m.rounding + "' is unknown");
}

/// The filter's weight at distance t >= 0.
static Value kernel(NodeImporter &n, Value t, const Method &m) {
  Value zero = f64(n, 0);
  if (m.filter == Filter::Linear)
    return n.max(n.sub(f64(n, 1), t), zero);
  double a = m.cubicA;
  // Horner's form of the two pieces.
  Value inner = n.addScalar(n.mulScalar(t, a + 2), -(a + 3));
  inner = n.addScalar(n.mul(n.mul(inner, t), t), 1);
  Value outer = n.addScalar(n.mulScalar(t, a), -5 * a);
  outer = n.addScalar(n.mul(n.addScalar(n.mul(outer, t), 8 * a), t), -4 * a);
  Value far = n.select(n.compareScalar(CompareKind::lt, t, 2), outer, zero);
  return n.select(n.compareScalar(CompareKind::le, t, 1), inner, far);
}

/// A vector along one dim of a tensor of `rank`.
static Value along(NodeImporter &n, Value v, int64_t dim, int64_t rank) {
  if (!v)
    return v;
  Dims dims(rank, SymExpr(1));
  dims[dim] = productOf(n.dims(v));
  return n.reshape(v, dims);
}

/// How many elements the filter reaches to either side.
static int64_t reachOf(const Method &m) {
  return m.filter == Filter::Linear ? 1 : 2;
}

/// The sum over the taps of a filter that is as wide as the scale, known only
/// at run time, asks for: a dim of their number stands behind the axis.
static Value widenedTaps(NodeImporter &n, Value x, Value source,
                         const Axis &axis, const Method &m) {
  using Fn = SymExpr::Fn;
  auto asFloat = [](const SymExpr &e) { return SymExpr::apply(Fn::Float, e); };
  SymExpr reach(reachOf(m));
  SymExpr bits = axis.scaleBits ? *axis.scaleBits
                                : SymExpr::apply(Fn::FDiv, asFloat(axis.out),
                                                 asFloat(axis.in));
  // Nothing is computed of no elements, whatever the scale.
  SymExpr half = SymExpr::select(
      SymExpr::apply(Fn::Eq, axis.out, SymExpr(0)), reach,
      SymExpr::apply(
          Fn::Max, reach,
          SymExpr::apply(Fn::Ceil,
                         SymExpr::apply(Fn::FDiv, asFloat(reach), bits))));
  n.checkLessEqual(half, reach * SymExpr(kMaxWidening));
  Value scale = axis.scaleValue
                    ? axis.scaleValue
                    : n.div(dimF64(n, axis.out), dimF64(n, axis.in));
  Value base = n.addScalar(n.make<CeilOp>({source}), -1);
  Value ratio = n.unsqueeze(n.sub(source, base), {1});
  SymExpr count = half * SymExpr(2);
  Value tap = n.cast(
      n.iota(SymExpr(1) - half, SymExpr(1), count, n.builder.getI64Type()),
      n.builder.getF64Type());
  Value index = n.add(n.unsqueeze(base, {1}), tap); // [out, count]
  Value distance = n.make<AbsOp>({n.sub(tap, ratio)});
  Value weight = kernel(n, n.mul(distance, n.min(scale, f64(n, 1))), m);
  if (m.excludeOutside) {
    Value low = n.compareScalar(CompareKind::ge, index, 0);
    Value high = n.compare(CompareKind::lt, index, dimF64(n, axis.in));
    weight = n.select(n.andOp(low, high), weight, f64(n, 0));
  }
  weight = n.div(weight, n.reduce(ReduceKind::sum, weight, {1}));
  Dims dims(n.rank(x) + 1, SymExpr(1));
  dims[axis.dim] = axis.out;
  dims[axis.dim + 1] = count;
  weight = n.reshape(n.cast(weight, NodeImporter::elem(x)), dims);
  Value taken = n.gather(x, clampedIndex(n, index, axis.in), axis.dim);
  return n.reduce(ReduceKind::sum, n.mul(taken, weight), {axis.dim + 1},
                  /*keepdims=*/false);
}

static Value resizeAxis(NodeImporter &n, Value x, const Axis &axis,
                        const Method &m) {
  Value source = coordinates(n, axis, m);
  if (!source || !x)
    return nullptr;
  int64_t rank = n.rank(x);
  Value result;
  if (m.filter == Filter::Nearest) {
    Value index = nearestIndex(n, source, m);
    result = n.gather(x, clampedIndex(n, index, axis.in), axis.dim);
  } else if (m.antialias && !axis.scale) {
    result = widenedTaps(n, x, source, axis, m);
  } else {
    int64_t reach = reachOf(m);
    double shrink = 1;
    if (m.antialias && axis.scale && *axis.scale < 1)
      shrink = *axis.scale;
    if (shrink * kMaxWidening < 1)
      return n.error("a scale below 0.001 is not supported");
    int64_t first = int64_t(std::floor(-double(reach) / shrink)) + 1;
    Value base = n.addScalar(n.make<CeilOp>({source}), -1);
    Value ratio = n.sub(source, base);
    Value total;
    SmallVector<std::pair<Value, Value>> taps; // index, weight
    for (int64_t i = first; i < 2 - first; ++i) {
      Value distance = n.make<AbsOp>({n.sub(f64(n, double(i)), ratio)});
      Value weight = kernel(n, n.mulScalar(distance, shrink), m);
      Value index = n.addScalar(base, double(i));
      if (m.excludeOutside) {
        Value low = n.compareScalar(CompareKind::ge, index, 0);
        Value high = n.compare(CompareKind::lt, index, dimF64(n, axis.in));
        weight = n.select(n.andOp(low, high), weight, f64(n, 0));
      }
      total = total ? n.add(total, weight) : weight;
      taps.emplace_back(index, weight);
    }
    bool normalise = m.excludeOutside || shrink != 1;
    for (auto [index, weight] : taps) {
      Value w = normalise ? n.div(weight, total) : weight;
      w = along(n, n.cast(w, NodeImporter::elem(x)), axis.dim, rank);
      Value tap = n.gather(x, clampedIndex(n, index, axis.in), axis.dim);
      Value term = n.mul(tap, w);
      result = result ? n.add(result, term) : term;
    }
  }
  if (m.coordinates != "tf_crop_and_resize")
    return result;
  Value last = n.addScalar(dimF64(n, axis.in), -1);
  Value low = n.compareScalar(CompareKind::ge, source, 0);
  Value inside = n.andOp(low, n.compare(CompareKind::le, source, last));
  return n.select(along(n, inside, axis.dim, rank), result,
                  n.scalarLike(m.extrapolation, x));
}

//===----------------------------------------------------------------------===//
// What the node says
//===----------------------------------------------------------------------===//

/// Element `i` of a vector, in double.
static Value elementF64(NodeImporter &n, Value v, int64_t i) {
  return n.cast(n.reshape(n.slice(v, 0, SymExpr(i), SymExpr(1)), {}),
                n.builder.getF64Type());
}

/// floor(in * scale), the product rounded to f32 as onnxruntime has it: 3 grows
/// to 5 by the f32 below 5/3.
static SymExpr roundedProduct(const SymExpr &in, const SymExpr &scaleBits) {
  using Fn = SymExpr::Fn;
  SymExpr product =
      SymExpr::apply(Fn::FMul, SymExpr::apply(Fn::Float, in), scaleBits);
  return SymExpr::apply(Fn::Floor, SymExpr::apply(Fn::F32, product));
}

/// The same, for a symbolic dim as a ratio of small integers where the scale is
/// one.
static SymExpr scaledDim(const SymExpr &in, double scale) {
  // Of larger denominators only the nearest f32 of a ratio is one.
  constexpr int64_t kSmall = 64, kMost = 1024;
  if (!in.constant())
    for (int64_t q = 1; q <= kMost; ++q) {
      double p = std::round(scale * double(q));
      bool isNear = q <= kSmall ? std::abs(scale * double(q) - p) < 1e-6
                                : float(p / double(q)) == float(scale);
      if (isNear && p > 0.5 && p < 1e9)
        return SymExpr::apply(SymExpr::Fn::FloorDiv, in * SymExpr(int64_t(p)),
                              SymExpr(q));
    }
  return roundedProduct(in, SymExpr::floatBits(scale));
}

/// Sets the scales of the axes, and their sizes by them.
static bool setScales(NodeImporter &n, MutableArrayRef<Axis> axes, Value v) {
  const KnownValue *known = n.state.known.demandFloats(v);
  if (!known) {
    n.error("'scales' depends on data: expected constants, or inputs and what "
            "is computed from them");
    return false;
  }
  Dims scales = known->elements;
  if (scales.size() != axes.size() || n.rank(v) != 1) {
    n.error("scales must have one value per axis: expected " +
            Twine(axes.size()) + ", found " + Twine(scales.size()));
    return false;
  }
  for (auto [i, axis] : llvm::enumerate(axes)) {
    if (std::optional<int64_t> bits = scales[i].constant()) {
      axis.scale = std::bit_cast<double>(*bits);
      if (!(*axis.scale > 0)) {
        n.error("a scale must be above 0, found " +
                Twine(std::to_string(*axis.scale)));
        return false;
      }
      axis.out = scaledDim(axis.in, *axis.scale);
      continue;
    }
    axis.scaleValue = elementF64(n, v, i);
    axis.scaleBits = scales[i];
    axis.out = roundedProduct(axis.in, scales[i]);
  }
  return !n.failed();
}

/// The same with dims or sizes known only at run time: the scale of the axis
/// with the smallest (largest) one, as a fraction.
static bool keepAspectAtRunTime(NodeImporter &n, MutableArrayRef<Axis> axes,
                                StringRef policy) {
  using Fn = SymExpr::Fn;
  SymExpr out = axes.front().out, in = axes.front().in;
  for (const Axis &axis : axes.drop_front()) {
    SymExpr own = axis.out * in, best = out * axis.in;
    SymExpr better = policy == "not_larger" ? SymExpr::apply(Fn::Lt, own, best)
                                            : SymExpr::apply(Fn::Lt, best, own);
    out = SymExpr::select(better, axis.out, out);
    in = SymExpr::select(better, axis.in, in);
  }
  n.checkLessEqual(SymExpr(1), in);
  Value scale = n.div(dimF64(n, out), dimF64(n, in));
  SymExpr bits = SymExpr::apply(Fn::FDiv, SymExpr::apply(Fn::Float, out),
                                SymExpr::apply(Fn::Float, in));
  SymExpr two(2);
  for (Axis &axis : axes) {
    axis.scaleValue = scale;
    axis.scaleBits = bits;
    axis.out = SymExpr::apply(Fn::FloorDiv, two * out * axis.in + in, two * in);
  }
  return !n.failed();
}

/// Sizes that keep the aspect ratio: one scale for all axes.
static bool keepAspect(NodeImporter &n, MutableArrayRef<Axis> axes,
                       StringRef policy) {
  for (const Axis &axis : axes)
    if (!axis.in.isConstant() || !axis.out.isConstant())
      return keepAspectAtRunTime(n, axes, policy);
  std::optional<double> scale;
  for (const Axis &axis : axes) {
    if (*axis.in.constant() == 0) {
      n.error("keep_aspect_ratio_policy needs dims above 0");
      return false;
    }
    double own = double(*axis.out.constant()) / double(*axis.in.constant());
    scale = !scale                   ? own
            : policy == "not_larger" ? std::min(*scale, own)
                                     : std::max(*scale, own);
  }
  for (Axis &axis : axes) {
    axis.scale = scale;
    axis.out = SymExpr(
        int64_t(std::floor(*scale * double(*axis.in.constant()) + 0.5)));
  }
  return true;
}

static std::optional<Method> readMethod(NodeImporter &n, bool modern) {
  Method m;
  std::string mode = n.getString("mode", "nearest");
  if (mode == "nearest")
    m.filter = Filter::Nearest;
  else if (mode == "linear" || mode == "bilinear")
    m.filter = Filter::Linear;
  else if (mode == "cubic")
    m.filter = Filter::Cubic;
  else {
    n.error("mode must be nearest, linear or cubic, found '" + mode + "'");
    return std::nullopt;
  }
  m.coordinates =
      modern ? n.getString("coordinate_transformation_mode", "half_pixel")
             : "asymmetric";
  m.rounding =
      modern ? n.getString("nearest_mode", "round_prefer_floor") : "floor";
  m.cubicA = n.getFloat("cubic_coeff_a", -0.75);
  m.excludeOutside = n.getInt("exclude_outside", 0);
  m.antialias = n.getInt("antialias", 0);
  m.extrapolation = n.getFloat("extrapolation_value", 0);
  return m;
}

/// How much it grows, as far as is known.
static double growthOf(const Axis &axis) {
  if (axis.scale)
    return *axis.scale;
  int64_t in = axis.in.constant().value_or(0);
  return in > 0 ? double(axis.out.constant().value_or(0)) / double(in) : 0;
}

/// Rows of an image whose height grows are resized before there are more of
/// them, others when there are fewer. Of about as many nothing is gained by it.
static void widthFirst(MutableArrayRef<Axis> axes) {
  constexpr double least = 1.25;
  llvm::sort(axes, [](const Axis &x, const Axis &y) { return x.dim < y.dim; });
  if (axes.size() > 1 && growthOf(axes[axes.size() - 2]) >= least)
    std::swap(axes[axes.size() - 2], axes[axes.size() - 1]);
}

static void resizeBy(NodeImporter &n, MutableArrayRef<Axis> axes, bool modern) {
  std::optional<Method> m = readMethod(n, modern);
  if (!m)
    return;
  Value x = n.in(0);
  Type type = NodeImporter::elem(x);
  if (m->filter != Filter::Nearest)
    x = NodeImporter::isFloat(x) ? widen(n, x)
                                 : n.cast(x, n.builder.getF32Type());
  if (m->filter != Filter::Nearest && m->coordinates != "tf_crop_and_resize")
    widthFirst(axes);
  for (Axis &axis : axes) {
    n.checkNonNegative(axis.out);
    bool same =
        axis.in == axis.out && axis.scale.value_or(1) == 1 && !axis.scaleValue;
    if (same && m->coordinates != "tf_crop_and_resize")
      continue;
    // A constant scale is what antialiasing adapts its reach to.
    if (m->antialias && !axis.scale && !axis.scaleValue &&
        axis.in.isConstant() && axis.out.isConstant())
      axis.scale = double(*axis.out.constant()) /
                   double(std::max<int64_t>(*axis.in.constant(), 1));
    x = resizeAxis(n, x, axis, *m);
  }
  n.out(0, n.cast(x, type));
}

static void byScales(NodeImporter &n, Value scales) {
  Dims dims = n.dims(n.in(0));
  SmallVector<Axis> axes;
  for (auto [i, dim] : llvm::enumerate(dims))
    axes.push_back({int64_t(i), dim, dim, std::nullopt});
  if (setScales(n, axes, scales))
    resizeBy(n, axes, false);
}

static void resize(NodeImporter &n) {
  // X, roi, scales, sizes
  Dims dims = n.dims(n.in(0));
  Ints which;
  for (size_t i = 0; i < dims.size(); ++i)
    which.push_back(i);
  if (std::optional<Ints> given = n.getInts("axes")) {
    which.clear();
    for (int64_t a : *given)
      which.push_back(n.axis(a, dims.size()));
  }
  SmallVector<Axis> axes;
  for (int64_t dim : which)
    axes.push_back({dim, dims[dim], dims[dim], std::nullopt});
  if (n.failed())
    return;
  bool hasScales = n.has(2) && productOf(n.dims(n.in(2))) != SymExpr(0);
  if (hasScales) {
    if (!setScales(n, axes, n.in(2)))
      return;
  } else {
    std::optional<Dims> sizes;
    if (n.has(3))
      sizes = n.knownDims(n.in(3), "sizes");
    if (!sizes || sizes->size() != axes.size()) {
      n.error("sizes must have one value per axis");
      return;
    }
    for (auto [axis, size] : llvm::zip(axes, *sizes))
      axis.out = size;
    std::string policy = n.getString("keep_aspect_ratio_policy", "stretch");
    if (policy != "stretch" && !axes.empty() && !keepAspect(n, axes, policy))
      return;
  }
  if (n.getString("coordinate_transformation_mode", "") ==
      "tf_crop_and_resize") {
    Value roi = n.in(1);
    if (!roi || n.dims(roi) != Dims{SymExpr(int64_t(2 * axes.size()))}) {
      n.error("roi must have two values per axis");
      return;
    }
    for (size_t i = 0; i < axes.size(); ++i) {
      axes[i].roiStart = elementF64(n, roi, i);
      axes[i].roiEnd = elementF64(n, roi, i + axes.size());
    }
  }
  resizeBy(n, axes, true);
}

/// Resize of opset 10 and Upsample of opset 9: X, scales.
static void resizeByInput(NodeImporter &n) { byScales(n, n.in(1)); }

static void upsample(NodeImporter &n) {
  if (!n.hasAttr("scales")) {
    n.error("scales are missing");
    return;
  }
  SmallVector<float> values = n.getFloats("scales");
  auto type =
      RankedTensorType::get({int64_t(values.size())}, n.builder.getF32Type());
  byScales(n, n.constant(DenseElementsAttr::get(type, ArrayRef(values))));
}

void registerResize(Registry &r) {
  r.add("Resize", 10, resizeByInput);
  r.add("Resize", 11, resize);
  r.add("Upsample", 7, upsample);
  r.add("Upsample", 9, resizeByInput);
}

} // namespace tenon::onnximport
