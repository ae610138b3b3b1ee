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
#include "dialects/Tenon/IR/TenonPacked.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Emit/FusedProduct.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/GpuWalk.h"
#include "lib/Codegen/Gpu/SharedMemory.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/bit.h"
#include <limits>

using namespace mlir;

namespace tenon {

namespace {

struct RowStorer {
  KernelEmitter &e;
  StorePagesOp op;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type(), i32 = b.getI32Type(), i8 = b.getI8Type();
  Type element = op.getElement();
  SmallVector<SymExpr> whole = getDims(op.getInput()),
                       fresh = getDims(op.getFresh()),
                       pages = getDims(op.getResult());
  SmallVector<SymExpr> outer{whole.begin(), whole.end() - 2};
  SymExpr length = whole.end()[-2];
  SymExpr carried = SymExpr::parse(op.getCarried().str()).value_or(1);
  PageTable table{SymExpr::parse(op.getTable().str()).value_or(0),
                  pages.end()[-2],
                  productOf(ArrayRef(pages).drop_back(2).drop_front())};
  int64_t size = whole.back().constant().value_or(0);
  int64_t header = headerOfPage(element);
  int64_t width = widthInPage(size, op.getTransposed());
  /// What is stored of a row: rows have numbers behind them, which are zeros.
  int64_t stored = op.getTransposed() ? size : width;
  Value thread = threadIndex(e);

  Value bits(float value) {
    return L.constantInt(i32, llvm::bit_cast<int32_t>(value));
  }
  Value elementAt(Value rows, SmallVector<Idx> at, Value i, Value inside);
  Value storeScale(Value largest, Value page, Value column);
  void put(Value rows, ArrayRef<Idx> lead, Value from, Value inside,
           Value place, Value to);
  void run();
};

Value RowStorer::elementAt(Value rows, SmallVector<Idx> at, Value i,
                           Value inside) {
  at.push_back(L.uniform(i));
  return e.ifElse(
      L.both(inside, L.ult(i, size)), f32, [&] { return e.emit(rows, at); },
      [&] { return L.constant(f32, 0); });
}

/// Of a row whose largest magnitude has these bits; gives its inverse, 0 of
/// rows that are 0 or none that i8 can stand for.
Value RowStorer::storeScale(Value largest, Value page, Value column) {
  auto constant = [&](float value) { return L.constant(f32, value); };
  Value finite = L.slt(largest, bits(std::numeric_limits<float>::infinity()));
  Value counts = L.both(finite, L.sge(largest, bits(0x1p-100f)));
  Value m = arith::BitcastOp::create(b, L.loc, f32, largest);
  Value scale =
      L.select(counts, L.div(m, constant(127)),
               L.select(finite, constant(0),
                        constant(std::numeric_limits<float>::quiet_NaN())));
  e.ifThen(L.eq(thread, 0), [&] {
    Value at = L.add(page, L.mul(column, 4));
    at = arith::IndexCastOp::create(b, L.loc, i32, at);
    Value begin = globalPointer(e, e.result(0));
    Value address = LLVM::GEPOp::create(b, L.loc, begin.getType(), i8, begin,
                                        ArrayRef<LLVM::GEPArg>{at});
    LLVM::StoreOp::create(b, L.loc, scale, address, 4);
  });
  return L.select(counts, L.div(constant(127), m), constant(0));
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
  if (!header)
    return e.loop(thread, L.index(stored), kWarp, [&](Value i) {
      L.store(elementAt(rows, at, i, inside), out, placeAt(i), element);
    });
  // Each thread reads what it has stored itself.
  SharedArray row(e, e.info.symbol + "_row", f32, stored);
  Value largest = e.loop(thread, L.index(stored), kWarp, L.constantInt(i32, 0),
                         [&](Value i, ValueRange args) {
                           Value x = elementAt(rows, at, i, inside);
                           row.store(x, i);
                           // Of numbers without their sign the bits are in the
                           // same order; a NaN's are above infinity's.
                           Value magnitude = L.both(
                               arith::BitcastOp::create(b, L.loc, i32, x),
                               L.constantInt(i32, INT32_MAX));
                           return SmallVector<Value>{L.max(args[0], magnitude)};
                         })[0];
  auto number = [&](int64_t x) { return L.constantInt(i32, x); };
  for (int64_t distance = kWarp / 2; distance > 0; distance /= 2)
    largest =
        L.max(largest, NVVM::ShflOp::create(b, L.loc, i32, number(-1), largest,
                                            number(distance), number(kWarp - 1),
                                            NVVM::ShflKind::bfly, UnitAttr()));
  Value by = storeScale(largest, page, column), none = L.constant(f32, 0);
  e.loop(thread, L.index(stored), kWarp, [&](Value i) {
    Value x = row.load(f32, i);
    // Without a scale nothing is converted that is no number.
    x = L.select(L.oeq(by, none), none, L.mul(x, by));
    x = math::RoundEvenOp::create(b, L.loc, x);
    x = arith::FPToSIOp::create(b, L.loc, i32, x);
    L.store(L.truncate(x, i8), out, placeAt(i), i8);
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
    RowStorer{e, op}.run();
}

} // namespace tenon
