//===- DataDims.cpp - operators whose results' dims come from data --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each computes a list with room for the largest outcome and, in its last
// element, how many entries count. That number becomes a symbol which the run
// reads, and the list is cut to it.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Mod.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include <limits>

using namespace mlir;

namespace tenon::onnximport {

/// The last element of a list, as a symbol of at most `most`.
static SymExpr countOf(NodeImporter &n, Value list, const SymExpr &most) {
  if (!list)
    return SymExpr(0);
  SymExpr size = n.dims(list).front();
  return n.readNumber(n.slice(list, 0, size - SymExpr(1), SymExpr(1)), most);
}

/// Where flags of rank 1 are true.
static Value positionsOf(NodeImporter &n, Value flags) {
  Value list = n.make<CompactOp>({flags});
  SymExpr count = countOf(n, list, n.dims(flags).front());
  return n.failed() ? nullptr : n.slice(list, 0, SymExpr(0), count);
}

static void nonZero(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  Value flags = n.isBool(x) ? x : n.compareScalar(CompareKind::ne, x, 0);
  Value at = positionsOf(n, n.reshape(flags, {productOf(dims)}));
  if (n.failed())
    return;
  Type i64 = n.builder.getI64Type();
  if (dims.empty()) { // no coordinates: nothing but the number of columns
    n.out(0, n.reshape(n.slice(at, 0, SymExpr(0), SymExpr(0)),
                       {SymExpr(0), n.dims(at).front()}));
    return;
  }
  SmallVector<Value> rows;
  for (size_t d = 0; d < dims.size() && !n.failed(); ++d) {
    SymExpr inner = productOf(ArrayRef(dims).drop_front(d + 1));
    Value row = at;
    if (inner != SymExpr(1))
      row = n.div(row, n.dimScalar(inner, i64));
    if (d > 0)
      row = n.make<ModOp>({row, n.dimScalar(dims[d], i64)});
    rows.push_back(n.unsqueeze(row, {0}));
  }
  if (!n.failed())
    n.out(0, n.concat(rows, 0));
}

static void compress(NodeImporter &n) {
  Value x = n.in(0), condition = n.in(1);
  int64_t axis = 0;
  if (n.hasAttr("axis"))
    axis = n.axis(n.getInt("axis", 0), n.rank(x));
  else
    x = n.reshape(x, {productOf(n.dims(x))});
  if (n.failed())
    return;
  if (n.rank(condition) != 1) {
    n.error("the condition must have rank 1, found rank " +
            Twine(n.rank(condition)));
    return;
  }
  // A shorter condition leaves the rest out; more is an index out of range.
  Value at = positionsOf(n, condition);
  if (!n.failed())
    n.out(0, n.gather(x, at, axis));
}

static void unique(NodeImporter &n) {
  Value x = n.in(0), items = x;
  int64_t axis = 0;
  if (n.hasAttr("axis")) {
    axis = n.axis(n.getInt("axis", 0), n.rank(x));
    if (n.failed())
      return;
    Ints perm = {axis};
    for (int64_t d = 0; d < n.rank(x); ++d)
      if (d != axis)
        perm.push_back(d);
    items = n.transpose(x, perm);
    Dims dims = n.dims(items);
    items = n.reshape(items,
                      {dims.front(), productOf(ArrayRef(dims).drop_front())});
  } else {
    x = n.reshape(x, {productOf(n.dims(x))});
    items = n.unsqueeze(x, {1});
  }
  SmallVector<NamedAttribute> attrs;
  if (n.getInt("sorted", 1))
    attrs.push_back(n.flag("sorted"));
  Value list = n.make<UniqueOp>({items}, attrs);
  if (n.failed())
    return;
  SymExpr most = n.dims(items).front(), count = countOf(n, list, most);
  if (n.failed())
    return;
  Value first = n.slice(list, 0, SymExpr(0), count);
  n.out(0, n.gather(x, first, axis));
  n.out(1, first);
  if (n.wants(2))
    n.out(2, n.slice(list, 0, most * SymExpr(2), most));
  if (n.wants(3))
    n.out(3, n.slice(list, 0, most, count));
}

static void nonMaxSuppression(NodeImporter &n) {
  SymExpr most(0);
  if (n.has(2)) {
    std::optional<Dims> given = n.knownDims(n.in(2), "max_output_boxes");
    if (given && given->size() != 1)
      n.error("max_output_boxes_per_class must have one element");
    if (n.failed())
      return;
    most = given->front();
  }
  Type f32 = n.builder.getF32Type();
  Value overlap = n.has(3) ? n.in(3) : n.scalar(0, f32);
  // Without a threshold every score counts, but none is above infinity.
  Value least = n.has(4)
                    ? n.in(4)
                    : n.scalar(-std::numeric_limits<double>::infinity(), f32);
  SmallVector<NamedAttribute> attrs = {
      n.named("most", n.builder.getStringAttr(most.str()))};
  if (n.getInt("center_point_box", 0))
    attrs.push_back(n.flag("centered"));
  Value list =
      n.make<NonMaxSuppressionOp>({n.in(0), n.in(1), overlap, least}, attrs);
  if (n.failed())
    return;
  std::optional<SymExpr> capacity =
      (n.dims(list).front() - SymExpr(1)).divideExactly(SymExpr(3));
  if (!capacity) {
    n.error("the number of boxes is not a dim expression");
    return;
  }
  SymExpr count = countOf(n, list, *capacity);
  if (n.failed())
    return;
  Value triples = n.slice(list, 0, SymExpr(0), count * SymExpr(3));
  n.out(0, n.reshape(triples, {count, SymExpr(3)}));
}

void registerDataDims(Registry &r) {
  r.add("NonZero", 9, nonZero);
  r.add("Compress", 9, compress);
  r.add("Unique", 11, unique);
  r.add("NonMaxSuppression", 10, nonMaxSuppression);
}

} // namespace tenon::onnximport
