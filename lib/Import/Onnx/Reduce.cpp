//===- Reduce.cpp - reductions, ArgMax, CumSum ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Registry.h"
#include <limits>

using namespace mlir;

namespace tenon::onnximport {

namespace {
struct Reduction {
  Ints axes;
  bool keepdims;
  /// Empty axes that leave the input as it is.
  bool noop;
};
} // namespace

/// Axes come as an attribute, later as an input; without any all are meant,
/// unless noop_with_empty_axes says none.
static std::optional<Reduction> reduction(NodeImporter &n) {
  int64_t rank = n.rank(n.in(0));
  std::optional<Ints> given = n.getIntsAttrOrInput("axes", 1);
  if (n.failed())
    return std::nullopt;
  Reduction r{{}, n.getInt("keepdims", 1) != 0, false};
  if (given && !given->empty()) {
    r.axes = n.axes(*given, rank);
    if (n.failed())
      return std::nullopt;
    return r;
  }
  if (n.getInt("noop_with_empty_axes", 0)) {
    r.noop = true;
    return r;
  }
  for (int64_t i = 0; i < rank; ++i)
    r.axes.push_back(i);
  return r;
}

static Value reduceBy(NodeImporter &n, const Reduction &r, ReduceKind kind,
                      Value x) {
  if (r.noop || r.axes.empty())
    return x;
  return n.reduce(kind, x, r.axes, r.keepdims);
}

template <ReduceKind kind>
static void reduce(NodeImporter &n) {
  if (std::optional<Reduction> r = reduction(n))
    n.out(0, reduceBy(n, *r, kind, n.in(0)));
}

/// Max and min of bools are any and all.
template <ReduceKind kind, ReduceKind ofBools>
static void reduceOrBools(NodeImporter &n) {
  if (std::optional<Reduction> r = reduction(n))
    n.out(0, reduceBy(n, *r, n.isBool(n.in(0)) ? ofBools : kind, n.in(0)));
}

static void reduceL1(NodeImporter &n) {
  if (std::optional<Reduction> r = reduction(n))
    n.out(0, reduceBy(n, *r, ReduceKind::sum, n.make<AbsOp>({n.in(0)})));
}

static Value sumOfSquares(NodeImporter &n, const Reduction &r, Value x) {
  return reduceBy(n, r, ReduceKind::sum, n.mul(x, x));
}

static void reduceSumSquare(NodeImporter &n) {
  if (std::optional<Reduction> r = reduction(n))
    n.out(0, sumOfSquares(n, *r, n.in(0)));
}

/// Integers go through double, as ONNX's function body does.
static Value inFloat(NodeImporter &n, Value x) {
  return NodeImporter::isFloat(x) ? x : n.cast(x, n.builder.getF64Type());
}

static void reduceL2(NodeImporter &n) {
  std::optional<Reduction> r = reduction(n);
  if (!r)
    return;
  Value x = n.in(0);
  n.out(0, n.cast(n.sqrt(sumOfSquares(n, *r, inFloat(n, x))),
                  NodeImporter::elem(x)));
}

static void reduceLogSum(NodeImporter &n) {
  std::optional<Reduction> r = reduction(n);
  if (!r)
    return;
  Value x = n.in(0);
  n.out(0, n.cast(n.log(reduceBy(n, *r, ReduceKind::sum, inFloat(n, x))),
                  NodeImporter::elem(x)));
}

/// max + log(sum(exp(x - max))); an infinite max is left out of the
/// difference, where inf - inf would be NaN.
static void reduceLogSumExp(NodeImporter &n) {
  std::optional<Reduction> r = reduction(n);
  if (!r)
    return;
  Type type = NodeImporter::elem(n.in(0));
  Value x = inFloat(n, n.in(0));
  if (r->noop || r->axes.empty()) {
    n.out(0, n.cast(n.log(n.exp(x)), type));
    return;
  }
  Value peak = n.reduce(ReduceKind::max, x, r->axes);
  peak = n.select(n.make<IsInfOp>({peak}), n.scalarLike(0, x), peak);
  Value sum = n.reduce(ReduceKind::sum, n.exp(n.sub(x, peak)), r->axes);
  Value y = n.add(n.log(sum), peak);
  n.out(0, n.cast(r->keepdims ? y : n.squeeze(y, r->axes), type));
}

template <bool isMin>
static void argReduce(NodeImporter &n) {
  int64_t axis = n.axis(n.getInt("axis", 0), n.rank(n.in(0)));
  SmallVector<NamedAttribute> attrs = {
      n.named("axis", n.builder.getI64IntegerAttr(axis))};
  if (isMin)
    attrs.push_back(n.flag("min"));
  if (n.getInt("keepdims", 1))
    attrs.push_back(n.flag("keepdims"));
  if (n.getInt("select_last_index", 0))
    attrs.push_back(n.flag("selectLast"));
  n.out(0, n.make<ArgReduceOp>({n.in(0)}, attrs));
}

static void cumSum(NodeImporter &n) {
  std::optional<Ints> at = n.constInts(n.in(1), "axis");
  if (!at || at->size() != 1) {
    n.error("axis must have one element");
    return;
  }
  int64_t axis = n.axis(at->front(), n.rank(n.in(0)));
  SmallVector<NamedAttribute> attrs = {
      n.named("axis", n.builder.getI64IntegerAttr(axis))};
  if (n.getInt("exclusive", 0))
    attrs.push_back(n.flag("exclusive"));
  if (n.getInt("reverse", 0))
    attrs.push_back(n.flag("reverse"));
  n.out(0, n.make<CumSumOp>({n.in(0)}, attrs));
}

void registerReduce(Registry &r) {
  r.add("ReduceSum", reduce<ReduceKind::sum>);
  r.add("ReduceMean", reduce<ReduceKind::mean>);
  r.add("ReduceProd", reduce<ReduceKind::prod>);
  r.add("ReduceMax", reduceOrBools<ReduceKind::max, ReduceKind::any>);
  r.add("ReduceMin", reduceOrBools<ReduceKind::min, ReduceKind::all>);
  r.add("ReduceL1", reduceL1);
  r.add("ReduceL2", reduceL2);
  r.add("ReduceSumSquare", reduceSumSquare);
  r.add("ReduceLogSum", reduceLogSum);
  r.add("ReduceLogSumExp", reduceLogSumExp);
  r.add("ArgMax", argReduce<false>);
  r.add("ArgMin", argReduce<true>);
  r.add("CumSum", cumSum);
}

} // namespace tenon::onnximport
