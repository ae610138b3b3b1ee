//===- PagesOfRows.cpp - rows of a cache, stored in its pages -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block is a warp, and has a row of one matrix: where a state has the pages
// one that is new, where the run makes them one of all, and of those that fill
// the last page, which are zeros. What is stored is what a CPU stores.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Emit/StoredRows.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/GpuWalk.h"
#include "lib/Codegen/Gpu/SharedMemory.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace tenon {

namespace {

struct RowStorer : StoredRows {
  using StoredRows::StoredRows;

  int64_t columns = size.constant().value_or(0);
  /// What is stored of a row: rows have numbers behind them, which are zeros.
  int64_t stored = op.getTransposed() ? columns : width;
  Value thread = threadIndex(e);

  Value elementAt(Value rows, SmallVector<Idx> at, Value i, Value inside);
  void storeScale(Value scale, Value page, Value column);
  void put(Value rows, ArrayRef<Idx> lead, Value from, Value inside,
           Value place, Value to);
  void run();
};

Value RowStorer::elementAt(Value rows, SmallVector<Idx> at, Value i,
                           Value inside) {
  at.push_back(L.uniform(i));
  return e.ifElse(
      L.both(inside, L.ult(i, columns)), f32, [&] { return e.emit(rows, at); },
      [&] { return L.constant(f32, 0); });
}

void RowStorer::storeScale(Value scale, Value page, Value column) {
  e.ifThen(L.eq(thread, 0), [&] {
    Value at = L.add(page, L.mul(column, 4));
    at = arith::IndexCastOp::create(b, L.loc, i32, at);
    Value begin = globalPointer(e, e.result(0));
    Value address = LLVM::GEPOp::create(b, L.loc, begin.getType(), i8, begin,
                                        ArrayRef<LLVM::GEPArg>{at});
    LLVM::StoreOp::create(b, L.loc, scale, address, 4);
  });
}

/// Row `from` of `rows`, in the matrix `lead`, or zeros unless `inside`,
/// becomes row `to` of matrix `place`.
void RowStorer::put(Value rows, ArrayRef<Idx> lead, Value from, Value inside,
                    Value place, Value to) {
  SmallVector<Idx> at(lead);
  at.push_back(L.uniform(from));
  Value column = L.rem(to, kPanelColumns), out = e.result(0);
  Value page = L.mul(placeOfPage(e, table, place, L.div(to, kPanelColumns)),
                     e.dim(pages.back()));
  Value first = L.add(page, header);
  auto placeAt = [&](Value i) {
    return L.uniform(op.getTransposed()
                         ? L.add(first, L.add(L.mul(i, kPanelColumns), column))
                         : L.add(first, L.add(L.mul(column, width), i)));
  };
  if (!isCoded())
    return e.loop(thread, L.index(stored), kWarp, [&](Value i) {
      L.store(elementAt(rows, at, i, inside), out, placeAt(i), element);
    });
  // Each thread reads what it has stored itself.
  SharedArray row(e, e.info.symbol + "_row", f32, stored);
  Value largest =
      e.loop(thread, L.index(stored), kWarp, L.constantInt(i32, 0),
             [&](Value i, ValueRange args) {
               Value x = elementAt(rows, at, i, inside);
               row.store(x, i);
               return SmallVector<Value>{L.max(args[0], magnitudeOf(x))};
             })[0];
  for (unsigned distance = kWarp / 2; distance > 0; distance /= 2)
    largest = L.max(largest, valueOfLane(e, largest, distance));
  auto [scale, inverse] = scaleOf(largest);
  storeScale(scale, page, column);
  Value by = inverse;
  e.loop(thread, L.index(stored), kWarp, [&](Value i) {
    L.store(codeOf(row.load(f32, i), by), out, placeAt(i), i8);
  });
}

void RowStorer::run() {
  SymExpr added = fresh.end()[-2];
  SymExpr all = SymExpr::apply(SymExpr::Fn::CeilDiv, length, kPanelColumns) *
                kPanelColumns;
  SymExpr rows = SymExpr::select(carried, all, added);
  e.info.gpu->block = true;
  e.info.gpu->threads = kWarp;
  e.info.tasks = productOf(outer) * rows;
  e.info.cost = productOf(outer) * rows * size * 4;
  Value count = e.dim(rows), carries = L.ne(e.dim(carried), 0);
  bool oneForAll = getDims(op.getRows())[0].constant() == 1;
  Value place = L.div(e.begin, count), r = L.rem(e.begin, count);
  SmallVector<Idx> lead = e.delinearize(place, outer);
  Value end = e.dim(length);
  e.ifThen(carries,
           [&] { put(op.getInput(), lead, r, L.ult(r, end), place, r); });
  e.ifThen(L.no(carries), [&] {
    SmallVector<Idx> at{oneForAll ? L.uniform(0) : lead[0], L.uniform(r)};
    Value to = L.fromData(e.emit(op.getRows(), at), /*isUnsigned=*/false).base;
    e.ifThen(L.both(L.sle(L.index(0), to), L.slt(to, end)), [&] {
      put(op.getFresh(), lead, r, L.constantInt(b.getI1Type(), 1), place, to);
    });
  });
}

} // namespace

void emitStoreRowsKernel(KernelEmitter &e) {
  if (auto op = e.rootOp<StorePagesOp>())
    RowStorer(e, op).run();
}

} // namespace tenon
