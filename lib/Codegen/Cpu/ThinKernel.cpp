//===- ThinKernel.cpp - products of few terms -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Of few terms a tile of sums has hardly begun when it ends. All rows
// that a call has are one loop here, whose sums go to the epilogue in
// registers:
//
//   for four rows:  for term k:  for row:  for vector of columns:
//     sum of row, vector  +=  A[row][k] x B[k][vector]
//
// A row's last vector may reach into the next row, which is written after it;
// only the last rows have their ends stored by themselves.
//
// Few columns, up to half of a vector, have the rows on its lanes. A
// block of rows is turned as it is loaded, and its result as it is stored:
//
//   for `lanes` rows:  for term k:  for column n:
//     sum of column n  +=  A[rows][k] x B[k][n]
//
// Either way a sum is one chain of additions in the order of k, as it is of
// tiles: bits depend on neither.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/ThinKernel.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Form/GatedMatMul.h"
#include "llvm/ADT/bit.h"

using namespace mlir;

namespace tenon {

namespace {

/// Terms up to which tiles are slower: by two or three columns, which lie on
/// the rows' lanes at all levels, by one panel, and by more of them.
constexpr int64_t kMostOfFew = 48, kMostOfPanel = 31, kMostOfMany = 15;
/// Columns that all rows of a task meet before the next ones, and of all: more
/// are tasks of their own.
constexpr int64_t kPartColumns = 4 * kPanelColumns, kMostColumns = 1024;

struct ThinKernel {
  KernelEmitter &e;
  PackedMatMulOp op;
  const PackedOperand &operand;
  int64_t taskRows;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Location loc = L.loc;
  Sink sink{e};
  SmallVector<SymExpr> out = getDims(op.getResult());
  SmallVector<SymExpr> rowDims{out.begin(), out.end() - 1};
  SymExpr M = productOf(rowDims);
  int64_t K = *getDims(op.getLhs()).back().constant(),
          N = *out.back().constant();
  Type f32 = b.getF32Type();
  int64_t lanes = 0;        ///< of vectors in what is emitted now
  Value begin = L.index(0); ///< first column
  int64_t width = N;        ///< columns from there on
  int64_t vectors = 0;      ///< that these are
  VectorType vt = {};
  int64_t room = e.target.numVectorRegs - 2;
  /// Vectors of columns that two rows meet at once.
  int64_t together = (room - 2) / 2;
  /// Stored as it is computed, row by row.
  bool inRows = sink.perm.empty() && sink.element.isF32();
  Value A = {}, B = {};
  SmallVector<Value> held = {}; ///< vectors, or splats, of B in registers

  Value loadColumns(int64_t k, int64_t v) {
    int64_t column = v * lanes, panel = column / kPanelColumns;
    int64_t at = (panel * K + k) * kPanelColumns + column % kPanelColumns;
    return vector::LoadOp::create(b, loc, vt, B, L.add(L.mul(begin, K), at));
  }
  Value loadSplat(Value memory, Value at) {
    Value x = memref::LoadOp::create(b, loc, memory, at);
    return vector::BroadcastOp::create(b, loc, vt, x);
  }
  Value shuffle(Value x, Value y, ArrayRef<int64_t> from) {
    return vector::ShuffleOp::create(b, loc, x, y, from);
  }
  void setLanes(int64_t count) {
    L.lanes = lanes = count;
    vectors = llvm::divideCeil(width, lanes);
    vt = VectorType::get({lanes}, f32);
  }
  Value pick(ArrayRef<Value> from, function_ref<int64_t(int64_t)> element);
  void loadTerms(Value row, int64_t from, SmallVector<Value> &terms);
  SmallVector<Value> turnFour(ArrayRef<Value> columns);
  void storeTurned(ArrayRef<Value> columns, Value row);
  void block(Value row);
  SmallVector<Value> sumsOf(Value row, int64_t count, int64_t from, int64_t to);
  void store(Value row, int64_t v, Value sum, bool over);
  void rows(Value row, int64_t count, bool over);
  void columns();
  void run();
};

} // namespace

/// Lane l is element element(l) of the vectors, two or more, one after the
/// other.
Value ThinKernel::pick(ArrayRef<Value> from,
                       function_ref<int64_t(int64_t)> element) {
  Value result = from[0];
  for (int64_t v = 1; v < int64_t(from.size()); ++v) {
    SmallVector<int64_t> at;
    for (int64_t l = 0; l < lanes; ++l) {
      int64_t i = element(l);
      if (i >= (v + 1) * lanes)
        at.push_back(vector::ShuffleOp::kPoisonIndex);
      else if (i >= v * lanes)
        at.push_back(i - (v - 1) * lanes);
      else // picked before
        at.push_back(v == 1 ? i : l);
    }
    result = shuffle(result, from[v], at);
  }
  return result;
}

/// A[row + lane][k] for k from `from` on, maybe for some before and behind it.
void ThinKernel::loadTerms(Value row, int64_t from, SmallVector<Value> &terms) {
  Value first = L.mul(row, K);
  if (K >= kQuad) {
    from = std::min(from, K - kQuad); // the last four meet those before
    llvm::copy(loadTurned(L, A, first, K, from), terms.begin() + from);
    return;
  }
  SmallVector<Value> memory;
  for (int64_t v = 0; v < K; ++v)
    memory.push_back(
        vector::LoadOp::create(b, loc, vt, A, L.add(first, v * lanes)));
  for (int64_t k = 0; k < K; ++k)
    terms[k] =
        K == 1 ? memory[0] : pick(memory, [&](int64_t l) { return l * K + k; });
}

/// Of four columns the rows, one behind the other. In vectors of at most 256
/// bits no instruction picks of two, but within blocks of four lanes.
SmallVector<Value> ThinKernel::turnFour(ArrayRef<Value> columns) {
  auto inBlocks = [&](Value x, Value y, std::array<int64_t, 4> from) {
    SmallVector<int64_t> at;
    for (int64_t block = 0; block < lanes; block += kQuad)
      for (int64_t l : from)
        at.push_back(block + (l < kQuad ? l : lanes + l - kQuad));
    return shuffle(x, y, at);
  };
  SmallVector<Value> rows; // rows[i]: i, i + 4, ...
  for (std::array<int64_t, 4> half : {std::array<int64_t, 4>{0, 4, 1, 5},
                                      std::array<int64_t, 4>{2, 6, 3, 7}}) {
    Value x = inBlocks(columns[0], columns[1], half),
          y = inBlocks(columns[2], columns[3], half);
    rows.push_back(inBlocks(x, y, {0, 1, 4, 5}));
    rows.push_back(inBlocks(x, y, {2, 3, 6, 7}));
  }
  if (lanes == kQuad)
    return rows;
  auto both = [&](int64_t i, int64_t block) {
    SmallVector<int64_t> at;
    for (int64_t from : {block, lanes + block})
      for (int64_t l = 0; l < kQuad; ++l)
        at.push_back(from + l);
    return shuffle(rows[i], rows[i + 1], at);
  };
  return {both(0, 0), both(2, 0), both(0, kQuad), both(2, kQuad)};
}

/// The opposite: columns of the result to its rows, whose elements lie one
/// behind the other. Fewer vectors are stored than there are rows.
void ThinKernel::storeTurned(ArrayRef<Value> columns, Value row) {
  Value result = e.result(0), first = L.mul(row, N);
  SmallVector<Value> turned;
  if (N == kQuad && lanes <= 2 * kQuad)
    turned = turnFour(columns);
  for (int64_t v = 0; v < N; ++v) {
    // Element i of the block is row i / N of column i % N.
    auto element = [&](int64_t l) {
      int64_t i = v * lanes + l;
      return i % N * lanes + i / N;
    };
    Value part = !turned.empty() ? turned[v]
                 : N == 1        ? columns[0]
                                 : pick(columns, element);
    vector::StoreOp::create(b, loc, part, result, L.add(first, v * lanes));
  }
}

/// As many rows as there are lanes, on these.
void ThinKernel::block(Value row) {
  SmallVector<Value> terms(K), sums(N, L.constant(vt, 0));
  for (int64_t k = 0; k < K; ++k) {
    if (!terms[k])
      loadTerms(row, k, terms);
    for (int64_t n = 0; n < N; ++n) {
      Value w = held.empty() ? loadSplat(B, L.index(k * kPanelColumns + n))
                             : held[k * N + n];
      sums[n] = L.multiplyAdd(terms[k], w, sums[n], e.target.hasFma);
    }
  }
  SmallVector<Idx> idx(out.size());
  Idx rest{row, 1, 1, {}};
  for (size_t d = rowDims.size(); d-- > 1;)
    std::tie(rest, idx[d]) = L.divRem(rest, e.dim(rowDims[d]));
  idx[0] = rest;
  for (int64_t n = 0; n < N; ++n) {
    idx.back() = L.uniform(n);
    e.bind(op.getResult(), [&](ArrayRef<Idx>) { return sums[n]; });
    e.setDomain(getDims(sink.value), idx,
                Idx{L.add(L.mul(row, N), n), N, 1, {}});
    sums[n] = L.widen(e.emit(sink.value, idx));
  }
  storeTurned(sums, row);
}

/// Vectors [from, to) of so many rows from `row` on.
SmallVector<Value> ThinKernel::sumsOf(Value row, int64_t count, int64_t from,
                                      int64_t to) {
  Value first = L.mul(row, K);
  int64_t size = to - from;
  SmallVector<Value> sums(count * size, L.constant(vt, 0));
  for (int64_t k = 0; k < K; ++k) {
    SmallVector<Value> columns;
    for (int64_t v = from; v < to; ++v)
      columns.push_back(held.empty() ? loadColumns(k, v)
                                     : held[k * vectors + v]);
    for (int64_t r = 0; r < count; ++r) {
      Value x = loadSplat(A, L.add(first, r * K + k));
      for (int64_t v = 0; v < size; ++v) {
        Value &sum = sums[r * size + v];
        sum = L.multiplyAdd(x, columns[v], sum, e.target.hasFma);
      }
    }
  }
  return sums;
}

/// Rows from `row` on; `over`: what lies behind the last one is written later,
/// but by vectors of several rounds.
void ThinKernel::rows(Value row, int64_t count, bool over) {
  over = over && vectors <= together;
  for (int64_t from = 0; from < vectors; from += together) {
    int64_t to = std::min(from + together, vectors);
    SmallVector<Value> sums = sumsOf(row, count, from, to);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t v = from; v < to; ++v)
        store(L.add(row, r), v, sums[r * (to - from) + v - from], over);
  }
}

/// Vector v of a row.
void ThinKernel::store(Value row, int64_t v, Value sum, bool over) {
  SmallVector<Idx> idx = e.delinearize(row, rowDims);
  idx.push_back(Idx{L.add(begin, v * lanes), 1, lanes, {}});
  int64_t left = width - v * lanes;
  Idx flat = L.add(L.uniform(L.mul(row, N)), idx.back());
  e.bind(op.getResult(), [&](ArrayRef<Idx>) { return sum; });
  if (left < lanes)
    L.mask = L.tailMask(L.index(left));
  if (left >= lanes || !over) {
    sink.store(e, idx, flat);
  } else {
    e.setDomain(getDims(sink.value), idx, flat);
    Value y = L.widen(e.emit(sink.value, idx));
    L.mask = {};
    L.store(y, e.result(0), flat, sink.element);
  }
  L.mask = {};
}

/// Columns [begin, begin + width) of all rows.
/// Long: the three loops over a call's rows, with what they share.
void ThinKernel::columns() {
  int64_t all = e.vectorLanes();
  setLanes(all);
  Value row = L.mul(e.begin, taskRows),
        end = L.min(L.mul(e.end, taskRows), e.dim(M));
  // Turning six of 16 takes longer than half vectors in rows do, and four of
  // eight with few terms.
  constexpr int64_t some = 12;
  bool turned = inRows && (N <= std::min<int64_t>(lanes / 2 - 1, 5) ||
                           (N == kQuad && lanes == 2 * kQuad && K >= some));
  if (turned) {
    if (K * N + K + N <= room)
      for (int64_t k = 0; k < K; ++k)
        for (int64_t n = 0; n < N; ++n)
          held.push_back(loadSplat(B, L.index(k * kPanelColumns + n)));
    Value count = L.div(L.sub(end, row), lanes);
    Value behind = L.add(row, L.mul(count, lanes));
    e.loop(row, behind, lanes, [&](Value r) { block(r); });
    held.clear();
    row = behind;
  }
  // Narrow vectors of a narrow row reach less far into the next one.
  setLanes(std::min<int64_t>(
      all, std::max<int64_t>(llvm::bit_ceil(uint64_t(width)), kQuad)));
  // As many rows as hide what a chain waits for.
  int64_t count = std::max<int64_t>(kQuad / vectors, 2);
  if (K * vectors + count * vectors + 1 <= room && !turned)
    for (int64_t k = 0; k < K; ++k)
      for (int64_t v = 0; v < vectors; ++v)
        held.push_back(loadColumns(k, v));
  // Those whose last vector ends where the last row does, or before.
  int64_t overhang = llvm::divideCeil(vectors * lanes - width, N);
  Value left = L.sub(end, row);
  bool over = inRows && !turned && width == N; // else columns that are there
  if (over)
    left = L.max(L.sub(left, overhang), 0);
  Value behind = L.add(row, L.mul(L.div(left, count), count));
  e.loop(row, behind, count, [&](Value r) { rows(r, count, over); });
  e.loop(behind, end, 1, [&](Value r) { rows(r, 1, false); });
  held.clear();
}

void ThinKernel::run() {
  e.info.tasks = SymExpr::apply(SymExpr::Fn::CeilDiv, M, SymExpr(taskRows));
  e.info.cost = productOf(out) * SymExpr(K);
  A = e.input(cast<BlockArgument>(op.getLhs()));
  B = e.input(operand.getMemory());
  LaneScope saved(L);
  int64_t whole = N - N % kPartColumns;
  auto part = [&](Value from, int64_t count) {
    begin = from, width = count;
    columns();
  };
  e.loop(L.index(0), L.index(whole), kPartColumns,
         [&](Value from) { part(from, kPartColumns); });
  if (whole < N)
    part(L.index(whole), N - whole);
}

bool isThinProduct(PackedMatMulOp op, const PackedOperand &operand) {
  constexpr int64_t few = 3; // rows, which have a form of their own
  SmallVector<SymExpr> lhs = getDims(op.getLhs()),
                       packed = getDims(op.getPacked()),
                       out = getDims(op.getResult());
  auto one = [](const SymExpr &d) { return d.constant() == 1; };
  auto rows = dyn_cast<BlockArgument>(op.getLhs());
  int64_t terms = lhs.back().constant().value_or(0),
          columns = out.back().constant().value_or(0);
  int64_t most = columns == 2 || columns == 3 ? kMostOfFew
                 : columns <= kPanelColumns   ? kMostOfPanel
                 : columns <= kMostColumns    ? kMostOfMany
                                              : 0;
  return rows && getElementTypeOrSelf(rows.getType()).isF32() &&
         !op.getFormatAttr() && !matchHalves(op) && !operand.getPages() &&
         operand.rowsApart() == kPanelColumns && out.size() >= 2 &&
         llvm::all_of(ArrayRef(packed).drop_back(3), one) && terms > 0 &&
         terms <= most && columns > 0 &&
         productOf(ArrayRef(lhs).drop_back(1)).constant().value_or(few + 1) >
             few;
}

void emitThinKernel(KernelEmitter &e, PackedMatMulOp op,
                    const PackedOperand &operand, int64_t taskRows) {
  ThinKernel{e, op, operand, taskRows}.run();
}

} // namespace tenon
