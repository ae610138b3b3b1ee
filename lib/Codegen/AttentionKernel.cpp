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
// Where the mask bounds the keys of a row (AttentionMask.h) only the panels of
// K, and only the rows of V, that some row of the block may look at are
// multiplied: the exponentials of the others are 0. That holds if each row
// looks at something. A row that is masked whole has all its keys alike in
// ONNX, so a block with such a row is computed again without bounds.
//
// All keys of a row are there at once, so the softmax is the plain one, its
// sum has the same order of additions wherever the row is computed, and the
// mask is any expression that emit() can pull. Dividing by the sum waits until
// the output: one multiplication per output instead of one per score. A guarded
// softmax (a row whose sum is NaN becomes 0) sets the output's row to 0.
//
//===----------------------------------------------------------------------===//

#include "AttentionMask.h"
#include "KernelEmitter.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

/// A multiple of every level's register tile.
constexpr int64_t kQueryRows = 48;

/// The keys [begin, end) of a block of rows; `begin` starts a panel.
struct KeyRange {
  Value begin, end;
};

struct AttentionKernel {
  KernelEmitter &e;
  PackedMatMulOp qk;
  SoftmaxOp softmax;
  PackedMatMulOp pv;
  PackedOperand K, V;
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
  SmallVector<KeyBound> bounds =
      findKeyBounds(softmax.getInput(), qk.getResult());
  Value queries = {}, scores = {}, inverse = {}, tile = {};
  Value batchIndex = {}, m0 = {};

  void packQueries(Value rows);
  struct Product;
  void multiply(const Product &product,
                function_ref<void(Value, Value, Value, Value)> then);
  KeyRange allKeys() { return {L.index(0), e.dim(keys)}; }
  KeyRange boundKeys(Value rows);
  void computeScores(Value rows, const KeyRange &range);
  void scorePanel(Value tileRow, Value panel, Value r0, Value mr);
  void bindTile(Value v, Value r, Value c,
                function_ref<Value(Value)> then = nullptr);
  Value rowMaximum(Value row, const KeyRange &range);
  Value storeMaxima(Value rows, const KeyRange &range);
  void exponentiate(Value row, Value max, const KeyRange &range);
  KeyRange normalize(Value rows);
  void computeOutput(Value rows, const KeyRange &range);
  void outputPanel(Value tileRow, Value panel, Value r0, Value mr);
  void run();

  SmallVector<Idx> rowIndex(Value m) {
    SmallVector<Idx> idx = e.delinearize(batchIndex, batch);
    idx.push_back(L.uniform(m));
    return idx;
  }
  Value flatRow(Value m) { return L.add(L.mul(batchIndex, e.dim(rowsQ)), m); }
};

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

/// `rows` rows of A from aAt on, lda apart, times panels [begin, end) of B, of
/// which rows [first, first + K) count.
struct AttentionKernel::Product {
  Value rows, A, aAt;
  const SymExpr &lda;
  const PackedOperand &B;
  SymExpr rowsB;
  Value begin, end, first, K;
};

/// A tile at a time: then(row of the tile where a panel begins, panel, first
/// row, rows).
void AttentionKernel::multiply(
    const Product &x, function_ref<void(Value, Value, Value, Value)> then) {
  Value columns = L.index(kPanelColumns);
  Value B = e.input(x.B.getMemory()), stride = e.dim(x.rowsB * kPanelColumns);
  forPanelGroups(e, x.begin, x.end, [&](Value panel, int64_t count) {
    Value at =
        L.add(x.B.at(e, batchIndex, batch, panel), L.mul(x.first, columns));
    forRowTiles(e, x.rows, [&](Value, Value r0, Value mr) {
      emitMicroKernel(e, mr, x.lda,
                      {x.A, L.add(x.aAt, L.mul(r0, e.dim(x.lda))), B, at,
                       stride, x.K, tile, L.index(0)},
                      {count});
      for (int64_t p = 0; p < count; ++p)
        then(L.mul(mr, L.index(p)), L.add(panel, L.index(p)), r0, mr);
    });
  });
}

/// What any of the block's rows may look at; all keys where that is nothing.
KeyRange AttentionKernel::boundKeys(Value rows) {
  KeyRange all = allKeys();
  Value begin = all.begin, end = all.end;
  Value last = L.sub(L.add(m0, rows), L.index(1));
  for (const KeyBound &bound : bounds) {
    Value row = bound.upper == (bound.slope >= 0) ? last : m0;
    Value key = L.add(e.dim(bound.offset), L.mul(row, L.index(bound.slope)));
    if (bound.upper)
      end = L.min(end, L.add(key, L.index(1)));
    else
      begin = arith::MaxSIOp::create(b, L.loc, begin, key);
  }
  Value columns = L.index(kPanelColumns);
  begin = L.mul(L.div(begin, columns), columns);
  Value some =
      arith::CmpIOp::create(b, L.loc, arith::CmpIPredicate::slt, begin, end);
  return {arith::SelectOp::create(b, L.loc, some, begin, all.begin),
          arith::SelectOp::create(b, L.loc, some, end, all.end)};
}

void AttentionKernel::computeScores(Value rows, const KeyRange &range) {
  Value columns = L.index(kPanelColumns);
  Value begin = L.div(range.begin, columns);
  Value end = L.div(L.add(range.end, L.index(kPanelColumns - 1)), columns);
  multiply({rows, queries, L.index(0), depth, K, depth, begin, end, L.index(0),
            e.dim(depth)},
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

Value AttentionKernel::rowMaximum(Value row, const KeyRange &range) {
  Idx base = L.uniform(L.add(L.mul(row, e.dim(ld)), range.begin));
  Value lowest = L.constant(L.vec(f32, lanes), -HUGE_VAL);
  Value n = L.sub(range.end, range.begin);
  Value acc = e.lanesLoop(n, lanes, lowest, [&](Idx i, ValueRange args) {
    Value x = L.load(scores, L.add(base, i), f32);
    return SmallVector<Value>{L.largerOf(args[0], x)};
  })[0];
  return L.reduceLanes(acc, vector::CombiningKind::MAXNUMF);
}

/// Where 1/sum will be; gives the lowest of them.
Value AttentionKernel::storeMaxima(Value rows, const KeyRange &range) {
  return e.loop(L.index(0), rows, 1, L.constant(f32, HUGE_VAL),
                [&](Value r, ValueRange lowest) {
                  Value max = rowMaximum(r, range);
                  memref::StoreOp::create(b, L.loc, max, inverse, r);
                  return SmallVector<Value>{
                      arith::MinNumFOp::create(b, L.loc, lowest[0], max)};
                })[0];
}

/// exp(x - max) in place, and 1/sum.
void AttentionKernel::exponentiate(Value row, Value max,
                                   const KeyRange &range) {
  Idx base = L.uniform(L.add(L.mul(row, e.dim(ld)), range.begin));
  Value zero = L.constant(L.vec(f32, lanes), 0);
  Value n = L.sub(range.end, range.begin);
  Value acc = e.lanesLoop(n, lanes, zero, [&](Idx i, ValueRange args) {
    Idx at = L.add(base, i);
    Value x =
        arith::SubFOp::create(b, L.loc, L.load(scores, at, f32), L.widen(max));
    x = L.softmaxExp(x);
    L.store(x, scores, at, f32);
    if (L.mask)
      x = arith::SelectOp::create(b, L.loc, L.mask, x, zero);
    return SmallVector<Value>{arith::AddFOp::create(b, L.loc, args[0], x)};
  })[0];
  Value sum = L.reduceLanes(acc, vector::CombiningKind::ADD);
  Value inv = arith::DivFOp::create(b, L.loc, L.constant(f32, 1), sum);
  memref::StoreOp::create(b, L.loc, inv, inverse, row);
}

/// Computes the exponentials of the scores and says which keys they are of.
KeyRange AttentionKernel::normalize(Value rows) {
  KeyRange range = allKeys();
  if (bounds.empty()) {
    computeScores(rows, range);
    e.loop(L.index(0), rows, 1,
           [&](Value r) { exponentiate(r, rowMaximum(r, range), range); });
    return range;
  }
  KeyRange all = range;
  range = boundKeys(rows);
  computeScores(rows, range);
  Value lowest = storeMaxima(rows, range);
  // Half of kMasked: what scores add to it does not matter.
  Value none = arith::CmpFOp::create(b, L.loc, arith::CmpFPredicate::ULE,
                                     lowest, L.constant(f32, kMasked / 2));
  e.ifThen(none, [&] {
    computeScores(rows, all);
    storeMaxima(rows, all);
  });
  range = {arith::SelectOp::create(b, L.loc, none, all.begin, range.begin),
           arith::SelectOp::create(b, L.loc, none, all.end, range.end)};
  e.loop(L.index(0), rows, 1, [&](Value r) {
    exponentiate(r, memref::LoadOp::create(b, L.loc, inverse, r), range);
  });
  return range;
}

void AttentionKernel::computeOutput(Value rows, const KeyRange &range) {
  multiply({rows, scores, range.begin, ld, V, keys, L.index(0),
            e.dim(v[v.size() - 3]), range.begin, L.sub(range.end, range.begin)},
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
    computeOutput(rows, normalize(rows));
  });
}

} // namespace

void emitAttentionKernel(KernelEmitter &e) {
  SmallVector<PackedMatMulOp> matmuls(e.body().getOps<PackedMatMulOp>());
  SmallVector<SoftmaxOp> softmaxes(e.body().getOps<SoftmaxOp>());
  SmallVector<PackedOperand> operands;
  for (PackedMatMulOp matmul : matmuls)
    if (auto operand = PackedOperand::trace(matmul.getPacked()))
      operands.push_back(*operand);
  if (operands.size() != 2 || softmaxes.size() != 1 ||
      matmuls[1].getLhs() != softmaxes[0].getResult()) {
    emitError(e.kernel.getLoc(), "an 'attention' kernel is not matmul, "
                                 "softmax, matmul of stored operands");
    e.failed = true;
    return;
  }
  AttentionKernel{e,          matmuls[0],  softmaxes[0],
                  matmuls[1], operands[0], operands[1]}
      .run();
}

} // namespace tenon
