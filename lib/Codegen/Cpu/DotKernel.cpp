//===- DotKernel.cpp - products by few columns ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A panel of one column would leave all lanes but one of each multiply-add
// unused. Here the lanes are neighbours in the image (channels, or pixels of a
// row of the kernel), eight sums in registers:
//
//   for tap:  for vector of its run:
//     weights of each column      loaded once for all rows
//     row of A                    loaded once for all columns
//
// A sum is one chain for each lane, and then a fixed tree over the lanes, so
// its bits depend on the number of lanes alone. The end of a run that fills no
// vector is masked: behind it lie another position's elements, which may be
// infinite.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/DotKernel.h"

using namespace mlir;

namespace tenon {

namespace {

/// Vectors of a run that are unrolled.
constexpr int64_t kUnrolled = 4;

/// The sums of the lanes of several vectors. Two vectors are halved at once, to
/// one that holds both, while their number is even; the tree over each one's
/// lanes is that of LaneBuilder::reduceLanes.
struct LaneSums {
  OpBuilder &b;
  Location loc;
  LaneBuilder &L;
  SmallVector<Value> vectors;
  /// Of each vector: whose parts lie in its blocks of `size` lanes.
  SmallVector<SmallVector<int64_t>> owners = {};
  int64_t size = L.lanes;

  void halve();
  void store(Value C, Value at, int64_t columns, int64_t ldc);
};

void LaneSums::halve() {
  int64_t half = size / 2, lanes = L.lanes;
  SmallVector<int64_t> low, high;
  for (int64_t block = 0; block < lanes; block += size)
    for (int64_t from : {block, lanes + block})
      for (int64_t l = from; l < from + half; ++l) {
        low.push_back(l);
        high.push_back(l + half);
      }
  SmallVector<Value> sums;
  SmallVector<SmallVector<int64_t>> of;
  for (size_t i = 0; i < vectors.size(); i += 2) {
    Value x = vectors[i], y = vectors[i + 1];
    Value lo = vector::ShuffleOp::create(b, loc, x, y, low);
    Value hi = vector::ShuffleOp::create(b, loc, x, y, high);
    sums.push_back(arith::AddFOp::create(b, loc, lo, hi));
    SmallVector<int64_t> &both = of.emplace_back();
    for (auto [mine, other] : llvm::zip_equal(owners[i], owners[i + 1]))
      both.append({mine, other});
  }
  vectors = sums, owners = of, size = half;
}

/// Sum i to C[at + i / columns * ldc + i % columns].
void LaneSums::store(Value C, Value at, int64_t columns, int64_t ldc) {
  int64_t count = vectors.size(), lanes = L.lanes;
  for (int64_t i = 0; i < count; ++i)
    owners.push_back({i});
  while (vectors.size() % 2 == 0 && size > 1)
    halve();
  if (size == 1 && count == lanes && columns == ldc) {
    SmallVector<int64_t> order(lanes);
    for (auto [lane, owner] : llvm::enumerate(owners[0]))
      order[owner] = lane;
    Value v = vector::ShuffleOp::create(b, loc, vectors[0], vectors[0], order);
    vector::StoreOp::create(b, loc, v, C, at);
    return;
  }
  for (auto [v, of] : llvm::zip_equal(vectors, owners))
    for (auto [block, i] : llvm::enumerate(of)) {
      Value part = vector::ExtractStridedSliceOp::create(
          b, loc, v, {int64_t(block) * size}, {size}, {1});
      Value sum = L.reduceLanes(part, vector::CombiningKind::ADD);
      memref::StoreOp::create(b, loc, sum, C,
                              L.add(at, i / columns * ldc + i % columns));
    }
}

} // namespace

std::optional<DotKernel> DotKernel::match(const TargetInfo &target,
                                          const SymExpr &columns, int64_t taps,
                                          const SymExpr &run) {
  std::optional<int64_t> n = columns.constant(), length = run.constant();
  if (!n || !length)
    return std::nullopt;
  // In vectors: here with what adding up the lanes takes, there with six sums,
  // which do not hide how long an addition takes.
  constexpr int64_t lanes = 8, tree = 8;
  int64_t here = *n * (taps * llvm::divideCeil(*length, lanes) + tree);
  int64_t there = taps * *length * 4 / 3;
  if (*n > kMostColumns || here >= there)
    return std::nullopt;
  return DotKernel(target, *n, taps, *length);
}

int64_t DotKernel::mostRows() const {
  return std::max<int64_t>(8 / columns, 1);
}

Value DotKernel::loadWeights(KernelEmitter &e, Value B) const {
  LaneBuilder &L = e.L;
  Type f32 = e.b.getF32Type();
  Value W = e.scratchBuffer(SymExpr(taps * columns * length()), f32);
  Value zero = L.constant(f32, 0);
  e.loop(L.index(0), L.index(taps), 1, [&](Value t) {
    e.loop(L.index(0), L.index(columns), 1, [&](Value n) {
      Value to = L.mul(L.add(L.mul(t, columns), n), length());
      Value from = L.add(L.mul(t, run * kPanelColumns), n);
      e.loop(L.index(0), L.index(run), 1, [&](Value k) {
        Value at = L.add(from, L.mul(k, kPanelColumns));
        Value w = memref::LoadOp::create(e.b, L.loc, B, at);
        memref::StoreOp::create(e.b, L.loc, w, W, L.add(to, k));
      });
      e.loop(L.index(run), L.index(length()), 1, [&](Value k) {
        memref::StoreOp::create(e.b, L.loc, zero, W, L.add(to, k));
      });
    });
  });
  return W;
}

/// Long: it is one function of the artifact, whose loops share their values.
func::FuncOp DotKernel::get(ModuleOp module, int64_t rows, int64_t ldc) const {
  std::string name = "dot_f32_" + std::to_string(rows) + "x" +
                     std::to_string(columns) + "_taps" + std::to_string(taps) +
                     "_run" + std::to_string(run) + "_ldc" +
                     std::to_string(ldc);
  if (auto f = module.lookupSymbol<func::FuncOp>(name))
    return f;
  OpBuilder b(module.getContext());
  b.setInsertionPointToStart(module.getBody());
  Location loc = module.getLoc();
  Type index = b.getIndexType(), mem = memoryType(b.getF32Type()),
       table = memoryType(b.getI64Type());
  auto func = func::FuncOp::create(
      b, loc, name,
      b.getFunctionType({mem, table, index, table, mem, mem, index}, {}));
  func.setPrivate();
  Block *entry = func.addEntryBlock();
  b.setInsertionPointToStart(entry);
  LaneBuilder L(b, loc, lanes());
  Value A = entry->getArgument(0), places = entry->getArgument(1),
        placeAt = entry->getArgument(2), tapTable = entry->getArgument(3),
        W = entry->getArgument(4), C = entry->getArgument(5),
        cAt = entry->getArgument(6);
  auto vt = cast<VectorType>(L.vec(b.getF32Type()));
  auto loadIndex = [&](Value from, Value at) -> Value {
    Value v = memref::LoadOp::create(b, loc, from, at);
    return arith::IndexCastOp::create(b, loc, index, v);
  };
  SmallVector<Value> positions;
  for (int64_t r = 0; r < rows; ++r)
    positions.push_back(loadIndex(places, L.add(placeAt, r)));
  // A vector of a run from k on, which begins at starts[row] and, of the
  // weights, at `from`; `active`: so many of its lanes are the run's.
  auto step = [&](ArrayRef<Value> starts, Value from, Value k, int64_t active,
                  ValueRange sums) {
    SmallVector<Value> weights, next(sums);
    for (int64_t n = 0; n < columns; ++n)
      weights.push_back(vector::LoadOp::create(
          b, loc, vt, W, L.add(L.add(from, n * length()), k)));
    L.mask = active < lanes() ? L.tailMask(L.index(active)) : Value();
    for (int64_t r = 0; r < rows; ++r) {
      Value a = L.load(A, Idx{L.add(starts[r], k), 1, 1, {}}, b.getF32Type());
      for (int64_t n = 0; n < columns; ++n) {
        Value &sum = next[r * columns + n];
        sum = target.hasFma
                  ? Value(math::FmaOp::create(b, loc, a, weights[n], sum))
                  : Value(arith::AddFOp::create(
                        b, loc, sum,
                        arith::MulFOp::create(b, loc, a, weights[n])));
      }
    }
    L.mask = {};
    return next;
  };
  SmallVector<Value> init(rows * columns, L.constant(vt, 0));
  auto loop =
      scf::ForOp::create(b, loc, L.index(0), L.index(taps), L.index(1), init);
  b.setInsertionPointToStart(loop.getBody());
  Value t = loop.getInductionVar(), tap = loadIndex(tapTable, t);
  Value from = L.mul(t, columns * length());
  SmallVector<Value> starts, sums(loop.getRegionIterArgs());
  for (Value position : positions)
    starts.push_back(L.add(position, tap));
  int64_t done = 0;
  if (run >= 2 * kUnrolled * lanes()) {
    int64_t stride = kUnrolled * lanes();
    done = run / stride * stride;
    auto inner = scf::ForOp::create(b, loc, L.index(0), L.index(done),
                                    L.index(stride), sums);
    b.setInsertionPointToStart(inner.getBody());
    sums.assign(inner.getRegionIterArgs().begin(),
                inner.getRegionIterArgs().end());
    for (int64_t u = 0; u < kUnrolled; ++u)
      sums = step(starts, from, L.add(inner.getInductionVar(), u * lanes()),
                  lanes(), sums);
    scf::YieldOp::create(b, loc, sums);
    b.setInsertionPointAfter(inner);
    sums.assign(inner.getResults().begin(), inner.getResults().end());
  }
  for (; done < run; done += lanes())
    sums =
        step(starts, from, L.index(done), std::min(run - done, lanes()), sums);
  scf::YieldOp::create(b, loc, sums);
  b.setInsertionPointAfter(loop);
  LaneSums{b, loc, L, SmallVector<Value>(loop.getResults())}.store(
      C, cAt, columns, ldc);
  func::ReturnOp::create(b, loc);
  return func;
}

void DotKernel::emit(KernelEmitter &e, Value rows, const MicroKernelOperands &o,
                     Value weights, int64_t ldc) const {
  auto module = e.module();
  forRowCounts(e, rows, mostRows(), [&](int64_t count) {
    func::CallOp::create(
        e.b, e.L.loc, get(module, count, ldc),
        ValueRange{o.A, o.places, o.placeAt, o.taps, weights, o.C, o.cAt});
  });
}

} // namespace tenon
