//===- RecurrentProduct.cpp - the gates of a recurrent layer --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The state by all panels of the weight, by the micro-kernels of matmul: six
// sequences at a time, and of one alone four panels, which come from the cache
// step by step.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Emit/KernelKinds.h"

using namespace mlir;

namespace tenon {

static void multiplyState(KernelEmitter &e, const StateProductOperands &o) {
  LaneBuilder &L = e.L;
  Value zero = L.index(0), size = L.index(o.units * kPanelColumns);
  auto call = [&](Value panel, int64_t count, int64_t mostRows, int64_t lines) {
    MicroKernelOperands m{o.state,  zero,
                          o.weight, L.add(o.weightAt, L.mul(panel, size)),
                          size,     L.index(o.units),
                          o.gates,  L.mul(panel, kPanelColumns)};
    m.ldc = L.index(o.panels * kPanelColumns);
    MicroKernelShape shape{count, lines};
    shape.inRows = true;
    emitMicroKernel(e, o.rows, mostRows, SymExpr(o.units), m, shape);
  };
  int64_t few = narrowRows(e.target);
  Value isFew = L.ule(o.rows, few);
  e.ifThen(isFew, [&] {
    int64_t whole = o.end - (o.end - o.begin) % kNarrowPanels;
    e.loop(L.index(o.begin), L.index(whole), kNarrowPanels,
           [&](Value panel) { call(panel, kNarrowPanels, few, kAhead); });
    e.loop(L.index(whole), L.index(o.end), 1,
           [&](Value panel) { call(panel, 1, few, kAhead); });
  });
  Value isMany = L.ugt(o.rows, few);
  e.ifThen(isMany, [&] {
    forPanelGroups(
        e, L.index(o.begin), L.index(o.end),
        [&](Value panel, int64_t count) { call(panel, count, kTileRows, 0); });
  });
}

void emitCpuRecurrentKernel(KernelEmitter &e) {
  emitRecurrentKernel(e, kTileRows, multiplyState);
}

} // namespace tenon
