//===- ScatterKernel.cpp - a copy, then updates in order ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each task owns a part of the result: it copies that part of the input, then
// goes through the updates in order and applies those that fall into it. So
// duplicates meet in the order of the indices, whatever the threads.
//
//   scatter_elements   a part is a place in the dims before the axis and a
//                      range of the last dim: an update stays in its part, so
//                      no task looks at another's
//   scatter_nd         a part is a range of rows; every task reads all indices,
//                      so there are few tasks where there are many of them
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/ColumnTasks.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"

using namespace mlir;

namespace tenon {

namespace {

struct ScatterKernel {
  KernelEmitter &e;
  int64_t columnsOfTask, mostTasks;
  ScatterKind kind;
  Value input, indices, updates;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  SmallVector<SymExpr> dims = getDims(input), indexDims = getDims(indices);
  Type element = getElementTypeOrSelf(input.getType());
  Value out = e.result(0);

  /// for each position of `sizes`, in row-major order.
  void nest(ArrayRef<SymExpr> sizes, SmallVector<Idx> at,
            function_ref<void(ArrayRef<Idx>)> fn) {
    if (sizes.empty())
      return fn(at);
    e.loop(L.index(0), e.dim(sizes.front()), 1, [&](Value i) {
      SmallVector<Idx> next(at);
      next.push_back(L.uniform(i));
      nest(sizes.drop_front(), next, fn);
    });
  }
  void update(Value x, const Idx &at) {
    ReduceKind how = kind == ScatterKind::add   ? ReduceKind::sum
                     : kind == ScatterKind::mul ? ReduceKind::prod
                     : kind == ScatterKind::max ? ReduceKind::max
                                                : ReduceKind::min;
    if (kind != ScatterKind::none) {
      Value old = L.load(out, at, element);
      x = emitCombine(L, how, element, old, L.isVector(old) ? L.widen(x) : x);
    }
    L.store(x, out, at, element);
  }
  Value less(Value x, Value y) { return L.slt(x, y); }
  void elements(size_t axis);
  void tuples();
};

void ScatterKernel::elements(size_t axis) {
  size_t last = dims.size() - 1;
  ArrayRef<SymExpr> all(dims), places(indexDims);
  SmallVector<SymExpr> outer(all.take_front(axis));
  bool cut = axis != last;
  ColumnTasks columns(dims[last], columnsOfTask);
  e.info.tasks = cut ? productOf(outer) * columns.count : productOf(outer);
  e.info.cost = (productOf(dims) + productOf(indexDims) * 4) * 4;
  e.loop(e.begin, e.end, 1, [&](Value task) {
    ColumnTasks::Range range{task, L.index(0), e.dim(dims[last])};
    if (cut)
      range = columns.at(e, task);
    SmallVector<Idx> lead = e.delinearize(range.outer, outer);
    nest(all.slice(axis, last - axis), lead, [&](ArrayRef<Idx> row) {
      e.lanesLoop(range.size, e.vectorLanes(), [&](Idx i) {
        SmallVector<Idx> at(row);
        at.push_back(
            L.add(L.uniform(range.first, cut ? columns.columns : 1 << 30), i));
        L.store(e.emit(input, at), out, e.linearize(at, dims), element);
      });
    });
    // Indices may cover a part of the other dims only.
    Value covered = L.constantInt(b.getI1Type(), 1);
    for (size_t i = 0; i < axis; ++i)
      if (indexDims[i] != dims[i])
        covered = L.both(covered, less(lead[i].base, e.dim(indexDims[i])));
    Value end = e.dim(indexDims[last]);
    if (cut)
      end = L.min(end, L.add(range.first, range.size));
    e.ifThen(covered, [&] {
      nest(places.slice(axis, last - axis), lead, [&](ArrayRef<Idx> row) {
        e.loop(range.first, end, 1, [&](Value i) {
          SmallVector<Idx> at(row);
          at.push_back(L.uniform(i));
          SmallVector<Idx> to(at);
          to[axis] = e.emitGatherIndex(indices, at, dims[axis]);
          // Into nothing no index is right, and 0 stands for a wrong one.
          e.ifThen(less(L.index(0), e.dim(dims[axis])),
                   [&] { update(e.emit(updates, at), e.linearize(to, dims)); });
        });
      });
    });
  });
}

void ScatterKernel::tuples() {
  size_t tuple = *indexDims.back().constant(), last = dims.size() - 1;
  ArrayRef<SymExpr> all(dims), places = ArrayRef(indexDims).drop_back();
  SmallVector<SymExpr> outer(all.take_front(last)), from = getDims(updates);
  SymExpr run = productOf(all.drop_front(tuple)); // elements of an update
  SymExpr rows = productOf(outer), count = productOf(places);
  auto apply = [](SymExpr::Fn fn, SymExpr x, SymExpr y) {
    return SymExpr::apply(fn, x, y);
  };
  // A task copies at least 64 elements for each index tuple that it reads.
  SymExpr tasks =
      apply(SymExpr::Fn::CeilDiv, productOf(dims), count * 64 + 4096);
  tasks = apply(SymExpr::Fn::Max, 1, apply(SymExpr::Fn::Min, mostTasks, tasks));
  e.info.tasks = tasks;
  e.info.cost = (productOf(dims) + count * run * 2) * 4;
  Value part = e.dim(apply(SymExpr::Fn::CeilDiv, rows, tasks));
  Value n = e.dim(dims[last]), rowCount = e.dim(rows), length = e.dim(run);
  e.loop(e.begin, e.end, 1, [&](Value task) {
    Value first = L.mul(task, part), end = L.min(rowCount, L.add(first, part));
    e.loop(first, end, 1, [&](Value row) {
      SmallVector<Idx> lead = e.delinearize(row, outer);
      Idx base = L.uniform(L.mul(row, n));
      e.lanesLoop(n, e.vectorLanes(), [&](Idx i) {
        SmallVector<Idx> at(lead);
        at.push_back(i);
        L.store(e.emit(input, at), out, L.add(base, i), element);
      });
    });
    Value lowest = L.mul(first, n), highest = L.mul(end, n);
    nest(places, {}, [&](ArrayRef<Idx> place) {
      SmallVector<Idx> to;
      for (size_t k = 0; k < tuple; ++k) {
        SmallVector<Idx> at(place);
        at.push_back(L.uniform(k));
        to.push_back(e.emitGatherIndex(indices, at, dims[k]));
      }
      Value begin = L.mul(e.linearize(to, all.take_front(tuple)).base, length);
      Value source = L.mul(e.linearize(place, places).base, length);
      // The part of the update that falls into these rows.
      Value lo = arith::MaxSIOp::create(b, L.loc, begin, lowest);
      Value hi = L.min(L.add(begin, length), highest);
      e.ifThen(less(lo, hi), [&] {
        bool single = run.constant() == 1;
        Value size = single ? L.index(1) : L.sub(hi, lo);
        Value offset = L.add(source, L.sub(lo, begin));
        e.lanesLoop(size, single ? 1 : e.vectorLanes(), [&](Idx i) {
          Idx flat = L.add(L.uniform(offset), i);
          SmallVector<Idx> at(from.size(), flat);
          e.setDomain(from, at, flat);
          update(e.emit(updates, at), L.add(L.uniform(lo), i));
        });
      });
    });
  });
}

} // namespace

void emitScatterKernel(KernelEmitter &e, int64_t columns, int64_t tasks) {
  Operation *op = e.body().getTerminator()->getOperand(0).getDefiningOp();
  if (auto o = dyn_cast_or_null<ScatterElementsOp>(op)) {
    ScatterKernel{e,
                  columns,
                  tasks,
                  o.getKind(),
                  o.getInput(),
                  o.getIndices(),
                  o.getUpdates()}
        .elements(o.getAxis());
  } else if (auto o = dyn_cast_or_null<ScatterNDOp>(op)) {
    ScatterKernel{e,
                  columns,
                  tasks,
                  o.getKind(),
                  o.getInput(),
                  o.getIndices(),
                  o.getUpdates()}
        .tuples();
  } else {
    emitError(e.kernel.getLoc(), "a 'scatter' kernel ends with no scatter");
    e.failed = true;
  }
}

} // namespace tenon
