//===- SplitAttention.cpp - attention of few queries and many keys --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A token that is decoded has one row for each head, and as many tasks as there
// are key heads: few, for much to read. Where the context is long the kernel is
// two:
//
//   task = some of the keys       scores and their maxima, to memory of both
//   task = a panel of columns     exp and sum, and all values of that panel
//
// A score is a product of its own and a column of the result one chain over all
// keys, so the bits are those of the kernel that is whole. Panels that one call
// computes share the exponentials; another takes them anew, which costs less
// than a third half would. Dims alone decide which it is, so nothing depends on
// the threads.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Cpu/AttentionKernel.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

/// Keys of a task, whole panels, at least.
constexpr int64_t kPartKeys = 256;
/// So many groups are tasks enough; of fewer about half as many tasks are made,
/// as each looks for its range and packs the queries.
constexpr int64_t kManyGroups = 32;

} // namespace

/// What the dims say of the halves.
struct AttentionKernel::Split {
  AttentionKernel &a;
  KernelEmitter &e = a.e;
  LaneBuilder &L = a.L;
  using Fn = SymExpr::Fn;
  /// Is it two? 0 or 1.
  SymExpr is = isOf(a.groups, a.rowsAll, a.keys, a.queryRows);
  SymExpr parts =
      SymExpr::apply(Fn::Min, SymExpr::apply(Fn::CeilDiv, a.keys, kPartKeys),
                     SymExpr::apply(Fn::CeilDiv, kManyGroups / 2, a.groups));
  SymExpr keysOfPart =
      SymExpr::apply(Fn::CeilDiv,
                     SymExpr::apply(Fn::CeilDiv, a.keys, kPanelColumns),
                     parts) *
      kPanelColumns;
  SymExpr panels = a.panelsOfValues();
  /// Of the memory: scores of all rows, then maxima of each part. As much as
  /// the longest dims need is enough for all others.
  SymExpr groups = SymExpr::apply(Fn::Min, a.groups, kManyGroups),
          rows = SymExpr::apply(Fn::Min, a.rowsAll, a.queryRows),
          elements = groups * rows * (a.ld + parts);
  Value memory = e.result(1);

  static SymExpr isOf(const SymExpr &groups, const SymExpr &rows,
                      const SymExpr &keys, int64_t queryRows) {
    return SymExpr::apply(Fn::Lt, 0, rows) *
           SymExpr::apply(Fn::Le, rows, queryRows) *
           SymExpr::apply(Fn::Lt, kPartKeys, keys) *
           SymExpr::apply(Fn::Le, groups, kManyGroups);
  }
  Value rowAt(Value group, Value row) {
    return L.add(L.mul(group, e.dim(a.rowsAll)), row);
  }
  Value maximumAt(Value group, Value row, Value part) {
    Value first = L.mul(e.dim(a.groups * a.rowsAll), e.dim(a.ld));
    return L.add(first, L.add(L.mul(rowAt(group, row), e.dim(parts)), part));
  }
  Value scoreAt(Value group, Value row) {
    return L.mul(rowAt(group, row), e.dim(a.ld));
  }
  void scorePart(Value group, Value part);
  Value takeMaxima(Value group, Value rows);
  KeyRange takeScores(Value group, Value rows);
  void finishPanels(Value group, Value begin, Value end);
};

/// The first half's task. Of a part that no row looks at there is no maximum.
void AttentionKernel::Split::scorePart(Value group, Value part) {
  a.beginGroup(group);
  a.m0 = L.index(0);
  Value rows = e.dim(a.rowsAll);
  a.packQueries(rows);
  KeyRange range = a.mask.empty() ? a.allKeys() : a.boundKeys(rows);
  Value size = e.dim(keysOfPart), first = L.mul(part, size);
  Value firstOfAll = range.begin;
  range.begin = L.max(range.begin, first);
  range.end = L.max(L.min(range.end, L.add(first, size)), range.begin);
  a.findPages(a.K, a.keyPlaces, range, firstOfAll);
  a.scores = memory;
  a.scoresAt = scoreAt(group, L.index(0));
  a.computeScores(rows, range);
  e.loop(L.index(0), rows, 1, [&](Value r) {
    Value max = a.finishScores(r, range);
    L.store(max, memory, L.uniform(maximumAt(group, r, part)), a.f32);
  });
}

/// Each row's maximum of all parts, to where its 1/sum will be; gives the
/// lowest.
Value AttentionKernel::Split::takeMaxima(Value group, Value rows) {
  auto constant = [&](double x) { return L.constant(a.f32, x); };
  return e.loop(
      L.index(0), rows, 1, constant(HUGE_VAL), [&](Value r, ValueRange lowest) {
        Value max = e.loop(L.index(0), e.dim(parts), 1, constant(-HUGE_VAL),
                           [&](Value part, ValueRange most) {
                             Idx at = L.uniform(maximumAt(group, r, part));
                             return SmallVector<Value>{L.largerOf(
                                 most[0], L.load(memory, at, a.f32))};
                           })[0];
        L.store(max, a.inverse, L.uniform(r), a.f32);
        return SmallVector<Value>{
            arith::MinNumFOp::create(e.b, L.loc, lowest[0], max)};
      })[0];
}

/// The task's own copy of the scores, and which keys they are of. Where a row
/// is masked whole they are computed again, of all keys.
KeyRange AttentionKernel::Split::takeScores(Value group, Value rows) {
  KeyRange all = a.allKeys(), range = a.mask.empty() ? all : a.boundKeys(rows);
  Value lowest = takeMaxima(group, rows);
  auto copy = [&] {
    Value count = L.sub(range.end, range.begin);
    e.loop(L.index(0), rows, 1, [&](Value r) {
      Idx from = L.uniform(L.add(scoreAt(group, r), range.begin));
      Idx to = L.uniform(L.add(L.mul(r, e.dim(a.ld)), range.begin));
      e.lanesLoop(count, a.lanes, [&](Idx i) {
        L.store(L.load(memory, L.add(from, i), a.f32), a.scores, L.add(to, i),
                a.f32);
      });
    });
  };
  if (a.mask.empty()) {
    copy();
    return range;
  }
  Value again = a.needsAll(lowest, range);
  Value good = L.no(again);
  e.ifThen(good, copy);
  e.ifThen(again, [&] {
    a.findPages(a.K, a.keyPlaces, all, all.begin);
    a.packQueries(rows);
    a.computeScores(rows, all);
    a.storeMaxima(rows, all);
  });
  return {L.select(again, all.begin, range.begin),
          L.select(again, all.end, range.end)};
}

/// The second half's tasks of a group, which share the exponentials.
void AttentionKernel::Split::finishPanels(Value group, Value begin, Value end) {
  a.beginGroup(group);
  a.m0 = L.index(0);
  Value rows = e.dim(a.rowsAll);
  KeyRange range = takeScores(group, rows);
  a.findPages(a.V, a.valuePlaces, range, range.begin);
  e.loop(L.index(0), rows, 1, [&](Value r) {
    a.exponentiate(r, L.load(a.inverse, L.uniform(r), a.f32), range);
  });
  a.computeOutput(rows, range, begin, end);
}

bool isSplitAttention(KernelOp kernel) {
  auto tiling =
      dyn_cast_if_present<CpuAttentionTilingAttr>(kernel.getTilingAttr());
  std::optional<AttentionOps> ops =
      AttentionOps::find(kernel, /*knowsFinished=*/true);
  // Those of a past lie in pages, which a few queries meet.
  return tiling && ops && ops->K.getPages();
}

void emitAttentionKernel(KernelEmitter &e) {
  std::optional<AttentionOps> ops =
      AttentionOps::find(e.kernel(), /*knowsFinished=*/true);
  if (!ops) {
    e.fail("an 'attention' kernel is not matmul, "
           "softmax, matmul of stored operands");
    return;
  }
  auto tiling = e.tiling<CpuAttentionTilingAttr>();
  if (!tiling)
    return;
  AttentionKernel a(*ops, e, tiling.getQueries());
  // Two products and an exponential per score.
  SymExpr blocks = SymExpr::apply(SymExpr::Fn::CeilDiv, a.rowsAll, a.queryRows);
  SymExpr scores = productOf(a.batch) * a.rowsQ * a.keys;
  e.info.tasks = a.groups * blocks;
  e.info.cost = scores * (a.depth + a.N + 16);
  a.takeScratch();
  if (!isSplitAttention(e.kernel()))
    return a.runBlocks();
  AttentionKernel::Split split{a};
  e.info.tasks = a.groups * SymExpr::select(split.is, split.parts, blocks);
  e.info.cost =
      scores * SymExpr::select(split.is, a.depth + 8, a.depth + a.N + 16);
  LaneBuilder &L = e.L;
  Value is = L.ne(e.dim(split.is), 0), whole = L.no(is);
  e.ifThen(whole, [&] { a.runBlocks(); });
  e.ifThen(is, [&] {
    Value parts = e.dim(split.parts);
    e.loop(e.begin, e.end, 1,
           [&](Value t) { split.scorePart(L.div(t, parts), L.rem(t, parts)); });
  });
}

SymExpr emitAttentionColumns(KernelEmitter &e) {
  std::optional<AttentionOps> ops =
      AttentionOps::find(e.kernel(), /*knowsFinished=*/true);
  auto tiling = e.tiling<CpuAttentionTilingAttr>();
  if (!ops || !tiling)
    return 0;
  AttentionKernel a(*ops, e, tiling.getQueries());
  AttentionKernel::Split split{a};
  e.info.tasks = split.is * a.groups * split.panels;
  e.info.cost = split.is * productOf(a.batch) * a.rowsQ * a.keys * (a.N + 8);
  a.takeScratch();
  LaneBuilder &L = e.L;
  Value panels = e.dim(split.panels);
  Value groups = L.div(L.sub(L.add(e.end, panels), 1), panels);
  e.loop(L.div(e.begin, panels), groups, 1, [&](Value group) {
    Value first = L.mul(group, panels);
    split.finishPanels(group, L.sub(L.max(e.begin, first), first),
                       L.min(L.sub(e.end, first), panels));
  });
  return split.elements;
}

} // namespace tenon
