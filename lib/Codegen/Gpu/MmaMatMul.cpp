//===- MmaMatMul.cpp - matmul on tensor cores -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block has a tile of the result, a warp 32 x 32 of it: one panel. Both
// operands go through a ring of `stages` parts of K in shared memory:
//
//   fill the first stages - 1 parts
//   for each part: wait until it is there; barrier
//                  fill the part that comes stages - 1 later
//                  multiply this one
//
// B is copied asynchronously, 16 bytes a thread, from the panels that the CPUs
// read too; so is A where it lies in memory as f32 with rows of whole 16 bytes.
// Any other A is pulled, four elements of a row a thread. What is outside of
// the operands is 0. In the ring a row of A is 16 bytes longer than the part,
// and column c of row k of a panel lies at c ^ 8 * (k % 4): no two threads of a
// warp read one bank.
//
// In the end the sums go to shared memory as well, whence the epilogue takes
// them like an operand in memory: neighbouring threads have neighbouring
// columns. A gated matmul's tile has as many panels of each half.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonPacked.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/FusedProduct.h"
#include "lib/Codegen/Form/GatedMatMul.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/Mma.h"
#include "lib/Codegen/Gpu/SharedMemory.h"

using namespace mlir;

namespace tenon {

namespace {

/// Rows of K of a part; a warp's rows and columns.
constexpr int64_t kPart = 16, kWarpRows = 32;
/// Elements of a row of A in the ring.
constexpr int64_t kRowOfA = kPart + 4;
/// What a thread copies at a time.
constexpr int64_t kQuad = 4;

struct MmaMatMul {
  KernelEmitter &e;
  PackedMatMulOp op;
  PackedOperand operand;
  GpuMatMulTilingAttr tiling;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Sink sink{e};
  Mma mma{e, tiling.getProducts()};
  SmallVector<SymExpr> lhs = getDims(op.getLhs()),
                       packed = getDims(op.getPacked()),
                       out = getDims(op.getResult());
  std::optional<MatMulHalves> halves = matchHalves(op);
  int64_t cut = halves ? 2 : 1;
  int64_t rows = tiling.getRows(), columns = tiling.getColumns(),
          stages = tiling.getStages(), threads = tiling.getThreads();
  int64_t panelsOfTile = columns / kPanelColumns;
  /// Columns of the tile that are stored: of a gated matmul half of them.
  int64_t stored = columns / cut;
  SymExpr K = lhs.back(), N = part(out.back()),
          panels = part(packed[packed.size() - 3]);
  /// One right operand for all rows, which then count through.
  bool shared =
      llvm::all_of(ArrayRef(packed).drop_back(3),
                   [](const SymExpr &d) { return d.constant() == 1; });
  SmallVector<SymExpr> rowDims =
      shared ? SmallVector<SymExpr>(out.begin(), out.end() - 1)
             : SmallVector<SymExpr>{out.end()[-2]};
  SmallVector<SymExpr> batch =
      shared ? SmallVector<SymExpr>{}
             : SmallVector<SymExpr>(out.begin(), out.end() - 2);
  SymExpr M = productOf(rowDims);
  Type f32 = b.getF32Type();
  Value k = e.dim(K), m = e.dim(M), n = e.dim(N), np = e.dim(panels);
  int64_t elementsOfA = stages * rows * kRowOfA;
  int64_t rowOfC = columns + 4;
  SharedArray ring{
      e, (e.info.symbol + "_ring"), f32,
      std::max(elementsOfA + stages * kPart * columns, rows *rowOfC)};
  Value thread = threadIndex(e);
  Value lane = L.rem(thread, 32), warp = L.div(thread, 32);
  Value g = L.div(lane, 4), t = L.rem(lane, 4);
  Value warpPanel = L.rem(warp, panelsOfTile);
  Value warpRow = L.mul(L.div(warp, panelsOfTile), kWarpRows);
  Value A = isInPlace()
                ? globalPointer(e, e.input(cast<BlockArgument>(op.getLhs())))
                : Value();
  Value B = globalPointer(e, e.input(operand.getMemory()));

  struct Task {
    Value batchIndex, row, panel; // the tile's first ones
    Value aAt, bAt;               // where its matrices begin
  };

  SymExpr part(const SymExpr &whole) {
    return halves ? SymExpr(*whole.constant() / cut) : whole;
  }
  bool isInPlace() {
    auto argument = dyn_cast<BlockArgument>(op.getLhs());
    auto depth = K.constant();
    return argument && getElementTypeOrSelf(argument.getType()).isF32() &&
           depth && *depth % kQuad == 0 &&
           (shared ? ArrayRef(lhs).drop_back() == ArrayRef(rowDims)
                   : ArrayRef(lhs).drop_back(2) == ArrayRef(batch));
  }
  /// Is every part of K whole?
  bool isDivided() { return K.constant() && *K.constant() % kPart == 0; }

  void fillA(const Task &task, Value k0, Value stage);
  void pullA(const Task &task, Value row, Value depth, Value to);
  void fillB(const Task &task, Value k0, Value stage);
  SmallVector<Value> multiplyPart(Value stage, ValueRange sums);
  void storeSums(ValueRange sums);
  void epilogue(const Task &task);
  void runTask(const Task &task);
  void run();
};

/// Four elements of a row, from `depth` on.
void MmaMatMul::pullA(const Task &task, Value row, Value depth, Value to) {
  SmallVector<Idx> idx;
  if (shared)
    idx = e.delinearize(row, rowDims);
  else
    idx = e.delinearize(task.batchIndex, batch);
  if (!shared)
    idx.push_back(L.uniform(row));
  ArrayRef<SymExpr> outer = ArrayRef(out).drop_back();
  idx = e.broadcastIndex(idx, ArrayRef(lhs).drop_back(), outer);
  idx.push_back(Idx());
  bool together = K.constant() && *K.constant() % kQuad == 0;
  int64_t lanes = together ? kQuad : 1;
  LaneScope scope(L, lanes);
  for (int64_t i = 0; i < kQuad; i += lanes) {
    Value at = L.add(depth, i);
    Type type = L.vec(f32);
    auto pull = [&]() -> Value {
      idx.back() = together ? Idx{at, 1, kQuad, {}} : L.uniform(at);
      return L.widen(e.emit(op.getLhs(), idx));
    };
    Value x = isDivided() ? pull() : e.ifElse(L.ult(at, k), type, pull, [&] {
      return L.constant(type, 0);
    });
    ring.store(x, L.add(to, i));
  }
}

void MmaMatMul::fillA(const Task &task, Value k0, Value stage) {
  constexpr int64_t quads = kPart / kQuad;
  Value base = L.mul(stage, rows * kRowOfA);
  e.loop(thread, L.index(rows * quads), threads, [&](Value i) {
    Value r = L.div(i, quads);
    Value c = L.mul(L.rem(i, quads), kQuad);
    Value to = L.add(base, L.add(L.mul(r, kRowOfA), c));
    Value row = L.add(task.row, r), depth = L.add(k0, c);
    if (!A) // rows behind the last one are that one, and not stored
      return pullA(task, L.min(row, L.sub(m, 1)), depth, to);
    Value inside = L.ult(row, m);
    if (!isDivided())
      inside = L.both(inside, L.ult(depth, k));
    copyAsync(e, ring, to, A, L.add(task.aAt, L.add(L.mul(row, k), depth)),
              inside);
  });
}

void MmaMatMul::fillB(const Task &task, Value k0, Value stage) {
  constexpr int64_t quads = kPanelColumns / kQuad;
  Value base = L.add(L.index(elementsOfA), L.mul(stage, kPart * columns));
  Value panelSize = L.mul(k, kPanelColumns);
  int64_t ofHalf = panelsOfTile / cut;
  e.loop(thread, L.index(panelsOfTile * kPart * quads), threads, [&](Value i) {
    Value row = L.div(i, quads); // of all panels of the tile
    Value p = L.div(row, kPart), r = L.rem(row, kPart);
    Value c = L.mul(L.rem(i, quads), kQuad);
    Value swap = L.mul(L.rem(r, 4), 8);
    Value to = L.add(L.add(base, L.mul(row, kPanelColumns)), L.bitXor(c, swap));
    Value panel = L.add(task.panel, halves ? L.rem(p, ofHalf) : p);
    Value inside = L.ult(panel, np), depth = L.add(k0, r);
    if (!isDivided())
      inside = L.both(inside, L.ult(depth, k));
    if (halves) // the second half's panels lie behind all of the first's
      panel = L.add(panel, L.mul(L.div(p, ofHalf), np));
    Value at =
        L.add(L.mul(panel, panelSize), L.add(L.mul(depth, kPanelColumns), c));
    copyAsync(e, ring, to, B, L.add(task.bAt, at), inside);
  });
}

SmallVector<Value> MmaMatMul::multiplyPart(Value stage, ValueRange sums) {
  bool narrow = mma.isNarrow();
  Value first = narrow ? L.mul(t, 2) : t; // of a thread's ks
  Value aBase = L.add(L.mul(stage, rows * kRowOfA),
                      L.add(L.mul(L.add(warpRow, g), kRowOfA), first));
  Value bBase =
      L.add(L.add(L.index(elementsOfA), L.mul(stage, kPart * columns)),
            L.add(L.mul(warpPanel, kPart * kPanelColumns),
                  L.mul(first, kPanelColumns)));
  // Column 8j + g of row k, whose place depends on k % 4: 8 * (j ^ k % 4) + g.
  auto columnOf = [&](int64_t j, int64_t offset) {
    Value k4 = L.rem(L.add(first, offset), 4);
    Value block = L.bitXor(k4, L.index(j));
    return L.add(L.mul(block, 8), g);
  };
  SmallVector<Value> result(sums);
  for (int64_t kk = 0; kk < kPart; kk += mma.depth()) {
    SmallVector<Mma::Fragment> fragments;
    for (int64_t j = 0; j < 4; ++j)
      fragments.push_back(mma.loadB([&](int64_t, int64_t offset) {
        Value at = L.add(bBase, (kk + offset) * kPanelColumns);
        return ring.load(f32, L.add(at, columnOf(j, offset)));
      }));
    for (int64_t i = 0; i < kWarpRows / kMmaRows; ++i) {
      Mma::Fragment a = mma.loadA([&](int64_t row, int64_t offset) {
        int64_t at = (i * kMmaRows + row) * kRowOfA + kk + offset;
        return ring.load(f32, L.add(aBase, at));
      });
      for (int64_t j = 0; j < 4; ++j) {
        size_t at = size_t(i * 4 + j) * 4;
        SmallVector<Value> c = mma.multiply(a, fragments[size_t(j)],
                                            ArrayRef(result).slice(at, 4));
        llvm::copy(c, result.begin() + at);
      }
    }
  }
  return result;
}

void MmaMatMul::storeSums(ValueRange sums) {
  Value base = L.add(L.mul(L.add(warpRow, g), rowOfC),
                     L.add(L.mul(warpPanel, kPanelColumns), L.mul(t, 2)));
  for (int64_t i = 0; i < kWarpRows / kMmaRows; ++i)
    for (int64_t j = 0; j < 4; ++j)
      for (int64_t half = 0; half < 2; ++half) {
        size_t at = size_t(i * 4 + j) * 4 + size_t(half) * 2;
        Value pair =
            vector::FromElementsOp::create(b, L.loc, VectorType::get({2}, f32),
                                           ValueRange{sums[at], sums[at + 1]});
        int64_t offset = (i * kMmaRows + half * 8) * rowOfC + j * kMmaColumns;
        ring.store(pair, L.add(base, offset));
      }
}

/// Neighbouring threads have neighbouring columns of a row, four each where
/// that divides the row.
void MmaMatMul::epilogue(const Task &task) {
  auto width = N.constant();
  int64_t lanes = width && *width % kQuad == 0 ? kQuad : 1;
  int64_t ofRow = stored / lanes;
  Value firstColumn = L.mul(task.panel, kPanelColumns);
  e.loop(thread, L.index(rows * ofRow), threads, [&](Value i) {
    LaneScope scope(L, lanes);
    Value r = L.div(i, ofRow);
    Value c = L.mul(L.rem(i, ofRow), lanes);
    Value row = L.add(task.row, r), column = L.add(firstColumn, c);
    Value inside = L.both(L.ult(row, m), L.ult(column, n));
    e.ifThen(inside, [&] {
      auto bindTo = [&](Value v, int64_t half) {
        Value at = L.add(L.mul(r, rowOfC), L.add(c, half * stored));
        Value x = ring.load(L.vec(f32), at);
        e.bind(v, [x](ArrayRef<Idx>) { return x; });
      };
      if (halves) {
        bindTo(halves->first.getResult(), 0);
        bindTo(halves->second.getResult(), 1);
      } else {
        bindTo(op.getResult(), 0);
      }
      SmallVector<Idx> idx = e.delinearize(task.batchIndex, batch);
      idx.append(e.delinearize(row, rowDims));
      Idx of = lanes == 1 ? L.uniform(column) : Idx{column, 1, lanes, {}};
      idx.push_back(of);
      Value all = L.add(L.mul(task.batchIndex, m), row);
      sink.store(e, idx, L.add(L.uniform(L.mul(all, n), lanes), of));
    });
  });
}

void MmaMatMul::runTask(const Task &task) {
  Value parts = L.div(L.add(k, kPart - 1), kPart);
  auto fill = [&](Value number) {
    e.ifThen(L.ult(number, parts), [&] {
      Value k0 = L.mul(number, kPart);
      Value stage = L.rem(number, stages);
      fillA(task, k0, stage);
      fillB(task, k0, stage);
    });
    closeCopies(e);
  };
  for (int64_t s = 0; s < stages - 1; ++s)
    fill(L.index(s));
  size_t count = size_t(kWarpRows * kPanelColumns / 32);
  SmallVector<Value> sums(count, L.constant(f32, 0));
  sums = e.loop(L.index(0), parts, 1, sums, [&](Value i, ValueRange args) {
    awaitCopies(e, stages - 2);
    emitBarrier(e);
    fill(L.add(i, stages - 1));
    return multiplyPart(L.rem(i, stages), args);
  });
  awaitCopies(e, 0);
  emitBarrier(e);
  storeSums(sums);
  emitBarrier(e);
  epilogue(task);
}

void MmaMatMul::run() {
  auto ceilDiv = [](const SymExpr &x, int64_t y) {
    return SymExpr::apply(SymExpr::Fn::CeilDiv, x, y);
  };
  SymExpr across = ceilDiv(N, stored), down = ceilDiv(M, rows);
  e.info.tasks = productOf(batch) * down * across;
  e.info.cost = productOf(out) * K;
  Value tilesAcross = e.dim(across), tilesDown = e.dim(down);
  e.loop(e.begin, e.end, 1, [&](Value number) {
    Task task;
    Value rest = L.div(number, tilesAcross);
    task.batchIndex = shared ? L.index(0) : L.div(rest, tilesDown);
    task.row = L.mul(shared ? rest : L.rem(rest, tilesDown), rows);
    task.panel = L.mul(L.rem(number, tilesAcross), stored / kPanelColumns);
    task.aAt = L.mul(task.batchIndex, L.mul(m, k));
    task.bAt = operand.at(e, task.batchIndex, batch, L.index(0));
    runTask(task);
  });
}

} // namespace

void emitMmaMatMulKernel(KernelEmitter &e, GpuMatMulTilingAttr tiling) {
  auto op = *e.body().getOps<PackedMatMulOp>().begin();
  auto operand = PackedOperand::of(e, op);
  if (!operand)
    return;
  if (matchHalves(op) && tiling.getColumns() < 2 * kPanelColumns) {
    e.fail("a gated matmul takes panels of each half: expected a tile of 64 "
           "columns or more, found ")
        << tiling;
    return;
  }
  MmaMatMul{e, op, *operand, tiling}.run();
}

} // namespace tenon
