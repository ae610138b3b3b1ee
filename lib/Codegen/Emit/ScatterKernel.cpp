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
//   append             a part is a block of rows, which takes the new ones in
//   it
//
// Where nothing is carried the result lies where the input does, and there is
// nothing to copy.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
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
  SymExpr carried; // 0: what lies there stays
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
  void ifCarried(function_ref<void()> copy) {
    if (carried.constant() == 1)
      return copy();
    e.ifThen(L.slt(L.index(0), e.dim(carried)), copy);
  }
  void elements(size_t axis);
  void tuples();
  void append(AppendOp op);
  void overRows(ArrayRef<SymExpr> inner, ArrayRef<Idx> lead, Value from,
                Value to, function_ref<void(ArrayRef<Idx>)> fn);
};

void ScatterKernel::elements(size_t axis) {
  size_t last = dims.size() - 1;
  ArrayRef<SymExpr> all(dims), places(indexDims);
  SmallVector<SymExpr> outer(all.take_front(axis));
  bool cut = axis != last;
  ColumnTasks columns(dims[last], columnsOfTask);
  e.info.tasks = cut ? productOf(outer) * columns.count : productOf(outer);
  e.info.cost = (productOf(dims) * carried + productOf(indexDims) * 4) * 4;
  e.loop(e.begin, e.end, 1, [&](Value task) {
    ColumnTasks::Range range{task, L.index(0), e.dim(dims[last])};
    if (cut)
      range = columns.at(e, task);
    SmallVector<Idx> lead = e.delinearize(range.outer, outer);
    ifCarried([&] {
      nest(all.slice(axis, last - axis), lead, [&](ArrayRef<Idx> row) {
        e.lanesLoop(range.size, e.vectorLanes(), [&](Idx i) {
          SmallVector<Idx> at(row);
          at.push_back(L.add(
              L.uniform(range.first, cut ? columns.columns : 1 << 30), i));
          L.store(e.emit(input, at), out, e.linearize(at, dims), element);
        });
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
  e.info.cost = (productOf(dims) * carried + count * run * 2) * 4;
  Value part = e.dim(apply(SymExpr::Fn::CeilDiv, rows, tasks));
  Value n = e.dim(dims[last]), rowCount = e.dim(rows), length = e.dim(run);
  e.loop(e.begin, e.end, 1, [&](Value task) {
    Value first = L.mul(task, part), end = L.min(rowCount, L.add(first, part));
    ifCarried([&] {
      e.loop(first, end, 1, [&](Value row) {
        SmallVector<Idx> lead = e.delinearize(row, outer);
        Idx base = L.uniform(L.mul(row, n));
        e.lanesLoop(n, e.vectorLanes(), [&](Idx i) {
          SmallVector<Idx> at(lead);
          at.push_back(i);
          L.store(e.emit(input, at), out, L.add(base, i), element);
        });
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
      Value lo = L.max(begin, lowest);
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

/// Elements of rows [from, to), whose dims are `inner`; lanes along the last.
void ScatterKernel::overRows(ArrayRef<SymExpr> inner, ArrayRef<Idx> lead,
                             Value from, Value to,
                             function_ref<void(ArrayRef<Idx>)> fn) {
  auto lanes = [&](ArrayRef<Idx> row, Value first, Value n) {
    e.lanesLoop(n, e.vectorLanes(), [&](Idx i) {
      SmallVector<Idx> at(row);
      at.push_back(L.add(L.uniform(first), i));
      fn(at);
    });
  };
  if (inner.empty())
    return lanes(lead, from, L.max(L.sub(to, from), 0));
  e.loop(from, to, 1, [&](Value r) {
    SmallVector<Idx> row(lead);
    row.push_back(L.uniform(r));
    nest(inner.drop_back(), row,
         [&](ArrayRef<Idx> at) { lanes(at, L.index(0), e.dim(inner.back())); });
  });
}

/// `indices` are the rows, `updates` what is fresh. A task owns a block of rows
/// behind one position before the axis.
void ScatterKernel::append(AppendOp op) {
  size_t axis = op.getAxis();
  SmallVector<SymExpr> whole = getDims(op.getResult()),
                       fresh = getDims(updates);
  SmallVector<SymExpr> outer(ArrayRef(whole).take_front(axis));
  ArrayRef<SymExpr> inner = ArrayRef(whole).drop_front(axis + 1);
  auto apply = [](SymExpr::Fn fn, SymExpr x, SymExpr y) {
    return SymExpr::apply(fn, x, y);
  };
  // Blocks share out the copy of old rows; without one there is little to do.
  SymExpr copied = whole[axis] * productOf(inner) * carried;
  SymExpr blocks = apply(SymExpr::Fn::CeilDiv, copied, 64 * columnsOfTask);
  blocks =
      apply(SymExpr::Fn::Max, 1, apply(SymExpr::Fn::Min, blocks, mostTasks));
  e.info.tasks = productOf(outer) * blocks;
  e.info.cost =
      productOf(outer) * (copied + fresh[axis] * productOf(inner) * 2) * 4;
  Value count = e.dim(blocks), length = e.dim(whole[axis]);
  Value part = e.dim(apply(SymExpr::Fn::CeilDiv, whole[axis], blocks));
  auto each = [&](ArrayRef<Idx> lead, Value from, Value to,
                  function_ref<void(ArrayRef<Idx>)> fn) {
    overRows(inner, lead, from, to, fn);
  };
  e.loop(e.begin, e.end, 1, [&](Value task) {
    Value place = L.div(task, count);
    SmallVector<Idx> lead = e.delinearize(place, outer);
    Value first = L.mul(L.rem(task, count), part);
    Value end = L.min(L.add(first, part), length);
    ifCarried([&] {
      Value old = e.dim(dims[axis]);
      each(lead, first, L.min(end, old), [&](ArrayRef<Idx> at) {
        L.store(e.emit(input, at), out, e.linearize(at, whole), element);
      });
      if (dims[axis] == whole[axis])
        return;
      Value from = L.max(first, old);
      each(lead, from, end, [&](ArrayRef<Idx> at) {
        Type type = L.vec(computeType(element));
        L.store(computeType(element).isInteger() ? L.constantInt(type, 0)
                                                 : L.constant(type, 0),
                out, e.linearize(at, whole), element);
      });
    });
    e.loop(L.index(0), e.dim(fresh[axis]), 1, [&](Value r) {
      Value to;
      {
        LaneScope scalar(L, 1);
        Idx row = indexDims[0].constant() == 1 ? L.uniform(0) : lead[0];
        SmallVector<Idx> at{row, L.uniform(r)};
        to = L.fromData(e.emit(indices, at), /*isUnsigned=*/false).base;
      }
      Value mine = L.both(L.sle(first, to), L.slt(to, end));
      e.ifThen(mine, [&] {
        auto put = [&](ArrayRef<Idx> at) {
          SmallVector<Idx> place(at);
          place[axis] = L.uniform(to);
          L.store(e.emit(updates, at), out, e.linearize(place, whole), element);
        };
        if (inner.empty()) { // one element
          LaneScope scalar(L, 1);
          SmallVector<Idx> at(lead);
          at.push_back(L.uniform(r));
          return put(at);
        }
        each(lead, r, L.add(r, 1), put);
      });
    });
  });
}

} // namespace

/// 0 where the result lies in the memory of the input.
static SymExpr carriedOf(std::optional<StringRef> carried) {
  return carried ? SymExpr::parse(carried->str()).value_or(1) : SymExpr(1);
}

void emitScatterKernel(KernelEmitter &e, int64_t columns, int64_t tasks) {
  Operation *op = e.body().getTerminator()->getOperand(0).getDefiningOp();
  if (auto o = dyn_cast_or_null<ScatterElementsOp>(op)) {
    ScatterKernel{e,
                  columns,
                  tasks,
                  o.getKind(),
                  o.getInput(),
                  o.getIndices(),
                  o.getUpdates(),
                  carriedOf(o.getCarried())}
        .elements(o.getAxis());
  } else if (auto o = dyn_cast_or_null<ScatterNDOp>(op)) {
    ScatterKernel{e,
                  columns,
                  tasks,
                  o.getKind(),
                  o.getInput(),
                  o.getIndices(),
                  o.getUpdates(),
                  carriedOf(o.getCarried())}
        .tuples();
  } else if (auto o = dyn_cast_or_null<AppendOp>(op)) {
    ScatterKernel{e,
                  columns,
                  tasks,
                  ScatterKind::none,
                  o.getInput(),
                  o.getRows(),
                  o.getFresh(),
                  carriedOf(o.getCarried())}
        .append(o);
  } else {
    e.fail("a 'scatter' kernel ends with no scatter");
  }
}

} // namespace tenon
