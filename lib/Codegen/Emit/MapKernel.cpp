//===- MapKernel.cpp - one loop nest over the result ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The result is walked in memory order. Where every operand has the result's
// dims or one element, all dims count as one, cut into tasks
// of `chunk` elements; otherwise a task is one row of the last dim that is
// not 1.
//
// What rows that gather have in common is computed once (GatheredRows.h), and
// so are rows that several of the result are made of (RowRing.h). The
// parts of rows that are joined (channels of several images) are loops of their
// own.
//
// Windows that overlap share what their rows come to (SlidingWindows.h).
//
// Where the last dim has two to four elements, or is joined of such a one and
// that before it (an image that grows), lanes lie along the one before: what
// they compute for each of the few is interleaved.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/GatheredRows.h"
#include "lib/Codegen/Emit/KernelKinds.h"
#include "lib/Codegen/Emit/RowRing.h"
#include "lib/Codegen/Emit/SlidingWindows.h"
#include "lib/Codegen/Emit/SwappedRows.h"
#include <memory>

using namespace mlir;

namespace tenon {

bool isFlatMap(KernelEmitter &e, ArrayRef<SymExpr> dims) {
  auto fits = [&](Value v) {
    SmallVector<SymExpr> d = getDims(v);
    return ArrayRef<SymExpr>(d) == dims ||
           llvm::all_of(d, [](auto &x) { return x.constant() == 1; });
  };
  for (Operation &op : e.body().without_terminator()) {
    if (op.hasTrait<mlir::OpTrait::ConstantLike>())
      continue;
    if (!op.hasTrait<OpTrait::Elementwise>() ||
        !llvm::all_of(op.getOperands(), fits))
      return false;
  }
  return llvm::all_of(e.body().getArguments(), fits);
}

namespace {

/// A map whose last dim has, or hides, a few elements of each place.
struct PhasesMap {
  KernelEmitter &e;
  Value root;
  int64_t count = 0;                 ///< the few
  SmallVector<ReshapeOp> joins = {}; ///< what joins them; none: the last dim
  SmallVector<SymExpr> outer = {};   ///< dims before the places
  SymExpr places = SymExpr(1);
  LaneBuilder &L = e.L;

  bool match();
  void emit(int64_t chunk);
  Value phase(ArrayRef<Idx> at, const Idx &place, int64_t j);
  Value interleaved(ArrayRef<Value> phases, int64_t first);
  void store(ArrayRef<Value> phases, Value base);

  bool isFew(const SymExpr &d) {
    return d.constant() && *d.constant() >= 2 && *d.constant() <= 4;
  }
};

/// The ops that read of operands of the root's dims the element that they
/// compute: its tree of elementwise ops, and who yields it.
DenseSet<Operation *> readInPlace(Value root) {
  DenseSet<Operation *> ops(root.getUsers().begin(), root.getUsers().end());
  SmallVector<Value> values{root};
  while (!values.empty()) {
    Operation *op = values.pop_back_val().getDefiningOp();
    if (op && op->hasTrait<OpTrait::Elementwise>() && ops.insert(op).second)
      llvm::append_range(values, op->getOperands());
  }
  return ops;
}

bool PhasesMap::match() {
  // Ops are emitted for each of the few; those of a filter are wanted anyway.
  constexpr size_t most = 16, mostOfFilter = 128;
  SmallVector<SymExpr> dims = getDims(root);
  size_t rank = dims.size();
  if (e.vectorLanes() == 1 || rank < 2 ||
      e.body().getOperations().size() > mostOfFilter)
    return false;
  if (isFew(dims.back())) {
    if (e.body().getOperations().size() > most)
      return false;
    count = *dims.back().constant();
    places = dims[rank - 2];
    outer.assign(dims.begin(), dims.end() - 2);
    return places.constant().value_or(e.vectorLanes()) >=
           int64_t(e.vectorLanes());
  }
  outer.assign(dims.begin(), dims.end() - 1);
  DenseSet<Operation *> inPlace = readInPlace(root);
  for (Operation &op : e.body()) {
    auto join = dyn_cast<ReshapeOp>(op);
    if (!join || isa<BlockArgument>(join.getInput()) ||
        getDims(join.getResult()) != dims)
      continue;
    SmallVector<SymExpr> from = getDims(join.getInput());
    if (!llvm::all_of(
            join->getUsers(),
            [&](Operation *user) { return inPlace.contains(user); }) ||
        from.size() != rank + 1 || !isFew(from.back()) ||
        ArrayRef(from).take_front(rank - 1) != ArrayRef(outer) ||
        (count && from.back() != SymExpr(count)))
      return false;
    count = *from.back().constant();
    places = from[rank - 1];
    joins.push_back(join);
  }
  return count;
}

/// Element j of the few at each lane's place.
Value PhasesMap::phase(ArrayRef<Idx> at, const Idx &place, int64_t j) {
  SmallVector<Idx> apart(at), joined(at);
  apart.append({place, L.uniform(j)});
  joined.push_back(L.add(L.mul(place, count), L.uniform(j)));
  for (ReshapeOp join : joins)
    e.bind(join.getResult(), [this, join, apart](ArrayRef<Idx>) mutable {
      return e.emit(join.getInput(), apart);
    });
  return L.widen(e.emit(root, joins.empty() ? apart : joined));
}

/// One of as many vectors as there are phases: lanes `first` on of all.
Value PhasesMap::interleaved(ArrayRef<Value> phases, int64_t first) {
  int64_t lanes = L.lanes;
  Value all = phases[0];
  for (int64_t j = 1; j < count; ++j) {
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      int64_t phase = (first + lane) % count, place = (first + lane) / count;
      order.push_back(phase == j             ? lanes + place
                      : phase == 0 && j == 1 ? place
                                             : lane);
    }
    all = vector::ShuffleOp::create(e.b, L.loc, all, phases[j], order);
  }
  return all;
}

/// The phases of lanes that begin at `base` of the result.
void PhasesMap::store(ArrayRef<Value> phases, Value base) {
  Type element = getElementTypeOrSelf(root.getType());
  Value active;
  if (L.mask)
    active = L.mul(L.mask.getDefiningOp<vector::CreateMaskOp>().getOperand(0),
                   count);
  if (count == 3) { // no power of two: vector by vector
    LaneScope scope(L);
    for (int64_t first = 0; first < int64_t(L.lanes) * count;
         first += L.lanes) {
      if (active)
        L.mask = L.tailMask(L.sub(active, first));
      L.store(interleaved(phases, first), e.result(0),
              Idx{L.add(base, first), 1, 1, {}}, element);
    }
    return;
  }
  auto join = [&](Value x, Value y) -> Value {
    return vector::InterleaveOp::create(e.b, L.loc, x, y);
  };
  Value all =
      count == 2 ? join(phases[0], phases[1])
                 : join(join(phases[0], phases[2]), join(phases[1], phases[3]));
  LaneScope wide(L, L.lanes * count);
  if (active)
    L.mask = L.tailMask(active);
  L.store(all, e.result(0), Idx{base, 1, count, {}}, element);
}

void PhasesMap::emit(int64_t chunk) {
  SmallVector<SymExpr> grid(outer);
  grid.push_back(SymExpr::apply(SymExpr::Fn::CeilDiv, places, chunk));
  e.info.tasks = productOf(grid);
  Value n = e.dim(places);
  e.loop(e.begin, e.end, 1, [&](Value task) {
    SmallVector<Idx> at = e.delinearize(task, grid);
    Value from = L.mul(at.back().base, chunk);
    at.pop_back();
    Value row = L.mul(e.linearize(at, outer).base, n);
    e.lanesLoop(L.min(L.sub(n, from), chunk), e.vectorLanes(), [&](Idx i) {
      Idx place = L.add(L.uniform(from, chunk), i);
      SmallVector<Value> phases;
      for (int64_t j = 0; j < count; ++j)
        phases.push_back(phase(at, place, j));
      store(phases, L.mul(L.add(row, place.base), count));
    });
  });
}

/// What rows are joined of, each part's loop of its own: lanes then lie in one
/// part. `v` itself where it is nothing joined along the axis, or of many.
SmallVector<Value> joinedRows(Value v, size_t axis) {
  constexpr size_t most = 16;
  auto concat = v.getDefiningOp<ConcatOp>();
  if (!concat || size_t(concat.getAxis()) != axis ||
      concat.getInputs().size() > most)
    return {v};
  return llvm::to_vector(concat.getInputs());
}

/// A task is a row along `axis`.
void emitRows(KernelEmitter &e, Value root, size_t axis,
              ArrayRef<SymExpr> outer) {
  LaneBuilder &L = e.L;
  Type element = getElementTypeOrSelf(root.getType());
  SmallVector<SymExpr> dims = getDims(root);
  Value n = e.dim(dims[axis]), out = e.result(0);
  e.info.tasks = productOf(outer);
  SmallVector<Value> parts = joinedRows(root, axis);
  SmallVector<std::unique_ptr<GatheredRows>> gathered;
  for (Value part : parts)
    gathered.push_back(std::make_unique<GatheredRows>(e, part));
  auto some = [&](ArrayRef<Value> rows) {
    SmallVector<SmallVector<Idx>> at;
    SmallVector<Value> begins;
    for (Value row : rows) {
      at.push_back(e.delinearize(row, outer));
      at.back().append(dims.size() - axis, L.uniform(0));
      begins.push_back(L.mul(row, n));
    }
    for (size_t k = 0; k < parts.size(); ++k) {
      SmallVector<SymExpr> own = getDims(parts[k]);
      Value count = e.dim(own[axis]);
      SmallVector<Idx> from, to;
      for (auto [row, begin] : llvm::zip_equal(rows, begins)) {
        from.push_back(L.uniform(L.mul(row, count)));
        to.push_back(L.uniform(begin));
      }
      gathered[k]->emitRows(SmallVector<SmallVector<Idx>>(at), [&] {
        e.lanesLoop(count, e.vectorLanes(), [&](Idx i) {
          SmallVector<Value> values;
          SmallVector<Idx> places;
          for (size_t r = 0; r < rows.size(); ++r) {
            gathered[k]->select(r);
            at[r][axis] = i;
            places.push_back(L.add(to[r], i));
            e.setDomain(own, at[r], L.add(from[r], i));
            values.push_back(e.emit(parts[k], at[r]));
          }
          for (auto [value, place] : llvm::zip_equal(values, places))
            L.store(value, out, place, element);
        });
      });
      if (k + 1 < parts.size())
        for (Value &begin : begins)
          begin = L.add(begin, count);
    }
  };
  if (parts.size() > 1 || gathered.front()->together() == 1)
    return e.loop(e.begin, e.end, 1, [&](Value row) { some({row}); });
  e.loop(e.begin, e.end, 2, [&](Value row) { // of one the last one twice
    some({row, L.min(L.add(row, 1), L.sub(e.end, 1))});
  });
}

/// What an element of the map takes: its memory, or its arithmetic where there
/// is much of it. Views of what is computed have other dims.
int64_t costOfElement(Block &body, const SymExpr &total) {
  int64_t cost = 0;
  for (Operation &op : body.without_terminator())
    if (auto fusion = dyn_cast<FusionInterface>(&op);
        fusion && productOf(getDims(op.getResult(0))) == total)
      cost += fusion.getFusionCost();
  return std::max<int64_t>(cost, 4);
}

} // namespace

void emitMapKernel(KernelEmitter &e) {
  LaneBuilder &L = e.L;
  Value root = e.body().getTerminator()->getOperand(0);
  if (auto reduce = root.getDefiningOp<ReduceOp>())
    return emitReduceKernel(e, reduce);
  auto tiling = e.tiling<CpuElementsTilingAttr>();
  if (!tiling)
    return;
  int64_t chunk = tiling.getChunk();
  Type element = getElementTypeOrSelf(root.getType());
  SmallVector<SymExpr> dims = getDims(root);
  SymExpr total = productOf(dims);
  e.info.cost = total * costOfElement(e.body(), total);
  Value out = e.result(0);

  // n elements of `root` in memory order; indexOf(position) is an element's.
  auto inChunks = [&](Value n, function_ref<SmallVector<Idx>(Idx)> indexOf) {
    e.info.tasks = SymExpr::apply(SymExpr::Fn::CeilDiv, total, chunk);
    e.loop(e.begin, e.end, 1, [&](Value t) {
      Value first = L.mul(t, chunk);
      Value size = L.min(L.sub(n, first), chunk);
      e.lanesLoop(size, e.vectorLanes(), [&](Idx i) {
        Idx flat = L.add(L.uniform(first, chunk), i);
        SmallVector<Idx> idx = indexOf(flat);
        e.setDomain(dims, idx, flat);
        L.store(e.emit(root, idx), out, flat, element);
      });
    });
  };
  if (isFlatMap(e, dims))
    return inChunks(e.dim(total), [&](Idx flat) {
      return SmallVector<Idx>(dims.size(), flat);
    });

  if (dims.empty()) { // one element, of a whole reduction for instance
    e.loop(e.begin, e.end, 1, [&](Value) {
      L.store(e.emit(root, {}), out, L.uniform(0), element);
    });
    return;
  }
  if (PhasesMap phases{e, root}; phases.match())
    return phases.emit(chunk);
  size_t axis = dims.size() - 1;
  while (axis > 0 && dims[axis].constant() == 1)
    --axis;
  SmallVector<SymExpr> outer(dims.begin(), dims.begin() + axis);
  Value n = e.dim(dims[axis]);
  if (isOneElement(outer)) // one row: in chunks as well
    return inChunks(n, [&](Idx flat) {
      SmallVector<Idx> idx(dims.size(), L.uniform(0));
      idx[axis] = flat;
      return idx;
    });
  if (SlidingWindows windows(e, root, axis); windows.match())
    return windows.emit();
  if (RowRing ring(e, root); axis == dims.size() - 1 && ring.match())
    return ring.emit();
  if (axis == dims.size() - 1)
    if (std::optional<size_t> rows = swappedRows(root, axis))
      return emitSwappedRows(e, root, *rows, axis, chunk);
  emitRows(e, root, axis, outer);
}

} // namespace tenon
