//===- ShortWindow.cpp - convolutions of few terms ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Of 9 or 27 terms, as first layers have them, a tile of sums has hardly begun
// when it ends: sums that are stored for their epilogue and read again cost a
// good part of it, and so do offsets of positions that the tile has to look up.
// Here a tile is neighbours in a row, whose distance is known, and its sums go
// to the epilogue in registers:
//
//   for tap:  for element of its run:  for position:  for vector of columns:
//     sum of position, vector  +=  image[position + element] x
//     B[element][vector]
//
// The last tile of a row begins where it ends with the row: some positions are
// computed twice.
//
// Where the result has its channels first, a tile is a square, or two beside
// each other, which are turned before they are stored; all positions of a row
// come before the next columns then.
//
// A sum is one chain of additions in the order of k, as it is of other tiles:
// bits are the same.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/ShortWindow.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Emit/SwappedRows.h"
#include "lib/Codegen/Form/FewTerms.h"
#include "llvm/ADT/bit.h"

using namespace mlir;

namespace tenon {

/// Of a square that is turned.
static constexpr int64_t kFewestLanes = 4;

/// Positions of a tile by so many vectors of columns: as many as there are
/// registers for, and as fill rows of `width` positions (0: of any number) with
/// the fewest multiply-adds.
static int64_t positionsOfTile(const TargetInfo &target, int64_t vectors,
                               int64_t width) {
  // A chain waits four cycles for its last sum, in which eight others begin.
  constexpr int64_t latency = 8, largest = 16, usual = 8;
  int64_t room = target.numVectorRegs - vectors - (target.hasFma ? 1 : 2);
  int64_t most = std::min(room / vectors, largest);
  if (width == 0)
    return std::min(most, usual);
  auto cost = [&](int64_t positions) {
    int64_t ofTile = std::max(positions * vectors, latency) + 1;
    return llvm::divideCeil(width, positions) * ofTile;
  };
  int64_t best = most;
  for (int64_t positions = most; positions > 0; --positions)
    if (cost(positions) < cost(best))
      best = positions;
  return best;
}

std::optional<ShortWindow>
ShortWindow::match(KernelEmitter &e, PackedMatMulOp op, Sink &sink,
                   EpilogueFetch &fetch, int64_t taps, const SymExpr &run,
                   const SymExpr &positions, std::optional<int64_t> apart,
                   int64_t ofTask) {
  std::optional<int64_t> length = run.constant(),
                         columns = getDims(op.getResult()).back().constant();
  if (!length || !columns || !apart ||
      !hasFewTerms(taps * *length, *length, *apart))
    return std::nullopt;
  ShortWindow window(e, op, sink, fetch);
  window.N = *columns, window.taps = taps, window.run = *length;
  window.apart = *apart;
  window.meeting = llvm::divideCeil(*length, *apart);
  int64_t lanes = e.vectorLanes(), width = positions.constant().value_or(0);
  if (sink.isTurned() && width) // squares are no wider than rows
    lanes = std::min(lanes, std::max<int64_t>(llvm::bit_floor(uint64_t(width)),
                                              kFewestLanes));
  window.lanes = lanes;
  int64_t vectors = llvm::divideCeil(*columns, lanes);
  bool many = e.target.numVectorRegs >= 32;
  window.together = vectors <= (many ? 4 : 3) ? vectors : many ? 4 : 2;
  window.most = positionsOfTile(e.target, window.together, width);
  if (sink.isTurned()) {
    // With few registers the sums of half a square wait in memory for the
    // others, which of few terms costs more than it spares.
    constexpr int64_t fewest = 16;
    bool halves = many || taps * *length >= fewest;
    window.together = halves ? std::min<int64_t>(vectors, 2) : 1;
    window.most = lanes;
  }
  window.ofTask = ofTask;
  if (ofTask < *columns && ofTask % (window.together * lanes) != 0)
    return std::nullopt;
  return window;
}

SmallVector<Value> ShortWindow::sumsOf(const Tile &tile) {
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Location loc = L.loc;
  int64_t lanes = L.lanes, panel = kPanelColumns, vectors = tile.vectors;
  auto vt = cast<VectorType>(L.vec(b.getF32Type()));
  auto loadIndex = [&](Value table, Value at) -> Value {
    Value v = memref::LoadOp::create(b, loc, table, at);
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), v);
  };
  Value first = L.add(loadIndex(o.places, o.placeAt), L.mul(tile.first, apart));
  // Those that meet an element of another one. It is loaded for each of them;
  // else LLVM keeps it in a register, of which there are too few, so that it is
  // stored and loaded.
  SmallVector<Value> bases;
  for (int64_t p = 0; p < std::min(tile.positions, meeting); ++p)
    bases.push_back(hideIndex(L, L.add(first, p * apart)));
  Value ofPanel = L.add(L.mul(L.div(tile.begin, panel), taps * run * panel),
                        L.rem(tile.begin, panel));
  auto multiply = [&](Value t, ValueRange before) {
    SmallVector<Value> sums(before);
    Value tap = loadIndex(o.taps, L.add(o.tapAt, t));
    SmallVector<Value> starts;
    for (Value base : bases)
      starts.push_back(L.add(base, tap));
    Value rows = L.add(ofPanel, L.mul(t, run * panel));
    for (int64_t k = 0; k < run; ++k) {
      SmallVector<Value> columns;
      for (int64_t v = 0; v < vectors; ++v) {
        int64_t column = v * lanes;
        int64_t at =
            column / panel * taps * run * panel + k * panel + column % panel;
        columns.push_back(
            vector::LoadOp::create(b, loc, vt, o.B, L.add(rows, at)));
      }
      for (int64_t p = 0; p < tile.positions; ++p) {
        int64_t i = p % meeting;
        Value at = L.add(starts[i], (p - i) * apart + k);
        Value x = memref::LoadOp::create(b, loc, o.A, at);
        x = vector::BroadcastOp::create(b, loc, vt, x);
        for (int64_t v = 0; v < vectors; ++v) {
          Value &sum = sums[p * vectors + v];
          sum = L.multiplyAdd(x, columns[v], sum, e.target.hasFma);
        }
      }
    }
    return sums;
  };
  SmallVector<Value> zeros(tile.positions * vectors, L.constant(vt, 0));
  if (taps == 1)
    return multiply(L.index(0), zeros);
  auto loop =
      scf::ForOp::create(b, loc, L.index(0), L.index(taps), L.index(1), zeros);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  scf::YieldOp::create(
      b, loc, multiply(loop.getInductionVar(), loop.getRegionIterArgs()));
  return SmallVector<Value>(loop.getResults());
}

/// Of the last vector; null: it is whole, as those of all tiles before are.
Value ShortWindow::maskOf(const Tile &tile) {
  int64_t lanes = e.L.lanes;
  if (std::optional<int64_t> begin = constantIndex(tile.begin))
    if (int64_t left = N - *begin - (tile.vectors - 1) * lanes; left < lanes)
      return e.L.tailMask(e.L.index(left));
  return {};
}

/// What the epilogue makes of a sum, which is not the last step yet.
Value ShortWindow::valueAt(ArrayRef<Idx> idx, Value row, Value sum) {
  LaneBuilder &L = e.L;
  e.bind(op.getResult(), [sum](ArrayRef<Idx>) { return sum; });
  e.setDomain(getDims(sink.value), idx,
              L.add(L.uniform(L.mul(row, N)), idx.back()));
  return L.widen(e.emit(sink.value, idx));
}

void ShortWindow::storeRows(const Tile &tile) {
  LaneBuilder &L = e.L;
  int64_t lanes = L.lanes;
  // Long rows are more than a cache has, as a rule: stores wait for memory.
  constexpr int64_t many = 64;
  if (N >= many && !sink.isTurned())
    fetch.fetch(
        L.index(tile.positions),
        [&](Value r) { return L.add(L.add(row, tile.first), r); }, tile.begin,
        tile.vectors * lanes);
  SmallVector<Value> sums = sumsOf(tile);
  SmallVector<SymExpr> rowDims = getDims(op.getResult());
  rowDims.pop_back();
  // What the rows have in common is read once: columns are the same values.
  SmallVector<Idx> columns;
  for (int64_t v = 0; v < tile.vectors; ++v)
    columns.push_back(Idx{L.add(tile.begin, v * lanes), 1, lanes, {}});
  Value mask = maskOf(tile);
  for (int64_t p = 0; p < tile.positions; ++p) {
    Value r = L.add(L.add(row, tile.first), p);
    SmallVector<Idx> idx = e.delinearize(r, rowDims);
    idx.push_back(Idx());
    for (int64_t v = 0; v < tile.vectors; ++v) {
      idx.back() = columns[v];
      L.mask = v == tile.vectors - 1 ? mask : Value();
      Value y = valueAt(idx, r, sums[p * tile.vectors + v]);
      Idx flat = L.add(L.uniform(L.mul(r, N)), idx.back());
      L.store(y, e.result(0), sink.perm.empty() ? flat : sink.at(e, idx),
              sink.element);
    }
  }
  L.mask = {};
}

/// Squares: as many positions as lanes, each vector of columns.
void ShortWindow::storeTurned(const Tile &tile) {
  LaneBuilder &L = e.L;
  int64_t lanes = L.lanes, vectors = tile.vectors;
  // Half of the positions by two vectors take fewer loads than all by one.
  int64_t each = vectors > 1 ? lanes / 2 : lanes;
  SmallVector<SmallVector<Value>> squares(vectors);
  for (int64_t p = 0; p < lanes; p += each) {
    SmallVector<Value> sums =
        sumsOf({L.add(tile.first, p), each, tile.begin, vectors});
    for (auto [i, sum] : llvm::enumerate(sums))
      squares[i % vectors].push_back(sum);
  }
  SmallVector<SymExpr> rowDims = getDims(op.getResult());
  rowDims.pop_back();
  Value first = L.add(row, tile.first), mask = maskOf(tile);
  for (auto [v, square] : llvm::enumerate(squares)) {
    Value begin = L.add(tile.begin, int64_t(v) * lanes);
    L.mask = int64_t(v) == vectors - 1 ? mask : Value();
    for (int64_t p = 0; p < lanes; ++p) {
      Value r = L.add(first, p);
      SmallVector<Idx> idx = e.delinearize(r, rowDims);
      idx.push_back(Idx{begin, 1, lanes, {}});
      square[p] = valueAt(idx, r, square[p]);
    }
    L.mask = {};
    int64_t count = lanes;
    if (std::optional<int64_t> known = constantIndex(begin))
      count = std::min(count, N - *known);
    SmallVector<Idx> idx = e.delinearize(first, rowDims);
    idx.back() = Idx{idx.back().base, 1, 1, {}};
    idx.push_back(Idx());
    SmallVector<Value> turned = turnSquare(L, square);
    for (int64_t i = 0; i < count; ++i) {
      idx.back() = L.uniform(L.add(begin, i));
      L.store(turned[i], e.result(0), sink.at(e, idx), sink.element);
    }
  }
}

/// Calls fn(first, positions) for the tiles of `count` positions.
void ShortWindow::forPositions(Value count,
                               function_ref<void(Value, int64_t)> fn) {
  LaneBuilder &L = e.L;
  auto tiles = [&] {
    Value last = L.sub(count, most);
    e.loop(L.index(0), count, most,
           [&](Value first) { fn(L.min(first, last), most); });
  };
  auto single = [&] {
    e.loop(L.index(0), count, 1, [&](Value first) { fn(first, 1); });
  };
  if (std::optional<int64_t> known = constantIndex(count))
    return *known >= most ? tiles() : single();
  Value some = L.uge(count, most);
  e.ifThen(some, tiles);
  e.ifThen(L.no(some), single);
}

/// Calls fn(begin, vectors) for all columns of the task.
void ShortWindow::forColumns(function_ref<void(Value, int64_t)> fn) {
  LaneBuilder &L = e.L;
  int64_t lanes = L.lanes, width = together * lanes, whole = N / width * width;
  bool isOnly = ofTask >= N;
  if (isOnly && whole == width)
    fn(L.index(0), together);
  else if (whole)
    e.loop(isOnly ? L.index(0) : from,
           isOnly ? L.index(whole) : L.min(L.add(from, ofTask), whole), width,
           [&](Value begin) { fn(begin, together); });
  if (whole == N)
    return;
  auto rest = [&] { fn(L.index(whole), llvm::divideCeil(N - whole, lanes)); };
  isOnly ? rest() : e.ifThen(L.sgt(L.add(from, ofTask), whole), rest);
}

void ShortWindow::emit(const MicroKernelOperands &operands, Value firstRow,
                       Value count, Value firstColumn) {
  o = operands, row = firstRow, from = firstColumn;
  LaneScope saved(e.L, lanes);
  if (!sink.isTurned())
    return forPositions(count, [&](Value first, int64_t positions) {
      forColumns([&](Value begin, int64_t vectors) {
        storeRows({first, positions, begin, vectors});
      });
    });
  forColumns([&](Value begin, int64_t vectors) {
    forPositions(count, [&](Value first, int64_t positions) {
      Tile tile{first, positions, begin, vectors};
      positions == most ? storeTurned(tile) : storeRows(tile);
    });
  });
}

} // namespace tenon
