//===- ProductEpilogue.cpp - what follows a register tile -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Of floats a row at a time. Products of integers by dot products are short:
// what their rows have in common is a good part of the epilogue, so that they
// go through all rows for a vector of columns.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/ProductEpilogue.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "lib/Codegen/Cpu/Product.h"

using namespace mlir;

namespace tenon {

void readAhead(KernelEmitter &e, const SymExpr &columns,
               std::optional<Idx> column) {
  LaneBuilder &L = e.L;
  auto isOne = [](const SymExpr &dim) { return dim.constant() == 1; };
  auto isWanted = [&](Value v) {
    SmallVector<SymExpr> dims = getDims(v);
    if (!column)
      return llvm::all_of(dims, isOne);
    return !dims.empty() && dims.back() == columns && !isOne(columns) &&
           llvm::all_of(ArrayRef(dims).drop_back(), isOne);
  };
  auto read = [&](Value v) {
    SmallVector<Idx> place(getDims(v).size(), L.uniform(0));
    if (column)
      place.back() = *column;
    // What another branch has read counts no more.
    e.bind(v, [](ArrayRef<Idx>) { return Value(); });
    Value known = e.emit(v, place);
    e.bind(v, [known, column](ArrayRef<Idx> idx) {
      bool here = !column || (idx.back().base == column->base &&
                              idx.back().lane == column->lane);
      return here ? known : Value();
    });
  };
  for (BlockArgument arg : e.body().getArguments())
    if (isWanted(arg) && llvm::any_of(arg.getUsers(), [](Operation *user) {
          return user->hasTrait<OpTrait::Elementwise>() ||
                 isa<BroadcastToOp>(user);
        }))
      read(arg);
  // Parts of arguments.
  for (Operation &op : e.body()) {
    if (!isa<SliceOp, ReshapeOp>(op) || !isWanted(op.getResult(0)))
      continue;
    Value from = op.getOperand(0);
    while (isa_and_nonnull<SliceOp, ReshapeOp>(from.getDefiningOp()))
      from = from.getDefiningOp()->getOperand(0);
    if (isa<BlockArgument>(from))
      read(op.getResult(0));
  }
}

/// Row m of the result, the r-th of the tile.
ProductEpilogue::Row ProductEpilogue::rowAt(Value batchIndex, Value m,
                                            Value r) {
  LaneBuilder &L = e.L;
  SmallVector<SymExpr> rowDims(out.begin(), out.end() - 1);
  SmallVector<Idx> idx;
  Value row = m; // position among all rows of the result
  if (shared) {
    idx = e.delinearize(m, rowDims);
  } else {
    idx = e.delinearize(batchIndex, batch);
    idx.push_back(L.uniform(m));
    row = L.add(L.mul(batchIndex, e.dim(M)), m);
  }
  idx.push_back(Idx());
  Idx base = L.uniform(L.mul(row, e.dim(N)));
  return {idx, base, L.mul(r, kPanelColumns)};
}

void ProductEpilogue::store(Row &row, Value c, const Idx &column) {
  LaneBuilder &L = e.L;
  row.idx.back() = column;
  for (auto [v, at] : products) {
    Idx in{L.add(L.add(at, row.inPanel), c), 1, column.align, {}};
    e.bind(v, [&L, C = C, sumType = sumType, in](ArrayRef<Idx>) {
      LaneScope whole(L, L.lanes); // as the tile is
      return L.load(C, in, sumType);
    });
  }
  sink.store(e, row.idx, L.add(row.base, column));
}

void ProductEpilogue::emit(Value batchIndex, Value m0, Value rows,
                           Value panel) {
  LaneBuilder &L = e.L;
  auto forRows = [&](function_ref<void(Row)> fn) {
    e.loop(L.index(0), rows, 1,
           [&](Value r) { fn(rowAt(batchIndex, L.add(m0, r), r)); });
  };
  auto forColumns = [&](function_ref<void(Value, Idx)> fn) {
    forPanelColumns(e, panel, N, [&](Value c, Value column) {
      fn(c, Idx{column, 1, (int64_t)e.vectorLanes(), {}});
    });
  };
  if (isShort)
    return forColumns([&](Value c, Idx column) {
      readAhead(e, N, column);
      forRows([&](Row row) { store(row, c, column); });
    });
  forRows([&](Row row) {
    forColumns([&](Value c, Idx column) { store(row, c, column); });
  });
}

} // namespace tenon
