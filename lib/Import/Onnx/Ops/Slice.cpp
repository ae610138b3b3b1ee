//===- Slice.cpp - Slice, Split, Concat, Pad, Trilu, CenterCropPad --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "lib/Import/Onnx/Node/Axes.h"
#include "lib/Import/Onnx/Node/Registry.h"

using namespace mlir;

namespace tenon::onnximport {

//===----------------------------------------------------------------------===//
// Slice
//===----------------------------------------------------------------------===//

/// Does the expression certainly stay below 0?
static bool isNegative(const SymExpr &e) {
  return (SymExpr(-1) - e).isNonNegative();
}

/// A bound that data decides, from the first position to the last: negative
/// ones count from the end. It is clamped before it enters the arithmetic.
static SymExpr chosenPosition(const SymExpr &bound, const SymExpr &dim,
                              const SymExpr &first, const SymExpr &last) {
  using Fn = SymExpr::Fn;
  SymExpr at = SymExpr::apply(Fn::Max, SymExpr::apply(Fn::Min, bound, last),
                              first - dim);
  return SymExpr::select(SymExpr::apply(Fn::Lt, bound, SymExpr(0)), at + dim,
                         at);
}

/// A bound of Slice as a position in [0, dim] (steps forward): negative ones
/// count from the end. The sign of a bound that is not constant decides what
/// it means; where it is unknown a run with a negative one is refused.
static SymExpr position(NodeImporter &n, const SymExpr &bound,
                        const SymExpr &dim) {
  using Fn = SymExpr::Fn;
  SymExpr zero(0);
  if (bound.hasElements())
    return chosenPosition(bound, dim, zero, dim);
  // What is never above 0 counts from the end, but for 0 itself, which is the
  // beginning: the last 0 elements, x[-n:] with n = 0, are all elements.
  bool fromEnd = isNegative(bound);
  if (!fromEnd && !bound.isConstant() && (zero - bound).isNonNegative()) {
    if (bound + dim == zero)
      return zero; // all of them for any n
    n.checkNonNegative(SymExpr(-1) - bound);
    fromEnd = true;
  }
  if (fromEnd) {
    // INT64_MIN and the like must not enter the arithmetic.
    if (bound.isConstant() && *bound.constant() < INT32_MIN)
      return zero;
    SymExpr at = bound + dim;
    return at.isNonNegative() ? at : SymExpr::apply(Fn::Max, at, zero);
  }
  if (bound.isConstant() && *bound.constant() > INT32_MAX)
    return dim;
  n.checkNonNegative(bound);
  return bound;
}

static SymExpr smaller(const SymExpr &a, const SymExpr &b) {
  if ((b - a).isNonNegative())
    return a;
  if ((a - b).isNonNegative())
    return b;
  return SymExpr::apply(SymExpr::Fn::Min, a, b);
}

static SymExpr atLeastZero(const SymExpr &e) {
  return e.isNonNegative() ? e
                           : SymExpr::apply(SymExpr::Fn::Max, e, SymExpr(0));
}

struct SlicedDim {
  SymExpr start, size;
};

static SlicedDim sliceForward(NodeImporter &n, const SymExpr &from,
                              const SymExpr &to, const SymExpr &step,
                              const SymExpr &dim) {
  SymExpr start = position(n, from, dim);
  SymExpr end = smaller(position(n, to, dim), dim);
  // Where start lies beyond the end the size is 0, so start needs no clamp.
  SymExpr size = atLeastZero(end - start);
  if (step != SymExpr(1))
    size = SymExpr::apply(SymExpr::Fn::CeilDiv, size, step);
  return {start, size};
}

static SlicedDim sliceBackward(NodeImporter &n, const SymExpr &from,
                               const SymExpr &to, const SymExpr &step,
                               const SymExpr &dim) {
  // A start before the first element gives a size of 0, so a negative one
  // needs no clamp.
  SymExpr last = dim - SymExpr(1);
  bool farBefore = from.isConstant() && *from.constant() < INT32_MIN;
  SymExpr start = farBefore ? SymExpr(-1)
                  : from.hasElements()
                      ? chosenPosition(from, dim, SymExpr(-1), last)
                  : isNegative(from) ? from + dim
                                     : smaller(position(n, from, dim), last);
  // Going down, an end before the first element is position -1.
  SymExpr end(-1);
  bool beforeFirst = to.isConstant() && *to.constant() < INT32_MIN;
  if (to.hasElements()) {
    end = chosenPosition(to, dim, SymExpr(-1), dim);
  } else if (!beforeFirst && isNegative(to)) {
    SymExpr at = to + dim;
    end = (at + SymExpr(1)).isNonNegative()
              ? at
              : SymExpr::apply(SymExpr::Fn::Max, at, SymExpr(-1));
  } else if (!beforeFirst) {
    end = position(n, to, dim);
  }
  SymExpr size = SymExpr::apply(SymExpr::Fn::CeilDiv, atLeastZero(start - end),
                                SymExpr(0) - step);
  return {start, size};
}

/// A step that data decides, also its sign: the elements are gathered. Bounds
/// are clamped to [0, dim] where the step is positive, to [-1, dim - 1] where
/// it is negative.
static Value sliceBySteps(NodeImporter &n, Value x, int64_t axis,
                          const SymExpr &from, const SymExpr &to,
                          const SymExpr &step) {
  using Fn = SymExpr::Fn;
  SymExpr dim = n.dims(x)[axis], zero(0);
  n.checkEqual(SymExpr::apply(Fn::Eq, step, zero), zero);
  SymExpr lowest = SymExpr::apply(Fn::Lt, zero, step) - SymExpr(1);
  auto clamped = [&](const SymExpr &bound) {
    SymExpr at =
        bound + SymExpr::select(SymExpr::apply(Fn::Lt, bound, zero), dim, zero);
    return SymExpr::apply(Fn::Max, SymExpr::apply(Fn::Min, at, dim + lowest),
                          lowest);
  };
  SymExpr start = clamped(from);
  SymExpr size =
      atLeastZero(SymExpr::apply(Fn::CeilDiv, clamped(to) - start, step));
  return n.gather(x, n.iota(start, step, size, n.builder.getI64Type()), axis);
}

static void sliceBy(NodeImporter &n, const Dims &starts, const Dims &ends,
                    const Dims &axes, const Dims &steps) {
  Value x = n.in(0);
  Dims dims = n.dims(x), from(dims.size(), SymExpr(0));
  Ints allSteps(dims.size(), 1);
  if (starts.size() != ends.size() || starts.size() != axes.size() ||
      starts.size() != steps.size()) {
    n.error("starts, ends, axes and steps must have one value per axis");
    return;
  }
  for (const SymExpr &step : steps)
    if (step == SymExpr(0) || step == SymExpr(INT64_MIN))
      n.error("a step must not be " + step.str());
  RuntimeAxes chosen(n, axes, dims.size());
  if (n.failed())
    return;
  Dims to = dims;
  bool whole = true;
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    if (chosen.has(axis) == SymExpr(0))
      continue;
    SymExpr start = chosen.valueOf(axis, starts, SymExpr(0));
    SymExpr end = chosen.valueOf(axis, ends, dims[axis]);
    SymExpr step = chosen.valueOf(axis, steps, SymExpr(1));
    std::optional<int64_t> by = step.constant();
    if (!by) {
      x = sliceBySteps(n, x, axis, start, end, step);
      if (!x)
        return;
      to[axis] = n.dims(x)[axis];
      continue;
    }
    SlicedDim sliced = *by > 0 ? sliceForward(n, start, end, step, dims[axis])
                               : sliceBackward(n, start, end, step, dims[axis]);
    from[axis] = sliced.start;
    to[axis] = sliced.size;
    allSteps[axis] = *by;
    whole &=
        *by == 1 && sliced.size == dims[axis] && sliced.start == SymExpr(0);
  }
  if (whole) {
    n.out(0, x);
    return;
  }
  n.out(0, n.make<SliceOp>(
               {x}, {n.named("starts", n.dimsAttr(from)),
                     n.named("steps", n.builder.getDenseI64ArrayAttr(allSteps)),
                     n.named("dims", n.dimsAttr(to))}));
}

static Dims upTo(size_t count) {
  Dims axes;
  for (size_t i = 0; i < count; ++i)
    axes.push_back(SymExpr(static_cast<int64_t>(i)));
  return axes;
}

/// Opset 1 to 9: bounds are attributes.
static void sliceAttrs(NodeImporter &n) {
  std::optional<Ints> starts = n.getInts("starts"), ends = n.getInts("ends");
  if (!starts || !ends) {
    n.error("starts and ends are missing");
    return;
  }
  Dims axes = upTo(starts->size());
  if (std::optional<Ints> given = n.getInts("axes"))
    axes.assign(given->begin(), given->end());
  sliceBy(n, Dims(starts->begin(), starts->end()),
          Dims(ends->begin(), ends->end()), axes,
          Dims(axes.size(), SymExpr(1)));
}

static void slice(NodeImporter &n) {
  std::optional<Dims> starts = n.knownDims(n.in(1), "starts"),
                      ends = n.knownDims(n.in(2), "ends");
  if (!starts || !ends)
    return;
  std::optional<Dims> axes =
      n.has(3) ? n.knownDims(n.in(3), "axes") : upTo(starts->size());
  if (!axes)
    return;
  std::optional<Dims> steps =
      n.has(4) ? n.knownDims(n.in(4), "steps") : Dims(axes->size(), SymExpr(1));
  if (!steps)
    return;
  sliceBy(n, *starts, *ends, *axes, *steps);
}

//===----------------------------------------------------------------------===//
// Split, Concat
//===----------------------------------------------------------------------===//

/// The sizes of Split's outputs where only their count is given.
static std::optional<Dims> equalParts(NodeImporter &n, const SymExpr &dim) {
  constexpr int64_t most = 1 << 16;
  int64_t count = n.getInt("num_outputs", n.numOutputs());
  if (count <= 0 || count < int64_t(n.numOutputs()) || count > most) {
    n.error("num_outputs is " + Twine(count) + " for " + Twine(n.numOutputs()) +
            " outputs");
    return std::nullopt;
  }
  if (std::optional<SymExpr> exact = dim.divideExactly(SymExpr(count)))
    return Dims(count, *exact);
  // The last part is smaller (opset 18 on).
  SymExpr part = SymExpr::apply(SymExpr::Fn::CeilDiv, dim, SymExpr(count));
  Dims sizes(count - 1, part);
  SymExpr rest = dim - part * SymExpr(count - 1);
  n.checkNonNegative(rest);
  sizes.push_back(rest);
  return sizes;
}

static void split(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  int64_t axis = n.axis(n.getInt("axis", 0), dims.size());
  if (n.failed())
    return;
  std::optional<Dims> sizes;
  if (n.has(1))
    sizes = n.knownDims(n.in(1), "split");
  else if (std::optional<Ints> given = n.getInts("split"))
    sizes = Dims(given->begin(), given->end());
  else
    sizes = equalParts(n, dims[axis]);
  if (!sizes)
    return;
  if (sizes->size() < n.numOutputs()) {
    n.error("split has " + Twine(sizes->size()) + " sizes for " +
            Twine(n.numOutputs()) + " outputs");
    return;
  }
  SymExpr at(0);
  for (const SymExpr &size : *sizes) {
    n.checkNonNegative(size);
    at = at + size;
  }
  n.checkEqual(at, dims[axis]);
  at = SymExpr(0);
  for (unsigned i = 0; i < n.numOutputs(); ++i) {
    if (n.wants(i))
      n.out(i, n.slice(x, axis, at, (*sizes)[i]));
    at = at + (*sizes)[i];
  }
}

static void concat(NodeImporter &n) {
  SmallVector<Value> values;
  for (unsigned i = 0; i < n.numInputs(); ++i)
    values.push_back(n.in(i));
  int64_t axis = n.axis(n.getInt("axis", 1), n.rank(n.in(0)));
  n.out(0, n.concat(values, axis));
}

//===----------------------------------------------------------------------===//
// Pad
//===----------------------------------------------------------------------===//

static std::optional<PadMode> padMode(NodeImporter &n) {
  std::string mode = n.getString("mode", "constant");
  if (mode == "constant")
    return PadMode::constant;
  if (mode == "edge")
    return PadMode::edge;
  if (mode == "reflect")
    return PadMode::reflect;
  if (mode == "wrap")
    return PadMode::wrap;
  n.error("mode must be constant, edge, reflect or wrap, found '" + mode + "'");
  return std::nullopt;
}

static void pad(NodeImporter &n) {
  Value x = n.in(0);
  int64_t rank = n.rank(x);
  std::optional<Dims> pads;
  if (n.has(1)) {
    pads = n.knownDims(n.in(1), "pads");
  } else if (std::optional<Ints> given =
                 n.getInts(n.opset < 2 ? "paddings" : "pads")) {
    pads = Dims(given->begin(), given->end());
  }
  std::optional<PadMode> mode = padMode(n);
  if (!pads || !mode) {
    n.error("pads are missing");
    return;
  }
  std::optional<Dims> axes =
      n.has(3) ? n.knownDims(n.in(3), "axes") : upTo(rank);
  if (!axes)
    return;
  if (pads->size() != 2 * axes->size()) {
    n.error("pads must have two values per axis: expected " +
            Twine(2 * axes->size()) + ", found " + Twine(pads->size()));
    return;
  }
  Dims low(rank, SymExpr(0)), high(rank, SymExpr(0));
  bool none = true;
  RuntimeAxes chosen(n, *axes, rank);
  if (n.failed())
    return;
  ArrayRef<SymExpr> all(*pads);
  for (int64_t at = 0; at < rank; ++at) {
    low[at] = chosen.valueOf(at, all.take_front(axes->size()), SymExpr(0));
    high[at] = chosen.valueOf(at, all.drop_front(axes->size()), SymExpr(0));
    none &= low[at] == SymExpr(0) && high[at] == SymExpr(0);
    // Nothing can be repeated of nothing.
    if (*mode != PadMode::constant &&
        (low[at].hasElements() || high[at].hasElements()))
      n.checkLessEqual(SymExpr(1), n.dims(x)[at]);
  }
  if (none) {
    n.out(0, x);
    return;
  }
  Value value = n.has(2) ? n.reshape(n.in(2), {})
                         : n.scalarLike(n.getFloat("value", 0), x);
  n.out(0,
        n.make<PadOp>(
            {x, value},
            {n.named("mode", PadModeAttr::get(n.builder.getContext(), *mode)),
             n.named("low", n.dimsAttr(low)),
             n.named("high", n.dimsAttr(high))}));
}

//===----------------------------------------------------------------------===//
// Trilu
//===----------------------------------------------------------------------===//

/// Keeps column - row <= k (lower) or >= k (upper) of the last two dims.
static void trilu(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  if (dims.size() < 2) {
    n.error("expected rank 2 or more, found rank " + Twine(dims.size()));
    return;
  }
  Type i64 = n.builder.getI64Type();
  Value row = n.unsqueeze(n.iota(dims[dims.size() - 2], i64), {1});
  Value column = n.unsqueeze(n.iota(dims.back(), i64), {0});
  if (n.has(1))
    row = n.add(row, n.reshape(n.in(1), {}));
  bool upper = n.getInt("upper", 1);
  Value keep =
      n.compare(upper ? CompareKind::ge : CompareKind::le, column, row);
  n.out(0, n.select(keep, x, n.scalarLike(0, x)));
}

/// Each dim loses what is too much, and gains zeros where it is too small, on
/// both sides; of an odd difference the larger half at the end.
static void centerCropPad(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x), wanted = dims;
  std::optional<Dims> shape = n.knownDims(n.in(1), "shape");
  Ints axes = n.getInts("axes").value_or(
      llvm::to_vector<6>(llvm::seq<int64_t>(0, dims.size())));
  if (!shape)
    return;
  if (shape->size() != axes.size()) {
    n.error("shape must have one value per axis: expected " +
            Twine(axes.size()) + ", found " + Twine(shape->size()));
    return;
  }
  for (auto [axis, size] : llvm::zip(axes, *shape)) {
    n.checkNonNegative(size);
    wanted[n.axis(axis, dims.size())] = size;
  }
  if (n.failed())
    return;
  auto half = [](const SymExpr &e) {
    return SymExpr::apply(SymExpr::Fn::FloorDiv, e, SymExpr(2));
  };
  Dims low(dims.size(), SymExpr(0)), high = low;
  for (size_t i = 0; i < dims.size(); ++i) {
    SymExpr extra = atLeastZero(dims[i] - wanted[i]);
    SymExpr missing = atLeastZero(wanted[i] - dims[i]);
    x = n.slice(x, i, half(extra), dims[i] - extra);
    low[i] = half(missing);
    high[i] = missing - low[i];
  }
  x = n.make<PadOp>(
      {x, n.scalarLike(0, x)},
      {n.named("mode",
               PadModeAttr::get(n.builder.getContext(), PadMode::constant)),
       n.named("low", n.dimsAttr(low)), n.named("high", n.dimsAttr(high))});
  n.out(0, n.reshape(x, wanted));
}

void registerSlice(Registry &r) {
  r.add("Slice", 1, sliceAttrs);
  r.add("Slice", 10, slice);
  r.add("Split", split);
  r.add("Concat", concat);
  r.add("Pad", pad);
  r.add("Trilu", trilu);
  r.add("CenterCropPad", 18, centerCropPad);
}

} // namespace tenon::onnximport
