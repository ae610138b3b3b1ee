//===- ProductEpilogue.cpp - what follows a register tile -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/ProductEpilogue.h"
#include "lib/Codegen/Cpu/Product.h"

using namespace mlir;

namespace tenon {

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
  e.loop(L.index(0), rows, 1, [&](Value r) {
    Row row = rowAt(batchIndex, L.add(m0, r), r);
    forPanelColumns(e, panel, N, [&](Value c, Value column) {
      store(row, c, Idx{column, 1, (int64_t)e.vectorLanes(), {}});
    });
  });
}

} // namespace tenon
