//===- MmaAttention.cpp - attention on tensor cores -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block has 64 query rows of one batch and head, a warp 16 of them. Keys and
// values come 32 at a time:
//
//   scores = queries x keys, in registers, then in shared memory
//   each of them is pulled through what stands before the softmax: scale, mask
//   the rows' largest and sum follow (online softmax); older sums are scaled
//   sums += weights x values, in registers
//
// The next keys are copied while values are multiplied, and the next values
// while keys are. The result goes through shared memory to the epilogue. Keys
// that the mask hides from all rows of a block are not looked at; where a row
// turns out to see nothing else, they are.
//
// A thread holds columns 2t and 2t + 1 of a score's row, where the next product
// wants k = t and t + 4: it takes these columns as those ks, and so does the
// other operand, since a sum has no order of its own. Columns without a key
// have a score of -inf, which weighs 0.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonPacked.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/FusedProduct.h"
#include "lib/Codegen/Gpu/AttentionKeys.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/Mma.h"
#include "lib/Codegen/Gpu/SharedMemory.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

constexpr int64_t kKeys = kPanelColumns; // of a part
/// Elements of a row of scores in shared memory.
constexpr int64_t kRowOfScores = kKeys + 4;
constexpr int64_t kQuad = 4;

struct MmaAttention {
  KernelEmitter &e;
  GpuAttentionTilingAttr tiling;
  PackedMatMulOp qk, pv;
  PackedOperand keyOperand, valueOperand;
  SoftmaxOp softmax;
  AttentionKeys seen{e, softmax, qk};
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Sink sink{e};
  Mma mma{e, tiling.getProducts()};
  SmallVector<SymExpr> q = getDims(qk.getLhs()), out = getDims(pv.getResult());
  SmallVector<SymExpr> batch{out.begin(), out.end() - 2};
  int64_t rows = tiling.getRows(), threads = tiling.getThreads();
  int64_t depth = *q.back().constant(), width = *out.back().constant();
  /// What is multiplied: whole steps of K, whole panels.
  int64_t steps = llvm::divideCeil(depth, mma.depth());
  int64_t panels = llvm::divideCeil(width, kPanelColumns);
  int64_t rowOfQ = steps * mma.depth() + 4, rowOfO = panels * 32 + 4;
  SymExpr M = out.end()[-2], keys = getDims(qk.getResult()).back();
  Type f32 = b.getF32Type();
  Value m = e.dim(M), nk = e.dim(keys), n = L.index(width);
  Value apart = e.dim(valueOperand.panelsApart()); // panels of values
  // Queries and scores, keys, values; in the end the result.
  int64_t keysAt = rows * rowOfQ + rows * kRowOfScores;
  int64_t valuesAt = keysAt + steps * mma.depth() * kKeys;
  int64_t scoresAt = rows * rowOfQ;
  SharedArray memory{
      e, e.info.symbol + "_tiles", f32,
      std::max(valuesAt + kKeys * panels * kPanelColumns, rows *rowOfO)};
  Value thread = threadIndex(e);
  Value lane = L.rem(thread, 32), warp = L.div(thread, 32);
  Value g = L.div(lane, 4), t = L.rem(lane, 4);
  Value warpRow = L.mul(warp, kMmaRows);
  Value K = globalPointer(e, e.input(keyOperand.getMemory()));
  Value V = globalPointer(e, e.input(valueOperand.getMemory()));
  bool narrow = mma.isNarrow();
  /// The first of a thread's ks.
  Value first = narrow ? L.mul(t, 2) : t;

  struct Task {
    Value batchIndex, row, keysAt, valuesAt;
    SmallVector<Idx> lead;
  };
  /// Of a thread's two rows: the largest score so far, the sum of weights.
  struct Rows {
    SmallVector<Value> largest, total;
  };

  Value add(Value x, int64_t y) { return L.add(x, y); }
  Value mul(Value x, int64_t y) { return L.mul(x, y); }
  Value addF(Value x, Value y) { return L.add(x, y); }
  Value mulF(Value x, Value y) { return L.mul(x, y); }
  SmallVector<Idx> at(const Task &task, Value row, const Idx &column) {
    SmallVector<Idx> idx(task.lead);
    idx.append({L.uniform(row), column});
    return idx;
  }
  void fillQueries(const Task &task);
  void fillKeys(const Task &task, Value part);
  void fillValues(const Task &task, Value part);
  void multiplyKeys();
  void pullScores(const Task &task, Value part);
  Value overQuad(Value v, function_ref<Value(Value, Value)> fn);
  SmallVector<Value> weigh(Rows &rowsOf, SmallVector<Value> &sums);
  void multiplyValues(ArrayRef<Value> weights, SmallVector<Value> &sums);
  void storeSums(const Rows &rowsOf, ArrayRef<Value> sums);
  void epilogue(const Task &task);
  size_t numSums() const { return size_t(panels) * 16; }
  /// What a thread carries through the parts, at the beginning.
  SmallVector<Value> nothing() {
    SmallVector<Value> carried(numSums(), L.constant(f32, 0));
    carried.append(2, L.constant(f32, -HUGE_VAL)); // the largest
    carried.append(2, L.constant(f32, 0));         // the totals
    return carried;
  }
  SmallVector<Value> passOver(const Task &task, Value begin, Value end);
  void runTask(const Task &task);
  void run();
};

/// Rows behind the last one are that one, and not stored.
void MmaAttention::fillQueries(const Task &task) {
  int64_t quads = (rowOfQ - 4) / kQuad;
  bool together = depth % kQuad == 0;
  int64_t lanes = together ? kQuad : 1;
  e.loop(thread, L.index(rows * quads), threads, [&](Value i) {
    Value r = L.div(i, quads);
    Value c = mul(L.rem(i, quads), kQuad);
    Value row = L.min(L.add(task.row, r), L.sub(m, 1));
    SmallVector<Idx> idx =
        e.broadcastIndex(task.lead, ArrayRef(q).drop_back(2), batch);
    idx.append({L.uniform(row), Idx()});
    LaneScope scope(L, lanes);
    for (int64_t k = 0; k < kQuad; k += lanes) {
      Value column = add(c, k);
      Type type = L.vec(f32);
      auto pull = [&]() -> Value {
        idx.back() = together ? Idx{column, 1, kQuad, {}} : L.uniform(column);
        return L.widen(e.emit(qk.getLhs(), idx));
      };
      Value x = depth % mma.depth() == 0
                    ? pull()
                    : e.ifElse(L.ult(column, depth), type, pull,
                               [&] { return L.constant(type, 0); });
      memory.store(x, L.add(mul(r, rowOfQ), column));
    }
  });
}

/// Column c of row k of a panel of keys lies at c ^ 8 * (k % 4), ...
void MmaAttention::fillKeys(const Task &task, Value part) {
  int64_t quads = kKeys / kQuad, count = steps * mma.depth();
  Value panel = mul(L.mul(part, depth), kKeys);
  e.loop(thread, L.index(count * quads), threads, [&](Value i) {
    Value r = L.div(i, quads);
    Value c = mul(L.rem(i, quads), kQuad);
    Value swap = mul(L.rem(r, 4), 8);
    Value to = L.add(add(mul(r, kKeys), keysAt), L.bitXor(c, swap));
    Value from = L.add(L.add(task.keysAt, panel), L.add(mul(r, kKeys), c));
    copyAsync(e, memory, to, K, f32, from, L.ult(r, depth));
  });
}

/// ... and of a panel of values at c ^ 8 * (k / 2 % 4).
void MmaAttention::fillValues(const Task &task, Value part) {
  int64_t quads = kPanelColumns / kQuad;
  Value firstKey = mul(part, kKeys);
  e.loop(thread, L.index(panels * kKeys * quads), threads, [&](Value i) {
    Value row = L.div(i, quads); // of all panels
    Value p = L.div(row, kKeys), r = L.rem(row, kKeys);
    Value c = mul(L.rem(i, quads), kQuad);
    Value swap = mul(L.rem(L.div(r, 2), 4), 8);
    Value to = L.add(add(mul(row, kPanelColumns), valuesAt), L.bitXor(c, swap));
    Value key = L.add(firstKey, r);
    Value from =
        L.add(L.add(L.mul(p, apart), mul(key, valueOperand.rowsApart())), c);
    copyAsync(e, memory, to, V, f32, L.add(task.valuesAt, from),
              L.ult(key, nk));
  });
}

void MmaAttention::multiplyKeys() {
  Value aBase = L.add(mul(L.add(warpRow, g), rowOfQ), first);
  Value bBase = add(mul(first, kKeys), keysAt);
  SmallVector<Value> scores(16, L.constant(f32, 0));
  for (int64_t step = 0; step < steps; ++step) {
    int64_t kk = step * mma.depth();
    Mma::Fragment a = mma.loadA([&](int64_t row, int64_t k) {
      return memory.load(f32, add(aBase, row * rowOfQ + kk + k));
    });
    for (int64_t j = 0; j < 4; ++j) {
      Mma::Fragment right = mma.loadB([&](int64_t, int64_t k) {
        Value block = L.bitXor(L.rem(add(first, k), 4), L.index(j));
        Value column = L.add(mul(block, 8), g);
        return memory.load(f32, L.add(add(bBase, (kk + k) * kKeys), column));
      });
      SmallVector<Value> c =
          mma.multiply(a, right, ArrayRef(scores).slice(size_t(j) * 4, 4));
      llvm::copy(c, scores.begin() + j * 4);
    }
  }
  Value base =
      L.add(mul(L.add(warpRow, g), kRowOfScores), add(mul(t, 2), scoresAt));
  for (int64_t j = 0; j < 4; ++j)
    for (int64_t half = 0; half < 2; ++half) {
      size_t i = size_t(j * 4 + half * 2);
      Value pair =
          vector::FromElementsOp::create(b, L.loc, VectorType::get({2}, f32),
                                         ValueRange{scores[i], scores[i + 1]});
      memory.store(pair, add(base, half * 8 * kRowOfScores + j * kMmaColumns));
    }
}

/// Each score through what stands before the softmax.
void MmaAttention::pullScores(const Task &task, Value part) {
  Value firstKey = mul(part, kKeys), low = L.constant(f32, -HUGE_VAL);
  e.loop(thread, L.index(rows * kKeys), threads, [&](Value i) {
    Value r = L.div(i, kKeys), c = L.rem(i, kKeys);
    Value row = L.min(L.add(task.row, r), L.sub(m, 1));
    Value key = L.add(firstKey, c);
    Value place = L.add(mul(r, kRowOfScores), add(c, scoresAt));
    Value score = e.ifElse(
        L.ult(key, nk), f32,
        [&] {
          Value x = memory.load(f32, place);
          e.bind(qk.getResult(), [x](ArrayRef<Idx>) { return x; });
          return e.emit(softmax.getInput(), at(task, row, L.uniform(key)));
        },
        [&] { return low; });
    memory.store(score, place);
  });
}

/// Combines the four threads that share a row.
Value MmaAttention::overQuad(Value v, function_ref<Value(Value, Value)> fn) {
  Type i32 = b.getI32Type();
  auto number = [&](int64_t x) { return L.constantInt(i32, x); };
  for (int64_t distance : {1, 2}) {
    Value bits = arith::BitcastOp::create(b, L.loc, i32, v);
    Value other =
        NVVM::ShflOp::create(b, L.loc, i32, number(-1), bits, number(distance),
                             number(31), NVVM::ShflKind::bfly, UnitAttr());
    v = fn(v, arith::BitcastOp::create(b, L.loc, f32, other));
  }
  return v;
}

/// The weights of this part's keys, element 4j + 2h + d: row g + 8h, column
/// 8j + 2t + d. What was summed before is scaled to the rows' new largest.
SmallVector<Value> MmaAttention::weigh(Rows &rowsOf, SmallVector<Value> &sums) {
  Value base =
      L.add(mul(L.add(warpRow, g), kRowOfScores), add(mul(t, 2), scoresAt));
  SmallVector<Value> weights(16);
  for (int64_t j = 0; j < 4; ++j)
    for (int64_t half = 0; half < 2; ++half) {
      Value pair =
          memory.load(VectorType::get({2}, f32),
                      add(base, half * 8 * kRowOfScores + j * kMmaColumns));
      for (int64_t d = 0; d < 2; ++d)
        weights[size_t(j * 4 + half * 2 + d)] =
            vector::ExtractOp::create(b, L.loc, pair, ArrayRef<int64_t>{d});
    }
  Value zero = L.constant(f32, 0), low = L.constant(f32, -HUGE_VAL);
  for (size_t half = 0; half < 2; ++half) {
    auto weight = [&](size_t j, size_t d) -> Value & {
      return weights[j * 4 + half * 2 + d];
    };
    Value largest = weight(0, 0);
    largest = L.largerOf(low, largest); // a NaN loses
    for (size_t i = 1; i < 8; ++i)
      largest = L.largerOf(largest, weight(i / 2, i % 2));
    largest =
        overQuad(largest, [&](Value x, Value y) { return L.largerOf(x, y); });
    largest = L.largerOf(rowsOf.largest[half], largest);
    // Without any key so far nothing may be subtracted from -inf.
    Value none = L.oeq(largest, low);
    Value shift = L.select(none, zero, largest);
    auto exponential = [&](Value x) { return L.softmaxExp(L.sub(x, shift)); };
    Value scale = exponential(rowsOf.largest[half]), total = zero;
    for (size_t i = 0; i < 8; ++i) {
      Value &w = weight(i / 2, i % 2);
      w = exponential(w);
      total = addF(total, w);
    }
    total = overQuad(total, [&](Value x, Value y) { return addF(x, y); });
    rowsOf.total[half] = addF(mulF(rowsOf.total[half], scale), total);
    rowsOf.largest[half] = largest;
    for (size_t i = 0; i < sums.size(); i += 4)
      for (size_t d = 0; d < 2; ++d)
        sums[i + half * 2 + d] = mulF(sums[i + half * 2 + d], scale);
  }
  return weights;
}

void MmaAttention::multiplyValues(ArrayRef<Value> weights,
                                  SmallVector<Value> &sums) {
  // Of 8 keys k = t is key 2t and k = t + 4 is 2t + 1; of 16 they are in order.
  auto keyOf = [&](int64_t k) { return narrow ? k : k / 4; };
  Value twice = mul(t, 2);
  Value swap = mul(t, 8); // 2t and 2t + 1 are swapped alike, and these + 8
  for (int64_t kk = 0; kk < kKeys; kk += mma.depth()) {
    Mma::Fragment a = mma.loadA([&](int64_t row, int64_t k) {
      int64_t key = kk + keyOf(k); // less 2t
      return weights[size_t(key / 8 * 4 + row / 8 * 2 + key % 2)];
    });
    for (int64_t block = 0; block < panels * 4; ++block) {
      int64_t panel = block / 4, j = block % 4;
      Mma::Fragment right = mma.loadB([&](int64_t, int64_t k) {
        Value row = add(twice, panel * kKeys + kk + keyOf(k));
        Value column = L.bitXor(add(g, j * kMmaColumns), swap);
        return memory.load(
            f32, L.add(add(mul(row, kPanelColumns), valuesAt), column));
      });
      size_t i = size_t(block) * 4;
      SmallVector<Value> c = mma.multiply(a, right, ArrayRef(sums).slice(i, 4));
      llvm::copy(c, sums.begin() + i);
    }
  }
}

void MmaAttention::storeSums(const Rows &rowsOf, ArrayRef<Value> sums) {
  Value base = L.add(mul(L.add(warpRow, g), rowOfO), mul(t, 2));
  Value one = L.constant(f32, 1), zero = L.constant(f32, 0);
  for (size_t half = 0; half < 2; ++half) {
    Value total = rowsOf.total[half];
    Value inverse = L.div(one, total);
    // A row without a key: NaN, unless the model asks for 0.
    Value some = L.ogt(total, zero);
    auto scaled = [&](Value x) -> Value {
      x = mulF(x, inverse);
      return softmax.getGuard() ? L.select(some, x, zero) : x;
    };
    for (size_t block = 0; block < sums.size() / 4; ++block) {
      size_t i = block * 4 + half * 2;
      Value pair = vector::FromElementsOp::create(
          b, L.loc, VectorType::get({2}, f32),
          ValueRange{scaled(sums[i]), scaled(sums[i + 1])});
      memory.store(pair, add(base, int64_t(half) * 8 * rowOfO +
                                       int64_t(block) * kMmaColumns));
    }
  }
}

void MmaAttention::epilogue(const Task &task) {
  int64_t lanes = width % kQuad == 0 ? kQuad : 1, ofRow = width / lanes;
  e.loop(thread, L.index(rows * ofRow), threads, [&](Value i) {
    LaneScope scope(L, lanes);
    Value r = L.div(i, ofRow);
    Value c = mul(L.rem(i, ofRow), lanes);
    Value row = L.add(task.row, r);
    e.ifThen(L.ult(row, m), [&] {
      Value x = memory.load(L.vec(f32), L.add(mul(r, rowOfO), c));
      e.bind(pv.getResult(), [x](ArrayRef<Idx>) { return x; });
      Idx of = lanes == 1 ? L.uniform(c) : Idx{c, 1, lanes, {}};
      Value all = L.add(L.mul(task.batchIndex, m), row);
      sink.store(e, at(task, row, of),
                 L.add(L.uniform(L.mul(all, n), lanes), of));
    });
  });
}

/// The sums, the largest scores and the totals of parts [begin, end).
SmallVector<Value> MmaAttention::passOver(const Task &task, Value begin,
                                          Value end) {
  e.ifThen(L.ult(begin, end), [&] { fillKeys(task, begin); });
  closeCopies(e);
  size_t count = numSums();
  SmallVector<Value> carried =
      e.loop(begin, end, 1, nothing(), [&](Value part, ValueRange args) {
        awaitCopies(e, 0);
        emitBarrier(e); // this part's keys are there, values before are read
        fillValues(task, part);
        closeCopies(e);
        multiplyKeys();
        emitBarrier(e); // scores are there, keys are read
        Value next = add(part, 1);
        e.ifThen(L.ult(next, end), [&] { fillKeys(task, next); });
        closeCopies(e);
        pullScores(task, part);
        awaitCopies(e, 1);
        emitBarrier(e); // masked scores and values are there
        SmallVector<Value> sums(args.take_front(count));
        Rows rowsOf{SmallVector<Value>(args.slice(count, 2)),
                    SmallVector<Value>(args.take_back(2))};
        SmallVector<Value> weights = weigh(rowsOf, sums);
        multiplyValues(weights, sums);
        sums.append(rowsOf.largest);
        sums.append(rowsOf.total);
        return sums;
      });
  awaitCopies(e, 0);
  emitBarrier(e);
  return carried;
}

void MmaAttention::runTask(const Task &task) {
  fillQueries(task);
  size_t count = numSums();
  AttentionKeys::Parts all = seen.all();
  SmallVector<Value> carried;
  if (seen.empty()) {
    carried = passOver(task, all.begin, all.end);
  } else {
    // All keys, too, where some of them are left out and a row has no other.
    AttentionKeys::Parts parts =
        seen.of(task.lead, task.row, L.min(add(task.row, rows), m));
    SmallVector<Value> state{parts.begin, parts.end,
                             L.constantInt(b.getI1Type(), 1)};
    state.append(nothing());
    state = e.whileLoop(
        state, [](ValueRange args) { return args[2]; },
        [&](ValueRange args) {
          SmallVector<Value> found = passOver(task, args[0], args[1]);
          Value masked = L.either(seen.isMasked(found[count]),
                                  seen.isMasked(found[count + 1]));
          Value fewer = L.ult(L.sub(args[1], args[0]), all.end);
          Value again = L.both(emitBarrierAny(e, masked), fewer);
          SmallVector<Value> next{all.begin, all.end, again};
          next.append(found);
          return next;
        });
    carried.assign(state.begin() + 3, state.end());
  }
  Rows rowsOf{SmallVector<Value>(ArrayRef(carried).slice(count, 2)),
              SmallVector<Value>(ArrayRef(carried).take_back(2))};
  storeSums(rowsOf, ArrayRef(carried).take_front(count));
  emitBarrier(e);
  epilogue(task);
}

void MmaAttention::run() {
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
    task.keysAt = keyOperand.at(e, task.batchIndex, batch, zero);
    task.valuesAt = valueOperand.at(e, task.batchIndex, batch, zero);
    runTask(task);
  });
}

} // namespace

void emitMmaAttentionKernel(KernelEmitter &e, GpuAttentionTilingAttr tiling) {
  SmallVector<PackedMatMulOp> products(e.body().getOps<PackedMatMulOp>());
  SoftmaxOp softmax = *e.body().getOps<SoftmaxOp>().begin();
  auto keys = PackedOperand::trace(products[0].getPacked()),
       values = PackedOperand::trace(products[1].getPacked());
  auto depth = getDims(products[0].getLhs()).back().constant(),
       width = getDims(products[1].getResult()).back().constant();
  if (!keys || !values || !depth || !width ||
      !fitsAttention(*depth, *width, tiling.getRows())) {
    e.fail("an attention on tensor cores has operands in "
           "memory, and heads whose parts have room "
           "beside each other; expected other than ")
        << tiling;
    return;
  }
  MmaAttention{e, tiling, products[0], products[1], *keys, *values, softmax}
      .run();
}

/// Queries, scores, keys and values, or the result, in what GPUs from sm_80 on
/// have for a block. A thread has the sums of a row's whole width.
bool fitsAttention(int64_t depth, int64_t width, int64_t rows) {
  constexpr int64_t mostBytes = 99 << 10, mostWidth = 128;
  int64_t q = llvm::alignTo(depth, 16), v = llvm::alignTo(width, 32);
  int64_t parts = rows * (q + 4) + rows * kRowOfScores + q * kKeys + kKeys * v;
  return v <= mostWidth && 4 * std::max(parts, rows * (v + 4)) <= mostBytes;
}

} // namespace tenon
