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

#include "dialects/Tenon/IR/TenonPacked.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/Product.h"
#include "llvm/ADT/bit.h"
#include <limits>

using namespace mlir;

namespace tenon {

namespace {

struct PagesKernel {
  KernelEmitter &e;
  StorePagesOp op;
  int64_t columnsOfTask, mostTasks;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type(), i32 = b.getI32Type(), i8 = b.getI8Type();
  Type element = op.getElement();
  SmallVector<SymExpr> whole = getDims(op.getInput()),
                       fresh = getDims(op.getFresh()),
                       pages = getDims(op.getResult());
  SmallVector<SymExpr> outer{whole.begin(), whole.end() - 2};
  SymExpr length = whole[whole.size() - 2], size = whole.back();
  SymExpr carried = SymExpr::parse(op.getCarried().str()).value_or(1);
  PageTable table{SymExpr::parse(op.getTable().str()).value_or(0),
                  pages[pages.size() - 2],
                  productOf(ArrayRef(pages).drop_back(2).drop_front())};
  int64_t header = headerOfPage(element);
  int64_t width = widthInPage(size.constant().value_or(0), op.getTransposed());
  Value out = e.result(0), row = {}, codes = {};

  bool isCoded() const { return header != 0; }
  Value constant(float value) { return L.constant(f32, value); }
  Value bits(float value) {
    return L.constantInt(i32, llvm::bit_cast<int32_t>(value));
  }
  Value largestBits();
  Value storeScale(Value at);
  void code(Value inverse);
  void put(Value rows, ArrayRef<Idx> lead, Value from, Value place, Value to);
  void run();
};

/// Of numbers without their sign the bits are in the same order; a NaN's are
/// above infinity's.
Value PagesKernel::largestBits() {
  Value none = L.constantInt(L.vec(i32, e.vectorLanes()), 0);
  Value most = e.lanesLoop(
      e.dim(size), e.vectorLanes(), none, [&](Idx i, ValueRange args) {
        Value x = L.widen(L.load(row, i, f32));
        Value magnitude =
            L.both(arith::BitcastOp::create(b, L.loc, L.vec(i32), x),
                   L.constantInt(L.vec(i32), INT32_MAX));
        if (L.mask)
          magnitude = L.select(L.mask, magnitude, none);
        return SmallVector<Value>{L.max(args[0], magnitude)};
      })[0];
  return e.combineLanes(most, vector::CombiningKind::MAXSI);
}

/// Of the row that is staged; gives its inverse, 0 of rows that are 0 or none
/// that i8 can stand for.
Value PagesKernel::storeScale(Value at) {
  Value largest = largestBits();
  Value finite = L.slt(largest, bits(std::numeric_limits<float>::infinity()));
  Value counts = L.both(finite, L.sge(largest, bits(0x1p-100f)));
  Value m = arith::BitcastOp::create(b, L.loc, f32, largest);
  Value scale =
      L.select(counts, L.div(m, constant(127)),
               L.select(finite, constant(0),
                        constant(std::numeric_limits<float>::quiet_NaN())));
  Value one =
      vector::BroadcastOp::create(b, L.loc, VectorType::get({1}, f32), scale);
  Value bytes =
      vector::BitCastOp::create(b, L.loc, VectorType::get({4}, i8), one);
  vector::StoreOp::create(b, L.loc, bytes, out, at);
  return L.select(counts, L.div(constant(127), m), constant(0));
}

/// The staged row's codes, in `codes`.
void PagesKernel::code(Value inverse) {
  e.lanesLoop(e.dim(size), e.vectorLanes(), [&](Idx i) {
    Value x = L.widen(L.load(row, i, f32)), by = L.widen(inverse);
    // Without a scale nothing is converted that is no number.
    Value none = L.constLike(x, 0);
    x = L.select(L.oeq(by, none), none, L.mul(x, by));
    x = math::RoundEvenOp::create(b, L.loc, x);
    x = arith::FPToSIOp::create(b, L.loc, L.vec(i32), x);
    L.store(L.truncate(x, i8), codes, i, i8);
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
    code(storeScale(L.add(base, L.mul(column, 4))));
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
  SymExpr count = pages[pages.size() - 2], added = fresh[fresh.size() - 2];
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
    PagesKernel{e, op, columns, tasks}.run();
}

} // namespace tenon
