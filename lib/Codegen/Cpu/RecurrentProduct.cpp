//===- RecurrentProduct.cpp - the gates of a recurrent layer --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The state by all panels of the weight, by the micro-kernels of matmul: six
// sequences at a time, the next six by the same panels, and of one alone four
// panels. What a core's cache does not hold comes from the one behind it at
// each step: panels are fetched while those before them are multiplied.
// A part's panels are runs, one in each gate; tiles stay in one of them.
//
// Codes by the bytes of a weight likewise, by the kernels of integers.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "lib/Codegen/Cpu/FormatKernels.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Emit/KernelKinds.h"
#include <numeric>

using namespace mlir;

namespace tenon {

namespace {

/// Sequences of a task: of a weight that leaves a core's cache so many that
/// their multiply-adds take as long as it takes to come.
constexpr int64_t kFewSequences = kTileRows, kManySequences = 4 * kTileRows;

/// Some rows by some panels.
struct Tile {
  Value first, rows, panel;
  int64_t panels, mostRows;
  Value number = {}; ///< among the tiles of many rows
};

} // namespace

/// Calls fn(tile) for all rows by so many panels: few rows by `narrow` at a
/// time, others by two, of many six at a time.
static void forTiles(KernelEmitter &e, Value rows, bool isMany, int64_t panels,
                     int64_t narrowPanels,
                     function_ref<void(const Tile &)> fn) {
  LaneBuilder &L = e.L;
  Value zero = L.index(0);
  int64_t few = narrowRows(e.target);
  auto narrow = [&](int64_t from, int64_t to, int64_t panels) {
    e.loop(L.index(from), L.index(to), panels,
           [&](Value panel) { fn({zero, rows, panel, panels, few}); });
  };
  std::optional<int64_t> known = constantIndex(rows);
  Value isFew = L.ule(rows, few), others = L.ugt(rows, few);
  if (!known || *known <= few)
    e.ifThen(isFew, [&] {
      int64_t whole = panels - panels % narrowPanels;
      narrow(0, whole, narrowPanels);
      narrow(whole, panels, 1);
    });
  if (known && *known <= few)
    return;
  e.ifThen(others, [&] {
    forPanelGroups(e, zero, L.index(panels), [&](Value panel, int64_t panels) {
      if (!isMany)
        return fn({zero, rows, panel, panels, kTileRows});
      forRowTiles(e, rows, kTileRows,
                  [&](Value number, Value first, Value own) {
                    fn({first, own, panel, panels, kTileRows, number});
                  });
    });
  });
}

static void multiplyState(KernelEmitter &e, const StateProductOperands &o) {
  LaneBuilder &L = e.L;
  int64_t size = o.units * kPanelColumns, width = o.allPanels * kPanelColumns;
  const PanelRuns &runs = o.panels;
  // Each tile of rows fetches its share of the next panels; one alone has its
  // own to wait for.
  Value tiles = L.div(L.add(o.rows, kTileRows - 1), kTileRows);
  Value step = L.div(L.index(4 * kPanelColumns), L.max(tiles, L.index(1)));
  bool isMany = o.mostRows > kTileRows;
  int64_t narrow =
      runs.areOne() ? kNarrowPanels : std::gcd(runs.own, kNarrowPanels);
  auto numberOf = [&](Value i) {
    if (runs.areOne())
      return L.add(runs.first, i);
    Value run = L.div(i, runs.own), in = L.rem(i, runs.own);
    return L.add(L.add(runs.first, in), L.mul(run, runs.apart));
  };
  forTiles(e, o.rows, isMany, runs.count, narrow, [&](const Tile &t) {
    auto panelAt = [&](Value panel) {
      return L.add(o.weightAt, L.mul(numberOf(panel), size));
    };
    MicroKernelOperands m{
        o.state,
        L.add(o.stateAt, L.mul(t.first, o.units)),
        o.weight,
        panelAt(t.panel),
        L.index(size),
        L.index(o.units),
        o.gates,
        L.add(L.mul(t.first, width), L.mul(numberOf(t.panel), kPanelColumns))};
    m.ldc = L.index(width);
    auto call = [&](int64_t lines) {
      MicroKernelShape shape{t.panels, lines};
      shape.inRows = true;
      emitMicroKernel(e, t.rows, t.mostRows, SymExpr(o.units), m, shape);
    };
    if (t.mostRows < kTileRows)
      return call(kAhead);
    if (!isMany)
      return call(0);
    Value next = L.add(t.panel, t.panels);
    if (!runs.areOne()) // behind the last of a part its first are next
      next = L.rem(next, runs.count);
    m.next = L.add(panelAt(next), L.mul(t.number, L.mul(step, o.units / 4)));
    m.nextStep = step;
    Value isOne = L.eq(tiles, 1), others = L.ugt(tiles, 1);
    e.ifThen(isOne, [&] { call(kAhead); });
    e.ifThen(others, [&] { call(2); });
  });
}

static void multiplyCodes(KernelEmitter &e, const CodeProductOperands &o) {
  LaneBuilder &L = e.L;
  int64_t size = o.format.bytesOfPanel(o.units);
  int64_t marks = o.rowSize / o.format.rowsOfGroup() * o.format.bytesOfGroup();
  forTiles(e, o.rows, /*isMany=*/true, o.panels, kNarrowPanels,
           [&](const Tile &t) {
             Value panel = L.add(o.weightAt, L.mul(t.panel, size));
             emitDotKernel(e, t.rows, o.format, t.panels, /*accumulate=*/false,
                           {o.codes, L.mul(t.first, o.rowSize),
                            L.index(o.rowSize), o.weight, panel, L.index(size),
                            L.index(o.rowSize), o.sums, L.index(0),
                            L.add(panel, marks), panel, L.index(0)},
                           t.mostRows, /*fetches=*/false);
             for (int64_t p = 0; p < t.panels; ++p)
               e.loop(L.index(0), t.rows, 1, [&](Value r) {
                 o.finish(L.add(t.first, r), L.add(t.panel, p),
                          L.mul(L.add(L.mul(t.rows, p), r), kPanelColumns));
               });
           });
}

static RecurrentForm formOf(KernelEmitter &e) {
  RecurrentForm form{kFewSequences, kManySequences, multiplyState};
  form.inParts = isRecurrentInParts(e.kernel());
  if (auto op = e.rootOp<RecurrentOp>(); op && op.getFormatAttr())
    form.ofCodes = {rowTypeOf(op.getFormatAttr(), e.target), multiplyCodes};
  return form;
}

void emitCpuRecurrentKernel(KernelEmitter &e) {
  emitRecurrentKernel(e, formOf(e));
}

SymExpr emitCpuRecurrentSteps(KernelEmitter &e) {
  return emitRecurrentSteps(e, formOf(e));
}

} // namespace tenon
