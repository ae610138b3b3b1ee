//===- MmaAttention.cpp - attention on tensor cores -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A warp has 16 of a block's query rows (GpuAttention.h). Scores go from
// registers to shared memory, where each is pulled through what stands before
// the softmax. The next keys are copied while values are multiplied, and the
// next values while keys are.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/GpuAttention.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/SplitAttention.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace tenon {

namespace {

/// Elements of a row of scores in shared memory, of keys of a part.
constexpr int64_t kRowOfScores = kPanelColumns + 4;

/// How a block uses its shared memory, in words: queries and scores, keys,
/// values; in the end the result. Queries of 16 bits lie as they are
/// multiplied.
struct Room {
  int64_t rowOfQ; ///< in numbers
  int64_t scoresAt, keysAt, valuesAt, words;

  Room(int64_t depth, int64_t width, int64_t rows, bool narrow) {
    int64_t q = llvm::alignTo(depth, narrow ? 16 : 8),
            v = llvm::alignTo(width, kPanelColumns);
    rowOfQ = q + (narrow ? 8 : 4);
    scoresAt = rows * rowOfQ / (narrow ? 2 : 1);
    keysAt = scoresAt + rows * kRowOfScores;
    valuesAt = keysAt + q * kPanelColumns;
    words = std::max(valuesAt + kPanelColumns * v, rows * (v + 4));
  }
};

class MmaAttention : public GpuAttention {
public:
  /// Another form of the kernel takes so many words of shared memory.
  MmaAttention(KernelEmitter &e, GpuAttentionTilingAttr tiling,
               const AttentionOps &ops, int64_t wordsOfOther)
      : GpuAttention(e, tiling, ops),
        words(std::max(room.words, wordsOfOther)) {}
  int64_t sharedWords() const override { return words; }

private:
  Room room{depth, width, rows, narrow};
  int64_t words;
  int64_t rowOfQ = room.rowOfQ, rowOfO = panels * kPanelColumns + 4;
  int64_t scoresAt = room.scoresAt, keysAt = room.keysAt,
          valuesAt = room.valuesAt;
  SharedArray memory{e,  e.info.symbol + "_tiles", f32, words,
                     16, isWarpgroupTile(tiling)};
  Type typeOfQ = narrow ? mma.narrowType() : f32;
  SharedArray queries{e,       e.info.symbol + "_tiles",
                      typeOfQ, words * (narrow ? 2 : 1),
                      16,      isWarpgroupTile(tiling)};
  Value warpRow = L.mul(warp, kMmaRows);
  /// The first of a thread's ks.
  Value first = narrow ? L.mul(t, 2) : t;

  void fillQueries(const Task &task);
  void fillKeys(const Task &task, Value part);
  void fillValues(const Task &task, Value part);
  void multiplyKeys();
  void pullScores(const Task &task, Value part);
  SmallVector<Value> loadScores();
  void multiplyValues(ArrayRef<Value> weights, SmallVector<Value> &sums);
  SmallVector<Value> multiplyParts(const Task &task, Value begin, Value end);
  void runTask(const Task &task) override;
};

void MmaAttention::fillQueries(const Task &task) {
  int64_t quads = steps * mma.depth() / kQuad;
  e.loop(thread, L.index(rows * quads), threads, [&](Value i) {
    Value r = L.div(i, quads);
    pullQueries(task, r, mul(L.rem(i, quads), kQuad), [&](Value x, Value c) {
      if (narrow)
        x = arith::TruncFOp::create(b, L.loc, L.vec(typeOfQ), x);
      queries.store(x, L.add(mul(r, rowOfQ), c));
    });
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
    Value from = L.add(L.add(L.mul(p, apart), mul(key, ops.V.rowsApart())), c);
    copyAsync(e, memory, to, V, f32, L.add(task.valuesAt, from),
              L.ult(key, nk));
  });
}

void MmaAttention::multiplyKeys() {
  Value aBase = L.add(mul(L.add(warpRow, g), rowOfQ), first);
  Value bBase = add(mul(first, kKeys), keysAt);
  SmallVector<Value> scores(kScores, L.constant(f32, 0));
  for (int64_t step = 0; step < steps; ++step) {
    int64_t kk = step * mma.depth();
    Mma::Fragment a = mma.loadA([&](int64_t row, int64_t k) {
      return queries.load(typeOfQ, add(aBase, row * rowOfQ + kk + k));
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
  Value firstKey = mul(part, kKeys);
  e.loop(thread, L.index(rows * kKeys), threads, [&](Value i) {
    Value r = L.div(i, kKeys), c = L.rem(i, kKeys);
    Value place = L.add(mul(r, kRowOfScores), add(c, scoresAt));
    Value x = memory.load(f32, place);
    memory.store(maskedScore(task, r, L.add(firstKey, c), x), place);
  });
}

SmallVector<Value> MmaAttention::loadScores() {
  Value base =
      L.add(mul(L.add(warpRow, g), kRowOfScores), add(mul(t, 2), scoresAt));
  SmallVector<Value> scores(kScores);
  for (int64_t j = 0; j < 4; ++j)
    for (int64_t half = 0; half < 2; ++half) {
      Value pair =
          memory.load(VectorType::get({2}, f32),
                      add(base, half * 8 * kRowOfScores + j * kMmaColumns));
      for (int64_t d = 0; d < 2; ++d)
        scores[size_t(j * 4 + half * 2 + d)] =
            vector::ExtractOp::create(b, L.loc, pair, ArrayRef<int64_t>{d});
    }
  return scores;
}

void MmaAttention::multiplyValues(ArrayRef<Value> weights,
                                  SmallVector<Value> &sums) {
  Value twice = mul(t, 2);
  Value swap = mul(t, 8); // 2t and 2t + 1 are swapped alike, and these + 8
  for (int64_t kk = 0; kk < kKeys; kk += mma.depth()) {
    Mma::Fragment a = weightsOf(weights, kk);
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

/// What is carried over parts [begin, end).
SmallVector<Value> MmaAttention::multiplyParts(const Task &task, Value begin,
                                               Value end) {
  e.ifThen(L.ult(begin, end), [&] { fillKeys(task, begin); });
  closeCopies(e);
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
        SmallVector<Value> sums(args.take_front(numSums()));
        Rows rowsOf = rowsIn(args);
        SmallVector<Value> weights = loadScores();
        weigh(rowsOf, weights, sums);
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
  SmallVector<Value> carried =
      passOver(partsOf(task), nothing(),
               [&](Value begin, Value end, Value, Value &masked) {
                 SmallVector<Value> found = multiplyParts(task, begin, end);
                 if (!seen.empty())
                   masked = isMasked(rowsIn(found));
                 return found;
               });
  Value base = L.add(mul(L.add(warpRow, g), rowOfO), mul(t, 2));
  storeSums(rowsIn(carried), ArrayRef(carried).take_front(numSums()),
            [&](Value pair, int64_t row, int64_t column) {
              memory.store(pair, add(base, row * rowOfO + column));
            });
  emitBarrier(e);
  epilogue(task, [&](Type type, Value r, Value c) {
    return memory.load(type, L.add(mul(r, rowOfO), c));
  });
}

} // namespace

bool isWarpgroupTile(GpuAttentionTilingAttr tiling) {
  return tiling.getRows() == 128;
}

void emitMmaAttentionKernel(KernelEmitter &e, GpuAttentionTilingAttr tiling) {
  auto ops = AttentionOps::find(e.kernel());
  auto depth = ops ? getDims(ops->qk.getLhs()).back().constant() : std::nullopt,
       width =
           ops ? getDims(ops->pv.getResult()).back().constant() : std::nullopt;
  auto failOfRoom = [&] {
    e.fail("an attention on tensor cores has operands in "
           "memory, and heads whose parts have room "
           "beside each other; expected other than ")
        << tiling;
  };
  if (!depth || !width || !fitsAttention(*depth, *width, tiling))
    return failOfRoom();
  bool isOfWarpgroups = isWarpgroupTile(tiling);
  if (isOfWarpgroups && (ops->K.getPages() || ops->V.getPages())) {
    e.fail("an attention over pages has blocks of few rows; expected other "
           "than ")
        << tiling;
    return;
  }
  SplitAttention split(*ops);
  std::optional<SymExpr> isFew = split.isFew();
  int64_t shared = isFew ? split.sharedElements(tiling) : 0;
  if (4 * shared > kMostShared)
    return failOfRoom();
  if (isFew && isFew->constant()) {
    e.info.tasks = split.emit(e, tiling, shared);
    return;
  }
  std::unique_ptr<GpuAttention> tiles;
  if (isOfWarpgroups && e.target.cpu == "sm_90a" &&
      fitsWarpgroups(*depth, *width, tiling.getProducts()))
    tiles = createWarpgroupAttention(e, tiling, *ops, shared);
  else
    tiles = std::make_unique<MmaAttention>(e, tiling, *ops, shared);
  if (!isFew)
    return tiles->run();
  Value few = e.L.ne(e.dim(*isFew), 0);
  SymExpr tasksOfFew;
  e.ifThen(few,
           [&] { tasksOfFew = split.emit(e, tiling, tiles->sharedWords()); });
  e.ifThen(e.L.no(few), [&] { tiles->run(); });
  e.info.tasks = SymExpr::select(*isFew, tasksOfFew, e.info.tasks);
}

/// What GPUs from sm_80 on have for a block. A thread has the sums of a row's
/// whole width.
bool fitsAttention(int64_t depth, int64_t width,
                   GpuAttentionTilingAttr tiling) {
  constexpr int64_t mostWidth = 128;
  MmaProducts products = tiling.getProducts();
  bool narrow = products == MmaProducts::f16 || products == MmaProducts::bf16;
  return width <= mostWidth &&
         4 * Room(depth, width, tiling.getRows(), narrow).words <= kMostShared;
}

} // namespace tenon
