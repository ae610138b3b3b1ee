//===- Reduce.cpp - reductions, ArgMax, CumSum, TopK ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "lib/Import/Onnx/Node/Axes.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include <limits>

using namespace mlir;

namespace tenon::onnximport {

namespace {
struct Reduction {
  Value x;
  Ints axes;
  bool keepdims;
  /// Empty axes that leave the input as it is.
  bool noop = false;
  /// With axes known only at run time `x` is a view of the input, and this are
  /// the result's dims.
  std::optional<Dims> to = {};
};
} // namespace

/// Views each dim as two, one of which is 1: the second is reduced.
static void reduceAtRunTime(NodeImporter &n, const Dims &given, Reduction &r) {
  Dims dims = n.dims(r.x), view, kept;
  if (given.size() > dims.size()) {
    n.error("more axes than dims: " + Twine(given.size()));
    return;
  }
  RuntimeAxes axes(n, given, dims.size());
  if (n.failed())
    return;
  for (auto [i, dim] : llvm::enumerate(dims)) {
    kept.push_back(SymExpr::select(axes.has(i), SymExpr(1), dim));
    view.push_back(kept.back());
    view.push_back(SymExpr::select(axes.has(i), dim, SymExpr(1)));
    r.axes.push_back(2 * i + 1);
  }
  if (given.size() == dims.size()) { // in whatever order
    r.axes.clear();
    for (size_t i = 0; i < dims.size(); ++i)
      r.axes.push_back(i);
    return;
  }
  r.to = r.keepdims ? kept : axes.without(dims);
  r.keepdims = false;
  if (given.size() == 1) { // less to count through
    view = axes.around(dims);
    r.axes = {1};
  }
  r.x = n.reshape(r.x, view);
}

/// Axes come as an attribute, later as an input; without any all are meant,
/// unless noop_with_empty_axes says none.
static std::optional<Reduction> reduction(NodeImporter &n) {
  int64_t rank = n.rank(n.in(0));
  std::optional<Dims> given = n.getDimsAttrOrInput("axes", 1);
  if (n.failed())
    return std::nullopt;
  Reduction r{n.in(0), {}, n.getInt("keepdims", 1) != 0};
  if (given && !given->empty()) {
    if (std::optional<Ints> constants = n.constants(*given))
      r.axes = n.axes(*constants, rank);
    else
      reduceAtRunTime(n, *given, r);
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
  Value y = n.reduce(kind, x, r.axes, r.keepdims);
  return r.to ? n.reshape(y, *r.to) : y;
}

template <ReduceKind kind>
static void reduce(NodeImporter &n) {
  if (std::optional<Reduction> r = reduction(n))
    n.out(0, reduceBy(n, *r, kind, r->x));
}

/// Max and min of bools are any and all.
template <ReduceKind kind, ReduceKind ofBools>
static void reduceOrBools(NodeImporter &n) {
  if (std::optional<Reduction> r = reduction(n))
    n.out(0, reduceBy(n, *r, n.isBool(r->x) ? ofBools : kind, r->x));
}

static void reduceL1(NodeImporter &n) {
  if (std::optional<Reduction> r = reduction(n))
    n.out(0, reduceBy(n, *r, ReduceKind::sum, n.make<AbsOp>({r->x})));
}

static Value sumOfSquares(NodeImporter &n, const Reduction &r, Value x) {
  return reduceBy(n, r, ReduceKind::sum, n.mul(x, x));
}

static void reduceSumSquare(NodeImporter &n) {
  if (std::optional<Reduction> r = reduction(n))
    n.out(0, sumOfSquares(n, *r, r->x));
}

/// Integers go through double, as ONNX's function body does.
static Value inFloat(NodeImporter &n, Value x) {
  return NodeImporter::isFloat(x) ? x : n.cast(x, n.builder.getF64Type());
}

static void reduceL2(NodeImporter &n) {
  std::optional<Reduction> r = reduction(n);
  if (!r)
    return;
  Value x = r->x;
  n.out(0, n.cast(n.sqrt(sumOfSquares(n, *r, inFloat(n, x))),
                  NodeImporter::elem(x)));
}

static void reduceLogSum(NodeImporter &n) {
  std::optional<Reduction> r = reduction(n);
  if (!r)
    return;
  Value x = r->x;
  n.out(0, n.cast(n.log(reduceBy(n, *r, ReduceKind::sum, inFloat(n, x))),
                  NodeImporter::elem(x)));
}

/// max + log(sum(exp(x - max))); an infinite max is left out of the
/// difference, where inf - inf would be NaN.
static void reduceLogSumExp(NodeImporter &n) {
  std::optional<Reduction> r = reduction(n);
  if (!r)
    return;
  Type type = NodeImporter::elem(r->x);
  Value x = inFloat(n, r->x);
  if (r->noop || r->axes.empty()) {
    n.out(0, n.cast(n.log(n.exp(x)), type));
    return;
  }
  Value peak = n.reduce(ReduceKind::max, x, r->axes);
  peak = n.select(n.make<IsInfOp>({peak}), n.scalarLike(0, x), peak);
  Value sum = n.reduce(ReduceKind::sum, n.exp(n.sub(x, peak)), r->axes);
  Value y = n.add(n.log(sum), peak);
  if (!r->keepdims)
    y = n.squeeze(y, r->axes);
  n.out(0, n.cast(r->to ? n.reshape(y, *r->to) : y, type));
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

/// fn(axis), where `axis` has one element in [-rank, rank). Where only a run
/// knows it, fn of each dim and a choice. An axis outside ends such a run.
static Value alongAxis(NodeImporter &n, Value axis, int64_t rank,
                       function_ref<Value(int64_t)> fn) {
  if (!axis)
    return nullptr;
  if (rank < 1)
    return n.error("expected an input of rank 1 or more, found rank 0");
  const KnownValue *known = n.known(axis);
  if (known && known->elements.size() == 1 && known->elements[0].constant()) {
    int64_t at = n.axis(*known->elements[0].constant(), rank);
    return n.failed() ? nullptr : fn(at);
  }
  // Gathers count negative axes from the end and check the range.
  Value at = n.gather(n.iota(SymExpr(rank), n.builder.getI64Type()),
                      n.reshape(axis, {}), 0);
  Value y;
  for (int64_t i = 0; i < rank; ++i) {
    Value here = fn(i);
    y = y ? n.select(n.compareScalar(CompareKind::eq, at, double(i)), here, y)
          : here;
  }
  return y;
}

template <ReduceKind kind>
static void cumulate(NodeImporter &n) {
  int64_t rank = n.rank(n.in(0));
  n.out(
      0, alongAxis(n, n.in(1), rank, [&](int64_t axis) {
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
