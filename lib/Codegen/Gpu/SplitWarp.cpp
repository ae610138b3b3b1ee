//===- SplitWarp.cpp - keys of a warp in a split attention ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Keys and values are read once by one warp, so they go from memory to
// registers: a thread has four neighbouring columns of each line. Column g of
// product j of a panel is column 4g + j of the panel. A thread then has the
// scores of keys 8t to 8t + 7, and these are the ks of the second product that
// it has, two of each eight, or four of each sixteen.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/SplitTile.h"

using namespace mlir;

namespace tenon {

/// Row r of the tile.
SplitTile::Row SplitTile::rowAt(Value r) {
  Row found;
  found.row = L.add(first, r);
  found.batchIndex = matrix;
  if (group > 1) {
    Value head = L.div(found.row, m);
    found.batchIndex = L.add(L.mul(matrix, group), head);
    found.row = L.rem(found.row, m);
  }
  found.lead = e.delinearize(found.batchIndex, batch);
  return found;
}

/// Of `rows` rows each.
SplitTile::Place SplitTile::placeOf(const PackedOperand &operand, int64_t rows,
                                    Value panel) {
  Value own = L.mul(matrix, group);
  if (const PageTable *table = operand.getPages()) {
    Value page = placeOfPage(e, *table, operand.matrixAt(e, own, batch), panel);
    return {L.add(L.mul(page, operand.pageElements()),
                  operand.inPage(L, L.index(0))),
            page};
  }
  Value begin = operand.at(e, own, batch, L.index(0));
  return {L.add(begin, L.mul(panel, rows * operand.rowsApart())), Value()};
}

/// Four numbers, or zeros unless `inside`, which may be null.
Value SplitTile::loadQuad(const PackedOperand &operand, Value at,
                          Value inside) {
  LaneScope scope(L, kQuad);
  if (inside)
    at = L.select(inside, at, L.index(0));
  Type type = operand.getElement() ? operand.getElement() : f32;
  Value x = L.load(e.input(operand.getMemory()), Idx{at, 1, kQuad, {}}, type);
  if (type.isInteger())
    x = L.toFloat(L.extend(x, i32), f32);
  return inside ? L.select(inside, x, L.constant(four, 0)) : x;
}

/// That of a key's codes, which stands in front of its page.
Value SplitTile::loadScale(const PackedOperand &operand, Value page,
                           Value key) {
  Value at = L.add(L.mul(page, operand.pageElements()), L.mul(key, 4));
  return loadGlobal(e, globalPointer(e, e.input(operand.getMemory())), f32, at);
}

/// How many keys the tile's sequence has.
void SplitTile::findKeys() {
  nk = e.dim(keys);
  Value ends = K.getEnds();
  if (!ends)
    return;
  Value sequence = L.div(K.matrixAt(e, L.mul(matrix, group), batch),
                         e.dim(K.getPages()->matrices));
  Value end = e.emit(ends, {L.uniform(sequence)});
  end = L.fromData(end, /*isUnsigned=*/false).base;
  shorter = L.sub(nk, end);
  nk = end;
}

/// Rows that there are not are zeros.
void SplitTile::fillQueries() {
  int64_t quads = (plan.rowOfQ - 4) / kQuad;
  int64_t lanes = depth % kQuad == 0 ? kQuad : 1;
  e.loop(thread, L.index(kMmaRows * quads), threads, [&](Value i) {
    Value r = L.div(i, quads), c = L.mul(L.rem(i, quads), kQuad);
    LaneScope scope(L, lanes);
    Type type = L.vec(f32);
    for (int64_t k = 0; k < kQuad; k += lanes) {
      Value column = L.add(c, k), inside = L.ult(r, count);
      if (depth % mma.depth() != 0)
        inside = L.both(inside, L.ult(column, depth));
      Value x = e.ifElse(
          inside, type,
          [&] {
            Row row = rowAt(r);
            SmallVector<Idx> idx =
                e.broadcastIndex(row.lead, ArrayRef(q).drop_back(2), batch);
            idx.push_back(L.uniform(row.row));
            idx.push_back(lanes == 1 ? L.uniform(column)
                                     : Idx{column, 1, lanes, {}});
            return L.widen(e.emit(qk.getLhs(), idx));
          },
          [&] { return L.constant(type, 0); });
      memory.store(x, L.add(L.mul(r, plan.rowOfQ), column));
    }
  });
}

/// Element 4j + 2h + d: row g + 8h, key 8t + 4d + j of the panel. What the next
/// step multiplies is loaded meanwhile; all at once would take all registers.
SmallVector<Value> SplitTile::multiplyKeys(const Place &place) {
  Value ofThread = narrow ? L.mul(t, 2) : t;
  Value aAt = L.add(L.mul(g, plan.rowOfQ), ofThread);
  Value from = L.add(place.at, L.add(L.mul(ofThread, kPanel), L.mul(g, kQuad)));
  auto loadStep = [&](Value step) {
    Value kk = L.mul(step, mma.depth());
    SmallVector<Value> quads;
    for (int64_t k : ks) {
      Value inside; // of what is behind the last k nothing is known
      if (depth % mma.depth() != 0)
        inside = L.ult(L.add(L.add(ofThread, kk), k), depth);
      quads.push_back(loadQuad(
          K, L.add(L.add(from, L.mul(kk, kPanel)), k * kPanel), inside));
    }
    return quads;
  };
  SmallVector<Value> carried(16, zero);
  llvm::append_range(carried, loadStep(L.index(0)));
  carried =
      e.loop(L.index(0), L.index(plan.steps), 1, carried,
             [&](Value step, ValueRange args) {
               SmallVector<Value> next(args.take_front(16));
               llvm::append_range(
                   next, loadStep(L.min(L.add(step, 1), plan.steps - 1)));
               Value at = L.add(aAt, L.mul(step, mma.depth()));
               Mma::Fragment left = mma.loadA([&](int64_t row, int64_t k) {
                 return memory.load(f32, L.add(at, row * plan.rowOfQ + k));
               });
               for (size_t j = 0; j < 4; ++j) {
                 Mma::Fragment right = mma.loadB([&](int64_t, int64_t k) {
                   size_t i = size_t(llvm::find(ks, k) - ks.begin());
                   return extract(args[16 + i], int64_t(j));
                 });
                 auto c = MutableArrayRef(next).slice(j * 4, 4);
                 llvm::copy(mma.multiply(left, right, SmallVector<Value>(c)),
                            c.begin());
               }
               return next;
             });
  carried.resize(16);
  return carried;
}

/// Each score through what stands before the softmax. Rows that there are not
/// stay as they are.
void SplitTile::pullScores(ArrayRef<Value> scores, const Place &place,
                           Value panel) {
  Value own = roomOfWarp();
  Value base = L.add(own, L.add(L.mul(g, kRowOfSplitScores), L.mul(t, 8)));
  for (size_t half = 0; half < 2; ++half)
    for (size_t d = 0; d < 2; ++d) {
      SmallVector<Value> quad;
      for (size_t j = 0; j < 4; ++j)
        quad.push_back(scores[j * 4 + half * 2 + d]);
      memory.store(fromElements(quad),
                   L.add(base, int64_t(half) * 8 * kRowOfSplitScores +
                                   int64_t(d) * kQuad));
    }
  emitWarpBarrier(e);
  Value key = L.add(L.mul(panel, kPanel), lane);
  Value column = shorter ? L.add(key, shorter) : key, scale;
  if (K.hasScales())
    scale = loadScale(K, place.page, lane);
  e.loop(L.index(0), count, 1, [&](Value r) {
    Value at = L.add(L.add(own, L.mul(r, kRowOfSplitScores)), lane);
    Value score = e.ifElse(
        L.ult(key, nk), f32,
        [&] {
          Value x = memory.load(f32, at);
          if (scale)
            x = L.mul(x, scale);
          e.bind(qk.getResult(), [x](ArrayRef<Idx>) { return x; });
          Row row = rowAt(r);
          SmallVector<Idx> idx(row.lead);
          idx.append({L.uniform(row.row), L.uniform(column)});
          return e.emit(softmax.getInput(), idx);
        },
        [&] { return low; });
    memory.store(score, at);
  });
  emitWarpBarrier(e);
}

/// Scores become weights; each thread reads and writes those of its keys. What
/// was summed before is scaled to the rows' new largest.
void SplitTile::weigh(SmallVector<Value> &carried) {
  size_t sums = carried.size() - 4;
  for (size_t half = 0; half < 2; ++half) {
    Value at = L.add(scoresOfThread(), int64_t(half) * 8 * kRowOfSplitScores);
    SmallVector<Value> own;
    for (int64_t d = 0; d < 2; ++d) {
      Value quad = memory.load(four, L.add(at, d * kQuad));
      for (int64_t i = 0; i < kQuad; ++i)
        own.push_back(extract(quad, i));
    }
    Value scale =
        weighRow(e, carried[sums + half], carried[sums + 2 + half], own);
    for (size_t i = 0; i < sums; i += 4)
      for (size_t d = 0; d < 2; ++d)
        carried[i + half * 2 + d] = L.mul(carried[i + half * 2 + d], scale);
    for (int64_t d = 0; d < 2; ++d)
      memory.store(fromElements(ArrayRef(own).slice(size_t(d) * kQuad, kQuad)),
                   L.add(at, d * kQuad));
  }
}

/// Element 16p + 4j + 2h + d of the sums: row g + 8h, column 8t + 4d + j of
/// panel p.
SmallVector<Value> SplitTile::multiplyValues(Value panel, ValueRange init) {
  Place place = placeOf(V, kPanel, panel);
  Value ofThread = L.mul(t, 8);
  Value firstKey = L.add(L.mul(panel, kPanel), ofThread);
  Value from =
      L.add(L.add(place.at, L.mul(ofThread, V.rowsApart())), L.mul(g, kQuad));
  Value weightsAt = scoresOfThread();
  // Of a thread's eight keys a step has as many as there are ks.
  int64_t ofStep = int64_t(ks.size());
  return e.loop(
      L.index(0), L.index(8), ofStep, init, [&](Value first, ValueRange args) {
        SmallVector<Value> sums(args);
        llvm::SmallDenseMap<int64_t, Value> keyOf, scales;
        for (int64_t i = 0; i < ofStep; ++i) {
          int64_t k = ks[size_t(i)];
          keyOf[k] = L.add(first, i);
          if (V.hasScales())
            scales[k] = loadScale(V, place.page, L.add(ofThread, keyOf[k]));
        }
        Mma::Fragment left = mma.loadA([&](int64_t row, int64_t k) -> Value {
          Value w = memory.load(
              f32, L.add(L.add(weightsAt, keyOf[k]), row * kRowOfSplitScores));
          return V.hasScales() ? L.mul(w, scales[k]) : w;
        });
        for (int64_t p = 0; p < plan.panels; ++p) {
          llvm::SmallDenseMap<int64_t, Value> quads;
          for (int64_t k : ks) {
            Value at = L.add(L.add(from, L.mul(apart, p)),
                             L.mul(keyOf[k], V.rowsApart()));
            quads[k] = loadQuad(V, at, L.ult(L.add(firstKey, keyOf[k]), nk));
          }
          for (size_t j = 0; j < 4; ++j) {
            Mma::Fragment right = mma.loadB([&](int64_t, int64_t k) {
              return extract(quads[k], int64_t(j));
            });
            auto c = MutableArrayRef(sums).slice(size_t(p) * 16 + j * 4, 4);
            llvm::copy(mma.multiply(left, right, SmallVector<Value>(c)),
                       c.begin());
          }
        }
        return sums;
      });
}

/// What each warp finds in its share of panels [begin, end) of a part, in
/// shared memory.
void SplitTile::passOver(Value begin, Value end) {
  SmallVector<Value> carried(size_t(plan.panels) * 16, zero);
  carried.append(2, low);
  carried.append(2, zero);
  carried = e.loop(begin, end, 1, carried, [&](Value panel, ValueRange args) {
    SmallVector<Value> next(args);
    Place place = placeOf(K, depth, panel);
    pullScores(multiplyKeys(place), place, panel);
    weigh(next);
    SmallVector<Value> sums =
        multiplyValues(panel, ArrayRef(next).drop_back(4));
    llvm::append_range(sums, ArrayRef(next).take_back(4));
    return sums;
  });
  if (plan.rowOfO != kRowOfSplitScores) // else each thread's weights lie there
    emitWarpBarrier(e);
  Value own = roomOfWarp();
  Value base = L.add(own, L.add(L.mul(g, plan.rowOfO), L.mul(t, 8)));
  size_t sums = carried.size() - 4;
  for (size_t half = 0; half < 2; ++half)
    for (int64_t p = 0; p < plan.panels; ++p)
      for (size_t d = 0; d < 2; ++d) {
        SmallVector<Value> quad;
        for (size_t j = 0; j < 4; ++j)
          quad.push_back(carried[size_t(p) * 16 + j * 4 + half * 2 + d]);
        memory.store(fromElements(quad),
                     L.add(base, int64_t(half) * 8 * plan.rowOfO + p * kPanel +
                                     int64_t(d) * kQuad));
      }
  Value rowsAt = L.add(L.add(own, g), kMmaRows * plan.rowOfO);
  e.ifThen(L.eq(t, 0), [&] {
    for (size_t half = 0; half < 2; ++half) {
      Value at = L.add(rowsAt, int64_t(half) * 8);
      memory.store(carried[sums + half], at);
      memory.store(carried[sums + 2 + half], L.add(at, kMmaRows));
    }
  });
}

} // namespace tenon
