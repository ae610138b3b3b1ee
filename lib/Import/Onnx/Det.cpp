//===- Det.cpp - determinants ---------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Elimination with the largest pivot of each column, written out step by step:
// the size of the matrices is known when compiling.
//
//===----------------------------------------------------------------------===//
#include "Registry.h"

using namespace mlir;

namespace tenon::onnximport {

/// Beyond this the steps take longer to compile than they are worth.
static constexpr int64_t maxSize = 64;

static void det(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  if (dims.size() < 2) {
    n.error("expected an input of rank 2 or more, found " + Twine(dims.size()));
    return;
  }
  SymExpr last = dims.back(), rows = dims[dims.size() - 2];
  std::optional<int64_t> known = last.constant();
  known = known ? known : rows.constant();
  if (!known || *known > maxSize) {
    n.error("expected square matrices of a static size of at most " +
            Twine(maxSize) + ", found " + rows.str() + " by " + last.str());
    return;
  }
  int64_t size = *known;
  n.checkEqual(last, SymExpr(size));
  n.checkEqual(rows, SymExpr(size));
  Dims batch(dims.begin(), dims.end() - 2);
  SymExpr count = productOf(batch);
  Type i64 = n.builder.getI64Type();
  Value m = n.reshape(x, {count, SymExpr(size), SymExpr(size)});
  Value one = n.scalarLike(1, x), zero = n.scalarLike(0, x), product;
  for (int64_t left = size; left > 0 && !n.failed(); --left) {
    SymExpr k(left), rest(left - 1);
    Value first = n.slice(m, 2, SymExpr(0), SymExpr(1)); // [count, k, 1]
    // The row with the pivot changes places with the first one.
    Value pivotRow = n.make<ArgReduceOp>(
        {n.make<AbsOp>({first})},
        {n.named("axis", n.builder.getI64IntegerAttr(1)), n.flag("keepdims")});
    Value row = n.unsqueeze(n.iota(k, i64), {1});
    Value none = n.scalar(0, i64);
    Value order = n.select(
        n.compare(CompareKind::eq, row, none), pivotRow,
        n.select(n.compare(CompareKind::eq, row, pivotRow), none, row));
    m = n.make<GatherElementsOp>(
        {m, n.broadcast(order, {count, k, k})},
        {n.named("axis", n.builder.getI64IntegerAttr(1))});
    Value head = n.slice(m, 1, SymExpr(0), SymExpr(1)); // [count, 1, k]
    Value pivot = n.slice(head, 2, SymExpr(0), SymExpr(1));
    Value sign = n.select(n.compare(CompareKind::eq, pivotRow, none), one,
                          n.sub(zero, one));
    Value factor = n.mul(pivot, sign);
    product = product ? n.mul(product, factor) : factor;
    if (left == 1)
      break;
    // A column of zeros has decided the result; the rest must stay finite.
    Value divisor =
        n.select(n.compare(CompareKind::eq, pivot, zero), one, pivot);
    Value below = n.slice(m, 1, SymExpr(1), rest); // [count, k-1, k]
    Value scale = n.div(n.slice(below, 2, SymExpr(0), SymExpr(1)), divisor);
    m = n.sub(n.slice(below, 2, SymExpr(1), rest),
              n.mul(scale, n.slice(head, 2, SymExpr(1), rest)));
  }
  if (!product) // of an empty matrix
    product = n.broadcast(one, {count, SymExpr(1), SymExpr(1)});
  n.out(0, n.reshape(product, batch));
}

void registerDet(Registry &r) { r.add("Det", 11, det); }

} // namespace tenon::onnximport
