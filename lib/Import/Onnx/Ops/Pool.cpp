//===- Pool.cpp - pooling -------------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A window of few elements is so many strided slices of the padded input,
// joined elementwise, row by row; one of many is gathered and reduced. The sum
// or the largest element of a wide window is that of what its columns come to:
// one dim after the other.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/Ops/Pow.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "lib/Import/Onnx/Ops/Window.h"
#include "llvm/ADT/STLExtras.h"
#include <functional>
#include <limits>

using namespace mlir;

namespace tenon::onnximport {

/// Beyond this many elements a window would unroll into too many ops.
static constexpr int64_t maxWindow = 256;

namespace {
struct Pooling {
  Window window;
  Ints kernel;
  Dims out;
};
} // namespace

static std::optional<Pooling> readPooling(NodeImporter &n) {
  Dims dims = n.dims(n.in(0));
  std::optional<Ints> kernel = n.getInts("kernel_shape");
  if (dims.size() < 3 || !kernel) {
    n.error("expected an input of rank 3 or more and a kernel_shape");
    return std::nullopt;
  }
  ArrayRef<SymExpr> spatial = ArrayRef<SymExpr>(dims).drop_front(2);
  std::optional<Window> window =
      readWindow(n, spatial, Dims(kernel->begin(), kernel->end()));
  if (!window)
    return std::nullopt;
  Pooling p{*window, *kernel, {}};
  using Fn = SymExpr::Fn;
  for (size_t i = 0; i < spatial.size(); ++i) {
    SymExpr stride(window->strides[i]);
    SymExpr span =
        spatial[i] + window->low[i] + window->high[i] - window->extent(i);
    bool ceil = n.getInt("ceil_mode", 0);
    SymExpr out =
        SymExpr::apply(ceil ? Fn::CeilDiv : Fn::FloorDiv, span, stride) +
        SymExpr(1);
    if (ceil) {
      // The last window must start inside the input or its low pad.
      SymExpr inside =
          SymExpr::apply(Fn::CeilDiv, spatial[i] + window->low[i], stride);
      out = SymExpr::apply(Fn::Min, out, inside);
      SymExpr needed = (out - SymExpr(1)) * stride + window->extent(i) -
                       spatial[i] - window->low[i];
      p.window.high[i] = SymExpr::apply(Fn::Max, needed, window->high[i]);
    }
    if (!out.isNonNegative())
      out = SymExpr::apply(Fn::Max, out, SymExpr(0));
    p.out.push_back(out);
  }
  return p;
}

/// Element `at` of every window of `padded`.
static Value ofWindows(NodeImporter &n, Value padded, const Pooling &p,
                       ArrayRef<int64_t> at) {
  if (!padded)
    return nullptr;
  Dims out = n.dims(padded);
  llvm::copy(p.out, out.begin() + 2);
  Ints steps(out.size(), 1);
  llvm::copy(p.window.strides, steps.begin() + 2);
  Dims starts(out.size(), SymExpr(0));
  for (size_t i = 0; i < at.size(); ++i)
    starts[i + 2] = SymExpr(at[i] * p.window.dilations[i]);
  return n.make<SliceOp>(
      {padded}, {n.named("starts", n.dimsAttr(starts)),
                 n.named("steps", n.builder.getDenseI64ArrayAttr(steps)),
                 n.named("dims", n.dimsAttr(out))});
}

/// Joins the elements of each window: those of a row, then rows, so that
/// windows that overlap may share these. Rows lie below each other along the
/// last dim but one.
static Value joinRows(NodeImporter &n, Value padded, const Pooling &p,
                      function_ref<Value(Value, Value)> join) {
  int64_t rank = p.window.rank();
  Ints order; // from the dim that is joined last
  if (rank > 1)
    order.push_back(rank - 2);
  for (int64_t d = 0; d < rank - 2; ++d)
    order.push_back(d);
  order.push_back(rank - 1);
  Ints at(rank, 0);
  std::function<Value(size_t)> from = [&](size_t level) -> Value {
    if (level == order.size())
      return ofWindows(n, padded, p, at);
    Value result;
    int64_t d = order[level];
    for (at[d] = 0; at[d] < p.kernel[d]; ++at[d]) {
      Value part = from(level + 1);
      result = result ? join(result, part) : part;
    }
    return result;
  };
  return from(0);
}

/// Joins each window element's slice of `padded`, in order.
template <typename F>
static Value overWindow(NodeImporter &n, Value padded, const Pooling &p,
                        const F &join) {
  if (!padded)
    return nullptr;
  const Window &w = p.window;
  Ints at(w.rank(), 0);
  Value result;
  while (true) {
    Value part = ofWindows(n, padded, p, at);
    result = result ? join(result, part) : part;
    size_t i = w.rank();
    while (i-- > 0 && ++at[i] == p.kernel[i])
      at[i] = 0;
    if (i == size_t(-1))
      return result;
  }
}

static bool isLarge(const Pooling &p) {
  int64_t elements = 1;
  for (int64_t size : p.kernel)
    if (__builtin_mul_overflow(elements, size, &elements) ||
        elements > maxWindow)
      return true;
  return false;
}

/// Do its windows cost less one dim after the other, although what is between
/// may go through memory?
static bool isWide(const Pooling &p) {
  constexpr int64_t few = 27; // whose rows one kernel can share
  int64_t sum = 0;
  for (int64_t size : p.kernel)
    if (__builtin_add_overflow(sum, 2 * size, &sum))
      return false;
  int64_t elements = 1;
  for (int64_t size : p.kernel)
    if (__builtin_mul_overflow(elements, size, &elements))
      return true;
  return elements > std::max(sum, few);
}

/// The same pooling, of what is padded, along dim d alone.
static Pooling along(const Pooling &p, ArrayRef<SymExpr> spatial, size_t d) {
  Pooling own = p;
  for (size_t i = 0; i < p.window.rank(); ++i) {
    if (i == d)
      continue;
    own.kernel[i] = own.window.strides[i] = own.window.dilations[i] = 1;
    own.window.kernel[i] = SymExpr(1);
    own.out[i] = spatial[i];
  }
  return own;
}

/// Is the image one window? Then it is a reduction.
static bool isWhole(const Pooling &p, ArrayRef<SymExpr> dims) {
  for (auto [i, size] : llvm::enumerate(p.kernel))
    if (dims[i + 2] != SymExpr(size) || p.window.low[i] != SymExpr(0) ||
        p.window.high[i] != SymExpr(0))
      return false;
  return true;
}

static Value reduceImage(NodeImporter &n, ReduceKind kind, Value x) {
  Ints axes;
  for (int64_t i = 2; i < n.rank(x); ++i)
    axes.push_back(i);
  return axes.empty() ? x : n.reduce(kind, x, axes);
}

/// The sum or the largest element of each window; a loop over large ones. Sums
/// of narrow floats are not rounded between dims.
static Value reduceWindow(NodeImporter &n, Value padded, const Pooling &p,
                          ReduceKind kind) {
  if (!padded)
    return nullptr;
  Type type = NodeImporter::elem(padded);
  bool isExact = kind == ReduceKind::max || !(type.isF16() || type.isBF16());
  if (isWide(p) && isExact) {
    for (size_t d = 0; padded && d < p.window.rank(); ++d) {
      Dims dims = n.dims(padded);
      padded = reduceWindow(n, padded,
                            along(p, ArrayRef(dims).drop_front(2), d), kind);
    }
    return padded;
  }
  if (!isLarge(p))
    return joinRows(n, padded, p, [&](Value a, Value b) {
      return kind == ReduceKind::sum ? n.add(a, b) : n.max(a, b);
    });
  Ints axes;
  for (size_t i = 0; i < p.window.rank(); ++i)
    axes.push_back(3 + 2 * i);
  return n.reduce(kind, gatherWindows(n, padded, p.window, p.out), axes,
                  /*keepdims=*/false);
}

static Value sumOverWindow(NodeImporter &n, Value x, const Pooling &p) {
  Value padded =
      padSpatial(n, x, n.scalarLike(0, x), p.window.low, p.window.high);
  return reduceWindow(n, padded, p, ReduceKind::sum);
}

static Value lowest(NodeImporter &n, Type type) {
  if (isa<FloatType>(type))
    return n.scalar(-std::numeric_limits<double>::infinity(), type);
  auto integer = mlir::cast<IntegerType>(type);
  APInt value = integer.isUnsigned()
                    ? APInt::getMinValue(integer.getWidth())
                    : APInt::getSignedMinValue(integer.getWidth());
  return n.constant(
      DenseElementsAttr::get(RankedTensorType::get({}, type), value));
}

/// The row-major place of each element in its image [1, 1, spatial...]; the
/// first spatial dim runs fastest with storage_order 1.
static Value places(NodeImporter &n, ArrayRef<SymExpr> dims) {
  Type i64 = n.builder.getI64Type();
  bool columns = n.getInt("storage_order", 0);
  Value at;
  SymExpr stride(1);
  for (size_t step = 2; step < dims.size(); ++step) {
    size_t d = columns ? step : dims.size() + 1 - step;
    Dims along(dims.size(), SymExpr(1));
    along[d] = dims[d];
    Value own =
        n.mul(n.reshape(n.iota(dims[d], i64), along), n.dimScalar(stride, i64));
    at = at ? n.add(at, own) : own;
    stride = stride * dims[d];
  }
  return at;
}

/// Where the largest element of each window lies in the whole input; the first
/// of equal ones.
static Value maxIndices(NodeImporter &n, const Pooling &p) {
  Value x = n.in(0);
  Value padded = padSpatial(n, x, lowest(n, NodeImporter::elem(x)),
                            p.window.low, p.window.high);
  Dims dims = n.dims(x);
  Type i64 = n.builder.getI64Type();
  // A place in the padding is -1, and loses to any other.
  Value at = padSpatial(n, places(n, dims), n.scalar(-1, i64), p.window.low,
                        p.window.high);
  SmallVector<Value> indices;
  overWindow(n, at, p, [&](Value, Value b) {
    indices.push_back(b);
    return b;
  });
  size_t next = 0;
  Value best, first = ofWindows(n, at, p, Ints(p.window.rank(), 0));
  overWindow(n, padded, p, [&](Value a, Value b) {
    Value from = best ? best : first, to = indices[next++];
    Value better = n.compare(CompareKind::gt, b, a);
    if (NodeImporter::isFloat(b)) // max lets the first NaN win
      better = n.make<OrOp>({better, n.andOp(n.make<IsNanOp>({b}),
                                             n.notOp(n.make<IsNanOp>({a})))});
    better = n.make<OrOp>({better, n.compareScalar(CompareKind::lt, from, 0)});
    better = n.andOp(better, n.compareScalar(CompareKind::ge, to, 0));
    best = n.select(better, to, from);
    return n.max(a, b);
  });
  if (!best)
    best = first;
  // Each image of each sample begins at a multiple of its size.
  SymExpr image = productOf(ArrayRef<SymExpr>(dims).drop_front(2));
  Value sample =
      n.mul(n.unsqueeze(n.iota(dims[0], i64), {1}), n.dimScalar(dims[1], i64));
  Value base =
      n.mul(n.add(sample, n.iota(dims[1], i64)), n.dimScalar(image, i64));
  Ints spatial;
  for (size_t i = 2; i < dims.size(); ++i)
    spatial.push_back(i);
  return n.add(best, n.unsqueeze(base, spatial));
}

static void maxPool(NodeImporter &n) {
  Value x = n.in(0);
  std::optional<Pooling> p = readPooling(n);
  if (!p)
    return;
  Value padded = padSpatial(n, x, lowest(n, NodeImporter::elem(x)),
                            p->window.low, p->window.high);
  n.out(0, isWhole(*p, n.dims(x))
               ? reduceImage(n, ReduceKind::max, x)
               : reduceWindow(n, padded, *p, ReduceKind::max));
  if (n.wants(1) && isLarge(*p))
    n.error("the Indices of windows of more than " + Twine(maxWindow) +
            " elements are not supported");
  else if (n.wants(1))
    n.out(1, maxIndices(n, *p));
}

/// How many elements of the input (with count_include_pad, of its declared
/// padding too) each window sees.
static Value windowCounts(NodeImporter &n, const Pooling &p) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  dims[0] = dims[1] = SymExpr(1);
  Pooling counting = p;
  if (n.getInt("count_include_pad", 0)) {
    // Padding that only ceil_mode added does not count.
    std::optional<Window> declared =
        readWindow(n, ArrayRef<SymExpr>(dims).drop_front(2), p.window.kernel);
    if (!declared)
      return nullptr;
    for (size_t i = 0; i < p.window.rank(); ++i) {
      dims[i + 2] = dims[i + 2] + declared->low[i] + declared->high[i];
      counting.window.low[i] = SymExpr(0);
      counting.window.high[i] = p.window.high[i] - declared->high[i];
    }
  }
  return sumOverWindow(n, n.broadcast(n.scalarLike(1, x), dims), counting);
}

static void averagePool(NodeImporter &n) {
  std::optional<Pooling> p = readPooling(n);
  if (!p)
    return;
  if (isWhole(*p, n.dims(n.in(0))))
    return n.out(0, reduceImage(n, ReduceKind::mean, n.in(0)));
  Value sum = sumOverWindow(n, n.in(0), *p);
  auto isZero = [](const SymExpr &e) { return e == SymExpr(0); };
  bool whole =
      !n.getInt("ceil_mode", 0) && ((llvm::all_of(p->window.low, isZero) &&
                                     llvm::all_of(p->window.high, isZero)) ||
                                    n.getInt("count_include_pad", 0));
  if (!whole) {
    n.out(0, n.div(sum, windowCounts(n, *p)));
    return;
  }
  int64_t count = 1;
  for (int64_t size : p->kernel)
    count *= size;
  n.out(0, n.div(sum, n.scalarLike(double(count), sum)));
}

static void lpPool(NodeImporter &n) {
  std::optional<Pooling> p = readPooling(n);
  if (!p)
    return;
  // A float before opset 2.
  double norm = n.getFloat("p", double(n.getInt("p", 2)));
  if (norm == 2) {
    Value square = n.mul(n.in(0), n.in(0));
    return n.out(0, n.sqrt(sumOverWindow(n, square, *p)));
  }
  Value x = n.make<AbsOp>({n.in(0)});
  if (norm == 1) {
    n.out(0, sumOverWindow(n, x, *p));
  } else {
    Value sum = sumOverWindow(n, n.make<PowOp>({x, n.scalarLike(norm, x)}), *p);
    n.out(0, n.make<PowOp>({sum, n.scalarLike(1 / norm, sum)}));
  }
}

template <ReduceKind kind>
static void globalPool(NodeImporter &n) {
  n.out(0, reduceImage(n, kind, n.in(0)));
}

static void globalLpPool(NodeImporter &n) {
  Ints axes;
  for (int64_t i = 2; i < n.rank(n.in(0)); ++i)
    axes.push_back(i);
  double norm = n.getFloat("p", double(n.getInt("p", 2)));
  Value x = n.make<AbsOp>({n.in(0)});
  auto power = [&](double by) {
    x = by == 1    ? x
        : by == 2  ? n.mul(x, x)
        : by == .5 ? n.sqrt(x)
                   : n.make<PowOp>({x, n.scalarLike(by, x)});
  };
  power(norm);
  if (!axes.empty())
    x = n.reduce(ReduceKind::sum, x, axes);
  power(1 / norm);
  n.out(0, x);
}

/// x / (bias + alpha/size * sum of squares over nearby channels) ^ beta.
static void localResponseNorm(NodeImporter &n) {
  Value x = n.in(0);
  int64_t size = n.getInt("size", 0), rank = n.rank(x);
  if (rank < 2 || size <= 0 || size > maxWindow) {
    n.error("expected rank 2 or more and a size of 1 to " + Twine(maxWindow));
    return;
  }
  Pooling p;
  p.kernel = {size, 1};
  p.window = {{SymExpr(size)},
              {1},
              {1},
              {SymExpr((size - 1) / 2)},
              {SymExpr(size / 2)}};
  // Channels as the one spatial dim of [N, 1, C, rest].
  Dims dims = n.dims(x);
  p.out = {dims[1], productOf(ArrayRef<SymExpr>(dims).drop_front(2))};
  p.window.kernel.push_back(SymExpr(1));
  p.window.strides.push_back(1);
  p.window.dilations.push_back(1);
  p.window.low.push_back(SymExpr(0));
  p.window.high.push_back(SymExpr(0));
  Value squares =
      n.reshape(n.mul(x, x), {dims[0], SymExpr(1), p.out[0], p.out[1]});
  Value sum = n.reshape(sumOverWindow(n, squares, p), dims);
  Value base = n.addScalar(n.mulScalar(sum, n.getFloat("alpha", 1e-4f) / size),
                           n.getFloat("bias", 1));
  n.out(0, n.div(x, n.make<PowOp>(
                        {base, n.scalarLike(n.getFloat("beta", 0.75), x)})));
}

void registerPool(Registry &r) {
  r.add("LRN", localResponseNorm);
  r.add("MaxPool", maxPool);
  r.add("AveragePool", averagePool);
  r.add("LpPool", lpPool);
  r.add("GlobalAveragePool", globalPool<ReduceKind::mean>);
  r.add("GlobalLpPool", globalLpPool);
  r.add("GlobalMaxPool", globalPool<ReduceKind::max>);
}

} // namespace tenon::onnximport
