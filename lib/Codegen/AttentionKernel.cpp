//===- AttentionKernel.cpp - softmax(Q K^T) V without storing the scores --===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task is kQueryRows rows of Q of one (batch, head):
//
//   pack the rows of Q                                  [rows][d]
//   for panel of K:  micro-kernel, then the pointwise   scores[rows][keys]
//                    ops on the scores (scale, mask)      (L2 cache)
//   for row:         max; exp and sum                   scores, 1/sum
//   for panel of V:  micro-kernel over the scores,
//                    times 1/sum, epilogue, store
//
// All keys of a row are there at once, so the softmax is the plain one, its
// sum has the same order of additions wherever the row is computed, and the
// mask is any expression that emit() can pull. Dividing by the sum waits until
// the output: one multiplication per output instead of one per score. A guarded
// softmax (a row whose sum is NaN becomes 0) sets the output's row to 0.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

/// A multiple of every level's register tile.
constexpr int64_t kQueryRows = 48;

struct AttentionKernel {
  KernelEmitter &e;
  PackedMatMulOp qk;
  SoftmaxOp softmax;
  PackedMatMulOp pv;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Sink sink{e};
  Type f32 = b.getF32Type();
  unsigned lanes = e.vectorLanes();
  SmallVector<SymExpr> q = getDims(qk.getLhs()), k = getDims(qk.getPacked()),
                       v = getDims(pv.getPacked()),
                       scoreDims = getDims(qk.getResult()),
                       out = getDims(pv.getResult());
  SmallVector<SymExpr> batch{out.begin(), out.end() - 2};
  SymExpr rowsQ = out[out.size() - 2], depth = q.back(),
          keys = scoreDims.back(), N = out.back();
  SymExpr ld = k[k.size() - 3] * kPanelColumns; // of the scores
  Value queries, scores, inverse, tile;
  Value batchIndex, m0;

  Value panelOf(Value packed, ArrayRef<SymExpr> dims, Value panel);
  void packQueries(Value rows);
  void multiply(Value rows, Value A, const SymExpr &lda, Value B,
                ArrayRef<SymExpr> packed, Value K,
                function_ref<void(Value, Value, Value, Value)> then);
  void computeScores(Value rows);
  void scorePanel(Value tileRow, Value panel, Value r0, Value mr);
  void bindTile(Value v, Value r, Value c,
                function_ref<Value(Value)> then = nullptr);
  void normalize(Value rows);
  void computeOutput(Value rows);
  void outputPanel(Value tileRow, Value panel, Value r0, Value mr);
  void run();

  SmallVector<Idx> rowIndex(Value m) {
    SmallVector<Idx> idx = e.delinearize(batchIndex, batch);
    idx.push_back(L.uniform(m));
    return idx;
  }
  Value flatRow(Value m) { return L.add(L.mul(batchIndex, e.dim(rowsQ)), m); }
};

/// Position of a panel of K or V, whose batch dims may be 1 where out's are
/// not.
Value AttentionKernel::panelOf(Value packed, ArrayRef<SymExpr> dims,
                               Value panel) {
  Value at = batchIndex;
  ArrayRef<SymExpr> lead = dims.drop_back(3);
  if (lead != ArrayRef(batch)) {
    SmallVector<Idx> own =
        e.broadcastIndex(e.delinearize(batchIndex, batch), lead, batch);
    at = e.linearize(own, lead).base;
  }
  at = L.add(L.mul(at, e.dim(dims[dims.size() - 3])), panel);
  return L.mul(at, e.dim(dims[dims.size() - 2] * kPanelColumns));
}

void AttentionKernel::packQueries(Value rows) {
  Value d = e.dim(depth);
  e.loop(L.index(0), rows, 1, [&](Value r) {
    SmallVector<Idx> own = e.broadcastIndex(e.delinearize(batchIndex, batch),
                                            ArrayRef(q).drop_back(2), batch);
    own.push_back(L.uniform(L.add(m0, r)));
    own.push_back(Idx());
    Idx to = L.uniform(L.mul(r, d));
    e.lanesLoop(d, lanes, [&](Idx i) {
      own.back() = i;
      L.store(e.emit(qk.getLhs(), own), queries, L.add(to, i), f32);
    });
  });
}

/// `rows` rows of A, `K` long and `lda` apart, times all panels of B, a tile at
/// a time: then(row of the tile where a panel begins, panel, first row, rows).
void AttentionKernel::multiply(
    Value rows, Value A, const SymExpr &lda, Value B, ArrayRef<SymExpr> packed,
    Value K, function_ref<void(Value, Value, Value, Value)> then) {
  forPanelGroups(e, packed[packed.size() - 3], [&](Value first, int64_t count) {
    Value at = panelOf(B, packed, first);
    forRowTiles(e, rows, [&](Value, Value r0, Value mr) {
      emitMicroKernel(e, mr, lda,
                      {A, L.mul(r0, e.dim(lda)), B, at,
                       L.mul(K, L.index(kPanelColumns)), K, tile, L.index(0)},
                      {count});
      for (int64_t p = 0; p < count; ++p)
        then(L.mul(mr, L.index(p)), L.add(first, L.index(p)), r0, mr);
    });
  });
}

void AttentionKernel::computeScores(Value rows) {
  Value K = e.input(cast<BlockArgument>(qk.getPacked()));
  multiply(rows, queries, depth, K, k, e.dim(depth),
           [&](Value tileRow, Value panel, Value r0, Value mr) {
             scorePanel(tileRow, panel, r0, mr);
           });
}

/// The pointwise ops on `mr` rows of one panel of scores, whose products begin
/// at row tileRow of the tile.
void AttentionKernel::scorePanel(Value tileRow, Value panel, Value r0,
                                 Value mr) {
  Value stride = e.dim(ld);
  SmallVector<SymExpr> dims = getDims(softmax.getInput());
  e.loop(L.index(0), mr, 1, [&](Value r) {
    Value row = L.add(r0, r), m = L.add(m0, row);
    SmallVector<Idx> idx = rowIndex(m);
    idx.push_back(Idx());
    Idx base = L.uniform(L.mul(flatRow(m), e.dim(keys)));
    forPanelColumns(e, panel, keys, [&](Value c, Value column) {
      bindTile(qk.getResult(), L.add(tileRow, r), c);
      idx.back() = Idx{column, 1, (int64_t)lanes, {}};
      e.setDomain(dims, idx, L.add(base, idx.back()));
      Value x = e.emit(softmax.getInput(), idx);
      LaneScope whole(L, L.lanes); // rows of scores are padded to panels
      L.store(x, scores, L.add(L.uniform(L.mul(row, stride)), idx.back()), f32);
    });
  });
}

/// From now on `v` is what lies in row r, column c of the tile.
void AttentionKernel::bindTile(Value v, Value r, Value c,
                               function_ref<Value(Value)> then) {
  Idx at{L.add(L.mul(r, L.index(kPanelColumns)), c), 1, (int64_t)lanes, {}};
  Value x;
  {
    LaneScope whole(L, L.lanes); // as the tile is
    x = L.load(tile, at, f32);
  }
  if (then)
    x = then(x);
  e.bind(v, [x](ArrayRef<Idx>) { return x; });
}

void AttentionKernel::normalize(Value rows) {
  Value n = e.dim(keys), stride = e.dim(ld);
  Type wide = L.vec(f32, lanes);
  e.loop(L.index(0), rows, 1, [&](Value r) {
    Idx base = L.uniform(L.mul(r, stride));
    Value lowest = L.constant(wide, -HUGE_VAL), zero = L.constant(wide, 0);
    Value acc = e.lanesLoop(n, lanes, lowest, [&](Idx i, ValueRange args) {
      Value x = L.load(scores, L.add(base, i), f32);
      if (L.mask)
        x = arith::SelectOp::create(b, L.loc, L.mask, x, lowest);
      // A NaN may lose here: it comes back through the sum.
      Value more = arith::CmpFOp::create(b, L.loc, arith::CmpFPredicate::OGT, x,
                                         args[0]);
      return SmallVector<Value>{
          arith::SelectOp::create(b, L.loc, more, x, args[0])};
    })[0];
    Value max = L.reduceLanes(acc, vector::CombiningKind::MAXNUMF);
    acc = e.lanesLoop(n, lanes, zero, [&](Idx i, ValueRange args) {
      Idx at = L.add(base, i);
      Value x = arith::SubFOp::create(b, L.loc, L.load(scores, at, f32),
                                      L.widen(max));
      x = L.softmaxExp(x);
      L.store(x, scores, at, f32);
      if (L.mask)
        x = arith::SelectOp::create(b, L.loc, L.mask, x, zero);
      return SmallVector<Value>{arith::AddFOp::create(b, L.loc, args[0], x)};
    })[0];
    Value sum = L.reduceLanes(acc, vector::CombiningKind::ADD);
    Value inv = arith::DivFOp::create(b, L.loc, L.constant(f32, 1), sum);
    memref::StoreOp::create(b, L.loc, inv, inverse, r);
  });
}

void AttentionKernel::computeOutput(Value rows) {
  Value V = e.input(cast<BlockArgument>(pv.getPacked()));
  multiply(rows, scores, ld, V, v, e.dim(keys),
           [&](Value tileRow, Value panel, Value r0, Value mr) {
             outputPanel(tileRow, panel, r0, mr);
           });
}

void AttentionKernel::outputPanel(Value tileRow, Value panel, Value r0,
                                  Value mr) {
  e.loop(L.index(0), mr, 1, [&](Value r) {
    Value row = L.add(r0, r), m = L.add(m0, row);
    Value inv = memref::LoadOp::create(b, L.loc, inverse, row);
    SmallVector<Idx> idx = rowIndex(m);
    idx.push_back(Idx());
    Idx base = L.uniform(L.mul(flatRow(m), e.dim(N)));
    forPanelColumns(e, panel, N, [&](Value c, Value column) {
      idx.back() = Idx{column, 1, (int64_t)lanes, {}};
      bindTile(pv.getResult(), L.add(tileRow, r), c, [&](Value x) -> Value {
        x = arith::MulFOp::create(b, L.loc, x, L.widen(inv));
        if (!softmax.getGuard())
          return x;
        Value nan = arith::CmpFOp::create(b, L.loc, arith::CmpFPredicate::UNO,
                                          inv, inv);
        return arith::SelectOp::create(b, L.loc, nan, L.constLike(x, 0), x);
      });
      sink.store(e, idx, L.add(base, idx.back()));
    });
  });
}

void AttentionKernel::run() {
  SymExpr blocks = SymExpr::apply(SymExpr::Fn::CeilDiv, rowsQ, kQueryRows);
  e.info.tasks = productOf(batch) * blocks;
  // Two products and an exponential per score.
  e.info.cost = productOf(batch) * rowsQ * keys * (depth + N + 16);
  tile = e.scratchBuffer(kTileElements, f32);
  queries = e.scratchBuffer(depth * kQueryRows, f32);
  scores = e.scratchBuffer(ld * kQueryRows, f32);
  inverse = e.scratchBuffer(kQueryRows, f32);
  Value nb = e.dim(blocks), m = e.dim(rowsQ);
  e.loop(e.begin, e.end, 1, [&](Value t) {
    batchIndex = L.div(t, nb);
    m0 = L.mul(L.rem(t, nb), L.index(kQueryRows));
    Value rows = L.min(L.sub(m, m0), L.index(kQueryRows));
    packQueries(rows);
    computeScores(rows);
    normalize(rows);
    computeOutput(rows);
  });
}

} // namespace

void emitAttentionKernel(KernelEmitter &e) {
  SmallVector<PackedMatMulOp> matmuls(e.body().getOps<PackedMatMulOp>());
  SmallVector<SoftmaxOp> softmaxes(e.body().getOps<SoftmaxOp>());
  if (matmuls.size() != 2 || softmaxes.size() != 1 ||
      matmuls[1].getLhs() != softmaxes[0].getResult() ||
      !isa<BlockArgument>(matmuls[0].getPacked()) ||
      !isa<BlockArgument>(matmuls[1].getPacked())) {
    emitError(e.kernel.getLoc(), "an 'attention' kernel is not matmul, "
                                 "softmax, matmul of stored operands");
    e.failed = true;
    return;
  }
  AttentionKernel{e, matmuls[0], softmaxes[0], matmuls[1]}.run();
}

} // namespace tenon
