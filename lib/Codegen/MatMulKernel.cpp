//===- MatMulKernel.cpp - matmul by packed panels -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task is one panel of 32 columns for one block of rows:
//
//   for task in [begin, end):       (batch, row block, panel), panel fastest
//     [pack the block's rows of A, when a new block begins]
//     for tile of rows in block:    as even as possible: 13 = 7 + 6
//       micro-kernel(rows)          A block (L2) x B panel (L1/L2) -> C (L1)
//       epilogue                    C -> result, a row at a time
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
  int64_t MR = microKernelRows(e.target);
  int64_t MC = blockRows();
  unsigned lanes = e.vectorLanes();
  bool inPlace = isInPlace();

  /// Rows of A that fill 768 KiB, a good part of a server core's L2 cache:
  /// with fewer, B is read from memory once more per block, and B is the larger
  /// one. A multiple of every level's register tile, and the same at every
  /// level, so that a program's task counts hold for all of them.
  int64_t blockRows() {
    int64_t k = std::max<int64_t>(K.constant().value_or(512), 1);
    int64_t rows = (768 << 10) / (4 * k);
    return std::clamp<int64_t>(rows / 12 * 12, 96, 768);
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

void MatMulKernel::wide() {
  SymExpr blocks = SymExpr::apply(SymExpr::Fn::CeilDiv, M, MC);
  Value m = e.dim(M), nb = e.dim(blocks);
  // B's batch dims may be 1 where the result's are not.
  SmallVector<SymExpr> bDims(packed.begin(), packed.end() - 3);
  e.loop(e.begin, e.end, 1, [&](Value t) {
    Value panel = L.rem(t, np), block = L.div(t, np);
    Value batchIndex = L.index(0);
    if (!shared) {
      batchIndex = L.div(block, nb);
      block = L.rem(block, nb);
    }
    Value m0 = L.mul(block, L.index(MC));
    Value rows = L.min(L.sub(m, m0), L.index(MC));
    if (!inPlace) {
      Value fresh = arith::OrIOp::create(
          b, L.loc,
          arith::CmpIOp::create(b, L.loc, arith::CmpIPredicate::eq, panel,
                                L.index(0)),
          arith::CmpIOp::create(b, L.loc, arith::CmpIPredicate::eq, t,
                                e.begin));
      e.ifThen(fresh, [&] { packRows(A, batchIndex, m0, rows); });
    }
    Value bBatch = batchIndex;
    if (!shared && ArrayRef(bDims) != ArrayRef(batch)) {
      SmallVector<Idx> at =
          e.broadcastIndex(e.delinearize(batchIndex, batch), bDims, batch);
      bBatch = e.linearize(at, bDims).base;
    }
    Value bAt = L.mul(L.add(L.mul(bBatch, np), panel), panelSize);
    Value aBase =
        inPlace ? L.mul(L.add(L.mul(batchIndex, m), m0), k) : L.index(0);
    forRowTiles(e, rows, [&](Value r0, Value mr) {
      emitMicroKernel(
          e, mr, K,
          {A, L.add(aBase, L.mul(r0, k)), B, bAt, panelSize, k, C, L.index(0)});
      epilogue(L.index(0), batchIndex, L.add(m0, r0), mr, panel);
    });
  });
}

/// All rows at once, four panels at a time: tasks are panels here.
void MatMulKernel::narrow(Value m) {
  Value zero = L.index(0);
  if (!inPlace)
    packRows(A, zero, zero, m);
  auto multiply = [&](Value panel, int64_t panels) {
    emitMicroKernel(
        e, m, K, {A, zero, B, L.mul(panel, panelSize), panelSize, k, C, zero},
        panels);
    for (int64_t p = 0; p < panels; ++p)
      epilogue(L.mul(L.mul(L.index(p), m), L.index(kPanelColumns)), zero, zero,
               m, L.add(panel, L.index(p)));
  };
  Value count = L.sub(e.end, e.begin);
  Value groups = L.div(count, L.index(kNarrowPanels));
  e.loop(zero, groups, 1, [&](Value g) {
    multiply(L.add(e.begin, L.mul(g, L.index(kNarrowPanels))), kNarrowPanels);
  });
  Value rest = L.add(e.begin, L.mul(groups, L.index(kNarrowPanels)));
  e.loop(rest, e.end, 1, [&](Value panel) { multiply(panel, 1); });
}

void MatMulKernel::run() {
  SymExpr blocks = SymExpr::apply(SymExpr::Fn::CeilDiv, M, MC);
  e.info.tasks = productOf(batch) * blocks * panels;
  e.info.cost = productOf(out) * K;
  C = e.scratchBuffer(kMaxRows * kPanelColumns, f32); // 3 * 4 panels as well
  A = inPlace ? e.input(cast<BlockArgument>(op.getLhs()))
              : e.scratchBuffer(K * MC, f32);
  B = e.input(cast<BlockArgument>(op.getPacked()));
  k = e.dim(K), np = e.dim(panels);
  panelSize = L.mul(k, L.index(kPanelColumns));
  if (!shared || M.constant().value_or(1) > kMaxRows)
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
