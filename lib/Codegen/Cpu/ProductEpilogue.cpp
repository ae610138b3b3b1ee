//===- ProductEpilogue.cpp - what follows a register tile -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Of floats a row at a time. Products of integers by dot products are short:
// what their rows have in common is a good part of the epilogue, so that they
// go through all rows for a vector of columns, with wide vectors for a panel.
// There the vectors of two rows take turns, an operation each: what follows
// such products, twenty operations that wait for each other, is longer than
// what a core looks ahead.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/ProductEpilogue.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Codegen/Cpu/Product.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace tenon {

void readAhead(KernelEmitter &e, const SymExpr &columns, ArrayRef<Idx> at) {
  LaneBuilder &L = e.L;
  auto isOne = [](const SymExpr &dim) { return dim.constant() == 1; };
  auto isWanted = [&](Value v) {
    SmallVector<SymExpr> dims = getDims(v);
    if (at.empty())
      return llvm::all_of(dims, isOne);
    return !dims.empty() && dims.back() == columns && !isOne(columns) &&
           llvm::all_of(ArrayRef(dims).drop_back(), isOne);
  };
  auto read = [&](Value v) {
    SmallVector<Idx> place(getDims(v).size(), L.uniform(0));
    // What another branch has read counts no more.
    e.bind(v, [](ArrayRef<Idx>) { return Value(); });
    if (at.empty()) {
      Value known = e.emit(v, place);
      return e.bind(v, [known](ArrayRef<Idx>) { return known; });
    }
    SmallVector<std::pair<Idx, Value>, 2> known;
    for (const Idx &column : at) {
      place.back() = column;
      known.emplace_back(column, e.emit(v, place));
    }
    e.bind(v, [known](ArrayRef<Idx> idx) {
      for (auto &[column, value] : known)
        if (idx.back().base == column.base && idx.back().lane == column.lane)
          return value;
      return Value();
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

ProductEpilogue::Place ProductEpilogue::placeAt(Row row, Value c,
                                                const Idx &column) {
  LaneBuilder &L = e.L;
  row.idx.back() = column;
  Place place{row.idx, L.add(row.base, column), {}};
  for (auto [v, at] : products)
    place.in.push_back(
        Idx{L.add(L.add(at, row.inPanel), c), 1, column.align, {}});
  return place;
}

void ProductEpilogue::bindProducts(const Place &place) {
  LaneBuilder &L = e.L;
  for (auto [product, in] : llvm::zip(products, place.in))
    e.bind(product.first, [&L, C = C, sumType = sumType, in](ArrayRef<Idx>) {
      LaneScope whole(L, L.lanes); // as the tile is
      return L.load(C, in, sumType);
    });
}

void ProductEpilogue::store(const Place &place) {
  bindProducts(place);
  sink.store(e, place.idx, place.to);
}

/// Are the results quantised numbers, which instructions that narrow vectors
/// saturate for nothing? Behind GELU's long chains four vectors that end
/// together took 1.8 times as long as each by itself.
bool ProductEpilogue::storesBytes() {
  bool isLong = !sink.value.getParentBlock()->getOps<GeluOp>().empty();
  return !isLong && sink.perm.empty() && e.saturates(sink.value);
}

/// Lets chains of operations that are alike take turns, behind the numbers that
/// they need. What a chain reads no other one of them writes.
static void interleave(OpBuilder &b, ArrayRef<SmallVector<Operation *>> made) {
  SmallVector<SmallVector<Operation *>> chains;
  DenseMap<Operation *, size_t> turn;
  for (auto &ops : made) {
    SmallVector<Operation *> &chain = chains.emplace_back();
    for (Operation *op : ops) {
      bool isNumber = op->getNumRegions() == 0 && isMemoryEffectFree(op) &&
                      llvm::none_of(op->getOperands(), [&](Value operand) {
                        return turn.count(operand.getDefiningOp());
                      });
      if (isNumber)
        continue;
      turn[op] = chain.size();
      chain.push_back(op);
    }
  }
  size_t length = chains.front().size();
  for (auto &chain : chains) {
    if (chain.size() != length)
      return;
    for (auto [i, op] : llvm::enumerate(chain)) {
      bool isLate = llvm::any_of(op->getOperands(), [&](Value operand) {
        auto it = turn.find(operand.getDefiningOp());
        return it != turn.end() && it->second > i;
      });
      if (op->getName() != chains.front()[i]->getName() ||
          op->getNumRegions() != 0 || isLate)
        return;
    }
  }
  for (size_t i = 0; i < length; ++i)
    for (auto &chain : chains)
      chain[i]->moveBefore(b.getInsertionBlock(), b.getInsertionPoint());
}

/// What `fn` makes for each place, an operation of each in turn.
void ProductEpilogue::inTurns(ArrayRef<Place> places,
                              function_ref<void(const Place &)> fn) {
  OpBuilder &b = e.b;
  SmallVector<SmallVector<Operation *>> chains;
  for (const Place &place : places) {
    Block *block = b.getInsertionBlock();
    auto end = [&] { return b.getInsertionPoint(); };
    Operation *before = end() == block->begin() ? nullptr : &*std::prev(end());
    fn(place);
    auto begin = before ? std::next(before->getIterator()) : block->begin();
    SmallVector<Operation *> chain;
    for (Operation &op : llvm::make_range(begin, end()))
      chain.push_back(&op);
    chains.push_back(std::move(chain));
  }
  interleave(b, chains);
}

/// Two rows of a panel of two vectors.
void ProductEpilogue::storeBytes(ArrayRef<Place> places) {
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  auto vector = [&](int64_t lanes, unsigned bits) {
    return VectorType::get({lanes}, b.getIntegerType(bits));
  };
  auto intrinsic = [&](StringRef name, Type type,
                       ValueRange operands) -> Value {
    return LLVM::CallIntrinsicOp::create(b, L.loc, type, b.getStringAttr(name),
                                         operands)
        .getResults();
  };
  Value zero;
  auto words = [&](Value low, Value high) {
    VectorType type = vector(kPanelColumns, 16);
    Value packed = intrinsic("llvm.x86.avx512.packssdw.512", type, {low, high});
    Value point = vector::BroadcastOp::create(b, L.loc, type, zero);
    return intrinsic("llvm.sadd.sat", type, {packed, point});
  };
  SmallVector<Value> numbers;
  inTurns(places, [&](const Place &place) {
    bindProducts(place);
    e.setDomain(getDims(sink.value), place.idx, place.to);
    numbers.push_back(
        e.emitQuantized(sink.value.getDefiningOp<CastOp>(), place.idx, &zero));
  });
  Value rows[] = {words(numbers[0], numbers[1]), words(numbers[2], numbers[3])};
  Value bytes = intrinsic("llvm.x86.avx512.packuswb.512",
                          vector(2 * kPanelColumns, 8), rows);
  // Each 128 bits have four numbers of each vector.
  constexpr int64_t four = 4, vectors = 4;
  SmallVector<int64_t> order;
  for (int64_t v = 0; v < vectors; ++v)
    for (int64_t part = 0; part < four; ++part)
      order.push_back(part * vectors + v);
  bytes =
      vector::BitCastOp::create(b, L.loc, vector(vectors * four, 32), bytes);
  for (int64_t r = 0; r < 2; ++r) {
    auto own = ArrayRef(order).slice(r * 2 * four, 2 * four);
    Value row = vector::ShuffleOp::create(b, L.loc, bytes, bytes, own);
    row = vector::BitCastOp::create(b, L.loc, vector(kPanelColumns, 8), row);
    vector::StoreOp::create(b, L.loc, row, e.result(0), places[2 * r].to.base);
  }
}

/// Some rows of a panel's columns.
void ProductEpilogue::storeTogether(ArrayRef<Row> rows,
                                    ArrayRef<std::pair<Value, Idx>> columns) {
  SmallVector<Place> places;
  for (const Row &row : rows)
    for (auto &[c, column] : columns)
      places.push_back(placeAt(row, c, column));
  if (rows.size() == 2 && storesBytes())
    return storeBytes(places);
  inTurns(places, [&](const Place &place) { store(place); });
}

/// A panel that is whole, two rows at a time.
void ProductEpilogue::emitByPanel(Value batchIndex, Value m0, Value rows,
                                  Value panel) {
  LaneBuilder &L = e.L;
  LaneScope saved(L, e.vectorLanes());
  Value first = L.mul(panel, kPanelColumns);
  SmallVector<std::pair<Value, Idx>> columns;
  SmallVector<Idx> at;
  for (int64_t c = 0; c < kPanelColumns; c += L.lanes) {
    at.push_back(Idx{L.add(first, c), 1, int64_t(L.lanes), {}});
    columns.emplace_back(L.index(c), at.back());
  }
  readAhead(e, N, at);
  auto own = [&](Value r) { return rowAt(batchIndex, L.add(m0, r), r); };
  Value even = L.sub(rows, L.rem(rows, 2));
  e.loop(L.index(0), even, 2,
         [&](Value r) { storeTogether({own(r), own(L.add(r, 1))}, columns); });
  e.ifThen(L.ne(even, rows), [&] { storeTogether({own(even)}, columns); });
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
  auto one = [&](const Row &row, Value c, const Idx &column) {
    store(placeAt(row, c, column));
  };
  bool isWide = 2 * e.vectorLanes() == kPanelColumns;
  if (isShort && isWide && N.constant() && *N.constant() % kPanelColumns == 0)
    return emitByPanel(batchIndex, m0, rows, panel);
  if (isShort)
    return forColumns([&](Value c, Idx column) {
      readAhead(e, N, column);
      forRows([&](Row row) { one(row, c, column); });
    });
  forRows([&](Row row) {
    forColumns([&](Value c, Idx column) { one(row, c, column); });
  });
}

} // namespace tenon
