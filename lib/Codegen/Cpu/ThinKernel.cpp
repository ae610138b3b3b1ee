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
// Columns that fill no more than half or a quarter of the last vector have two
// or four terms side by side there, which are loaded at once:
//
//   for eight rows:  for terms k, k + 1:
//     sums of row  +=  A[row][k, k + 1, k, k + 1, ...]
//                    x B[k][0], B[k + 1][0], B[k][1], B[k + 1][1], ...
//
// The sums of a column's terms are added up at the end, of several rows at
// once.
//
// Few columns, up to half of a vector, have the rows on its lanes. A
// block of rows is turned as it is loaded, and its result as it is stored:
//
//   for `lanes` rows:  for term k:  for column n:
//     sum of column n  +=  A[rows][k] x B[k][n]
//
// Turning many terms takes longer than adding up four lanes: one or two columns
// have four terms of some rows in a vector then, or eight of two rows. Two
// columns lie side by side there, each by the same terms of a row:
//
//   for row:  for terms k, k + 1, ...:
//     sums of row  +=  A[row][k, k + 1, ..., k, k + 1, ...]
//                      x B[k][0], B[k + 1][0], ..., B[k][1], B[k + 1][1], ...
//
// With terms side by side a sum is a chain for each of these, and a tree over
// them; otherwise one chain in the order of k, as it is of tiles. A row's bits
// are those of its columns' form, whatever rows are beside it.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/ThinKernel.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Cpu/TurnedRows.h"
#include "lib/Codegen/Form/GatedMatMul.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/Sequence.h"
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
  int64_t slots = 1;        ///< terms side by side in the last one
  bool inQuads = false;     ///< turned rows have four terms side by side
  bool inGroups = false;    ///< or as many as a vector has for all columns
  VectorType vt = {};
  int64_t room = e.target.numVectorRegs - 2;
  /// Vectors of columns that two rows meet at once.
  int64_t together = (room - 2) / 2;
  /// Stored as it is computed, row by row.
  bool inRows = sink.perm.empty() && sink.element.isF32();
  Value A = {}, B = {};
  SmallVector<Value> held = {};   ///< vectors, or splats, of B in registers
  SmallVector<Value> groups = {}; ///< of B, terms side by side
  Value fresh = {}; ///< bits of lanes: terms of the last group not yet added

  VectorType vector(int64_t count) { return VectorType::get({count}, f32); }
  Value loadColumns(int64_t k, int64_t column, int64_t count) {
    int64_t panel = column / kPanelColumns;
    int64_t at = (panel * K + k) * kPanelColumns + column % kPanelColumns;
    return vector::LoadOp::create(b, loc, vector(count), B,
                                  L.add(L.mul(begin, K), at));
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
    vt = vector(lanes);
  }
  int64_t slotsOf(int64_t lanes);
  Value loadGroup(Value at);
  Value weightsOf(int64_t k);
  Value quadOf(int64_t k, int64_t n);
  Value groupOf(int64_t k);
  void chooseForm(bool turned);
  bool isFresh(int64_t lane) const;
  void hideFresh();
  Value addGroup(Value x, Value weights, Value sum, int64_t k);
  Value fold(Value x, Value y);
  SmallVector<Value> foldRows(ArrayRef<Value> sums);
  SmallVector<Value> sumsInQuads(Value row);
  SmallVector<Value> sumsInGroups(Value row);
  Value sumsOfGroups(Value at, int64_t rows);
  void rowInGroups(Value row);
  SmallVector<Value> sumsOnLanes(Value row);
  void block(Value row);
  SmallVector<Value> sumsOf(Value row, int64_t count, int64_t from, int64_t to);
  void store(Value row, int64_t column, Value sum, bool over);
  void rows(Value row, int64_t count, bool over);
  void columns();
  void run();
};

} // namespace

/// Terms side by side of the last columns, where that is faster.
int64_t ThinKernel::slotsOf(int64_t lanes) {
  int64_t rest = width % lanes;
  bool wide = lanes == 4 * kQuad;
  int64_t least = wide || width < lanes ? 4 : 6; // terms
  if (lanes < 2 * kQuad || width > 2 * lanes || rest == 0 || K < least)
    return 1;
  // What has the rows on the lanes is as fast with few terms.
  if (width < lanes &&
      (rest < 3 || (wide && ((rest == 5 && K < 9) || (rest == 4 && K < 7) ||
                             (rest == 3 && K < 9)))))
    return 1;
  return wide && rest <= kQuad ? kQuad : rest <= lanes / 2 ? 2 : 1;
}

/// So many terms of a row, again and again.
Value ThinKernel::loadGroup(Value at) {
  Value x = vector::LoadOp::create(b, loc, vector(slots), A, at);
  if (slots == 2) { // as one number: loads of others repeat no pairs
    Type pair = b.getF64Type();
    x = vector::BitCastOp::create(b, loc, VectorType::get({1}, pair), x);
    x = vector::ExtractOp::create(b, loc, x, ArrayRef<int64_t>{0});
    x = vector::BroadcastOp::create(b, loc, VectorType::get({lanes / 2}, pair),
                                    x);
    return vector::BitCastOp::create(b, loc, vt, x);
  }
  SmallVector<int64_t> from;
  for (int64_t l = 0; l < lanes; ++l)
    from.push_back(l % slots);
  return shuffle(x, x, from);
}

/// Terms k, k + 1, ... of the last columns, those of a column side by side.
Value ThinKernel::weightsOf(int64_t k) {
  int64_t count = lanes / slots, column = (vectors - 1) * lanes;
  SmallVector<Value> parts;
  for (int64_t s = 0; s < slots; ++s)
    parts.push_back(loadColumns(k + s, column, count));
  for (int64_t size = 1; parts.size() > 1; size *= 2) {
    // Of two parts in turns `size` neighbours.
    SmallVector<int64_t> from;
    int64_t length = count * size;
    for (int64_t i = 0; i < 2 * length; ++i)
      from.push_back(i / (2 * size) * size + i % size +
                     (i / size % 2) * length);
    SmallVector<Value> joined;
    for (size_t i = 0; i < parts.size(); i += 2)
      joined.push_back(shuffle(parts[i], parts[i + 1], from));
    parts = joined;
  }
  return parts[0];
}

/// Terms k to k + 3 of column n, again and again.
Value ThinKernel::quadOf(int64_t k, int64_t n) {
  SmallVector<Value> terms;
  for (int64_t l = 0; l < lanes; ++l)
    terms.push_back(l < kQuad
                        ? Value(memref::LoadOp::create(
                              b, loc, B, L.index((k + l) * kPanelColumns + n)))
                        : terms[l - kQuad]);
  return vector::FromElementsOp::create(b, loc, vt, terms);
}

/// Of the last terms, which may meet others before them: is that of the lane
/// none of these?
bool ThinKernel::isFresh(int64_t lane) const {
  return K - slots + lane % slots >= K / slots * slots;
}

/// A mask of multiply-adds, once for all rows. One that LLVM knows would become
/// blends and permutations of their results, two more operations for a row.
void ThinKernel::hideFresh() {
  fresh = {};
  if (slots == 1 || K % slots == 0 || e.target.vectorBits != 512)
    return;
  int64_t bits = 0;
  for (int64_t l = 0; l < 4 * kQuad; ++l)
    bits |= int64_t(isFresh(l)) << l;
  fresh = hide(L, arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(bits)));
}

/// Terms from k on, or the last ones: of these the first may have been added.
Value ThinKernel::addGroup(Value x, Value weights, Value sum, int64_t k) {
  Value next = L.multiplyAdd(x, weights, sum, e.target.hasFma);
  if (k + slots <= K)
    return next;
  auto type = VectorType::get({lanes}, b.getI1Type());
  Value mask;
  if (fresh) {
    Type bits = b.getIntegerType(lanes);
    mask = arith::TruncIOp::create(b, loc, bits, fresh);
    mask = LLVM::BitcastOp::create(b, loc, type, mask);
  } else {
    SmallVector<bool> lane;
    for (int64_t l = 0; l < lanes; ++l)
      lane.push_back(isFresh(l));
    mask = arith::ConstantOp::create(b, loc, type,
                                     DenseElementsAttr::get(type, lane));
  }
  return arith::SelectOp::create(b, loc, mask, next, sum);
}

/// Sums of two neighbours each, in blocks of four lanes: two of x and two of y.
Value ThinKernel::fold(Value x, Value y) {
  SmallVector<int64_t> even, odd;
  for (int64_t l = 0; l < lanes; ++l) {
    int64_t block = l / kQuad * kQuad, i = l % kQuad;
    even.push_back(block + i % 2 * 2 + (i < 2 ? 0 : lanes));
    odd.push_back(even.back() + 1);
  }
  return arith::AddFOp::create(b, loc, shuffle(x, y, even), shuffle(x, y, odd));
}

/// Of the rows' last vectors the sums of each column, one behind the other.
SmallVector<Value> ThinKernel::foldRows(ArrayRef<Value> sums) {
  int64_t size = lanes / slots, count = sums.size();
  SmallVector<Value> rows;
  for (int64_t r = 0; r < count; r += slots) {
    auto of = [&](int64_t i) { return sums[std::min(r + i, count - 1)]; };
    Value all = fold(of(0), of(1));
    if (slots == kQuad)
      all = fold(all, fold(of(2), of(3)));
    SmallVector<int64_t> from;
    for (int64_t l = 0; l < lanes; ++l) {
      int64_t row = l / size, n = l % size;
      from.push_back(slots == kQuad ? n * kQuad + row
                                    : n / 2 * kQuad + row * 2 + n % 2);
    }
    all = shuffle(all, all, from);
    // LLVM would add up each row's half by itself, by slower operations.
    if (lanes == 2 * kQuad && K % slots == 0)
      all = hide(L, all);
    for (int64_t i = 0; i < std::min(slots, count - r); ++i)
      rows.push_back(vector::ExtractStridedSliceOp::create(
          b, loc, all, {i * size}, {size}, {1}));
  }
  return rows;
}

/// The columns' sums of as many rows as there are lanes, on these: four terms
/// of lanes / 4 rows are a vector.
SmallVector<Value> ThinKernel::sumsInQuads(Value row) {
  int64_t apart = lanes / kQuad; // rows of a vector
  SmallVector<Value> sums(N * kQuad, L.constant(vt, 0));
  auto join = [&](SmallVector<Value> parts) {
    for (int64_t size = lanes / parts.size(); parts.size() > 1; size *= 2) {
      SmallVector<Value> joined;
      auto from = llvm::to_vector(llvm::seq<int64_t>(0, 2 * size));
      for (size_t i = 0; i < parts.size(); i += 2)
        joined.push_back(shuffle(parts[i], parts[i + 1], from));
      parts = joined;
    }
    return parts[0];
  };
  auto load = [&](int64_t r, int64_t k, int64_t count) -> Value {
    return vector::LoadOp::create(b, loc, vector(count), A,
                                  L.add(L.mul(row, K), r * K + k));
  };
  for (int64_t k = 0, step; k < K; k += step) {
    bool twice = lanes == 4 * kQuad && k + 2 * kQuad <= K;
    step = twice ? 2 * kQuad : int64_t(kQuad);
    for (int64_t g = 0; g < kQuad; ++g) {
      SmallVector<Value> quads;
      int64_t first = g * apart;
      if (twice) {
        // Four terms and the next four, with fewer operations.
        Value pairs[2];
        for (int64_t i = 0; i < 2; ++i)
          pairs[i] = join({load(first + 2 * i, k, 2 * kQuad),
                           load(first + 2 * i + 1, k, 2 * kQuad)});
        for (int64_t i = 0; i < 2; ++i) {
          SmallVector<int64_t> from;
          for (int64_t l = 0; l < lanes; ++l)
            from.push_back((l / kQuad * 2 + i) * kQuad + l % kQuad);
          quads.push_back(shuffle(pairs[0], pairs[1], from));
        }
      } else {
        SmallVector<Value> parts;
        for (int64_t r = first; r < first + apart; ++r)
          parts.push_back(load(r, std::min(k, K - kQuad), kQuad));
        quads.push_back(join(parts));
      }
      for (auto [q, x] : llvm::enumerate(quads))
        for (int64_t n = 0; n < N; ++n) {
          Value &sum = sums[n * kQuad + g];
          sum =
              addGroup(x, groups[(k / kQuad + q) * N + n], sum, k + q * kQuad);
        }
    }
  }
  SmallVector<int64_t> from; // block b of lanes has rows b, apart + b, ...
  for (int64_t l = 0; l < lanes; ++l)
    from.push_back(l % apart * kQuad + l / apart);
  SmallVector<Value> columns;
  for (int64_t n = 0; n < N; ++n) {
    Value *of = &sums[n * kQuad];
    Value all = fold(fold(of[0], of[1]), fold(of[2], of[3]));
    columns.push_back(shuffle(all, all, from));
  }
  return columns;
}

/// Terms from k on, as many as there are slots, of all columns.
Value ThinKernel::groupOf(int64_t k) {
  SmallVector<Value> terms;
  for (int64_t l = 0; l < lanes; ++l)
    terms.push_back(
        l < slots * N
            ? Value(memref::LoadOp::create(
                  b, loc, B,
                  L.index((k + l % slots) * kPanelColumns + l / slots)))
            : terms[l - slots * N]);
  return vector::FromElementsOp::create(b, loc, vt, terms);
}

/// Sums, terms side by side, of the rows that fill a vector, the first one of
/// which begins at `at`.
Value ThinKernel::sumsOfGroups(Value at, int64_t rows) {
  Value sum = L.constant(vt, 0);
  for (int64_t k = 0; k < K; k += slots) {
    Value x;
    for (int64_t r = 0; r < rows; ++r) {
      Value terms = vector::LoadOp::create(
          b, loc, vector(slots), A, L.add(at, r * K + std::min(k, K - slots)));
      auto twice = llvm::to_vector(llvm::seq<int64_t>(0, lanes));
      if (rows == 1 && slots < lanes) // by each column
        for (int64_t &l : twice)
          l %= slots;
      x = slots == lanes ? terms
          : rows == 1    ? shuffle(terms, terms, twice)
          : x            ? shuffle(x, terms, twice)
                         : terms;
    }
    sum = addGroup(x, groups[k / slots], sum, k);
  }
  return sum;
}

/// The columns' sums of as many rows as there are lanes, on these.
SmallVector<Value> ThinKernel::sumsInGroups(Value row) {
  // Of each lane which sum it is a part of.
  struct Part {
    Value sums;
    SmallVector<int64_t> of;
  };
  SmallVector<Part> parts;
  int64_t rows = lanes / (slots * N);
  for (int64_t r = 0; r < lanes; r += rows) {
    Part part{sumsOfGroups(L.add(L.mul(row, K), r * K), rows), {}};
    for (int64_t l = 0; l < lanes; ++l)
      part.of.push_back(r * N + l / slots);
    parts.push_back(part);
  }
  // Halves of `size` lanes are added up, of two vectors at once.
  for (int64_t size = slots / 2; size > 0; size /= 2) {
    SmallVector<Part> folded;
    for (size_t i = 0; i < parts.size(); i += 2) {
      SmallVector<int64_t> low, high, of;
      // In-lane permutations below blocks of four lanes.
      auto put = [&](int64_t l) {
        low.push_back(l), high.push_back(l + size);
        of.push_back(l < lanes ? parts[i].of[l] : parts[i + 1].of[l - lanes]);
      };
      int64_t block = size < kQuad ? int64_t(kQuad) : lanes;
      for (int64_t from = 0; from < lanes; from += block)
        for (int64_t base : {from, lanes + from})
          for (int64_t l = base; l < base + block; l += 2 * size)
            for (int64_t j = 0; j < size; ++j)
              put(l + j);
      Value x = parts[i].sums, y = parts[i + 1].sums;
      folded.push_back({arith::AddFOp::create(b, loc, shuffle(x, y, low),
                                              shuffle(x, y, high)),
                        of});
    }
    parts = folded;
  }
  SmallVector<Value> columns;
  for (int64_t n = 0; n < N; ++n) {
    SmallVector<int64_t> from(lanes);
    for (auto [v, part] : llvm::enumerate(parts))
      for (auto [l, sum] : llvm::enumerate(part.of))
        if (sum % N == n)
          from[sum / N] = v * lanes + l;
    columns.push_back(shuffle(parts[0].sums, parts.back().sums, from));
  }
  return columns;
}

/// The same of one row.
void ThinKernel::rowInGroups(Value row) {
  Value sum = sumsOfGroups(L.mul(row, K), 1);
  for (int64_t size = slots / 2; size > 0; size /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t l = 0; l < std::max<int64_t>(N * size, kQuad); ++l) {
      int64_t at = l % (N * size);
      low.push_back(at / size * 2 * size + at % size);
      high.push_back(low.back() + size);
    }
    sum = arith::AddFOp::create(b, loc, shuffle(sum, sum, low),
                                shuffle(sum, sum, high));
  }
  store(row, 0, sum, false);
}

/// The same, of terms that are turned.
SmallVector<Value> ThinKernel::sumsOnLanes(Value row) {
  SmallVector<Value> terms(K), sums(N, L.constant(vt, 0));
  for (int64_t k = 0; k < K; ++k) {
    if (!terms[k])
      TurnedRows{L, K, N}.load(A, L.mul(row, K), k, terms);
    for (int64_t n = 0; n < N; ++n) {
      Value w = held.empty() ? loadSplat(B, L.index(k * kPanelColumns + n))
                             : held[k * N + n];
      sums[n] = L.multiplyAdd(terms[k], w, sums[n], e.target.hasFma);
    }
  }
  return sums;
}

/// As many rows as there are lanes, on these.
void ThinKernel::block(Value row) {
  SmallVector<Value> sums = inGroups  ? sumsInGroups(row)
                            : inQuads ? sumsInQuads(row)
                                      : sumsOnLanes(row);
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
  Value result = e.result(0);
  TurnedRows{L, K, N}.store(sums, result, L.mul(row, N));
}

/// Vectors [from, to) of so many rows from `row` on.
SmallVector<Value> ThinKernel::sumsOf(Value row, int64_t count, int64_t from,
                                      int64_t to) {
  Value first = L.mul(row, K);
  bool grouped = slots > 1 && to == vectors; // the last one
  int64_t size = to - from, plain = size - grouped;
  SmallVector<Value> sums(count * size, L.constant(vt, 0));
  for (int64_t k = 0; k < K; ++k) {
    SmallVector<Value> columns;
    for (int64_t v = from; v < from + plain; ++v)
      columns.push_back(held.empty() ? loadColumns(k, v * lanes, lanes)
                                     : held[k * plain + v]);
    for (int64_t r = 0; r < count && plain > 0; ++r) {
      Value x = loadSplat(A, L.add(first, r * K + k));
      for (int64_t v = 0; v < plain; ++v) {
        Value &sum = sums[r * size + v];
        sum = L.multiplyAdd(x, columns[v], sum, e.target.hasFma);
      }
    }
    // Behind their terms' own loads: LLVM takes a load out of one before it
    // that is wider, by a permutation.
    bool isLast = (k + 1) % slots == 0 || k + 1 == K;
    int64_t group = k / slots, begin = group * slots;
    for (int64_t r = 0; r < count && grouped && isLast; ++r) {
      Value x = loadGroup(L.add(first, r * K + std::min(begin, K - slots)));
      Value &sum = sums[r * size + plain];
      sum = addGroup(x, groups[group], sum, begin);
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
    int64_t size = to - from;
    SmallVector<Value> sums = sumsOf(row, count, from, to), last;
    if (slots > 1 && to == vectors) {
      for (int64_t r = 0; r < count; ++r)
        last.push_back(sums[r * size + size - 1]);
      for (auto [r, sum] : llvm::enumerate(foldRows(last)))
        sums[r * size + size - 1] = sum;
    }
    // Of as many terms as columns one register would lead to both, and loads
    // by two registers are operations of their own, beside the multiply-adds'.
    Value place = K == N ? hideIndex(L, row) : row;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t v = from; v < to; ++v)
        store(L.add(place, r), v * lanes, sums[r * size + v - from], over);
  }
}

/// Elements of the vector that stores the first of `left` ones: the less it
/// reaches behind them, the fewer lines it meets.
static int64_t sizeOfPart(int64_t left) {
  return left > 3 * kQuad ? 4 * kQuad : left > kQuad ? 2 * kQuad : kQuad;
}

/// Columns of a row from `column` on.
void ThinKernel::store(Value row, int64_t column, Value sum, bool over) {
  int64_t lanes = cast<VectorType>(sum.getType()).getNumElements();
  LaneScope saved(L, lanes);
  SmallVector<Idx> idx = e.delinearize(row, rowDims);
  idx.push_back(Idx{L.add(begin, column), 1, lanes, {}});
  int64_t left = width - column;
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
    // Beside other vectors the sums of half a vector would become narrow as
    // well, with operands of their own: of more terms that takes longer than
    // wide stores do, the sooner the fewer vectors there are or the less a wide
    // store reaches behind the row.
    int64_t few = left == lanes / 2 ? 2 : vectors == 2 ? 3 : kQuad;
    bool inParts = vectors == 1 || slots > 1 || left > lanes / 2 ||
                   (K <= few && K * vectors <= 3 * kQuad);
    for (int64_t at = 0; at < left;) {
      int64_t size = inParts ? std::min(sizeOfPart(left - at), lanes) : lanes;
      Value part =
          vector::ExtractStridedSliceOp::create(b, loc, y, {at}, {size}, {1});
      vector::StoreOp::create(b, loc, part, e.result(0), L.add(flat.base, at));
      at += size;
    }
  }
  L.mask = {};
}

/// Do turned rows have terms side by side, and how many?
void ThinKernel::chooseForm(bool turned) {
  bool wide = lanes == 4 * kQuad;
  // Which take longer to be turned.
  int64_t many = !wide ? 6 : N == 1 ? 7 : 11;
  bool few = turned && N <= 2 && lanes >= 2 * kQuad;
  // Two columns have as many in a vector as there is room: each row meets its
  // own weights then, which more than these would read from memory each time.
  // Eight of one column leave less to be added up than twice four do.
  constexpr int64_t most = 16;
  if (N == 2)
    inGroups = few && K >= many && (wide || K <= most);
  else
    inGroups = few && wide && (K == 8 || K > 12);
  inQuads = few && !inGroups && K >= many;
  slots = inGroups ? (N == 2 ? lanes / 2 : 2 * kQuad) : inQuads ? kQuad : 1;
}

/// Columns [begin, begin + width) of all rows.
/// Long: the three loops over a call's rows, with what they share.
void ThinKernel::columns() {
  int64_t all = e.vectorLanes();
  setLanes(all);
  Value row = L.mul(e.begin, taskRows),
        end = L.min(L.mul(e.end, taskRows), e.dim(M));
  // Turning six of 16 takes longer than half vectors in rows do.
  bool turned =
      inRows && slotsOf(all) == 1 && N <= std::min<int64_t>(lanes / 2 - 1, 5);
  chooseForm(turned);
  hideFresh();
  if (turned) {
    if (inGroups) {
      for (int64_t k = 0; k < K; k += slots)
        groups.push_back(groupOf(std::min(k, K - slots)));
    } else if (inQuads) {
      for (int64_t k = 0; k < K; k += kQuad)
        for (int64_t n = 0; n < N; ++n)
          groups.push_back(quadOf(std::min(k, K - kQuad), n));
    } else if (K * N + K + N <= room) {
      for (int64_t k = 0; k < K; ++k)
        for (int64_t n = 0; n < N; ++n)
          held.push_back(loadSplat(B, L.index(k * kPanelColumns + n)));
    }
    Value count = L.div(L.sub(end, row), lanes);
    Value behind = L.add(row, L.mul(count, lanes));
    e.loop(row, behind, lanes, [&](Value r) { block(r); });
    row = behind;
  }
  if (inGroups) {
    setLanes(slots * N); // of one row
    for (Value &group : groups)
      group = vector::ExtractStridedSliceOp::create(b, loc, group, {0}, {lanes},
                                                    {1});
    e.loop(row, end, 1, [&](Value r) { rowInGroups(r); });
    return groups.clear();
  }
  held.clear(), groups.clear();
  // Rows that are left have their terms as the others do.
  slots = inQuads ? kQuad : turned ? 1 : slotsOf(all);
  hideFresh();
  // Narrow vectors of a narrow row reach less far into the next one.
  setLanes(inQuads     ? kQuad * kQuad
           : slots > 1 ? all
                       : std::min<int64_t>(
                             all, std::max<int64_t>(
                                      llvm::bit_ceil(uint64_t(width)), kQuad)));
  for (int64_t k = 0; k < K && slots > 1; k += slots)
    groups.push_back(weightsOf(std::min(k, K - slots)));
  // As many rows as hide what a chain waits for.
  int64_t plain = vectors - (slots > 1);
  bool spills = lanes == 2 * kQuad && vectors == 2 && K <= 2 * kQuad &&
                K % slots == 0; // of four rows, as LLVM orders them
  int64_t count = inQuads     ? kQuad
                  : slots > 1 ? (spills ? slots : 2 * kQuad / vectors)
                              : std::max<int64_t>(kQuad / vectors, 2);
  if (K * plain + int64_t(groups.size()) + count * vectors + 1 <= room &&
      !turned)
    for (int64_t k = 0; k < K; ++k)
      for (int64_t v = 0; v < plain; ++v)
        held.push_back(loadColumns(k, v * lanes, lanes));
  // Those whose last vector ends where the last row does, or before.
  int64_t overhang = llvm::divideCeil(vectors * lanes - width, N);
  Value left = L.sub(end, row);
  bool over = inRows && !turned && width == N; // else columns that are there
  if (over)
    left = L.max(L.sub(left, overhang), 0);
  Value last = L.add(row, left);
  auto rounds = [&](int64_t size) {
    Value count = L.div(L.sub(last, row), size);
    Value behind = L.add(row, L.mul(count, size));
    e.loop(row, behind, size, [&](Value r) { rows(r, size, over); });
    row = behind;
  };
  rounds(count);
  // Else all rows of a small call go one by one; by two vectors that is faster.
  if (vectors == 1 && count == 2 * kQuad)
    rounds(count / 2);
  e.loop(row, end, 1, [&](Value r) { rows(r, 1, false); });
  held.clear(), groups.clear();
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
