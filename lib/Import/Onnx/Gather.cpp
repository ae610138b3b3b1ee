//===- Gather.cpp - reading by indices ------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Registry.h"

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

/// on where the index (counted from the end if negative) equals the position
/// along the new dim; indices outside give off everywhere.
static void oneHot(NodeImporter &n) {
  Value indices = n.in(0), values = n.in(2);
  std::optional<Dims> depth = n.knownDims(n.in(1), "depth");
  if (!depth || depth->size() != 1) {
    n.error("depth must have one element");
    return;
  }
  const SymExpr &size = depth->front();
  n.checkNonNegative(size);
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

void registerGather(Registry &r) {
  r.add("Gather", gather);
  r.add("GatherElements", gatherElements);
  r.add("GatherND", gatherND);
  r.add("OneHot", oneHot);
}

} // namespace tenon::onnximport
