//===- PagesKernel.cpp - rows of a cache as attention reads them ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task owns some pages of one matrix. Where the old rows are carried it takes
// all rows of these from the present; where they lie in a state it takes what
// is new, and has all pages. Each row is computed once, and stored on its own:
// what lies in a page does not depend on how its rows arrived.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Emit/StoredRows.h"

using namespace mlir;

namespace tenon {

namespace {

struct PagesKernel : StoredRows {
  PagesKernel(KernelEmitter &e, StorePagesOp op, int64_t columns, int64_t tasks)
      : StoredRows(e, op), columnsOfTask(columns), mostTasks(tasks) {}

  int64_t columnsOfTask, mostTasks;
  Value out = e.result(0), row = {}, codes = {};

  Value largestOfRow();
  void code(Value scaleAt);
  void put(Value rows, ArrayRef<Idx> lead, Value from, Value place, Value to);
  void run();
};

/// Of the row that is staged.
Value PagesKernel::largestOfRow() {
  Value none = L.constantInt(L.vec(i32, e.vectorLanes()), 0);
  Value most = e.lanesLoop(
      e.dim(size), e.vectorLanes(), none, [&](Idx i, ValueRange args) {
        Value magnitude = magnitudeOf(L.widen(L.load(row, i, f32)));
        if (L.mask)
          magnitude = L.select(L.mask, magnitude, none);
        return SmallVector<Value>{L.max(args[0], magnitude)};
      })[0];
  return e.combineLanes(most, vector::CombiningKind::MAXSI);
}

/// The staged row's codes, in `codes`; their scale is stored at `scaleAt`.
void PagesKernel::code(Value scaleAt) {
  auto [scale, inverse] = scaleOf(largestOfRow());
  Value one =
      vector::BroadcastOp::create(b, L.loc, VectorType::get({1}, f32), scale);
  Value bytes =
      vector::BitCastOp::create(b, L.loc, VectorType::get({4}, i8), one);
  vector::StoreOp::create(b, L.loc, bytes, out, scaleAt);
  Value by = inverse;
  e.lanesLoop(e.dim(size), e.vectorLanes(), [&](Idx i) {
    L.store(codeOf(L.widen(L.load(row, i, f32)), by), codes, i, i8);
  });
}

/// Row `from` of `rows`, in the matrix `lead`, becomes row `to` of matrix
/// `place`.
void PagesKernel::put(Value rows, ArrayRef<Idx> lead, Value from, Value place,
                      Value to) {
  SmallVector<Idx> at(lead);
  at.append({L.uniform(from), Idx()});
  e.lanesLoop(e.dim(size), e.vectorLanes(), [&](Idx i) {
    at.back() = i;
    L.store(e.emit(rows, at), row, i, f32);
  });
  Value columns = L.index(kPanelColumns), column = L.rem(to, columns);
  Value page = placeOfPage(e, table, place, L.div(to, columns));
  Value base = L.mul(page, e.dim(pages.back()));
  if (isCoded())
    code(L.add(base, L.mul(column, 4)));
  Value numbers = isCoded() ? codes : row;
  Type stored = isCoded() ? i8 : f32;
  base = L.add(base, header);
  if (!op.getTransposed()) {
    Idx first = L.uniform(L.add(base, L.mul(column, width)));
    return e.lanesLoop(e.dim(size), e.vectorLanes(), [&](Idx i) {
      L.store(L.load(numbers, i, stored), out, L.add(first, i), element);
    });
  }
  Value first = L.add(base, column);
  e.loop(L.index(0), e.dim(size), 1, [&](Value i) {
    LaneScope scalar(L, 1);
    L.store(L.load(numbers, L.uniform(i), stored), out,
            L.uniform(L.add(first, L.mul(i, columns))), element);
  });
}

void PagesKernel::run() {
  auto apply = [](SymExpr::Fn fn, SymExpr x, SymExpr y) {
    return SymExpr::apply(fn, x, y);
  };
  SymExpr count = table.count, added = fresh.end()[-2];
  // As of tenon.append: blocks share out what is carried.
  SymExpr copied = length * size * carried;
  SymExpr blocks = apply(SymExpr::Fn::CeilDiv, copied, 64 * columnsOfTask);
  blocks =
      apply(SymExpr::Fn::Max, 1, apply(SymExpr::Fn::Min, blocks, mostTasks));
  e.info.tasks = productOf(outer) * blocks;
  e.info.cost = productOf(outer) * (copied + added * size * 2) * 4;
  row = e.scratchBuffer(size, f32);
  if (isCoded())
    codes = e.scratchBuffer(size, i8);
  Value parts = e.dim(blocks), columns = L.index(kPanelColumns);
  Value part =
      L.mul(e.dim(apply(SymExpr::Fn::CeilDiv, count, blocks)), columns);
  Value carries = L.slt(L.index(0), e.dim(carried));
  bool oneForAll = getDims(op.getRows())[0].constant() == 1;
  e.loop(e.begin, e.end, 1, [&](Value task) {
    Value place = L.div(task, parts);
    SmallVector<Idx> lead = e.delinearize(place, outer);
    Value first = L.mul(L.rem(task, parts), part);
    Value end = L.min(L.add(first, part), e.dim(length));
    e.ifThen(carries, [&] {
      e.loop(first, end, 1,
             [&](Value r) { put(op.getInput(), lead, r, place, r); });
    });
    Value stays = L.no(carries);
    e.ifThen(stays, [&] {
      e.loop(L.index(0), e.dim(added), 1, [&](Value r) {
        Value to;
        {
          LaneScope scalar(L, 1);
          SmallVector<Idx> at{oneForAll ? L.uniform(0) : lead[0], L.uniform(r)};
          to = L.fromData(e.emit(op.getRows(), at), /*isUnsigned=*/false).base;
        }
        Value mine = L.both(L.sle(first, to), L.slt(to, end));
        e.ifThen(mine, [&] { put(op.getFresh(), lead, r, place, to); });
      });
    });
  });
}

} // namespace

void emitPagesKernel(KernelEmitter &e, int64_t columns, int64_t tasks) {
  if (auto op = e.rootOp<StorePagesOp>())
    PagesKernel(e, op, columns, tasks).run();
}

} // namespace tenon
