//===- ScanKernel.cpp - running sums and products -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A chain along the axis is one after the other, so lanes are chains that lie
// side by side; where the axis is the last dim there is one scalar chain a
// row. A task never cuts a chain.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/ColumnTasks.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"

using namespace mlir;

namespace tenon {

namespace {

struct ScanKernel {
  KernelEmitter &e;
  CumulateOp op;
  LaneBuilder &L = e.L;
  SmallVector<SymExpr> dims = getDims(op.getInput());
  Type element = getElementTypeOrSelf(op.getResult().getType());
  size_t axis = op.getAxis();
  Value size = e.dim(dims[axis]);
  Value stride = e.dim(productOf(ArrayRef(dims).drop_front(axis + 1)));

  /// The chains through `at`, whose entry for the axis is not read.
  void chain(SmallVector<Idx> at) {
    at[axis] = L.uniform(0);
    Idx base = e.linearize(at, dims);
    bool vector = llvm::any_of(at, [](auto &i) { return !i.isUniform(); });
    Type type = computeType(element);
    Value start =
        emitNeutral(L, op.getKind(), element, vector ? L.vec(type) : type);
    e.loop(L.index(0), size, 1, start, [&](Value i, ValueRange args) {
      if (op.getReverse())
        i = L.sub(L.sub(size, 1), i);
      at[axis] = L.uniform(i);
      Value x = e.emit(op.getInput(), at);
      if (vector)
        x = L.widen(x);
      Value next = emitCombine(L, op.getKind(), element, args[0], x);
      L.store(op.getExclusive() ? args[0] : next, e.result(0),
              L.add(base, L.uniform(L.mul(i, stride))), element);
      return SmallVector<Value>{next};
    });
  }
};

} // namespace

void emitScanKernel(KernelEmitter &e, int64_t columnsOfTask) {
  auto op = e.rootOp<CumulateOp>();
  if (!op)
    return;
  ScanKernel k{e, op};
  LaneBuilder &L = e.L;
  e.info.cost = productOf(k.dims) * 4;
  size_t column = k.dims.size() - 1;
  while (column > k.axis && k.dims[column].constant() == 1)
    --column;
  SmallVector<SymExpr> outer;
  SmallVector<size_t> places;
  for (size_t i = 0; i < k.dims.size(); ++i)
    if (i != k.axis && i != column) {
      outer.push_back(k.dims[i]);
      places.push_back(i);
    }
  auto position = [&](Value task) {
    SmallVector<Idx> at(k.dims.size(), L.uniform(0));
    for (auto [i, idx] : llvm::zip_equal(places, e.delinearize(task, outer)))
      at[i] = idx;
    return at;
  };
  e.info.tasks = productOf(outer);
  if (column == k.axis) {
    e.loop(e.begin, e.end, 1, [&](Value task) { k.chain(position(task)); });
    return;
  }
  ColumnTasks columns(k.dims[column], columnsOfTask);
  e.info.tasks = e.info.tasks * columns.count;
  unsigned lanes = wideLanes(e, k.dims[column]);
  e.loop(e.begin, e.end, 1, [&](Value task) {
    ColumnTasks::Range range = columns.at(e, task);
    SmallVector<Idx> at = position(range.outer);
    e.lanesLoop(range.size, lanes, [&](Idx i) {
      at[column] = L.add(L.uniform(range.first, columns.columns), i);
      k.chain(at);
    });
  });
}

} // namespace tenon
