//===- Reduce.cpp - reductions, ArgMax, CumSum, TopK ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Axis.h"
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

Value alongAxis(NodeImporter &n, Value axis, int64_t rank, int64_t count,
                function_ref<Value(int64_t)> fn) {
  if (!axis)
    return nullptr;
  if (count < 1)
    return n.error("expected an input of rank 1 or more, found rank " +
                   Twine(rank));
  const KnownValue *known = n.known(axis);
  if (known && known->elements.size() == 1 && known->elements[0].constant()) {
    int64_t at = n.axis(*known->elements[0].constant(), rank);
    if (at >= count)
      return n.error("axis " + Twine(at) + " is outside the first " +
                     Twine(count) + " dims");
    return n.failed() ? nullptr : fn(at);
  }
  // Gathers count negative axes from the end and check the range.
  Type i64 = n.builder.getI64Type();
  Value at = n.gather(n.iota(SymExpr(rank), i64), n.reshape(axis, {}), 0);
  if (count < rank)
    at = n.gather(n.iota(SymExpr(count), i64), at, 0);
  Value y;
  for (int64_t i = 0; i < count; ++i) {
    Value here = fn(i);
    if (y && here && n.dims(y) != n.dims(here))
      return n.error("the result's dims depend on 'axis', which depends on "
                     "data: expected a constant");
    y = y ? n.select(n.compareScalar(CompareKind::eq, at, double(i)), here, y)
          : here;
  }
  return y;
}

template <ReduceKind kind>
static void cumulate(NodeImporter &n) {
  int64_t rank = n.rank(n.in(0));
  n.out(
      0, alongAxis(n, n.in(1), rank, rank, [&](int64_t axis) {
        SmallVector<NamedAttribute> attrs = {
            n.named("kind", ReduceKindAttr::get(n.builder.getContext(), kind)),
            n.named("axis", n.builder.getI64IntegerAttr(axis))};
        if (n.getInt("exclusive", 0))
          attrs.push_back(n.flag("exclusive"));
        if (n.getInt("reverse", 0))
          attrs.push_back(n.flag("reverse"));
        return n.make<CumulateOp>({n.in(0)}, attrs);
      }));
}

/// The result is in order, whatever `sorted` says: it leaves the order open.
static void topK(NodeImporter &n) {
  Value x = n.in(0);
  std::optional<Dims> k;
  if (n.has(1))
    k = n.knownDims(n.in(1), "k");
  else
    k = Dims{SymExpr(n.getInt("k", 0))};
  if (!k || k->size() != 1) {
    n.error("k must have one element");
    return;
  }
  int64_t rank = n.rank(x), axis = n.axis(n.getInt("axis", -1), rank);
  if (n.failed())
    return;
  Ints swap;
  for (int64_t i = 0; i < rank; ++i)
    swap.push_back(i);
  std::swap(swap[axis], swap[rank - 1]);
  x = n.transpose(x, swap);
  SmallVector<NamedAttribute> attrs = {
      n.named("k", n.builder.getStringAttr(k->front().str()))};
  if (!n.getInt("largest", 1))
    attrs.push_back(n.flag("smallest"));
  Value indices = n.make<TopKOp>({x}, attrs);
  if (n.wants(0)) {
    Value values = n.make<GatherElementsOp>(
        {x, indices}, {n.named("axis", n.builder.getI64IntegerAttr(rank - 1))});
    n.out(0, n.transpose(values, swap));
  }
  n.out(1, n.transpose(indices, swap));
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
  r.add("CumSum", 11, cumulate<ReduceKind::sum>);
  r.add("CumProd", 26, cumulate<ReduceKind::prod>);
  r.add("TopK", topK);
}

} // namespace tenon::onnximport
