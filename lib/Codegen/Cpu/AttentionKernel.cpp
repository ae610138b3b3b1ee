//===- AttentionKernel.cpp - softmax(Q K^T) V without storing the scores --===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task is queryRows rows of Q of one (batch, head). Heads that read the same
// keys and values are one matrix, with the rows of all heads for a query side
// by side: a page is read, and its numbers widened, once for all of them.
//
//   pack the rows of Q                                  [rows][d]
//   for panel of K:  micro-kernel                       scores[rows][keys]
//   for row:         the pointwise ops on the scores      (L2 cache)
//                    (scale, mask) and their maximum
//   for row:         exp and sum                        scores, 1/sum
//   for row:         if rows are finished: times 1/sum,
//                    and the pointwise ops on that
//   for panel of V:  micro-kernel over the scores,
//                    times 1/sum, epilogue, store
//
// Which keys these are AttentionRange.cpp finds.
//
// All keys of a row are there at once, so the softmax is the plain one, its
// sum has the same order of additions wherever the row is computed, and the
// mask is any expression that emit() can pull. Dividing by the sum waits until
// the output: one multiplication per output instead of one per score. A guarded
// softmax (a row whose sum is NaN becomes 0) sets the output's row to 0. Where
// the model does something to the probabilities (one that is quantised rounds
// them) it cannot wait: the row is finished first, with the bits that kernels
// of their own would give.
//
// Where sequences have lengths of their own (tenon.load_pages) a task has the
// keys of its sequence and no others. What it pulls it pulls for columns of the
// longest one's, as many further as the sequence is shorter.
//
// Products of codes, and of bf16, are AttentionCodes.cpp's.
//
// A cache of i8 has a scale for each key and each value. Those of keys are
// multiplied to the scores, those of values to the exponentials: the products
// are of queries, and exponentials, by codes.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/AttentionKernel.h"
#include <cmath>
#include <numeric>

using namespace mlir;

namespace tenon {

/// Those of the innermost dim, so that the others are one for all.
int64_t AttentionKernel::countHeads() {
  int64_t most = batch.empty() ? 1 : batch.back().constant().value_or(1);
  return std::max<int64_t>(std::gcd(most, countSharers()), 1);
}

SymExpr AttentionKernel::groupsOf() {
  SymExpr all = productOf(batch);
  return all.divideExactly(heads).value_or(
      SymExpr::apply(SymExpr::Fn::FloorDiv, all, heads));
}

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

/// What is fetched must be on its way for as long as memory takes to answer;
/// the micro-kernels fetch as many of a panel's lines as they read.
int64_t AttentionKernel::pagesAhead(const PackedOperand &operand) {
  constexpr int64_t bytes = 8192;
  Type element = operand.getElement();
  int64_t bits = element ? element.getIntOrFloatBitWidth() : 32;
  int64_t pages = llvm::divideCeil(bytes, operand.pageElements() * bits / 8);
  // Of keys a tile of pages is met at once.
  return std::max<int64_t>(pages, operand.hasRowsInPages() ? 1 : kTilePanels);
}

/// Where each page of `range` lies, and each that is fetched meanwhile: the
/// next ones of the matrix, then those of the next one from `first` on.
void AttentionKernel::findPages(const PackedOperand &operand, Value places,
                                const KeyRange &range, Value first) {
  const PageTable *table = operand.getPages();
  if (!table)
    return;
  Value matrix = operand.matrixAt(e, batchIndex, batch);
  Value next =
      L.min(L.add(batchIndex, heads), L.mul(L.sub(e.dim(groups), 1), heads));
  next = operand.matrixAt(e, next, batch);
  auto pagesOf = [&](Value keys) {
    return L.div(L.add(keys, kPanelColumns - 1), kPanelColumns);
  };
  Value count = pagesOf(ownKeys), last = L.sub(e.dim(table->count), 1);
  Value end = L.add(pagesOf(range.end), pagesAhead(operand) + kTilePanels);
  first = L.div(first, kPanelColumns);
  e.loop(L.div(range.begin, kPanelColumns), end, 1, [&](Value page) {
    Value own = L.slt(page, count);
    Value place = placeOfPage(
        e, *table, L.select(own, matrix, next),
        L.min(L.select(own, page, L.add(first, L.sub(page, count))), last));
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
    Value row = L.add(m0, r);
    SmallVector<Idx> own =
        e.broadcastIndex(matrixIndex(row), ArrayRef(q).drop_back(2), batch);
    own.push_back(L.uniform(queryOf(row)));
    own.push_back(Idx());
    // Behind the last code of a row anything will do: it meets zeros.
    Idx to = L.uniform(L.mul(r, e.dim(rowSize)));
    e.lanesLoop(d, lanes, [&](Idx i) {
      own.back() = i;
      Value x = e.emit(qk.getLhs(), own);
      if (format)
        storeCode(format, x, queries, L.add(to, i));
      else
        L.store(x, queries, L.add(to, i), f32);
    });
    if (format && !isInteger(format))
      clearBehind(format, queries, to.base, d);
  });
}

/// `rows` rows of A from aAt on, lda apart, times panels [begin, end) of B, of
/// which rows [first, first + K) count.
struct AttentionKernel::Product {
  Value rows, A, aAt;
  const SymExpr &lda;
  const PackedOperand &B;
  Value places; ///< of B's pages, if it has some
  Value begin, end;
  Value first, K;
};

/// To `scores`, or a tile at a time: then(row of the tile where a panel begins,
/// panel, first row, rows).
void AttentionKernel::multiply(
    const Product &x, function_ref<void(Value, Value, Value, Value)> then) {
  Value columns = L.index(kPanelColumns), zero = L.index(0);
  Value B = e.input(x.B.getMemory());
  bool paged = x.B.getPages(), inPages = x.B.hasRowsInPages();
  Value size = L.index(x.B.pageElements());
  auto multiplyGroup = [&](Value panel, int64_t count) {
    Value at, ahead, stride = e.dim(x.B.panelsApart());
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
      Value next = placeAt(x.places, L.add(panel, pagesAhead(x.B)));
      ahead = L.add(L.mul(next, size), x.B.inPage(L, panel));
    }
    forRowTiles(e, x.rows, kTileRows, [&](Value, Value r0, Value mr) {
      MicroKernelOperands operands{
          x.A, L.add(x.aAt, L.mul(r0, e.dim(x.lda))), B, at, stride, x.K, tile,
          zero};
      MicroKernelShape shape{count};
      shape.rowsApart = x.B.rowsApart();
      if (inPages) { // the first row begins one
        shape.page = x.B.pageElements();
        shape.pagesAhead = pagesAhead(x.B);
        operands.places = x.places;
        operands.placeAt = L.div(x.first, columns);
      }
      shape.element = x.B.getElement();
      if (ahead) {
        operands.next = ahead;
        operands.nextStep = L.index(4 * kPanelColumns);
        // All of four rows.
        shape.lines =
            x.B.getElement() ? x.B.getElement().getIntOrFloatBitWidth() / 4 : 8;
      }
      if (!then) {
        shape.inRows = true;
        operands.C = scores;
        operands.ldc = e.dim(ld);
        operands.cAt = L.add(
            scoresAt, L.add(L.mul(r0, operands.ldc), L.mul(panel, columns)));
      }
      emitMicroKernel(e, mr, kTileRows, x.lda, operands, shape);
      for (int64_t p = 0; then && p < count; ++p)
        then(L.mul(mr, p), L.add(panel, p), r0, mr);
    });
  };
  forPanelGroups(e, x.begin, x.end, multiplyGroup);
}

void AttentionKernel::computeScores(Value rows, const KeyRange &range) {
  Value columns = L.index(kPanelColumns);
  Value begin = L.div(range.begin, columns);
  Value end = L.div(L.add(range.end, kPanelColumns - 1), columns);
  if (format)
    return computeByFormat(rows, begin, end);
  multiply({rows, queries, L.index(0), depth, K, keyPlaces, begin, end,
            L.index(0), e.dim(depth)});
}

struct AttentionKernel::KeyWalk {
  KeyWalk(AttentionKernel &a, Value row, const KeyRange &range)
      : a(a), row(row), first(range.begin), n(L.sub(range.end, range.begin)),
        base(L.uniform(L.add(a.scoresAt, L.mul(row, a.e.dim(a.ld))))),
        flat(L.uniform(L.mul(a.flatRow(m), a.e.dim(a.keys)))),
        idx(a.rowIndex(m)) {
    idx.push_back(Idx());
  }
  AttentionKernel &a;
  LaneBuilder &L = a.L;
  Value row, m = L.add(a.m0, row), first, n;
  Idx base, flat; // of the row in the scores, and among those of all rows
  SmallVector<Idx> idx;

  /// A range starts a panel, so its vectors lie at multiples of their lanes.
  Idx keyAt(const Idx &i) const {
    return Idx{L.add(first, i.base), 1, (int64_t)a.lanes, {}};
  }
  /// `to`, to which pointwise ops lead, of the vector of keys from `key` on for
  /// which `from` is x.
  Value pull(Value from, Value x, Value to, const Idx &key) {
    if (from == to)
      return x;
    idx.back() = a.columnsAt(key.base);
    a.e.bind(from, [x](ArrayRef<Idx>) { return x; });
    a.e.setDomain(getDims(to), idx, L.add(flat, idx.back()));
    return a.e.emit(to, idx);
  }
};

/// The pointwise ops on a row's products, in place, and the row's maximum.
Value AttentionKernel::finishScores(Value row, const KeyRange &range) {
  Value input = softmax.getInput();
  Value lowest = L.constant(L.vec(f32, lanes), -HUGE_VAL);
  KeyWalk walk(*this, row, range);
  Value acc = e.lanesLoop(walk.n, lanes, lowest, [&](Idx i, ValueRange args) {
    Idx key = walk.keyAt(i), at = L.add(walk.base, key);
    Value x = L.load(scores, at, f32);
    if (isInteger(format))
      x = arith::BitcastOp::create(b, L.loc, L.vec(b.getI32Type(), lanes), x);
    if (K.hasScales())
      x = L.mul(x, scalesOf(K, keyPlaces, key.base));
    x = walk.pull(qk.getResult(), x, input, key);
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

Value AttentionKernel::guarded(Value x, Value inv) {
  if (!softmax.getGuard())
    return x;
  Value nan = L.isNan(inv);
  return L.select(nan, L.constLike(x, 0), x);
}

/// Exponentials become probabilities, and what the model makes of them, times
/// the scales that values have. Of codes their sum is taken, too.
void AttentionKernel::finishWeights(Value row, Value inv,
                                    const KeyRange &range) {
  KeyWalk walk(*this, row, range);
  auto weightsAt = [&](const Idx &key, const Idx &at) {
    Value x = L.mul(L.load(scores, at, f32), L.widen(inv));
    return walk.pull(softmax.getResult(), guarded(x, inv), pv.getLhs(), key);
  };
  if (isInteger(valueFormat)) {
    Value none = L.constantInt(L.vec(b.getI32Type(), lanes), 0);
    Value sum = e.lanesLoop(walk.n, lanes, none, [&](Idx i, ValueRange args) {
      Idx key = walk.keyAt(i), at = L.add(walk.base, key);
      Value x = L.widen(weightsAt(key, at));
      storeCode(valueFormat, x, codes, at);
      x = L.extend(x, b.getI32Type(), /*isUnsigned=*/true);
      if (L.mask)
        x = L.select(L.mask, x, none);
      return SmallVector<Value>{L.add(args[0], x)};
    })[0];
    clearBehind(valueFormat, codes, L.add(walk.base.base, range.begin), walk.n);
    if (rowSum)
      L.store(e.combineLanes(sum, vector::CombiningKind::ADD), codeSums,
              L.uniform(row), b.getI32Type());
    return;
  }
  e.lanesLoop(walk.n, lanes, [&](Idx i) {
    Idx key = walk.keyAt(i), at = L.add(walk.base, key);
    Value x = weightsAt(key, at);
    if (V.hasScales())
      x = L.mul(x, scalesOf(V, valuePlaces, key.base));
    storeWeight(x, at);
  });
}

/// Where the product by values reads it.
void AttentionKernel::storeWeight(Value x, const Idx &at) {
  if (valueFormat)
    storeCode(valueFormat, x, codes, at);
  else
    L.store(x, scores, at, f32);
}

/// exp(x - max) in place, or what is finished of it, times the scales that
/// values have, and 1/sum.
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
    if (V.hasScales() && !finishesRows())
      weight = L.mul(x, scalesOf(V, valuePlaces, L.add(range.begin, i.base)));
    finishesRows() ? L.store(weight, scores, at, f32) : storeWeight(weight, at);
    if (L.mask)
      x = L.select(L.mask, x, zero);
    return SmallVector<Value>{L.add(args[0], x)};
  })[0];
  Value sum = e.combineLanes(acc, vector::CombiningKind::ADD);
  Value inv = L.div(L.constant(f32, 1), sum);
  L.store(inv, inverse, L.uniform(row), f32);
  if (finishesRows())
    finishWeights(row, inv, range);
  if (valueFormat && !isInteger(valueFormat))
    clearBehind(valueFormat, codes, base.base, n);
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
          return needsAll(compute(), range);
        },
        [&](ValueRange) { return SmallVector<Value>{all.begin, all.end}; });
    range = {found[0], found[1]};
  }
  e.loop(L.index(0), rows, 1, [&](Value r) {
    exponentiate(r, L.load(inverse, L.uniform(r), f32), range);
  });
  return range;
}

void AttentionKernel::computeOutput(Value rows, const KeyRange &range,
                                    Value begin, Value end) {
  if (!begin)
    begin = L.index(0), end = e.dim(panelsOfValues());
  if (valueFormat)
    return multiplyWeights(rows, range, begin, end);
  multiply({rows, scores, range.begin, ld, V, valuePlaces, begin, end,
            range.begin, L.sub(range.end, range.begin)},
           [&](Value tileRow, Value panel, Value r0, Value mr) {
             outputPanel(tileRow, panel, r0, mr);
           });
}

void AttentionKernel::outputPanel(Value tileRow, Value panel, Value r0,
                                  Value mr) {
  e.loop(L.index(0), mr, 1, [&](Value r) {
    Value row = L.add(r0, r), m = L.add(m0, row);
    Value inv = L.load(inverse, L.uniform(row), f32);
    if (rowSum) {
      Value sum = L.load(codeSums, L.uniform(row), b.getI32Type());
      e.bind(rowSum.getResult(), [sum](ArrayRef<Idx>) { return sum; });
    }
    SmallVector<Idx> idx = rowIndex(m);
    idx.push_back(Idx());
    Idx base = L.uniform(L.mul(flatRow(m), e.dim(N)));
    forPanelColumns(e, panel, N, [&](Value c, Value column) {
      idx.back() = Idx{column, 1, (int64_t)lanes, {}};
      Value at = L.add(L.mul(L.add(tileRow, r), kPanelColumns), c), x;
      {
        LaneScope whole(L, L.lanes); // as the tile is
        x = L.load(isInteger(valueFormat) ? sums : tile,
                   Idx{at, 1, (int64_t)lanes, {}},
                   isInteger(valueFormat) ? Type(b.getI32Type()) : f32);
      }
      if (!finishesRows())
        x = guarded(L.mul(x, L.widen(inv)), inv);
      e.bind(pv.getResult(), [x](ArrayRef<Idx>) { return x; });
      sink.store(e, idx, L.add(base, idx.back()));
    });
  });
}

void AttentionKernel::takeScratch() {
  tile = e.scratchBuffer(kTileElements, f32);
  queries = format ? memoryOfCodes(format, rowSize * queryRows)
                   : e.scratchBuffer(depth * queryRows, f32);
  if (isInteger(format) || isInteger(valueFormat))
    sums = e.scratchBuffer(kTileElements, b.getI32Type());
  if (valueFormat)
    codes = memoryOfCodes(valueFormat, ld * queryRows);
  if (isInteger(valueFormat))
    codeSums = e.scratchBuffer(queryRows, b.getI32Type());
  scores = e.scratchBuffer(ld * queryRows, f32);
  inverse = e.scratchBuffer(queryRows, f32);
  auto takePlaces = [&](const PackedOperand &operand) {
    if (!operand.getPages())
      return Value();
    return e.scratchBuffer(operand.getPages()->count + pagesAhead(operand) +
                               kTilePanels,
                           b.getI64Type());
  };
  keyPlaces = takePlaces(K);
  valuePlaces = takePlaces(V);
  scoresAt = L.index(0);
}

void AttentionKernel::beginGroup(Value number) {
  batchIndex = L.mul(number, heads);
  findOwnKeys();
}

void AttentionKernel::runBlocks() {
  SymExpr blocks = SymExpr::apply(SymExpr::Fn::CeilDiv, rowsAll, queryRows);
  Value nb = e.dim(blocks), m = e.dim(rowsAll);
  e.loop(e.begin, e.end, 1, [&](Value t) {
    beginGroup(L.div(t, nb));
    m0 = L.mul(L.rem(t, nb), queryRows);
    Value rows = L.min(L.sub(m, m0), queryRows);
    findPages(K, keyPlaces, allKeys(), L.index(0));
    findPages(V, valuePlaces, allKeys(), L.index(0));
    packQueries(rows);
    computeOutput(rows, normalize(rows));
  });
}

bool keysVaryByRow(Block &attention) {
  auto products = attention.getOps<PackedMatMulOp>();
  auto softmaxes = attention.getOps<SoftmaxOp>();
  if (products.empty() || softmaxes.empty())
    return false;
  KeyMask mask = findKeyMask((*softmaxes.begin()).getInput(),
                             (*products.begin()).getResult());
  return llvm::any_of(mask.bounds, [](const KeyBound &bound) {
    return bound.slope != 0 || bound.termsVary;
  });
}

} // namespace tenon
