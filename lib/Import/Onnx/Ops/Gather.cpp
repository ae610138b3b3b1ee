//===- Gather.cpp - reading and writing by indices ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/Ops/Mod.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Ops/Attention.h"

using namespace mlir;

namespace tenon::onnximport {

static void gather(NodeImporter &n) {
  int64_t axis = n.axis(n.getInt("axis", 0), n.rank(n.in(0)));
  n.out(0, n.gather(n.in(0), n.in(1), axis));
}

static void gatherElements(NodeImporter &n) {
  int64_t axis = n.axis(n.getInt("axis", 0), n.rank(n.in(0)));
  n.out(0, n.make<GatherElementsOp>(
               {n.in(0), n.in(1)},
               {n.named("axis", n.builder.getI64IntegerAttr(axis))}));
}

static void gatherND(NodeImporter &n) {
  n.out(0, n.make<GatherNDOp>(
               {n.in(0), n.in(1)},
               {n.named("batchDims", n.builder.getI64IntegerAttr(
                                         n.getInt("batch_dims", 0)))}));
}

static std::optional<ScatterKind> scatterKind(NodeImporter &n) {
  std::string reduction = n.getString("reduction", "none");
  std::optional<ScatterKind> kind = symbolizeScatterKind(reduction);
  if (!kind)
    n.error("reduction must be none, add, mul, max or min, found '" +
            reduction + "'");
  return kind;
}

static void scatterElements(NodeImporter &n) {
  std::optional<ScatterKind> kind = scatterKind(n);
  int64_t axis = n.axis(n.getInt("axis", 0), n.rank(n.in(0)));
  if (n.failed())
    return;
  n.out(0, n.make<ScatterElementsOp>(
               {n.in(0), n.in(1), n.in(2)},
               {n.named("kind",
                        ScatterKindAttr::get(n.builder.getContext(), *kind)),
                n.named("axis", n.builder.getI64IntegerAttr(axis))}));
}

static void scatterND(NodeImporter &n) {
  if (std::optional<ScatterKind> kind = scatterKind(n))
    n.out(0, n.make<ScatterNDOp>(
                 {n.in(0), n.in(1), n.in(2)},
                 {n.named("kind", ScatterKindAttr::get(n.builder.getContext(),
                                                       *kind))}));
}

/// on where the index (counted from the end if negative) equals the position
/// along the new dim; indices outside give off everywhere.
static void oneHot(NodeImporter &n) {
  Value indices = n.in(0), values = n.in(2);
  // Of any number type.
  std::optional<Dims> depth =
      n.knownDims(n.cast(n.in(1), n.builder.getI64Type()), "depth");
  if (!depth || depth->size() != 1) {
    n.error("depth must have one element");
    return;
  }
  const SymExpr &size = depth->front();
  n.checkNonNegative(size);
  if (n.rank(values) != 1) {
    n.error("values must have rank 1, found rank " + Twine(n.rank(values)));
    return;
  }
  n.checkEqual(n.dims(values)[0], SymExpr(2));
  int64_t rank = n.rank(indices) + 1;
  int64_t axis = n.axis(n.getInt("axis", -1), rank);
  if (n.failed())
    return;
  Type i64 = n.builder.getI64Type();
  Value index = n.cast(indices, i64);
  Value wrapped = n.add(index, n.dimScalar(size, i64));
  index = n.select(n.compareScalar(CompareKind::lt, index, 0), wrapped, index);
  Ints others;
  for (int64_t i = 0; i < rank; ++i)
    if (i != axis)
      others.push_back(i);
  Value hit = n.compare(CompareKind::eq, n.unsqueeze(index, {axis}),
                        n.unsqueeze(n.iota(size, i64), others));
  Value off = n.reshape(n.slice(values, 0, SymExpr(0), SymExpr(1)), {});
  Value on = n.reshape(n.slice(values, 0, SymExpr(1), SymExpr(1)), {});
  n.out(0, n.select(hit, on, off));
}

/// A vector (or nothing) along one dim of a tensor of `rank`.
static Value along(NodeImporter &n, Value v, int64_t dim, int64_t rank) {
  if (!v)
    return v;
  Dims dims(rank, SymExpr(1));
  dims[dim] = productOf(n.dims(v));
  return n.reshape(v, dims);
}

static Value gatherAlong(NodeImporter &n, Value x, Value index, int64_t axis,
                         ArrayRef<SymExpr> dims) {
  return n.make<GatherElementsOp>(
      {x, n.broadcast(index, dims)},
      {n.named("axis", n.builder.getI64IntegerAttr(axis))});
}

/// The first sequence_lens[b] elements of row b, backwards.
static void reverseSequence(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  int64_t rank = dims.size();
  int64_t time = n.axis(n.getInt("time_axis", 0), rank);
  int64_t batch = n.axis(n.getInt("batch_axis", 1), rank);
  if (n.failed())
    return;
  Type i64 = n.builder.getI64Type();
  Value at = along(n, n.iota(dims[time], i64), time, rank);
  Value length = along(n, n.cast(n.in(1), i64), batch, rank);
  Value mirrored = n.sub(n.addScalar(length, -1), at);
  Value index = n.select(n.compare(CompareKind::lt, at, length), mirrored, at);
  n.out(0, gatherAlong(n, x, index, time, dims));
}

/// past_cache with `update` written from write_indices[b] on, in row b.
static void tensorScatter(NodeImporter &n) {
  Value past = n.in(0), update = n.in(1);
  Dims dims = n.dims(past), fresh = n.dims(update);
  int64_t rank = dims.size(), axis = n.axis(n.getInt("axis", -2), rank);
  if (n.failed())
    return;
  if (axis == 0 || fresh.size() != dims.size()) {
    n.error("expected operands of one rank and an axis other than the batch");
    return;
  }
  Type i64 = n.builder.getI64Type();
  Value rows = n.unsqueeze(n.iota(fresh[axis], i64), {0});
  bool circular = n.getString("mode", "linear") == "circular";
  if (!circular)
    n.checkLessEqual(fresh[axis], dims[axis]);
  if (n.has(2)) {
    Value start = n.cast(n.in(2), i64);
    if (!circular) {
      // Where the update ends inside, which a gather checks. It would take a
      // negative number for an offset from the end.
      Value places = n.iota(dims[axis] - fresh[axis] + SymExpr(1), i64);
      Value negative = n.compareScalar(CompareKind::lt, start, 0);
      Value outside = n.dimScalar(dims[axis] + SymExpr(1), i64);
      start = n.gather(places, n.select(negative, outside, start), 0);
    }
    rows = n.add(n.unsqueeze(start, {1}), rows);
  }
  if (circular)
    rows = n.make<ModOp>({rows, n.dimScalar(dims[axis], i64)});
  n.out(0, appendRows(n, past, update, rows, axis, dims[axis]));
}

void registerGather(Registry &r) {
  r.add("ReverseSequence", 10, reverseSequence);
  r.add("TensorScatter", 24, tensorScatter);
  r.add("Gather", gather);
  r.add("GatherElements", gatherElements);
  r.add("GatherND", gatherND);
  r.add("OneHot", oneHot);
  r.add("Scatter", 9, scatterElements);
  r.add("ScatterElements", 11, scatterElements);
  r.add("ScatterND", 11, scatterND);
}

} // namespace tenon::onnximport
