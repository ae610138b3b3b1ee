//===- GpuAttention.cpp - what attentions on tensor cores share -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/GpuAttention.h"
#include "lib/Codegen/Gpu/GpuWalk.h"
#include <cmath>

using namespace mlir;

namespace tenon {

SmallVector<Idx> GpuAttention::at(const Task &task, Value row,
                                  const Idx &column) const {
  SmallVector<Idx> idx(task.lead);
  idx.append({L.uniform(row), column});
  return idx;
}

void GpuAttention::pullQueries(const Task &task, Value r, Value column,
                               function_ref<void(Value, Value)> put) {
  bool together = depth % kQuad == 0;
  int64_t lanes = together ? kQuad : 1;
  Value row = L.min(L.add(task.row, r), L.sub(m, 1));
  SmallVector<Idx> idx =
      e.broadcastIndex(task.lead, ArrayRef(q).drop_back(2), batch);
  idx.append({L.uniform(row), Idx()});
  LaneScope scope(L, lanes);
  for (int64_t k = 0; k < kQuad; k += lanes) {
    Value c = add(column, k);
    Type type = L.vec(f32);
    auto pull = [&]() -> Value {
      idx.back() = together ? Idx{c, 1, kQuad, {}} : L.uniform(c);
      return L.widen(e.emit(ops.qk.getLhs(), idx));
    };
    Value x = depth % mma.depth() == 0
                  ? pull()
                  : e.ifElse(L.ult(c, depth), type, pull,
                             [&] { return L.constant(type, 0); });
    put(x, c);
  }
}

/// Without a branch: what comes after it all threads of a warp do together. A
/// key behind the last is that one.
Value GpuAttention::maskedScore(const Task &task, Value r, Value key, Value x) {
  Value row = L.min(L.add(task.row, r), L.sub(m, 1));
  Value inside = L.ult(key, nk);
  key = L.min(key, L.sub(nk, 1));
  e.bind(ops.qk.getResult(), [x](ArrayRef<Idx>) { return x; });
  Value score = e.emit(ops.softmax.getInput(), at(task, row, L.uniform(key)));
  return L.select(inside, score, L.constant(f32, -HUGE_VAL));
}

Value weightOf(KernelLoops &e, Value x, Value largest) {
  LaneBuilder &L = e.L;
  Value low = L.constant(e.b.getF32Type(), -HUGE_VAL);
  Value shift =
      L.select(L.oeq(largest, low), L.constant(e.b.getF32Type(), 0), largest);
  return L.softmaxExp(L.sub(x, shift));
}

/// Combines the four threads that share a row.
static Value overQuad(KernelLoops &e, Value v,
                      function_ref<Value(Value, Value)> fn) {
  for (unsigned distance : {1, 2})
    v = fn(v, valueOfLane(e, v, distance));
  return v;
}

Value weighRow(KernelLoops &e, Value &largest, Value &total,
               MutableArrayRef<Value> scores) {
  LaneBuilder &L = e.L;
  Type f32 = e.b.getF32Type();
  Value most = L.constant(f32, -HUGE_VAL); // a NaN loses
  for (Value x : scores)
    most = L.largerOf(most, x);
  most = overQuad(e, most, [&](Value x, Value y) { return L.largerOf(x, y); });
  most = L.largerOf(largest, most);
  Value scale = weightOf(e, largest, most), sum = L.constant(f32, 0);
  for (Value &x : scores) {
    x = weightOf(e, x, most);
    sum = L.add(sum, x);
  }
  sum =
      overQuad(e, sum, [&](Value x, Value y) -> Value { return L.add(x, y); });
  total = L.add(L.mul(total, scale), sum);
  largest = most;
  return scale;
}

void GpuAttention::weigh(Rows &rowsOf, SmallVector<Value> &scores,
                         SmallVector<Value> &sums) {
  for (size_t half = 0; half < 2; ++half) {
    auto weight = [&](size_t i) -> Value & {
      return scores[i / 2 * 4 + half * 2 + i % 2];
    };
    SmallVector<Value> own;
    for (size_t i = 0; i < 8; ++i)
      own.push_back(weight(i));
    Value scale = weighRow(e, rowsOf.largest[half], rowsOf.total[half], own);
    for (size_t i = 0; i < 8; ++i)
      weight(i) = own[i];
    for (size_t i = 0; i < sums.size(); i += 4)
      for (size_t d = 0; d < 2; ++d)
        sums[i + half * 2 + d] = L.mul(sums[i + half * 2 + d], scale);
  }
}

Mma::Fragment GpuAttention::weightsOf(ArrayRef<Value> weights, int64_t kk) {
  return mma.loadA([&](int64_t row, int64_t k) {
    int64_t key = kk + keyOf(k); // less 2t
    return weights[size_t(key / 8 * 4 + row / 8 * 2 + key % 2)];
  });
}

void GpuAttention::storeSums(const Rows &rowsOf, ArrayRef<Value> sums,
                             StorePair store) {
  Value one = L.constant(f32, 1), zero = L.constant(f32, 0);
  for (size_t half = 0; half < 2; ++half) {
    Value total = rowsOf.total[half];
    Value inverse = L.div(one, total);
    // A row without a key: NaN, unless the model asks for 0.
    Value some = L.ogt(total, zero);
    auto scaled = [&](Value x) -> Value {
      x = L.mul(x, inverse);
      return ops.softmax.getGuard() ? L.select(some, x, zero) : x;
    };
    for (size_t block = 0; block < sums.size() / 4; ++block) {
      size_t i = block * 4 + half * 2;
      Value pair = vector::FromElementsOp::create(
          b, L.loc, VectorType::get({2}, f32),
          ValueRange{scaled(sums[i]), scaled(sums[i + 1])});
      store(pair, int64_t(half) * 8, int64_t(block) * kMmaColumns);
    }
  }
}

void GpuAttention::epilogue(const Task &task, LoadResult load) {
  Value n = L.index(width);
  int64_t lanes = width % kQuad == 0 ? kQuad : 1, ofRow = width / lanes;
  e.loop(thread, L.index(rows * ofRow), threads, [&](Value i) {
    LaneScope scope(L, lanes);
    Value r = L.div(i, ofRow);
    Value c = mul(L.rem(i, ofRow), lanes);
    Value row = L.add(task.row, r);
    e.ifThen(L.ult(row, m), [&] {
      Value x = load(L.vec(f32), r, c);
      e.bind(ops.pv.getResult(), [x](ArrayRef<Idx>) { return x; });
      Idx of = lanes == 1 ? L.uniform(c) : Idx{c, 1, lanes, {}};
      Value all = L.add(L.mul(task.batchIndex, m), row);
      sink.store(e, at(task, row, of),
                 L.add(L.uniform(L.mul(all, n), lanes), of));
    });
  });
}

SmallVector<Value> GpuAttention::nothing() const {
  SmallVector<Value> carried(numSums(), L.constant(f32, 0));
  carried.append(2, L.constant(f32, -HUGE_VAL)); // the largest
  carried.append(2, L.constant(f32, 0));         // the totals
  return carried;
}

GpuAttention::Rows GpuAttention::rowsIn(ValueRange carried) const {
  return {SmallVector<Value>(carried.slice(numSums(), 2)),
          SmallVector<Value>(carried.slice(numSums() + 2, 2))};
}

AttentionKeys::Parts GpuAttention::partsOf(const Task &task) {
  return seen.empty()
             ? seen.all()
             : seen.of(task.lead, task.row, L.min(add(task.row, rows), m));
}

SmallVector<Value> GpuAttention::passOver(AttentionKeys::Parts parts,
                                          ValueRange initial, Pass pass) {
  Value masked;
  if (seen.empty())
    return pass(parts.begin, parts.end, L.index(0), masked);
  // All keys, too, where some of them are left out and a row has no other.
  AttentionKeys::Parts all = seen.all();
  SmallVector<Value> state{parts.begin, parts.end, L.index(0),
                           L.constantInt(b.getI1Type(), 1)};
  state.append(initial.begin(), initial.end());
  state = e.whileLoop(
      state, [](ValueRange args) { return args[3]; },
      [&](ValueRange args) {
        SmallVector<Value> found = pass(args[0], args[1], args[2], masked);
        Value count = L.sub(args[1], args[0]);
        Value again = L.both(emitBarrierAny(e, masked), L.ult(count, all.end));
        SmallVector<Value> next{all.begin, all.end, L.add(args[2], count),
                                again};
        next.append(found);
        return next;
      });
  return SmallVector<Value>(state.begin() + 4, state.end());
}

void GpuAttention::run() {
  SymExpr down = SymExpr::apply(SymExpr::Fn::CeilDiv, M, rows);
  e.info.tasks = productOf(batch) * down;
  e.info.cost =
      productOf(batch) * M * keys * (SymExpr(depth) + SymExpr(width) + 16);
  Value tilesDown = e.dim(down);
  e.loop(e.begin, e.end, 1, [&](Value number) {
    Task task;
    task.batchIndex = L.div(number, tilesDown);
    task.row = mul(L.rem(number, tilesDown), rows);
    task.lead = e.delinearize(task.batchIndex, batch);
    Value zero = L.index(0);
    task.keysAt = ops.K.at(e, task.batchIndex, batch, zero);
    task.valuesAt = ops.V.at(e, task.batchIndex, batch, zero);
    runTask(task);
  });
}

} // namespace tenon
