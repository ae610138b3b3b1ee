//===- NarrowRows.cpp - products of few rows by f32 panels ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Cpu/NarrowRows.h"
#include "dialects/Tenon/IR/TenonTiling.h"

using namespace mlir;

namespace tenon {

NarrowRows::NarrowRows(const TargetInfo &target, int64_t taskRows, bool waits)
    : few(narrowRows(target)), most(few) {
  int64_t ofTile = kTilePanels * kTileRows;
  if ((target.vectorBits == 512 || waits) && ofTile <= taskRows)
    most = ofTile;
}

Value NarrowRows::contain(KernelEmitter &e, Value rows) const {
  LaneBuilder &L = e.L;
  Value areFew = L.ule(rows, few);
  if (most == few)
    return areFew;
  Value areMore = L.both(L.ugt(rows, kTileRows), L.ule(rows, most));
  return L.either(areFew, areMore);
}

Value NarrowRows::groups(KernelEmitter &e, Value rows, Value panels) const {
  LaneBuilder &L = e.L;
  Value all = L.div(panels, kNarrowPanels);
  return most == few ? all : L.select(L.ule(rows, few), all, L.index(0));
}

void NarrowRows::multiply(KernelEmitter &e, Value rows, const SymExpr &lda,
                          const MicroKernelOperands &o, int64_t panels) const {
  MicroKernelShape shape{panels, kAhead};
  auto byFew = [&] { emitMicroKernel(e, rows, few, lda, o, shape); };
  if (panels > 1 || most == few)
    return byFew();
  Value areFew = e.L.ule(rows, few);
  e.ifThen(areFew, byFew);
  e.ifThen(e.L.no(areFew), [&] {
    emitMicroKernel(e, rows, most, lda, o, shape, /*leastRows=*/1,
                    /*above=*/kTileRows);
  });
}

} // namespace tenon
