//===- RowRing.cpp - computed rows that rows are made of ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/RowRing.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

/// Rows of a task: its first ones are computed with what others have as well.
static constexpr int64_t kRows = 32;

/// Gathers of rows of one computed value, and what is elementwise of them.
bool RowRing::visit(Value v) {
  Operation *op = v.getDefiningOp();
  if (!op || getDims(v) != dims || !tree.insert(v))
    return true;
  if (op->hasTrait<OpTrait::Elementwise>())
    return llvm::all_of(op->getOperands(), [&](Value o) { return visit(o); });
  auto gather = dyn_cast<GatherOp>(op);
  if (!gather || gather.getAxis() + 2 != dims.size() ||
      getDims(gather.getIndices()).size() != 1)
    return true;
  Value in = gather.getInput();
  SmallVector<SymExpr> own = getDims(in);
  if (!in.getDefiningOp() || own.size() != dims.size() ||
      own.back() != dims.back() || (source && source != in))
    return !source;
  source = in;
  taps.push_back(gather);
  return true;
}

bool RowRing::match() {
  if (e.vectorLanes() == 1 || dims.size() < 2 || !visit(root) || !source ||
      taps.size() < 2 ||
      size_t(std::distance(source.use_begin(), source.use_end())) !=
          taps.size())
    return false;
  auto isRow = [&](Operation *user) {
    return user->hasTrait<mlir::OpTrait::IsTerminator>() ||
           (user->getNumResults() == 1 && tree.contains(user->getResult(0)));
  };
  if (!llvm::all_of(tree,
                    [&](Value v) { return llvm::all_of(v.getUsers(), isRow); }))
    return false;
  // It computes its rows by gathers along them, which are worth keeping.
  llvm::SetVector<Value> values;
  values.insert(source);
  for (size_t i = 0; i < values.size(); ++i) {
    Operation *op = values[i].getDefiningOp();
    auto gather = dyn_cast_if_present<GatherOp>(op);
    if (gather && gather.getAxis() + 1 == dims.size())
      return true;
    if (op && op->hasTrait<OpTrait::Elementwise>())
      values.insert(op->operand_begin(), op->operand_end());
  }
  return false;
}

/// `fn` for all lanes: a row of the ring has room behind its end, and what is
/// stored by masks would have to reach the cache before it is loaded.
Value RowRing::wholly(function_ref<Value()> fn) {
  Value mask = std::exchange(L.mask, {});
  Value v = fn();
  L.mask = mask;
  return v;
}

/// A row of the source into the ring.
void RowRing::computeRow(GatheredRows &lanes, Value row, Value slot) {
  SmallVector<Idx> from(at);
  from[dims.size() - 2] = L.uniform(row);
  Value to = L.mul(slot, e.dim(stride));
  lanes.emitRows({from}, [&] {
    e.lanesLoop(e.dim(dims.back()), e.vectorLanes(), [&](Idx i) {
      from.back() = i;
      Value lanes = L.widen(e.emit(source, from));
      wholly([&] {
        L.store(lanes, ring, L.add(L.uniform(to, e.vectorLanes()), i), type);
        return Value();
      });
    });
  });
}

/// For each row of the result which rows it is made of, once in each call, and
/// whether they come in order.
void RowRing::fillPlaces() {
  size_t rank = dims.size();
  int64_t count = taps.size();
  places = e.scratchBuffer(dims[rank - 2] * fields(), e.b.getI64Type());
  Value rows = e.dim(dims[rank - 2]);
  SymExpr height = getDims(source)[rank - 2];
  auto put = [&](Value row, int64_t field, Value v) {
    L.store(L.toI64(v), places, L.uniform(fieldOf(row, field)),
            e.b.getI64Type());
  };
  Values init{L.index(0), L.index(0), L.constantInt(e.b.getI1Type(), 1)};
  inOrder = e.loop(L.index(0), rows, 1, init, [&](Value row, ValueRange own) {
    Value least, most;
    for (auto [k, tap] : llvm::enumerate(taps)) {
      Value place =
          e.emitGatherIndex(tap.getIndices(), {L.uniform(row)}, height).base;
      put(row, kTaps + int64_t(k), place);
      least = least ? L.min(least, place) : place;
      most = most ? L.max(most, place) : place;
    }
    put(row, kLeast, least);
    put(row, kMost, most);
    Value is = L.both(L.sle(own[0], least), L.sle(own[1], most));
    is = L.both(is, L.slt(L.sub(most, least), size));
    return Values{least, most, L.both(own[2], is)};
  })[2];
  e.loop(L.index(0), rows, 1, [&](Value row) {
    for (int64_t k = 0; k < count; ++k) {
      Value slot =
          L.select(inOrder, L.rem(placeAt(row, kTaps + k), size), L.index(k));
      put(row, kTaps + count + k, L.mul(slot, e.dim(stride)));
    }
    put(row, kLeast, L.select(inOrder, placeAt(row, kLeast), L.index(0)));
    put(row, kMost, L.select(inOrder, placeAt(row, kMost), L.index(count - 1)));
  });
}

Value RowRing::fieldOf(Value row, int64_t field) {
  return L.add(L.mul(row, fields()), field);
}

Value RowRing::placeAt(Value row, Value field) {
  Value at = L.add(fieldOf(row, 0), field);
  return L.fromData(L.load(places, L.uniform(at), e.b.getI64Type()), false)
      .base;
}

/// Binds what is the same in all lanes of the row, and the taps.
void RowRing::bindRow(Value row) {
  for (Value v : tree) {
    Operation *op = v.getDefiningOp();
    if (!op->hasTrait<OpTrait::Elementwise>())
      continue;
    for (Value o : op->getOperands()) {
      SmallVector<SymExpr> own = getDims(o);
      if (own.empty() || own.back().constant() != 1)
        continue;
      Value wide = L.widen(e.emit(o, e.broadcastIndex(at, own, dims)));
      e.bind(o, [wide](ArrayRef<Idx>) { return wide; });
      uniform.push_back(o);
    }
  }
  for (auto [k, tap] : llvm::enumerate(taps)) {
    Value from = placeAt(row, kTaps + int64_t(taps.size() + k));
    e.bind(tap.getResult(), [this, from](ArrayRef<Idx> idx) {
      return wholly([&] {
        return L.load(ring, L.add(L.uniform(from, e.vectorLanes()), idx.back()),
                      type);
      });
    });
  }
}

/// A row of the result; `next` is the first row that the ring never had. Gives
/// the next one.
Value RowRing::emitRow(GatheredRows &lanes, Value image, Value row,
                       Value next) {
  size_t rank = dims.size();
  at[rank - 2] = L.uniform(row);
  Value behind = L.add(placeAt(row, kMost), 1);
  e.loop(L.max(next, placeAt(row, kLeast)), behind, 1, [&](Value i) {
    Value tap = L.select(inOrder, L.index(0), i);
    Value own = placeAt(row, L.add(tap, int64_t(kTaps)));
    computeRow(lanes, L.select(inOrder, i, own), L.rem(i, size));
  });
  bindRow(row);
  Value n = e.dim(dims.back());
  Value begin = L.mul(L.add(L.mul(image, e.dim(dims[rank - 2])), row), n);
  e.lanesLoop(n, e.vectorLanes(), [&](Idx i) {
    at.back() = i;
    Idx place = L.add(L.uniform(begin), i);
    e.setDomain(dims, at, place);
    L.store(e.emit(root, at), e.result(0), place,
            getElementTypeOrSelf(root.getType()));
  });
  at.back() = L.uniform(0);
  for (Value v : uniform)
    e.unbind(v);
  uniform.clear();
  return L.select(inOrder, behind, L.index(0));
}

void RowRing::emit() {
  size_t rank = dims.size();
  type = computeType(getElementTypeOrSelf(source.getType()));
  size = llvm::bit_ceil(taps.size());
  int64_t lanes = e.vectorLanes();
  stride = SymExpr::apply(SymExpr::Fn::CeilDiv, dims.back(), lanes) * lanes;
  ring = e.scratchBuffer(stride * size, type);
  fillPlaces();
  GatheredRows gathered(e, source);
  SmallVector<SymExpr> grid(dims.begin(), dims.end() - 1);
  grid.back() = SymExpr::apply(SymExpr::Fn::CeilDiv, grid.back(), kRows);
  e.info.tasks = productOf(grid);
  ArrayRef<SymExpr> outer = ArrayRef(dims).drop_back(2);
  Values none{L.index(0), L.index(-1)}; // the next row, of which image
  e.loop(e.begin, e.end, 1, none, [&](Value task, ValueRange kept) {
    at = e.delinearize(task, grid);
    Value first = L.mul(at.back().base, kRows);
    Value behind = L.min(L.add(first, kRows), e.dim(dims[rank - 2]));
    Value image = e.linearize(ArrayRef(at).drop_back(1), outer).base;
    Values next{L.select(L.eq(image, kept[1]), kept[0], L.index(0))};
    at.push_back(L.uniform(0));
    next = e.loop(first, behind, 1, next, [&](Value row, ValueRange own) {
      return Values{emitRow(gathered, image, row, own[0])};
    });
    return Values{next[0], image};
  });
}

} // namespace tenon
