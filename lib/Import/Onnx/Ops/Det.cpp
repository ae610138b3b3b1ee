//===- Det.cpp - determinants ---------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Elimination with the largest pivot of each column, a column per iteration.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "lib/Import/Onnx/Control/Loops.h"
#include "lib/Import/Onnx/Node/Registry.h"

using namespace mlir;

namespace tenon::onnximport {

static void det(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  if (dims.size() < 2) {
    n.error("expected an input of rank 2 or more, found " + Twine(dims.size()));
    return;
  }
  SymExpr k =
      dims[dims.size() - 2].isConstant() ? dims[dims.size() - 2] : dims.back();
  n.checkEqual(dims.back(), k);
  n.checkEqual(dims[dims.size() - 2], k);
  Dims batch(dims.begin(), dims.end() - 2);
  SymExpr count = productOf(batch), one(1);
  Value none = n.scalarLike(0, x), unit = n.scalarLike(1, x);
  Value row = n.unsqueeze(n.iota(k, n.builder.getI64Type()), {1}); // [k, 1]
  Repeated columns;
  columns.trips = k;
  columns.numNodes = 64; // written out where there are few
  columns.initial = {n.reshape(x, {count, k, k}),
                     n.broadcast(unit, {count, one, one})};
  columns.body = [&](Value at, ArrayRef<Value> handed,
                     SmallVectorImpl<Value> &results) {
    auto taken = [&](Value v, int64_t axis) {
      return n.unsqueeze(rowAt(n, v, at, axis), {axis});
    };
    Value m = handed[0];
    // The row with the pivot changes places with the first of those left.
    Value size = n.make<AbsOp>({taken(m, 2)}); // [count, k, 1]
    size = n.select(n.compare(CompareKind::ge, row, at), size,
                    n.scalarLike(-1, x));
    Value pivotRow = n.make<ArgReduceOp>(
        {size},
        {n.named("axis", n.builder.getI64IntegerAttr(1)), n.flag("keepdims")});
    Value order =
        n.select(n.compare(CompareKind::eq, row, at), pivotRow,
                 n.select(n.compare(CompareKind::eq, row, pivotRow), at, row));
    m = n.make<GatherElementsOp>(
        {m, n.broadcast(order, {count, k, k})},
        {n.named("axis", n.builder.getI64IntegerAttr(1))});
    Value head = taken(m, 1), pivot = taken(head, 2);
    Value sign = n.select(n.compare(CompareKind::eq, pivotRow, at), unit,
                          n.sub(none, unit));
    // A column of zeros has decided the result; the rest must stay finite.
    Value divisor =
        n.select(n.compare(CompareKind::eq, pivot, none), unit, pivot);
    Value scale = n.select(n.compare(CompareKind::gt, row, at),
                           n.div(taken(m, 2), divisor), none);
    results.push_back(n.sub(m, n.mul(scale, head)));
    results.push_back(n.mul(handed[1], n.mul(pivot, sign)));
    return !n.failed();
  };
  SmallVector<Value> results = repeat(n, columns);
  if (!results.empty())
    n.out(0, n.reshape(results[1], batch));
}

void registerDet(Registry &r) { r.add("Det", 11, det); }

} // namespace tenon::onnximport
