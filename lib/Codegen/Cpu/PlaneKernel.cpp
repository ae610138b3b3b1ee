//===- PlaneKernel.cpp - few columns of images with channels first --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The rows of such a product are pixels, whose channels lie a plane apart. To
// lay them out costs as much as few columns themselves: lanes are the pixels
// here, which are read where they lie.
//
//   for vectors of pixels:  for channel k:  for column n:
//     sum of column n  +=  image[k][pixels] x B[k][n]
//
// The sums are turned as they are stored, unless the result has its columns
// first as well. A sum is one chain of additions in the order of k, as it is of
// tiles.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/PlaneKernel.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/SwappedRows.h"
#include "lib/Codegen/Form/GatedMatMul.h"

using namespace mlir;

namespace tenon {

namespace {

/// More columns are worth laying rows out for.
constexpr int64_t kMostColumns = 16;
/// Up to so many are turned by picking each vector of theirs, more by squares.
constexpr int64_t kPicked = 4;

struct PlaneKernel {
  KernelEmitter &e;
  PackedMatMulOp op;
  const PackedOperand &operand;
  int64_t taskRows;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Location loc = L.loc;
  Sink sink{e};
  SmallVector<SymExpr> out = getDims(op.getResult());
  Im2ColOp patches = op.getLhs().getDefiningOp<Im2ColOp>();
  SymExpr images = out[0], pixels = out[1], K = getDims(op.getLhs()).back();
  int64_t N = *out.back().constant(), lanes = e.vectorLanes();
  Value A = {}, B = {};
  Value image = {}; ///< of the task
  Value left = {};  ///< pixels of a vector that is not whole; null: it is

  /// Columns whose sums there are registers for.
  int64_t together() const {
    int64_t room = e.target.numVectorRegs - 3;
    return llvm::divideCeil(N, llvm::divideCeil(N, room));
  }
  /// Vectors of pixels that hide what a chain waits for.
  int64_t vectorsOfBlock() const {
    constexpr int64_t chains = 12;
    return std::min<int64_t>((e.target.numVectorRegs - 2) / (together() + 1),
                             llvm::divideCeil(chains, together()));
  }
  SmallVector<Value> sumsOf(Value pixel, int64_t vectors, int64_t from,
                            int64_t to);
  void block(Value pixel, int64_t vectors);
  void store(Value pixel, ArrayRef<Value> sums);
  void storePicked(Value row, ArrayRef<Value> columns);
  void storeSquares(Value row, ArrayRef<Value> columns);
  void run();
};

/// Columns [from, to) of so many vectors of pixels.
SmallVector<Value> PlaneKernel::sumsOf(Value pixel, int64_t vectors,
                                       int64_t from, int64_t to) {
  Type f32 = b.getF32Type(), vt = L.vec(f32);
  int64_t count = to - from;
  L.mask = left ? L.tailMask(left) : Value();
  Value size = e.dim(pixels);
  Value first = L.add(L.mul(L.mul(image, e.dim(K)), size), pixel);
  SmallVector<Value> zeros(count * vectors, L.constant(vt, 0));
  auto sums =
      e.loop(L.index(0), e.dim(K), 1, zeros, [&](Value k, ValueRange before) {
        SmallVector<Value> next(before), x;
        Value at = L.add(first, L.mul(k, size));
        for (int64_t v = 0; v < vectors; ++v)
          x.push_back(L.load(A, Idx{L.add(at, v * lanes), 1, 1, {}}, f32));
        Value row = L.add(L.mul(k, kPanelColumns), from);
        for (int64_t n = 0; n < count; ++n) {
          Value w = memref::LoadOp::create(b, loc, B, L.add(row, n));
          w = vector::BroadcastOp::create(b, loc, vt, w);
          for (int64_t v = 0; v < vectors; ++v) {
            Value &sum = next[v * count + n];
            sum = L.multiplyAdd(x[v], w, sum, e.target.hasFma);
          }
        }
        return next;
      });
  L.mask = {};
  return sums;
}

void PlaneKernel::block(Value pixel, int64_t vectors) {
  SmallVector<SmallVector<Value>> sums(vectors); // of each vector of pixels
  int64_t size = together();
  for (int64_t from = 0; from < N; from += size) {
    int64_t to = std::min(from + size, N);
    SmallVector<Value> part = sumsOf(pixel, vectors, from, to);
    for (int64_t v = 0; v < vectors; ++v)
      llvm::append_range(sums[v],
                         ArrayRef(part).slice(v * (to - from), to - from));
  }
  for (int64_t v = 0; v < vectors; ++v)
    store(L.add(pixel, v * lanes), sums[v]);
}

void PlaneKernel::store(Value pixel, ArrayRef<Value> sums) {
  Value row = L.add(L.mul(image, e.dim(pixels)), pixel);
  SmallVector<Value> columns;
  L.mask = left ? L.tailMask(left) : Value();
  for (int64_t n = 0; n < N; ++n) {
    SmallVector<Idx> idx{L.uniform(image), Idx{pixel, 1, 1, {}}, L.uniform(n)};
    Idx flat{L.add(L.mul(row, N), n), N, 1, {}};
    e.bind(op.getResult(), [sum = sums[n]](ArrayRef<Idx>) { return sum; });
    e.setDomain(getDims(sink.value), idx, flat);
    columns.push_back(L.widen(e.emit(sink.value, idx)));
    if (!sink.perm.empty())
      L.store(columns[n], e.result(0), sink.at(e, idx), sink.element);
  }
  if (sink.perm.empty())
    N <= kPicked ? storePicked(row, columns) : storeSquares(row, columns);
  L.mask = {};
}

/// The rows, one behind the other, as as many vectors as there are columns.
void PlaneKernel::storePicked(Value row, ArrayRef<Value> columns) {
  Value first = L.mul(row, N);
  for (int64_t v = 0; v < N; ++v) {
    // Lane l is of column (v * lanes + l) % N.
    Value part = columns[0];
    for (int64_t n = 1; n < N; ++n) {
      SmallVector<int64_t> from;
      for (int64_t l = 0; l < lanes; ++l) {
        int64_t i = v * lanes + l;
        from.push_back(i % N == n ? lanes + i / N : n == 1 ? i / N : l);
      }
      part = vector::ShuffleOp::create(b, loc, part, columns[n], from);
    }
    if (left)
      L.mask = L.tailMask(L.sub(L.mul(left, N), v * lanes));
    L.store(part, e.result(0), Idx{L.add(first, v * lanes), 1, 1, {}},
            sink.element);
  }
}

/// As many columns as there are lanes at a time.
void PlaneKernel::storeSquares(Value row, ArrayRef<Value> columns) {
  for (int64_t n = 0; n < N; n += lanes) {
    int64_t count = std::min(lanes, N - n);
    SmallVector<Value> square(columns.slice(n, count));
    square.resize(lanes, columns[n]);
    for (auto [i, v] : llvm::enumerate(turnSquare(L, square))) {
      auto own = [&, v = v, r = int64_t(i)] {
        L.mask = count < lanes ? L.tailMask(L.index(count)) : Value();
        Value at = L.add(L.mul(L.add(row, r), N), n);
        L.store(v, e.result(0), Idx{at, 1, 1, {}}, sink.element);
      };
      left ? e.ifThen(L.sgt(left, int64_t(i)), own) : own();
    }
  }
}

void PlaneKernel::run() {
  SymExpr rows(taskRows),
      parts = SymExpr::apply(SymExpr::Fn::CeilDiv, pixels, rows);
  e.info.tasks = images * parts;
  e.info.cost = productOf(out) * K;
  A = e.input(cast<BlockArgument>(patches.getInput()));
  B = e.input(operand.getMemory());
  LaneScope saved(L, lanes);
  int64_t vectors = vectorsOfBlock();
  e.loop(e.begin, e.end, 1, [&](Value task) {
    image = L.div(task, e.dim(parts));
    Value first = L.mul(L.rem(task, e.dim(parts)), taskRows);
    Value end = L.min(L.add(first, taskRows), e.dim(pixels));
    auto blocks = [&](int64_t count) {
      int64_t step = count * lanes;
      Value behind = L.add(first, L.mul(L.div(L.sub(end, first), step), step));
      e.loop(first, behind, step, [&](Value pixel) { block(pixel, count); });
      first = behind;
    };
    blocks(vectors);
    if (vectors > 1)
      blocks(1);
    left = L.sub(end, first);
    e.ifThen(L.ne(left, 0), [&] { block(first, 1); });
    left = {};
  });
}

} // namespace

bool isPlaneProduct(PackedMatMulOp op, const PackedOperand &operand) {
  auto patches = op.getLhs().getDefiningOp<Im2ColOp>();
  SmallVector<SymExpr> packed = getDims(op.getPacked()),
                       out = getDims(op.getResult());
  auto are = [](ArrayRef<int64_t> numbers, int64_t all) {
    return llvm::all_of(numbers, [&](int64_t n) { return n == all; });
  };
  auto one = [](const SymExpr &d) { return d.constant() == 1; };
  return patches && isa<BlockArgument>(patches.getInput()) &&
         !patches.getChannelsLast() && are(patches.getKernel(), 1) &&
         are(patches.getStrides(), 1) && are(patches.getPads(), 0) &&
         getElementTypeOrSelf(patches.getInput().getType()).isF32() &&
         getElementTypeOrSelf(op.getResult().getType()).isF32() &&
         !op.getFormatAttr() && !matchHalves(op) && !operand.getPages() &&
         operand.rowsApart() == kPanelColumns && out.size() == 3 &&
         llvm::all_of(ArrayRef(packed).drop_back(3), one) &&
         out.back().constant().value_or(0) > 0 &&
         out.back().constant().value_or(0) <= kMostColumns;
}

void emitPlaneKernel(KernelEmitter &e, PackedMatMulOp op,
                     const PackedOperand &operand, int64_t taskRows) {
  PlaneKernel{e, op, operand, taskRows}.run();
}

} // namespace tenon
