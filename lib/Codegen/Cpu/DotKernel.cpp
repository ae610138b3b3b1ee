//===- DotKernel.cpp - columns that fill no vector ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A panel of one column would leave all lanes but one of each multiply-add
// unused. Here the lanes are neighbours in a row of A (of an image: channels,
// or pixels of a row of the kernel), eight sums or more in registers:
//
//   for tap:  for vector of its run:
//     weights of each column      loaded once for all rows
//     row of A                    loaded once for all columns
//
// Of a convolution's 9 columns a vector has eight, as ever, and this the last
// one.
//
// A sum is one chain for each lane, and then a fixed tree over the lanes, so
// its bits depend on the number of lanes alone. The end of a run that fills no
// vector is masked: behind it lie another position's elements, which may be
// infinite.
//
// Up to seven columns of a constant lie in the order of the lanes already, one
// after the other (tenon-lay-columns); others a task turns out of their panel.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/DotKernel.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/ImageStrip.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Cpu/PlaneKernel.h"
#include "lib/Codegen/Cpu/ThinKernel.h"
#include "lib/Codegen/Form/GatedMatMul.h"

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
  /// So many are stored; 0: all.
  int64_t used = 0;
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
  if (count > lanes && lanes % columns == 0) {
    // A vector's worth at a time. The last ones fill theirs by turns, so that
    // they are halved as the others are.
    for (int64_t i = 0; i < count; i += lanes) {
      auto some = ArrayRef(vectors).slice(i, std::min(lanes, count - i));
      SmallVector<Value> filled;
      for (int64_t l = 0; l < lanes; ++l)
        filled.push_back(some[l % some.size()]);
      LaneSums{b, loc, L, filled, int64_t(some.size())}.store(
          C, L.add(at, i / columns * ldc), columns, ldc);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i)
    owners.push_back({i});
  while (vectors.size() % 2 == 0 && size > 1)
    halve();
  if (size == 1 && count == lanes && lanes % columns == 0) {
    SmallVector<int64_t> order(lanes);
    for (auto [lane, owner] : llvm::enumerate(owners[0]))
      order[owner] = lane;
    Value v = vector::ShuffleOp::create(b, loc, vectors[0], vectors[0], order);
    // Rows that follow each other are one vector.
    int64_t stored = used ? used : lanes;
    int64_t together = columns == ldc ? stored : columns;
    for (int64_t i = 0; i < stored; i += together) {
      Value part = vector::ExtractStridedSliceOp::create(b, loc, v, {i},
                                                         {together}, {1});
      vector::StoreOp::create(b, loc, part, C, L.add(at, i / columns * ldc));
    }
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

/// The last of `columns` that fill no vector of so many lanes, if they cost
/// more as one: both in vectors' multiply-adds, here with what adding up the
/// lanes takes.
static int64_t countOf(int64_t lanes, const SymExpr &columns, int64_t taps,
                       const SymExpr &run) {
  std::optional<int64_t> n = columns.constant(), length = run.constant();
  if (!n || !length || *n >= kPanelColumns)
    return 0;
  constexpr int64_t tree = 8;
  int64_t count = *n % lanes;
  // Beside whole vectors of columns the rows are met twice, which eats up what
  // half a vector gains. And a matrix of so many has the bits of its product by
  // weights in a format, whose columns all lie on lanes.
  if (*n > lanes && (2 * count > lanes || taps == 1))
    return 0;
  int64_t here = count * (taps * llvm::divideCeil(*length, lanes) + tree);
  return here < taps * *length ? count : 0;
}

/// Of vectors of f32, at any level.
static constexpr int64_t kLanes[] = {4, 8, 16};

bool DotKernel::matchesSome(const SymExpr &columns, int64_t taps,
                            const SymExpr &run) {
  return llvm::any_of(kLanes, [&](int64_t lanes) {
    return countOf(lanes, columns, taps, run) > 0;
  });
}

bool DotKernel::matchesAll(const SymExpr &columns, int64_t taps,
                           const SymExpr &run) {
  return llvm::all_of(kLanes, [&](int64_t lanes) {
    return columns.constant() &&
           countOf(lanes, columns, taps, run) == *columns.constant();
  });
}

std::optional<DotKernel> DotKernel::match(const TargetInfo &target,
                                          const SymExpr &columns, int64_t taps,
                                          const SymExpr &run, bool isWindow,
                                          bool inColumns) {
  int64_t count = inColumns
                      ? *columns.constant()
                      : countOf(target.vectorBits / 32, columns, taps, run);
  if (count == 0)
    return std::nullopt;
  return DotKernel(target, *columns.constant() - count, count, taps,
                   *run.constant(), isWindow, inColumns);
}

bool DotKernel::multiplies(PackedMatMulOp op, const PackedOperand &operand) {
  // A few rows that are known to be few had better be multiplied as such.
  constexpr int64_t few = 3;
  SmallVector<SymExpr> lhs = getDims(op.getLhs()),
                       packed = getDims(op.getPacked());
  SymExpr N = getDims(op.getResult()).back();
  auto one = [](const SymExpr &d) { return d.constant() == 1; };
  if (operand.inColumns())
    return true;
  return !op.getFormatAttr() && !matchHalves(op) &&
         llvm::all_of(ArrayRef(packed).drop_back(2), one) &&
         operand.rowsApart() == kPanelColumns &&
         productOf(ArrayRef(lhs).drop_back(1)).constant().value_or(few + 1) >
             few &&
         matchesSome(N, 1, lhs.back());
}

std::optional<WeightColumns>
DotKernel::layOut(const SymExpr &columns, int64_t taps, const SymExpr &run) {
  // More columns fill vectors of 8 lanes. Where these lie along the rows, those
  // of 16 do; those of 4 may as well.
  constexpr int64_t lanes = 8;
  if (columns.constant().value_or(lanes) >= lanes ||
      countOf(lanes, columns, taps, run) == 0)
    return std::nullopt;
  return WeightColumns{taps, *run.constant(), lengthOf(*run.constant())};
}

bool DotKernel::fits(KernelEmitter &e, const PackedOperand &operand,
                     PackedMatMulOp op, const SymExpr &columns, int64_t taps,
                     const SymExpr &run) {
  if (!operand.inColumns())
    return true;
  auto layout = layOut(columns, taps, run);
  SymExpr found = getDims(op.getPacked()).end()[-2];
  int64_t expected = layout ? layout->taps * layout->apart : 0;
  if (found == SymExpr(expected))
    return true;
  e.fail("expected columns of ")
      << expected << " numbers, found " << found.str();
  return false;
}

std::optional<WeightColumns> columnsOf(KernelOp kernel) {
  auto products = kernel.getBody().front().getOps<PackedMatMulOp>();
  if (kernel.getKind() != KernelKind::matmul || products.empty())
    return std::nullopt;
  PackedMatMulOp op = *products.begin();
  auto operand = PackedOperand::trace(op.getPacked());
  if (!operand || operand->inColumns() || op.getFormatAttr() ||
      matchHalves(op) || matricesOf(op) > 1)
    return std::nullopt;
  SymExpr N = getDims(op.getResult()).back();
  if (isa_and_nonnull<CpuConvTilingAttr>(kernel.getTilingAttr())) {
    ImageStrip::Runs runs = ImageStrip::runsOf(findPatches(kernel), INT64_MAX);
    return DotKernel::layOut(N, runs.taps, runs.length);
  }
  if (!isa_and_nonnull<CpuMatMulTilingAttr>(kernel.getTilingAttr()) ||
      !DotKernel::multiplies(op, *operand) || isThinProduct(op, *operand) ||
      isPlaneProduct(op, *operand))
    return std::nullopt;
  return DotKernel::layOut(N, 1, getDims(op.getLhs()).back());
}

int64_t DotKernel::mostRows(int64_t apart) const {
  int64_t room = target.numVectorRegs - 4;
  // Eight sums hide the latency of an addition, if nothing else delays one.
  // Twelve always do, which pays in long runs: of short ones the more loads at
  // once, and sums to add up, take longer. With 32 registers those of a window
  // are as many as a vector has lanes, which are added up as one; but rows that
  // have places of their own take a register each for where they lie.
  constexpr int64_t least = 8, more = 12;
  bool isLong = taps == 1 && run >= 64 * lanes();
  int64_t sums = least;
  if (isWindow && target.numVectorRegs >= 32)
    sums = std::max(lanes(), least);
  else if (apart && columns > 1 && isLong && target.hasFma)
    sums = more;
  int64_t rows =
      std::min<int64_t>(llvm::divideCeil(sums, columns), apart ? sums : least);
  return std::max<int64_t>(std::min(rows, room / columns), 1);
}

Value DotKernel::reserve(KernelEmitter &e, const SymExpr &columns, int64_t taps,
                         const SymExpr &run) {
  int64_t most = std::min(*columns.constant(), kLanes[std::size(kLanes) - 1]);
  return e.scratchBuffer(SymExpr(taps * most * lengthOf(*run.constant())),
                         e.b.getF32Type());
}

void DotKernel::loadWeights(KernelEmitter &e, Value B, Value weights) const {
  LaneBuilder &L = e.L;
  auto at = [&](Value tap, int64_t n, Value k) {
    return L.add(L.mul(L.add(L.mul(tap, columns), n), length()), k);
  };
  Value zero = L.constant(e.b.getF32Type(), 0);
  LaneScope saved(L, lanes());
  int64_t whole = run - run % lanes();
  e.loop(L.index(0), L.index(taps), 1, [&](Value t) {
    Value from = L.mul(t, run * kPanelColumns);
    e.loop(L.index(0), L.index(whole), lanes(), [&](Value k) {
      Value rows = L.add(from, L.mul(k, kPanelColumns));
      for (int64_t n = 0; n < columns; n += kQuad) {
        auto turned = loadTurned(L, B, rows, kPanelColumns, first + n);
        for (int64_t i = 0; i < std::min(columns - n, kQuad); ++i)
          vector::StoreOp::create(e.b, L.loc, turned[i], weights,
                                  at(t, n + i, k));
      }
    });
    e.loop(L.index(whole), L.index(run), 1, [&](Value k) {
      Value row = L.add(from, L.mul(k, kPanelColumns));
      for (int64_t n = 0; n < columns; ++n) {
        Value w = memref::LoadOp::create(e.b, L.loc, B, L.add(row, first + n));
        memref::StoreOp::create(e.b, L.loc, w, weights, at(t, n, k));
      }
    });
    e.loop(L.index(run), L.index(length()), 1, [&](Value k) {
      for (int64_t n = 0; n < columns; ++n)
        memref::StoreOp::create(e.b, L.loc, zero, weights, at(t, n, k));
    });
  });
}

/// Long: it is one function of the artifact, whose loops share their values.
func::FuncOp DotKernel::get(ModuleOp module, int64_t rows, int64_t ldc,
                            int64_t apart) const {
  std::string name =
      "dot_f32_" + std::to_string(rows) + "x" + std::to_string(columns) +
      (isWindow ? "_taps" + std::to_string(taps) + "_run" : "_k") +
      std::to_string(run) + "_ldc" + std::to_string(ldc);
  if (apart)
    name += "_apart" + std::to_string(apart);
  if (inColumns)
    name += "_columns";
  OpBuilder b(module.getContext());
  Location loc = module.getLoc();
  Type index = b.getIndexType(), mem = memoryType(b.getF32Type()),
       table = memoryType(b.getI64Type());
  SmallVector<Type> types{mem, index, mem, mem, index};
  if (isWindow)
    types.append({table, table, index});
  auto [func, fresh] = getFunction(module, name, types);
  if (!fresh)
    return func;
  Block *entry = &func.getBody().front();
  b.setInsertionPointToStart(entry);
  LaneBuilder L(b, loc, lanes());
  Value A = entry->getArgument(0), at = entry->getArgument(1),
        W = entry->getArgument(2), C = entry->getArgument(3),
        cAt = entry->getArgument(4);
  Type f32 = b.getF32Type();
  auto vt = cast<VectorType>(L.vec(f32));
  auto loadIndex = [&](unsigned tableArgument, Value at) -> Value {
    Value v =
        memref::LoadOp::create(b, loc, entry->getArgument(tableArgument), at);
    return arith::IndexCastOp::create(b, loc, index, v);
  };
  SmallVector<Value> positions;
  for (int64_t r = 0; r < (apart ? 1 : rows); ++r)
    positions.push_back(isWindow && !apart ? loadIndex(5, L.add(at, r))
                                           : L.add(at, r * run));
  // A vector of a run from k on, which begins at starts[row] and, of the
  // weights, at `from`; `active`: so many of its lanes are the run's.
  auto step = [&](ArrayRef<Value> starts, Value from, Value k, int64_t active,
                  ValueRange sums) {
    SmallVector<Value> x, y, next(sums);
    auto loadRow = [&](int64_t r) {
      L.mask = active < lanes() ? L.tailMask(L.index(active)) : Value();
      x.push_back(L.load(A, Idx{L.add(starts[r], k), 1, 1, {}}, f32));
      L.mask = {};
    };
    auto loadColumn = [&](int64_t n) {
      y.push_back(vector::LoadOp::create(
          b, loc, vt, W, L.add(L.add(from, n * columnsApart()), k)));
    };
    auto add = [&](int64_t r, int64_t n) {
      Value &sum = next[r * columns + n];
      sum = L.multiplyAdd(x[r], y[n], sum, target.hasFma);
    };
    // Of the fewer ones all are kept in registers, of the others one.
    if (rows > columns) {
      for (int64_t n = 0; n < columns; ++n)
        loadColumn(n);
      for (int64_t r = 0; r < rows; ++r) {
        loadRow(r);
        for (int64_t n = 0; n < columns; ++n)
          add(r, n);
      }
      return next;
    }
    for (int64_t r = 0; r < rows; ++r)
      loadRow(r);
    for (int64_t n = 0; n < columns; ++n) {
      loadColumn(n);
      for (int64_t r = 0; r < rows; ++r)
        add(r, n);
    }
    return next;
  };
  // A run whose first elements lie at `starts` and, of the weights, at `from`.
  auto walk = [&](ArrayRef<Value> starts, Value from, ValueRange before) {
    SmallVector<Value> sums(before);
    int64_t done = 0;
    if (run >= 2 * kUnrolled * lanes()) {
      int64_t stride = kUnrolled * lanes();
      done = run / stride * stride;
      auto inner = scf::ForOp::create(b, loc, L.index(0), L.index(done),
                                      L.index(stride), sums);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(inner.getBody());
      sums.assign(inner.getRegionIterArgs().begin(),
                  inner.getRegionIterArgs().end());
      for (int64_t u = 0; u < kUnrolled; ++u)
        sums = step(starts, from, L.add(inner.getInductionVar(), u * lanes()),
                    lanes(), sums);
      scf::YieldOp::create(b, loc, sums);
      sums.assign(inner.getResults().begin(), inner.getResults().end());
    }
    for (; done < run; done += lanes())
      sums = step(starts, from, L.index(done), std::min(run - done, lanes()),
                  sums);
    return sums;
  };
  SmallVector<Value> sums(rows * columns, L.constant(vt, 0));
  if (isWindow) {
    auto loop =
        scf::ForOp::create(b, loc, L.index(0), L.index(taps), L.index(1), sums);
    b.setInsertionPointToStart(loop.getBody());
    Value t = loop.getInductionVar(),
          tap = loadIndex(6, L.add(entry->getArgument(7), t));
    SmallVector<Value> starts;
    for (Value position : positions)
      starts.push_back(L.add(position, tap));
    for (int64_t r = 1; apart && r < rows; ++r)
      starts.push_back(L.add(starts[0], r * apart));
    scf::YieldOp::create(
        b, loc, walk(starts, L.mul(t, tapsApart()), loop.getRegionIterArgs()));
    b.setInsertionPointAfter(loop);
    sums.assign(loop.getResults().begin(), loop.getResults().end());
  } else {
    sums = walk(positions, L.index(0), sums);
  }
  LaneSums{b, loc, L, sums}.store(C, cAt, columns, ldc);
  func::ReturnOp::create(b, loc);
  return func;
}

void DotKernel::emit(KernelEmitter &e, Value rows, const MicroKernelOperands &o,
                     Value weights, int64_t ldc, int64_t apart) const {
  LaneBuilder &L = e.L;
  auto module = e.module();
  int64_t most = mostRows(apart);
  auto call = [&](Value at, Value r0, int64_t count) {
    Value cAt = L.add(L.add(o.cAt, L.mul(r0, ldc)), first);
    SmallVector<Value> operands{o.A, at, weights, o.C, cAt};
    if (isWindow)
      operands.append({o.places, o.taps, o.tapAt});
    func::CallOp::create(e.b, L.loc, get(module, count, ldc, apart), operands);
  };
  auto tiles = [&](int64_t most, function_ref<Value(Value)> place) {
    forRowTiles(e, rows, most, [&](Value, Value r0, Value tile) {
      forRowCounts(e, tile, most,
                   [&](int64_t count) { call(place(r0), r0, count); });
    });
  };
  if (!apart)
    return tiles(most, [&](Value r0) {
      return isWindow ? L.add(o.placeAt, r0) : L.add(o.aAt, L.mul(r0, run));
    });
  // Sums of as many rows as a tile has are added up together, so that the last
  // tile rather meets some rows again.
  Value begin = memref::LoadOp::create(e.b, L.loc, o.places, o.placeAt);
  begin = arith::IndexCastOp::create(e.b, L.loc, e.b.getIndexType(), begin);
  auto place = [&](Value r0) { return L.add(begin, L.mul(r0, apart)); };
  Value some = L.uge(rows, most);
  e.ifThen(some, [&] {
    Value last = L.sub(rows, most);
    e.loop(L.index(0), rows, most, [&](Value i) {
      Value r0 = L.min(i, last);
      call(place(r0), r0, most);
    });
  });
  if (most > 1)
    e.ifThen(L.no(some), [&] { tiles(most - 1, place); });
}

} // namespace tenon
