//===- AttentionKernel.cpp - softmax(Q K^T) V without storing the scores --===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task is queryRows rows of Q of one (batch, head):
//
//   pack the rows of Q                                  [rows][d]
//   for panel of K:  micro-kernel                       scores[rows][keys]
//   for row:         the pointwise ops on the scores      (L2 cache)
//                    (scale, mask) and their maximum
//   for row:         exp and sum                        scores, 1/sum
//   for panel of V:  micro-kernel over the scores,
//                    times 1/sum, epilogue, store
//
// Where the mask bounds the keys of a row (AttentionMask.h) only the panels of
// K, and only the rows of V, that some row of the block may look at are
// multiplied: the exponentials of the others are 0. The bounds are compared
// with where the block lies; those that are data (lengths) are read first, and
// keys that are padding for all rows are taken off both ends. All that holds if
// each row looks at something. A row that is masked whole has all its keys
// alike in ONNX, so a block with such a row is computed again without bounds.
//
// All keys of a row are there at once, so the softmax is the plain one, its
// sum has the same order of additions wherever the row is computed, and the
// mask is any expression that emit() can pull. Dividing by the sum waits until
// the output: one multiplication per output instead of one per score. A guarded
// softmax (a row whose sum is NaN becomes 0) sets the output's row to 0.
//
// Where sequences have lengths of their own (tenon.load_pages) a task has the
// keys of its sequence and no others. What it pulls it pulls for columns of the
// longest one's, as many further as the sequence is shorter.
//
// A cache of i8 has a scale for each key and each value. Those of keys are
// multiplied to the scores, those of values to the exponentials: the products
// are of queries, and exponentials, by codes.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonPacked.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Form/AttentionMask.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

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
  int64_t queryRows; // of a task
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
  KeyMask mask = findKeyMask(softmax.getInput(), qk.getResult());
  Value queries = {}, scores = {}, inverse = {}, tile = {};
  Value keyPlaces = {}, valuePlaces = {}; ///< of pages
  Value batchIndex = {}, m0 = {};
  Value ownKeys = {}; ///< of the task's sequence
  Value shorter = {}; ///< than the longest by so many keys; null: none is

  void findPages(const PackedOperand &operand, Value places);
  Value scalesOf(const PackedOperand &operand, Value places, Value key);
  void packQueries(Value rows);
  struct Product;
  void multiply(const Product &product,
                function_ref<void(Value, Value, Value, Value)> then = nullptr);
  void findOwnKeys();
  KeyRange allKeys() { return {L.index(0), ownKeys}; }
  /// What a vector of keys from `key` on, a multiple of its lanes, is to that
  /// which the scores are computed of.
  Idx columnsAt(Value key) {
    if (shorter)
      return Idx{L.add(key, shorter), 1, 1, {}};
    return Idx{key, 1, (int64_t)lanes, {}};
  }
  Value boundAt(const KeyBound &bound, Value row);
  Value boundOf(const KeyBound &bound, Value rows);
  Value isPadding(Value row, Value key);
  Value isPaddingOfRows(Value rows, Value key, bool backwards);
  KeyRange trimPadding(Value rows, KeyRange range);
  KeyRange boundKeys(Value rows);
  void computeScores(Value rows, const KeyRange &range);
  Value finishScores(Value row, const KeyRange &range);
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
  Value placeAt(Value places, Value page) {
    Value place = memref::LoadOp::create(b, L.loc, places, page);
    return arith::IndexCastOp::create(b, L.loc, b.getIndexType(), place);
  }
  Value flatRow(Value m) { return L.add(L.mul(batchIndex, e.dim(rowsQ)), m); }
};

/// How many keys the task's sequence has.
void AttentionKernel::findOwnKeys() {
  ownKeys = e.dim(keys);
  Value ends = K.getEnds();
  if (!ends)
    return;
  LaneScope scalar(L, 1);
  Value sequence =
      L.div(K.matrixAt(e, batchIndex, batch), e.dim(K.getPages()->matrices));
  Value end = e.emit(ends, {L.uniform(sequence)});
  end = L.fromData(end, /*isUnsigned=*/false).base;
  shorter = L.sub(ownKeys, end);
  ownKeys = end;
}

/// Where each page that the task may read lies.
void AttentionKernel::findPages(const PackedOperand &operand, Value places) {
  const PageTable *table = operand.getPages();
  if (!table)
    return;
  Value matrix = operand.matrixAt(e, batchIndex, batch);
  Value count = L.div(L.add(ownKeys, kPanelColumns - 1), kPanelColumns);
  e.loop(L.index(0), count, 1, [&](Value page) {
    Value place = placeOfPage(e, *table, matrix, page);
    L.store(L.toI64(place), places, L.uniform(page), b.getI64Type());
  });
}

/// Of a vector of keys from `key` on, which lie in one page.
Value AttentionKernel::scalesOf(const PackedOperand &operand, Value places,
                                Value key) {
  Value place = placeAt(places, L.div(key, kPanelColumns));
  return operand.scalesAt(e, place, L.rem(key, kPanelColumns));
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

/// `rows` rows of A from aAt on, lda apart, times panels [begin, end) of B, of
/// which rows [first, first + K) count.
struct AttentionKernel::Product {
  Value rows, A, aAt;
  const SymExpr &lda;
  const PackedOperand &B;
  Value places; ///< of B's pages, if it has some
  Value begin, end, first, K;
};

/// To `scores`, or a tile at a time: then(row of the tile where a panel begins,
/// panel, first row, rows).
void AttentionKernel::multiply(
    const Product &x, function_ref<void(Value, Value, Value, Value)> then) {
  Value columns = L.index(kPanelColumns), zero = L.index(0);
  Value B = e.input(x.B.getMemory());
  bool paged = x.B.getPages(), inPages = x.B.hasRowsInPages();
  Value size = L.index(x.B.pageElements());
  forPanelGroups(e, x.begin, x.end, [&](Value panel, int64_t count) {
    Value at, stride = e.dim(x.B.panelsApart());
    if (!paged) {
      at = L.add(x.B.at(e, batchIndex, batch, panel),
                 L.mul(x.first, x.B.rowsApart()));
    } else if (inPages) {
      at = x.B.inPage(L, panel);
    } else { // each panel is one
      Value place = placeAt(x.places, panel);
      at = L.add(L.mul(place, size), x.B.inPage(L, panel));
      if (count > 1) {
        static_assert(kTilePanels == 2);
        Value next = placeAt(x.places, L.add(panel, 1));
        stride = L.mul(L.sub(next, place), size);
      }
    }
    forRowTiles(e, x.rows, kTileRows, [&](Value, Value r0, Value mr) {
      MicroKernelOperands operands{
          x.A, L.add(x.aAt, L.mul(r0, e.dim(x.lda))), B, at, stride, x.K, tile,
          zero};
      MicroKernelShape shape{count};
      shape.rowsApart = x.B.rowsApart();
      if (inPages) { // the first row begins one
        shape.page = x.B.pageElements();
        operands.places = x.places;
        operands.placeAt = L.div(x.first, columns);
      }
      shape.element = x.B.getElement();
      if (!then) {
        shape.inRows = true;
        operands.C = scores;
        operands.ldc = e.dim(ld);
        operands.cAt = L.add(L.mul(r0, operands.ldc), L.mul(panel, columns));
      }
      emitMicroKernel(e, mr, kTileRows, x.lda, operands, shape);
      for (int64_t p = 0; then && p < count; ++p)
        then(L.mul(mr, p), L.add(panel, p), r0, mr);
    });
  });
}

/// Where the bound of `row` lies; outside all keys where data is too large for
/// the sums of indices.
Value AttentionKernel::boundAt(const KeyBound &bound, Value row) {
  constexpr int64_t kLargest = 1 << 29;
  Value key = L.add(e.dim(bound.offset), L.mul(row, bound.slope));
  LaneScope scalar(L, 1);
  SmallVector<Idx> at = rowIndex(row);
  at.push_back(L.uniform(0));
  for (const KeyBound::Term &term : bound.terms) {
    Value data = e.emit(term.value,
                        e.broadcastIndex(at, getDims(term.value), scoreDims));
    Value number = L.fromData(data, /*isUnsigned=*/false).base;
    Value sum = term.negative ? L.sub(key, number) : L.add(key, number);
    Value small = L.ule(L.add(number, kLargest), 2 * kLargest);
    key = L.select(small, sum,
                   L.index(bound.upper ? 8 * kLargest : -8 * kLargest));
  }
  return key;
}

/// The widest bound of the block's rows.
Value AttentionKernel::boundOf(const KeyBound &bound, Value rows) {
  Value end = L.add(m0, rows), last = L.sub(end, 1);
  if (!bound.termsVary)
    return boundAt(bound, bound.upper == (bound.slope >= 0) ? last : m0);
  return e.extremeOf(m0, end, bound.upper,
                     [&](Value row) { return boundAt(bound, row); });
}

/// Are `lanes` keys from `key` on, which is a multiple of it, all padding?
Value AttentionKernel::isPadding(Value row, Value key) {
  LaneScope saved(L, lanes);
  auto count = keys.constant();
  if (shorter || !count || *count % lanes != 0)
    L.mask = L.tailMask(L.sub(ownKeys, key));
  SmallVector<Idx> at = rowIndex(row);
  at.push_back(columnsAt(key));
  Value all;
  for (const KeyPadding &padding : mask.padding) {
    Value x = e.emit(padding.value,
                     e.broadcastIndex(at, getDims(padding.value), scoreDims));
    if (padding.when == KeyPadding::isLow)
      x = L.ole(x, L.constLike(x, kMasked));
    else if (padding.when == KeyPadding::isFalse)
      x = L.no(x);
    x = L.widen(x);
    all = all ? Value(L.either(all, x)) : x;
  }
  if (L.mask)
    all = L.select(L.mask, all, L.constantInt(all.getType(), 1));
  return L.allOf(all);
}

/// For all of the block's rows? Looks at the last one first, or the first.
Value AttentionKernel::isPaddingOfRows(Value rows, Value key, bool backwards) {
  if (!mask.paddingVaries)
    return isPadding(m0, key);
  Value one = L.index(1), last = L.sub(L.add(m0, rows), one);
  auto isPaddingOf = [&](Value number) {
    return isPadding(backwards ? L.sub(last, number) : L.add(m0, number), key);
  };
  Value seen = e.whileLoop(
      L.index(0),
      [&](Value seen) {
        return e.bothIn(L.slt(seen, rows), [&] { return isPaddingOf(seen); });
      },
      [&](Value seen) { return L.add(seen, one); });
  return L.eq(seen, rows);
}

/// Without the padding at both ends, looked at a vector at a time.
KeyRange AttentionKernel::trimPadding(Value rows, KeyRange range) {
  Value step = L.index(lanes);
  auto lastVector = [&](Value end) {
    return L.mul(L.div(L.sub(end, 1), step), step);
  };
  range.end = e.whileLoop(
      range.end,
      [&](Value end) {
        Value key = lastVector(end);
        return e.bothIn(L.slt(range.begin, end), [&] {
          return isPaddingOfRows(rows, key, /*backwards=*/true);
        });
      },
      lastVector);
  range.begin = e.whileLoop(
      range.begin,
      [&](Value begin) {
        return e.bothIn(L.slt(begin, range.end), [&] {
          return isPaddingOfRows(rows, begin, /*backwards=*/false);
        });
      },
      [&](Value begin) { return L.add(begin, step); });
  return range;
}

/// What any of the block's rows may look at; all keys where that is nothing.
KeyRange AttentionKernel::boundKeys(Value rows) {
  KeyRange all = allKeys(), range = all;
  for (const KeyBound &bound : mask.bounds) {
    Value key = boundOf(bound, rows);
    if (shorter)
      key = L.sub(key, shorter);
    if (bound.upper)
      range.end = L.min(range.end, L.add(key, 1));
    else
      range.begin = L.max(range.begin, key);
  }
  Value columns = L.index(kPanelColumns);
  auto startPanel = [&] {
    range.begin = L.mul(L.div(range.begin, columns), columns);
  };
  startPanel();
  if (!mask.padding.empty()) {
    range = trimPadding(rows, range);
    startPanel();
  }
  Value some = L.slt(range.begin, range.end);
  return {L.select(some, range.begin, all.begin),
          L.select(some, range.end, all.end)};
}

void AttentionKernel::computeScores(Value rows, const KeyRange &range) {
  Value columns = L.index(kPanelColumns);
  Value begin = L.div(range.begin, columns);
  Value end = L.div(L.add(range.end, kPanelColumns - 1), columns);
  multiply({rows, queries, L.index(0), depth, K, keyPlaces, begin, end,
            L.index(0), e.dim(depth)});
}

/// The pointwise ops on a row's products, in place, and the row's maximum.
Value AttentionKernel::finishScores(Value row, const KeyRange &range) {
  Value input = softmax.getInput(), m = L.add(m0, row);
  SmallVector<SymExpr> dims = getDims(input);
  Idx base = L.uniform(L.mul(row, e.dim(ld)));
  Idx flat = L.uniform(L.mul(flatRow(m), e.dim(keys)));
  SmallVector<Idx> idx = rowIndex(m);
  idx.push_back(Idx());
  Value lowest = L.constant(L.vec(f32, lanes), -HUGE_VAL);
  Value n = L.sub(range.end, range.begin);
  Value acc = e.lanesLoop(n, lanes, lowest, [&](Idx i, ValueRange args) {
    // A range starts a panel, so its vectors lie at multiples of their lanes.
    idx.back() = Idx{L.add(range.begin, i.base), 1, (int64_t)lanes, {}};
    Idx at = L.add(base, idx.back());
    Value x = L.load(scores, at, f32);
    if (K.hasScales())
      x = L.mul(x, scalesOf(K, keyPlaces, idx.back().base));
    if (input != qk.getResult()) {
      idx.back() = columnsAt(idx.back().base);
      e.bind(qk.getResult(), [x](ArrayRef<Idx>) { return x; });
      e.setDomain(dims, idx, L.add(flat, idx.back()));
      x = e.emit(input, idx);
    }
    if (input != qk.getResult() || K.hasScales())
      L.store(x, scores, at, f32);
    return SmallVector<Value>{L.largerOf(args[0], x)};
  })[0];
  return e.combineLanes(acc, vector::CombiningKind::MAXNUMF);
}

/// Where 1/sum will be; gives the lowest of them.
Value AttentionKernel::storeMaxima(Value rows, const KeyRange &range) {
  return e.loop(L.index(0), rows, 1, L.constant(f32, HUGE_VAL),
                [&](Value r, ValueRange lowest) {
                  Value max = finishScores(r, range);
                  L.store(max, inverse, L.uniform(r), f32);
                  return SmallVector<Value>{
                      arith::MinNumFOp::create(b, L.loc, lowest[0], max)};
                })[0];
}

/// exp(x - max) in place, times the scales that values have, and 1/sum.
void AttentionKernel::exponentiate(Value row, Value max,
                                   const KeyRange &range) {
  Idx base = L.uniform(L.add(L.mul(row, e.dim(ld)), range.begin));
  Value zero = L.constant(L.vec(f32, lanes), 0);
  Value n = L.sub(range.end, range.begin);
  Value acc = e.lanesLoop(n, lanes, zero, [&](Idx i, ValueRange args) {
    Idx at = L.add(base, i);
    Value x = L.sub(L.load(scores, at, f32), L.widen(max));
    x = L.softmaxExp(x);
    Value weight = x;
    if (V.hasScales())
      weight = L.mul(x, scalesOf(V, valuePlaces, L.add(range.begin, i.base)));
    L.store(weight, scores, at, f32);
    if (L.mask)
      x = L.select(L.mask, x, zero);
    return SmallVector<Value>{L.add(args[0], x)};
  })[0];
  Value sum = e.combineLanes(acc, vector::CombiningKind::ADD);
  Value inv = L.div(L.constant(f32, 1), sum);
  L.store(inv, inverse, L.uniform(row), f32);
}

/// Computes the exponentials of the scores and says which keys they are of.
KeyRange AttentionKernel::normalize(Value rows) {
  KeyRange all = allKeys(), range = all;
  auto compute = [&] {
    computeScores(rows, range);
    return storeMaxima(rows, range);
  };
  if (mask.empty()) {
    compute();
  } else {
    KeyRange first = boundKeys(rows);
    SmallVector<Value> found = e.whileLoop(
        {first.begin, first.end},
        [&](ValueRange args) -> Value {
          range = {args[0], args[1]};
          // Half of kMasked: what scores add to it does not matter.
          Value none = L.leOrNan(compute(), L.constant(f32, kMasked / 2));
          Value some = L.slt(L.sub(range.end, range.begin), all.end);
          return L.both(none, some);
        },
        [&](ValueRange) { return SmallVector<Value>{all.begin, all.end}; });
    range = {found[0], found[1]};
  }
  e.loop(L.index(0), rows, 1, [&](Value r) {
    exponentiate(r, L.load(inverse, L.uniform(r), f32), range);
  });
  return range;
}

void AttentionKernel::computeOutput(Value rows, const KeyRange &range) {
  multiply({rows, scores, range.begin, ld, V, valuePlaces, L.index(0),
            e.dim(v[v.size() - 3]), range.begin, L.sub(range.end, range.begin)},
           [&](Value tileRow, Value panel, Value r0, Value mr) {
             outputPanel(tileRow, panel, r0, mr);
           });
}

void AttentionKernel::outputPanel(Value tileRow, Value panel, Value r0,
                                  Value mr) {
  e.loop(L.index(0), mr, 1, [&](Value r) {
    Value row = L.add(r0, r), m = L.add(m0, row);
    Value inv = L.load(inverse, L.uniform(row), f32);
    SmallVector<Idx> idx = rowIndex(m);
    idx.push_back(Idx());
    Idx base = L.uniform(L.mul(flatRow(m), e.dim(N)));
    forPanelColumns(e, panel, N, [&](Value c, Value column) {
      idx.back() = Idx{column, 1, (int64_t)lanes, {}};
      Value at = L.add(L.mul(L.add(tileRow, r), kPanelColumns), c), x;
      {
        LaneScope whole(L, L.lanes); // as the tile is
        x = L.load(tile, Idx{at, 1, (int64_t)lanes, {}}, f32);
      }
      x = L.mul(x, L.widen(inv));
      if (softmax.getGuard()) {
        Value nan = L.isNan(inv);
        x = L.select(nan, L.constLike(x, 0), x);
      }
      e.bind(pv.getResult(), [x](ArrayRef<Idx>) { return x; });
      sink.store(e, idx, L.add(base, idx.back()));
    });
  });
}

void AttentionKernel::run() {
  SymExpr blocks = SymExpr::apply(SymExpr::Fn::CeilDiv, rowsQ, queryRows);
  e.info.tasks = productOf(batch) * blocks;
  // Two products and an exponential per score.
  e.info.cost = productOf(batch) * rowsQ * keys * (depth + N + 16);
  tile = e.scratchBuffer(kTileElements, f32);
  queries = e.scratchBuffer(depth * queryRows, f32);
  scores = e.scratchBuffer(ld * queryRows, f32);
  inverse = e.scratchBuffer(queryRows, f32);
  if (K.getPages())
    keyPlaces = e.scratchBuffer(K.getPages()->count, b.getI64Type());
  if (V.getPages())
    valuePlaces = e.scratchBuffer(V.getPages()->count, b.getI64Type());
  Value nb = e.dim(blocks), m = e.dim(rowsQ);
  e.loop(e.begin, e.end, 1, [&](Value t) {
    batchIndex = L.div(t, nb);
    findOwnKeys();
    m0 = L.mul(L.rem(t, nb), queryRows);
    Value rows = L.min(L.sub(m, m0), queryRows);
    findPages(K, keyPlaces);
    findPages(V, valuePlaces);
    packQueries(rows);
    computeOutput(rows, normalize(rows));
  });
}

} // namespace

void emitAttentionKernel(KernelEmitter &e) {
  SmallVector<PackedMatMulOp> matmuls(e.body().getOps<PackedMatMulOp>());
  SmallVector<SoftmaxOp> softmaxes(e.body().getOps<SoftmaxOp>());
  SmallVector<PackedOperand, 2> operands;
  for (PackedMatMulOp matmul : matmuls)
    if (auto operand = PackedOperand::trace(matmul.getPacked(),
                                            /*knowsPages=*/true))
      operands.push_back(*operand);
  if (operands.size() != 2 || softmaxes.size() != 1 ||
      matmuls[1].getLhs() != softmaxes[0].getResult()) {
    e.fail("an 'attention' kernel is not matmul, "
           "softmax, matmul of stored operands");
    return;
  }
  if (auto tiling = e.tiling<CpuAttentionTilingAttr>())
    AttentionKernel{e,           matmuls[0],  softmaxes[0],       matmuls[1],
                    operands[0], operands[1], tiling.getQueries()}
        .run();
}

} // namespace tenon
