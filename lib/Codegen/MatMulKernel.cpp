//===- MatMulKernel.cpp - matmul by packed panels -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task is two panels of 32 columns for 48 rows. Rows are walked in blocks
// that stay in the L2 cache:
//
//   for task in [begin, end):    (batch, block, panels, part), parts fastest
//     [pack the block's rows of A, when a new block begins]
//     for tile of rows in part:  as even as possible: 8 = 4 + 4
//       micro-kernel(rows)       A (L2) x two B panels (L2) -> C (L1)
//       epilogue                 C -> result, a row at a time
//
// While the tiles of a block are multiplied with two panels, the next two are
// fetched from memory, each tile its share.
//
// Very few rows in all (decoding a token) take four panels at a time instead.
// A that lies in memory as it is needed is read in place; any other prologue
// (a transpose, a gather, im2col, a cast) is computed into a scratch block by
// pulling. Where B has no batch dims, all leading dims of A count as rows.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

namespace {

/// Rows of a task: eight register tiles.
constexpr int64_t kPartRows = 8 * kTileRows;

struct MatMulKernel {
  KernelEmitter &e;
  PackedMatMulOp op;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Sink sink{e};
  SmallVector<SymExpr> lhs = getDims(op.getLhs()),
                       packed = getDims(op.getPacked()),
                       out = getDims(op.getResult());
  SymExpr K = lhs.back(), N = out.back();
  SymExpr panels = packed[packed.size() - 3];
  bool shared =
      llvm::all_of(ArrayRef(packed).drop_back(3),
                   [](const SymExpr &d) { return d.constant() == 1; });
  SymExpr M =
      shared ? productOf(ArrayRef(lhs).drop_back(1)) : lhs[lhs.size() - 2];
  SmallVector<SymExpr> batch =
      shared ? SmallVector<SymExpr>{}
             : SmallVector<SymExpr>(out.begin(), out.end() - 2);
  SymExpr blocks = ceilDiv(M, blockRows());
  SymExpr parts = ceilDiv(ceilDiv(M, blocks), kPartRows); // of a block
  SymExpr pairs = ceilDiv(panels, kTilePanels);
  unsigned lanes = e.vectorLanes();
  bool inPlace = isInPlace();

  /// Most rows of A that fill 768 KiB, a good part of a server core's L2 cache:
  /// with fewer, B is read from memory once more per block, and B is the larger
  /// one. The same at every level, so that a program's task counts hold for all
  /// of them.
  int64_t blockRows() {
    int64_t k = std::max<int64_t>(K.constant().value_or(512), 1);
    int64_t rows = (768 << 10) / (4 * k);
    return std::clamp<int64_t>(rows / kPartRows * kPartRows, 96, 768);
  }
  static SymExpr ceilDiv(const SymExpr &x, const SymExpr &y) {
    return SymExpr::apply(SymExpr::Fn::CeilDiv, x, y);
  }
  bool isInPlace() {
    auto arg = dyn_cast<BlockArgument>(op.getLhs());
    if (!arg || !getElementTypeOrSelf(arg.getType()).isF32())
      return false;
    // Broadcast batch dims would repeat rows.
    return shared || ArrayRef(lhs).drop_back(2) == ArrayRef(batch);
  }
  void run();
  void packRows(Value into, Value batchIndex, Value m0, Value rows);
  void epilogue(Value cAt, Value batchIndex, Value m0, Value rows, Value panel);
  void wide();
  void narrow(Value m);
  void tile(const MicroKernelOperands &o, Value mr, Value tiles,
            Value batchIndex, Value m, Value panel);

  Type f32 = b.getF32Type();
  Value A, B, C, k, np, panelSize;
};

void MatMulKernel::packRows(Value into, Value batchIndex, Value m0,
                            Value rows) {
  SmallVector<SymExpr> rowDims(lhs.begin(), lhs.end() - 1);
  Value k = e.dim(K);
  e.loop(L.index(0), rows, 1, [&](Value r) {
    Value m = L.add(m0, r);
    SmallVector<Idx> idx;
    if (shared) {
      idx = e.delinearize(m, rowDims);
    } else {
      idx = e.broadcastIndex(e.delinearize(batchIndex, batch),
                             ArrayRef(lhs).drop_back(2), batch);
      idx.push_back(L.uniform(m));
    }
    idx.push_back(Idx());
    Idx to = L.uniform(L.mul(r, k));
    e.lanesLoop(k, lanes, [&](Idx i) {
      idx.back() = i;
      L.store(e.emit(op.getLhs(), idx), into, L.add(to, i), f32);
    });
  });
}

/// Rows [m0, m0 + rows) of one panel, whose products lie from C[cAt] on.
void MatMulKernel::epilogue(Value cAt, Value batchIndex, Value m0, Value rows,
                            Value panel) {
  SmallVector<SymExpr> rowDims(out.begin(), out.end() - 1);
  e.loop(L.index(0), rows, 1, [&](Value r) {
    Value m = L.add(m0, r);
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
    Value from = L.add(cAt, L.mul(r, L.index(kPanelColumns)));
    forPanelColumns(e, panel, N, [&](Value c, Value column) {
      Idx in{L.add(from, c), 1, (int64_t)lanes, {}};
      idx.back() = Idx{column, 1, (int64_t)lanes, {}};
      e.bind(op.getResult(), [&](ArrayRef<Idx>) {
        Value saved = L.mask;
        L.mask = {}; // the tile is whole
        Value v = L.load(C, in, f32);
        L.mask = saved;
        return v;
      });
      sink.store(e, idx, L.add(base, idx.back()));
    });
  });
}

/// A tile of `mr` rows from row m on and the panels from `panel` on. `tiles`
/// share the work of fetching what comes next.
void MatMulKernel::tile(const MicroKernelOperands &o, Value mr, Value tiles,
                        Value batchIndex, Value m, Value panel) {
  auto atLeast = [&](Value x, int64_t n) -> Value {
    return arith::CmpIOp::create(b, L.loc, arith::CmpIPredicate::uge, x,
                                 L.index(n));
  };
  auto no = [&](Value condition) -> Value {
    return arith::XOrIOp::create(b, L.loc, condition,
                                 L.constantInt(b.getI1Type(), 1));
  };
  // All lines of the next panels, whatever the number of tiles: 16 per round
  // of a panel pair's four rows, divided by the tiles.
  auto call = [&](int64_t lines, int64_t leastRows) {
    emitMicroKernel(e, mr, K, o, kTilePanels, lines, leastRows);
  };
  auto both = [&] {
    Value many = atLeast(tiles, 16), some = atLeast(tiles, 4),
          two = atLeast(tiles, 2);
    e.ifThen(many, [&] { call(1, kTileRows - 1); });
    e.ifThen(no(many), [&] {
      e.ifThen(some, [&] { call(4, kTileRows - 1); });
      e.ifThen(no(some), [&] {
        e.ifThen(two, [&] { call(8, kTileRows / 2); });
        e.ifThen(no(two), [&] { call(16, 1); });
      });
    });
    for (int64_t p = 0; p < kTilePanels; ++p)
      epilogue(L.mul(mr, L.index(p * kPanelColumns)), batchIndex, m, mr,
               L.add(panel, L.index(p)));
  };
  if (panels.constant() && *panels.constant() % kTilePanels == 0)
    return both();
  Value whole = atLeast(L.sub(np, panel), kTilePanels);
  e.ifThen(whole, both);
  e.ifThen(no(whole), [&] {
    emitMicroKernel(e, mr, K, o, 1);
    epilogue(L.index(0), batchIndex, m, mr, panel);
  });
}

void MatMulKernel::wide() {
  Value m = e.dim(M), nb = e.dim(blocks), np2 = e.dim(pairs), ns = e.dim(parts);
  Value blockRows = L.mul(ns, L.index(kPartRows));
  // B's batch dims may be 1 where the result's are not.
  SmallVector<SymExpr> bDims(packed.begin(), packed.end() - 3);
  e.loop(e.begin, e.end, 1, [&](Value t) {
    Value part = L.rem(t, ns), u = L.div(t, ns);
    Value pair = L.rem(u, np2), block = L.div(u, np2);
    Value batchIndex = L.index(0);
    if (!shared) {
      batchIndex = L.div(block, nb);
      block = L.rem(block, nb);
    }
    Value m0 = L.mul(block, blockRows);
    // The last block may have no row left for its last parts.
    Value blockEnd = L.min(L.add(m0, blockRows), m);
    Value first = L.min(L.add(m0, L.mul(part, L.index(kPartRows))), blockEnd);
    Value rows = L.min(L.sub(blockEnd, first), L.index(kPartRows));
    if (!inPlace) {
      Value start = arith::CmpIOp::create(b, L.loc, arith::CmpIPredicate::eq,
                                          L.rem(t, L.mul(ns, np2)), L.index(0));
      Value fresh = arith::OrIOp::create(
          b, L.loc, start,
          arith::CmpIOp::create(b, L.loc, arith::CmpIPredicate::eq, t,
                                e.begin));
      e.ifThen(fresh,
               [&] { packRows(A, batchIndex, m0, L.sub(blockEnd, m0)); });
    }
    Value bBatch = batchIndex;
    if (!shared && ArrayRef(bDims) != ArrayRef(batch)) {
      SmallVector<Idx> at =
          e.broadcastIndex(e.delinearize(batchIndex, batch), bDims, batch);
      bBatch = e.linearize(at, bDims).base;
    }
    Value panel = L.mul(pair, L.index(kTilePanels));
    Value bAt = L.mul(L.add(L.mul(bBatch, np), panel), panelSize);
    Value row0 =
        inPlace ? L.add(L.mul(batchIndex, m), first) : L.sub(first, m0);
    Value aBase = L.mul(row0, k);
    // Tile i of n fetches the i-th of n shares of the next panels.
    Value tiles = L.div(L.add(L.sub(blockEnd, m0), L.index(kTileRows - 1)),
                        L.index(kTileRows));
    Value firstTile = L.mul(part, L.index(kPartRows / kTileRows));
    Value rounds = L.div(k, L.index(4));
    Value step = L.div(
        L.add(L.index(4 * kTilePanels * kPanelColumns - 1), tiles), tiles);
    Value next = L.add(bAt, L.mul(panelSize, L.index(kTilePanels)));
    Value share = L.mul(step, rounds);
    Value any = arith::CmpIOp::create(b, L.loc, arith::CmpIPredicate::sgt, rows,
                                      L.index(0));
    e.ifThen(any, [&] {
      forRowTiles(e, rows, [&](Value i, Value r0, Value mr) {
        MicroKernelOperands o{A,
                              L.add(aBase, L.mul(r0, k)),
                              B,
                              bAt,
                              panelSize,
                              k,
                              C,
                              L.index(0),
                              L.add(next, L.mul(L.add(firstTile, i), share)),
                              step};
        tile(o, mr, tiles, batchIndex, L.add(first, r0), panel);
      });
    });
  });
}

/// All rows at once, four panels at a time: tasks are pairs of panels here.
void MatMulKernel::narrow(Value m) {
  Value zero = L.index(0);
  if (!inPlace)
    packRows(A, zero, zero, m);
  auto multiply = [&](Value panel, int64_t count) {
    emitMicroKernel(
        e, m, K, {A, zero, B, L.mul(panel, panelSize), panelSize, k, C, zero},
        count, kAhead);
    for (int64_t p = 0; p < count; ++p)
      epilogue(L.mul(L.mul(L.index(p), m), L.index(kPanelColumns)), zero, zero,
               m, L.add(panel, L.index(p)));
  };
  Value first = L.mul(e.begin, L.index(kTilePanels));
  Value last = L.min(L.mul(e.end, L.index(kTilePanels)), np);
  Value groups = L.div(L.sub(last, first), L.index(kNarrowPanels));
  e.loop(zero, groups, 1, [&](Value g) {
    multiply(L.add(first, L.mul(g, L.index(kNarrowPanels))), kNarrowPanels);
  });
  Value rest = L.add(first, L.mul(groups, L.index(kNarrowPanels)));
  e.loop(rest, last, 1, [&](Value panel) { multiply(panel, 1); });
}

void MatMulKernel::run() {
  e.info.tasks = productOf(batch) * blocks * pairs * parts;
  e.info.cost = productOf(out) * K;
  C = e.scratchBuffer(kTileElements, f32);
  A = inPlace ? e.input(cast<BlockArgument>(op.getLhs()))
              : e.scratchBuffer(K * parts * kPartRows, f32);
  B = e.input(cast<BlockArgument>(op.getPacked()));
  k = e.dim(K), np = e.dim(panels);
  panelSize = L.mul(k, L.index(kPanelColumns));
  if (!shared || M.constant().value_or(1) > narrowRows(e.target))
    return wide();
  Value m = e.dim(M);
  Value few = arith::CmpIOp::create(b, L.loc, arith::CmpIPredicate::ule, m,
                                    L.index(narrowRows(e.target)));
  Value many =
      arith::XOrIOp::create(b, L.loc, few, L.constantInt(b.getI1Type(), 1));
  // An empty M has no tasks: neither form runs.
  e.ifThen(few, [&] { narrow(m); });
  e.ifThen(many, [&] { wide(); });
}

} // namespace

void emitMatMulKernel(KernelEmitter &e) {
  PackedMatMulOp anchor;
  for (Operation &op : e.body())
    if (auto m = dyn_cast<PackedMatMulOp>(op))
      anchor = m;
  if (!anchor || !isa<BlockArgument>(anchor.getPacked())) {
    emitError(e.kernel.getLoc(),
              "a 'matmul' kernel holds no packed_matmul of a stored operand");
    e.failed = true;
    return;
  }
  MatMulKernel{e, anchor}.run();
}

} // namespace tenon
