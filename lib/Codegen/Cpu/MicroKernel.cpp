//===- MicroKernel.cpp - the register tile of f32 matmul, and its callers -===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// C[rows][columns] = A[rows][K] * B[K][columns], the only loop that matters for
// speed, all accumulators in registers. With 32 registers of 16 lanes a tile is
// six rows of two panels:
//
//            B[k] | b0  b1  b2  b3
//   A[0][k]  a    | c00 c01 c02 c03    per k: 4 loads, 6 broadcasts,
//   A[1][k]  a    | c10 c11 c12 c13           24 fused multiply-adds
//    ...
//
// A tile of 12 rows and one panel has as many accumulators and needs 14 loads.
// Both reach the peak on a core that is left alone. Where the core's other
// hyperthread is busy every load costs some, and 6x64 is 6 to 10% faster
// (docs/Performance.md, What limits a core). With 16 registers the same tile is
// done in passes of two vectors of columns (6x16).
//
// One function per row count serves every layer of a model: the distance of A's
// rows is an argument. Of the places of rows that are multiples of it LLVM
// makes a chain of additions inside the loop, and reads four k of a row at
// once, which of nine rows and more spills. So every fourth row's place is an
// argument too: the three behind it are addressing modes, and the loop is the
// one of a known distance. C goes to scratch memory in the cache: the epilogue
// (bias, activation, residual) is emitted per kernel as a loop over it, 2% of
// the time of a K of 384, and the register tile need not be compiled again for
// each epilogue.
//
// Each element is one chain of additions in order of k, whatever the tile: bits
// do not depend on the row count. Cutting K into chunks for the L1 cache was
// measured and gave nothing: B's panel comes from the L2 cache fast enough.
//
// The panels that come next are fetched into the L2 cache meanwhile, evenly
// over the tiles of the present ones: fetched all at once they would wait for
// each other. One tile alone waits for its own panels. Where registers hold the
// sums of less than a panel, several passes meet a part of its rows in turns,
// and each fetches its share of the next part into the first cache: all of the
// time rows come from memory, in order.
//
// With very few rows there are too few accumulators to hide the latency of an
// addition: the narrow kernels take four neighbouring panels at once
// (NarrowRows.h).
//
// A window's rows of A are none: a position of the result meets a run of the
// image for each tap (a row of the kernel in all channels, as a rule), which
// lies at the position's offset plus the tap's. The sums stay in registers from
// tap to tap, and B is walked as ever, so bits are those of the same patch
// written out. A short run whose length is known is unrolled whole.
//
// Numbers of fewer bits, which a cache holds, are widened as they are loaded.
// Those of a weight of 16 bits are so by the first tile that meets them, and
// stored for the others: stores cost less beside multiply-adds than alone.
// Of a cache's pages those that come next are fetched, as few rows wait for
// them.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Cpu/Product.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;

namespace tenon {

int64_t narrowRows(const TargetInfo &target) {
  return target.numVectorRegs >= 32 ? 3 : 1;
}

int64_t lastColumns(const TargetInfo &target, const SymExpr &N) {
  int64_t last = N.constant().value_or(0) % kPanelColumns;
  return last ? llvm::alignTo(last, target.vectorBits / 32) : kPanelColumns;
}

namespace {

/// Rows of B per round of the main loop. Without fused multiply-adds there is
/// no register left for the products of several.
constexpr int64_t kUnroll = 4;
/// How many rows of a panel kAhead looks ahead. They come into the first cache:
/// asked for in the second one, lines that lie there are read twice, half as
/// fast.
constexpr int64_t kAheadOfPanels = 16;
/// Of more rows than a tile has by one panel: it comes from memory in one
/// stream, which has to be asked for sooner, and is no cache's.
constexpr int64_t kAheadOfPanel = 48;
/// And of rows of B that hold all panels.
constexpr int64_t kAheadRows = 32;
/// Rows of B that hold all panels, as a cache's values do: so many are met by
/// all passes before the next ones, so that memory is read once, in order.
constexpr int64_t kPartRows = 128;
/// Rows of a panel that kAhead fetches while as many before them are met by
/// passes of some columns each: all of these stay in the first cache.
constexpr int64_t kPanelPartRows = 64;
constexpr int64_t kLineElements = 16;
/// So few rows of A wait for those of B: some ahead are fetched.
constexpr int64_t kFewRows = 3;
/// Rows of A that lie at multiples of their distance behind a place.
constexpr int64_t kRowsOfPlace = 4;

struct MicroKernel {
  OpBuilder &b;
  const TargetInfo &target;
  int64_t rows;
  const MicroKernelShape &shape;
  Block &entry;
  Location loc;
  int64_t lanes = target.vectorBits / 32;
  LaneBuilder L{b, loc, (unsigned)lanes};
  int64_t unroll = target.hasFma ? kUnroll : 1;
  bool byOnePanel = shape.lines == kAhead && rows > kTileRows;
  VectorType vt = cast<VectorType>(L.vec(b.getF32Type()));
  Value A = entry.getArgument(0), a0 = entry.getArgument(1);
  Value stride = entry.getArgument(2);
  Value B = entry.getArgument(3), b0 = entry.getArgument(4);
  Value panelStride = entry.getArgument(5), n = entry.getArgument(6);
  Value C = entry.getArgument(7), c0 = entry.getArgument(8);
  Value ldc = entry.getArgument(9);
  Value next = entry.getArgument(10), nextStep = entry.getArgument(11);
  /// Where `next` lies, and how far apart panels do there.
  Value nextIn = shape.fetchesBytes ? entry.getArgument(12)
                 : shape.window     ? entry.getArgument(17)
                                    : B,
        nextApart = shape.fetchesBytes ? entry.getArgument(13)
                    : shape.window     ? entry.getArgument(18)
                                       : panelStride;
  unsigned openedFrom = shape.fetchesBytes ? 14 : 12; ///< argument
  /// Of a window: where its positions lie in A, from a0 on.
  SmallVector<Value> positions = {};
  /// Rows of A that a pass multiplies: [firstRow, endRow).
  int64_t firstRow = 0, endRow = rows;
  /// Of kAhead, each pass fetches its share of the rows behind a part. Lines
  /// come in order: every other one, a pass's own columns, takes longer.
  bool byParts = false;
  int64_t passNumber = 0, passCount = 1; ///< of a panel
  /// The rows of B that passes multiply, and do they add to what C holds?
  Value begin = L.index(0), end = n;
  bool accumulates = shape.accumulate;

  /// Where row r lies in A. The places of rows 4 and 8 are the last arguments.
  Value rowOfA(int64_t r) {
    int64_t behind = llvm::divideCeil(rows, kRowsOfPlace) - r / kRowsOfPlace;
    Value place = r < kRowsOfPlace
                      ? a0
                      : entry.getArgument(entry.getNumArguments() - behind);
    return L.add(place, L.mul(L.index(r % kRowsOfPlace), stride));
  }
  Value loadIndex(Value table, Value at) {
    Value v = memref::LoadOp::create(b, loc, table, at);
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), v);
  }
  /// Of B, as f32.
  Value loadColumns(Value at) {
    if (!shape.element)
      return vector::LoadOp::create(b, loc, vt, B, at);
    Value x = L.load(B, Idx{at, 1, 1, {}}, shape.element);
    return shape.element.isInteger(8) ? L.toFloat(x, b.getF32Type()) : x;
  }
  /// Of B's bytes.
  Value loadAs(Value at, VectorType type) {
    int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
    auto raw = VectorType::get({bytes}, b.getI8Type());
    return vector::BitCastOp::create(
        b, loc, type, vector::LoadOp::create(b, loc, raw, B, at));
  }
  /// Elements in a line of the cache, of what is fetched.
  int64_t lineElements() const {
    if (shape.fetchesBytes)
      return kLineElements * 4;
    return shape.element
               ? 8 * kLineElements * 4 / shape.element.getIntOrFloatBitWidth()
               : kLineElements;
  }
  void fetch(Value at, unsigned cache = 2) {
    memref::PrefetchOp::create(b, loc, nextIn, at, /*isWrite=*/false,
                               /*localityHint=*/4 - cache,
                               /*isDataCache=*/true);
  }
  Value place(int64_t p, int64_t r, int64_t column) {
    if (shape.inRows)
      return L.add(L.add(c0, L.mul(L.index(r), ldc)),
                   p * kPanelColumns + column);
    return L.add(c0, (p * rows + r) * kPanelColumns + column);
  }
  void pass(int64_t p0, int64_t panels, int64_t c0, int64_t vectors,
            bool prefetches);
  void inParts(int64_t p0, int64_t panels, int64_t partRows,
               function_ref<void()> passes);
  void run();
};

/// All rows of panels [p0, p0 + panels), `vectors` vectors of columns from
/// first on.
/// Long: patches and rows are walked by the same steps, which share all values.
void MicroKernel::pass(int64_t p0, int64_t panels, int64_t first,
                       int64_t vectors, bool prefetches) {
  auto column = [&](int64_t j) { return first + j * lanes; };
  // Accumulator (r, p, j): row r, vector j of panel p's columns. The last panel
  // may have fewer.
  auto forEach = [&](auto fn) {
    for (int64_t r = firstRow; r < endRow; ++r)
      for (int64_t p = 0; p < panels; ++p)
        for (int64_t j = 0; j < vectors; ++j)
          if (p0 + p + 1 < shape.panels || column(j) < shape.columns)
            fn(r, p, j);
  };
  struct Cell {
    int64_t r, p, j;
    size_t sum;
  };
  SmallVector<Cell> cells;
  forEach([&](int64_t r, int64_t p, int64_t j) {
    cells.push_back({r, p, j, cells.size()});
  });
  // Vectors of B, or numbers of A: what is less waits in registers. Three rows
  // by four vectors leave 16 no room for four.
  if (endRow - firstRow < panels * vectors)
    llvm::sort(cells, [](const Cell &x, const Cell &y) {
      return std::tuple(x.p, x.j, x.r) < std::tuple(y.p, y.j, y.r);
    });
  // A row of B, of which columnsOf(p, j) are vectors, and of A's rows: the sums
  // after it.
  auto step = [&](function_ref<Value(int64_t, int64_t)> columnsOf,
                  function_ref<Value(int64_t)> aAt, ValueRange sums) {
    SmallVector<Value> x(rows), y(panels * vectors), result(sums);
    for (const Cell &c : cells) {
      Value &number = x[c.r], &columns = y[c.p * vectors + c.j];
      if (!columns)
        columns = columnsOf(c.p, c.j);
      if (!number)
        number = vector::BroadcastOp::create(
            b, loc, vt,
            memref::LoadOp::create(b, loc, A, aAt(c.r)).getResult());
      result[c.sum] =
          L.multiplyAdd(number, columns, sums[c.sum], target.hasFma);
    }
    return result;
  };
  auto rowAt = [&](Value bAt) {
    return [&, bAt](int64_t p, int64_t j) {
      return loadColumns(
          L.add(L.add(bAt, L.mul(panelStride, p0 + p)), column(j)));
    };
  };
  // Row k, the `number`-th of its group. Those of a group of bf16 lie in one
  // dword, which each of them loads: no register is left to keep it.
  auto opened = [&](Value from, Value k, int64_t number, int64_t p, int64_t j) {
    Value at = L.add(L.add(from, L.mul(panelStride, p0 + p)),
                     L.mul(L.sub(k, number), 2 * kPanelColumns));
    Value value;
    if (shape.opens.isBF16()) {
      VectorType i32s = cast<VectorType>(L.vec(b.getI32Type()));
      Value both = loadAs(L.add(at, 4 * column(j)), i32s);
      value = number == 0 ? L.shiftLeft(both, L.constantInt(i32s, 16))
                          : L.both(both, L.constantInt(i32s, 0xffff0000));
      value = arith::BitcastOp::create(b, loc, vt, value);
    } else {
      Type half = VectorType::get({lanes}, shape.opens);
      value = loadAs(L.add(at, 2 * column(j)), cast<VectorType>(half));
      value = arith::ExtFOp::create(b, loc, vt, value);
    }
    Value to = L.add(L.add(entry.getArgument(openedFrom + 1),
                           L.mul(entry.getArgument(openedFrom + 2), p0 + p)),
                     L.add(L.mul(k, kPanelColumns), column(j)));
    vector::StoreOp::create(b, loc, value, entry.getArgument(openedFrom), to);
    return value;
  };
  auto fetchNext = [&](Value fetched) {
    for (int64_t p = 0; prefetches && p < panels; ++p)
      for (int64_t i = 0; i < shape.lines; ++i)
        fetch(L.add(L.add(fetched, L.mul(nextApart, p0 + p)),
                    i * lineElements()));
    return L.add(fetched, nextStep);
  };
  // `count` rows of B from `from` on; `init` and the result are the sums, and
  // what is fetched next; `ahead`: as many rows that are read soon.
  auto multiply = [&](Value from, Value count,
                      function_ref<Value(Value, int64_t)> aAt, ValueRange init,
                      Value ahead = {}) {
    // Row k, which is number `row` of a whole group or of less.
    auto stepAt = [&](Value k, int64_t row, ValueRange sums) {
      auto ofA = [&](int64_t r) { return aAt(k, r); };
      if (!shape.opens)
        return step(rowAt(L.add(from, L.mul(k, shape.rowsApart))), ofA, sums);
      int64_t number = shape.opens.isBF16() ? row % 2 : 0;
      return step(
          [&](int64_t p, int64_t j) { return opened(from, k, number, p, j); },
          ofA, sums);
    };
    Value whole = L.mul(L.div(count, unroll), unroll);
    auto main =
        scf::ForOp::create(b, loc, L.index(0), whole, L.index(unroll), init);
    b.setInsertionPointToStart(main.getBody());
    Value k = main.getInductionVar(), fetched = main.getRegionIterArgs().back();
    SmallVector<Value> sums(main.getRegionIterArgs().drop_back());
    for (int64_t u = 0; u < unroll; ++u) {
      int64_t row = shape.oddFirst ? u ^ 1 : u;
      sums = stepAt(L.add(k, row), row, sums);
    }
    // Where the first of what is fetched lies, and how much each row does.
    int64_t share = kPanelColumns / passCount;
    int64_t behind =
        byParts ? kPanelPartRows * kPanelColumns +
                      passNumber * kPanelPartRows * share
                : (byOnePanel ? kAheadOfPanel : kAheadOfPanels) * kPanelColumns;
    if (prefetches && shape.lines == kAhead)
      for (int64_t p = 0; p < panels; ++p)
        for (int64_t u = 0; u < unroll * share; u += kLineElements)
          fetch(L.add(L.add(L.add(from, L.mul(k, share)),
                            L.mul(panelStride, p0 + p)),
                      behind + u),
                /*cache=*/byOnePanel && !byParts ? 2 : 1);
    for (int64_t u = 0; ahead && prefetches && u < kUnroll; ++u)
      for (int64_t c = 0; c < panels * kPanelColumns; c += lineElements())
        fetch(L.add(L.add(ahead, L.mul(L.add(k, u), shape.rowsApart)),
                    p0 * kPanelColumns + c));
    sums.push_back(fetchNext(fetched));
    scf::YieldOp::create(b, loc, sums);
    b.setInsertionPointAfter(main);
    SmallVector<Value> after(main.getResults().drop_back());
    // `each` rows at a time.
    auto rest = [&](Value from, Value to, int64_t each) {
      auto loop = scf::ForOp::create(b, loc, from, to, L.index(each), after);
      b.setInsertionPointToStart(loop.getBody());
      after.assign(loop.getRegionIterArgs().begin(),
                   loop.getRegionIterArgs().end());
      for (int64_t u = 0; u < each; ++u) {
        int64_t row = shape.oddFirst ? each - 1 - u : u;
        after = stepAt(L.add(loop.getInductionVar(), row), row, after);
      }
      scf::YieldOp::create(b, loc, after);
      b.setInsertionPointAfter(loop);
      after.assign(loop.getResults().begin(), loop.getResults().end());
    };
    Value paired = whole;
    if (shape.oddFirst || shape.opens) {
      paired = L.mul(L.div(count, 2), 2);
      rest(whole, paired, 2);
    }
    rest(paired, count, 1);
    after.push_back(main.getResults().back());
    return after;
  };
  auto multiplyTaps = [&](ValueRange init) {
    auto loop = scf::ForOp::create(b, loc, L.index(0), entry.getArgument(16),
                                   L.index(1), init);
    b.setInsertionPointToStart(loop.getBody());
    Value t = loop.getInductionVar();
    Value tap =
        loadIndex(entry.getArgument(14), L.add(entry.getArgument(15), t));
    Value length = shape.run ? L.index(shape.run) : n;
    Value from = L.add(b0, L.mul(L.mul(t, length), kPanelColumns));
    SmallVector<Value> starts;
    for (Value position : positions)
      starts.push_back(L.add(position, tap));
    SmallVector<Value> values(loop.getRegionIterArgs());
    if (shape.run == 0) {
      values = multiply(
          from, n, [&](Value k, int64_t r) { return L.add(starts[r], k); },
          values);
    } else {
      Value fetched = values.pop_back_val();
      for (int64_t k = 0; k < shape.run; ++k) {
        values = step(
            rowAt(L.add(from, k * kPanelColumns)),
            [&](int64_t r) { return L.add(starts[r], k); }, values);
        if (k % kUnroll == kUnroll - 1)
          fetched = fetchNext(fetched);
      }
      values.push_back(fetched);
    }
    scf::YieldOp::create(b, loc, values);
    b.setInsertionPointAfter(loop);
    return SmallVector<Value>(loop.getResults());
  };
  // The rows of A and B that a page has, page by page.
  auto multiplyPages = [&](ValueRange init) {
    auto loop = scf::ForOp::create(
        b, loc, L.div(begin, kPanelColumns),
        L.div(L.add(end, kPanelColumns - 1), kPanelColumns), L.index(1), init);
    b.setInsertionPointToStart(loop.getBody());
    Value page = loop.getInductionVar(), first = L.mul(page, kPanelColumns);
    auto placeOf = [&](Value page) {
      Value place =
          loadIndex(entry.getArgument(12), L.add(entry.getArgument(13), page));
      return L.add(b0, L.mul(place, shape.page));
    };
    SmallVector<Value> values = multiply(
        placeOf(page), L.min(L.sub(n, first), kPanelColumns),
        [&](Value k, int64_t r) { return L.add(rowOfA(r), L.add(first, k)); },
        loop.getRegionIterArgs(), placeOf(L.add(page, shape.pagesAhead)));
    scf::YieldOp::create(b, loc, values);
    b.setInsertionPointAfter(loop);
    return SmallVector<Value>(loop.getResults());
  };
  SmallVector<Value> init;
  forEach([&](int64_t r, int64_t p, int64_t j) {
    init.push_back(accumulates
                       ? Value(vector::LoadOp::create(
                             b, loc, vt, C, place(p0 + p, r, column(j))))
                       : L.constant(vt, 0));
  });
  init.push_back(next);
  auto rowsOfA = [&](Value k, int64_t r) {
    return L.add(rowOfA(r), L.add(begin, k));
  };
  Value rowsOfB = L.add(b0, L.mul(begin, shape.rowsApart)), aheadOfRows;
  if (shape.rowsApart != kPanelColumns && rows <= kFewRows)
    aheadOfRows = L.add(rowsOfB, kAheadRows * shape.rowsApart);
  SmallVector<Value> sums = shape.window ? multiplyTaps(init)
                            : shape.page ? multiplyPages(init)
                                         : multiply(rowsOfB, L.sub(end, begin),
                                                    rowsOfA, init, aheadOfRows);
  unsigned i = 0;
  forEach([&](int64_t r, int64_t p, int64_t j) {
    vector::StoreOp::create(b, loc, sums[i++], C, place(p0 + p, r, column(j)));
  });
}

/// The passes of some panels for some rows of B after the others; the sums wait
/// in C.
void MicroKernel::inParts(int64_t p0, int64_t panels, int64_t partRows,
                          function_ref<void()> passes) {
  llvm::SaveAndRestore saved(accumulates, true);
  if (!shape.accumulate) {
    Value zero = L.constant(vt, 0);
    for (int64_t p = p0; p < p0 + panels; ++p)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < kPanelColumns; c += lanes)
          if (p + 1 < shape.panels || c < shape.columns)
            vector::StoreOp::create(b, loc, zero, C, place(p, r, c));
  }
  auto loop = scf::ForOp::create(b, loc, L.index(0), n, L.index(partRows));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  begin = loop.getInductionVar();
  end = L.min(L.add(begin, partRows), n);
  passes();
}

void MicroKernel::run() {
  for (int64_t r = 0; shape.window && r < rows; ++r) {
    Value at = L.add(entry.getArgument(13), r);
    positions.push_back(L.add(a0, loadIndex(entry.getArgument(12), at)));
  }
  // As many panels at a time as there are registers for, else half a panel.
  int64_t vectors = kPanelColumns / lanes;
  int64_t room = target.numVectorRegs - 4;
  int64_t panels = shape.panels;
  bool ahead = shape.lines == kAhead && unroll == kUnroll;
  // More rows than a tile has leave few registers no room for half a panel.
  int64_t together = ahead && rows > kTileRows && rows * 2 > room
                         ? llvm::divideCeil(rows, 2)
                         : rows;
  while (panels > 1 && together * panels * vectors > room)
    panels /= 2;
  vectors = std::min(vectors, std::max<int64_t>(room / together, 1));
  vectors = llvm::bit_floor((uint64_t)vectors);
  int64_t width = vectors * lanes;
  // A panel whose sums several passes have is fetched by all of these.
  byParts = ahead && panels == 1 && (width < kPanelColumns || together < rows);
  if (byParts)
    passCount = kPanelColumns / width * llvm::divideCeil(rows, together);
  auto passesOf = [&](int64_t p) {
    int64_t end =
        p + panels < shape.panels || panels > 1 ? kPanelColumns : shape.columns;
    passNumber = 0;
    for (firstRow = 0; firstRow < rows; firstRow = endRow) {
      endRow = std::min(firstRow + together, rows);
      for (int64_t c = 0; c < end; c += width, ++passNumber)
        pass(p, panels, c, vectors, (c == 0 || byParts) && unroll == kUnroll);
    }
  };
  auto passes = [&] {
    for (int64_t p = 0; p < shape.panels; p += panels)
      passesOf(p);
  };
  if (byParts)
    for (int64_t p = 0; p < shape.panels; ++p)
      inParts(p, 1, kPanelPartRows, [&] { passesOf(p); });
  else if (shape.rowsApart != kPanelColumns && panels < shape.panels)
    inParts(0, shape.panels, kPartRows, passes);
  else
    passes();
  func::ReturnOp::create(b, loc);
}

} // namespace

func::FuncOp getMicroKernel(ModuleOp module, const TargetInfo &target,
                            int64_t rows, const MicroKernelShape &shape) {
  std::string name = (Twine(shape.window ? "window" : "gemm") + "_f32_" +
                      Twine(rows) + "x" + Twine(shape.panels * kPanelColumns))
                         .str();
  if (shape.run)
    name += "_run" + std::to_string(shape.run);
  if (shape.lines)
    name += shape.lines == kAhead ? "_ahead"
                                  : "_next" + std::to_string(shape.lines);
  if (shape.accumulate)
    name += "_acc";
  if (shape.inRows)
    name += "_rows";
  if (shape.columns != kPanelColumns)
    name += "_last" + std::to_string(shape.columns);
  if (shape.rowsApart != kPanelColumns)
    name += "_ldb" + std::to_string(shape.rowsApart);
  if (shape.page)
    name += "_page" + std::to_string(shape.page);
  if (shape.element)
    name += shape.element.isInteger(8) ? "_i8"
            : shape.element.isBF16()   ? "_bf16"
                                       : "_f16";
  if (shape.oddFirst)
    name += "_odd";
  if (shape.fetchesBytes)
    name += "_bytes";
  if (shape.opens)
    name += shape.opens.isBF16() ? "_opens_bf16" : "_opens_f16";
  OpBuilder b(module.getContext());
  Type index = b.getIndexType(), mem = memoryType(b.getF32Type());
  Type of = shape.opens     ? Type(memoryType(b.getI8Type()))
            : shape.element ? Type(memoryType(shape.element))
                            : mem;
  SmallVector<Type> types{mem,   index, index, of,    index, index,
                          index, mem,   index, index, index, index};
  if (shape.window) {
    Type table = memoryType(b.getI64Type());
    types.append({table, index, table, index, index, mem, index});
  }
  if (shape.page)
    types.append({memoryType(b.getI64Type()), index});
  if (shape.fetchesBytes)
    types.append({memoryType(b.getI8Type()), index});
  if (shape.opens)
    types.append({mem, index, index});
  if (!shape.window)
    types.append((rows - 1) / kRowsOfPlace, index);
  auto [func, fresh] = getFunction(module, name, types);
  if (!fresh)
    return func;
  Block &entry = func.getBody().front();
  b.setInsertionPointToStart(&entry);
  MicroKernel{b, target, rows, shape, entry, module.getLoc()}.run();
  return func;
}

void forRowCounts(KernelEmitter &e, Value rows, int64_t mostRows,
                  function_ref<void(int64_t)> fn) {
  OpBuilder &b = e.b;
  SmallVector<int64_t> cases;
  for (int64_t r = 1; r < mostRows; ++r)
    cases.push_back(r);
  auto sw = scf::IndexSwitchOp::create(b, e.L.loc, TypeRange{}, rows, cases,
                                       cases.size());
  auto fill = [&](Region &region, int64_t r) {
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&region);
    fn(r);
    scf::YieldOp::create(b, e.L.loc);
  };
  for (auto [i, r] : llvm::enumerate(cases))
    fill(sw.getCaseRegions()[i], r);
  fill(sw.getDefaultRegion(), mostRows);
}

void emitMicroKernel(KernelEmitter &e, Value rows, int64_t mostRows,
                     const SymExpr &lda, const MicroKernelOperands &o,
                     const MicroKernelShape &shape, int64_t leastRows,
                     int64_t above) {
  auto module = e.module();
  Value zero = e.L.index(0);
  SmallVector<Value> operands{o.A,
                              o.aAt,
                              e.dim(lda),
                              o.B,
                              o.bAt,
                              o.panelStride,
                              o.K,
                              o.C,
                              o.cAt,
                              o.ldc ? o.ldc : zero,
                              o.next ? o.next : zero,
                              o.nextStep ? o.nextStep : zero};
  if (shape.window)
    operands.append({o.places, o.placeAt, o.taps, o.tapAt, o.numTaps,
                     o.nextIn ? o.nextIn : o.B,
                     o.nextIn ? o.nextApart : o.panelStride});
  if (shape.page)
    operands.append({o.places, o.placeAt});
  if (shape.fetchesBytes)
    operands.append({o.bytes, o.bytesApart});
  if (shape.opens)
    operands.append({o.opened, o.openedAt, o.openedApart});
  for (int64_t r = kRowsOfPlace; !shape.window && r < mostRows;
       r += kRowsOfPlace)
    operands.push_back(e.L.add(o.aAt, e.L.mul(e.dim(lda), r)));
  forRowCounts(e, e.L.sub(rows, above), mostRows - above, [&](int64_t more) {
    int64_t r = above + more;
    MicroKernelShape own = shape;
    if (r < leastRows)
      own.lines = 0;
    func::FuncOp callee = getMicroKernel(module, e.target, r, own);
    func::CallOp::create(
        e.b, e.L.loc, callee,
        ArrayRef(operands).take_front(callee.getNumArguments()));
  });
}

void forTileShapes(KernelEmitter &e, const ProductTile &tile,
                   function_ref<void(MicroKernelShape, int64_t)> fn) {
  LaneBuilder &L = e.L;
  auto atLeast = [&](Value x, int64_t n) { return L.uge(x, n); };
  auto no = [&](Value condition) -> Value {
    return L.bitXor(condition, L.constantInt(e.b.getI1Type(), 1));
  };
  MicroKernelShape shape = tile.shape;
  auto call = [&](int64_t lines, int64_t leastRows) {
    shape.lines = lines;
    fn(shape, leastRows);
  };
  // Eight tiles or more fetch all of the next panels between them. Fewer fetch
  // a part of them: they have no time for more, and the rest comes with the
  // hardware's prefetcher. One alone fetches its own, where the caller has it
  // so (kAhead).
  auto pair = [&] {
    Value many = atLeast(tile.tiles, 8);
    e.ifThen(many, [&] { call(1, tile.mostRows - 1); });
    if (tile.shape.lines != kAhead)
      return e.ifThen(no(many), [&] { call(2, 1); });
    Value one = L.eq(tile.tiles, 1);
    e.ifThen(one, [&] { call(kAhead, 1); });
    e.ifThen(L.both(no(many), no(one)), [&] { call(2, 1); });
  };
  int64_t endColumns = lastColumns(e.target, tile.N);
  if (tile.whole && endColumns == kPanelColumns)
    return pair();
  // The last tile has nothing to fetch, maybe fewer panels, and columns that
  // nobody wants.
  std::optional<int64_t> all = tile.panels.constant();
  int64_t count = (all.value_or(1) - 1) % shape.panels + 1;
  auto end = [&] {
    MicroKernelShape last = tile.shape;
    last.panels = count;
    last.columns = endColumns;
    last.lines = tile.endLines;
    fn(last, 1);
  };
  if (all && *all <= shape.panels)
    return end();
  Value more = atLeast(tile.left, shape.panels + (count == shape.panels));
  e.ifThen(more, pair);
  e.ifThen(no(more), end);
}

/// x / y, of numbers far below 2^53, by floats. How quotients of integers are
/// computed LLVM knows, and does so anew in each loop that ends by one: in each
/// iteration of an epilogue.
static Value divideByFloats(KernelEmitter &e, Value x, Value y) {
  OpBuilder &b = e.b;
  Location loc = e.L.loc;
  auto toFloat = [&](Value v) -> Value {
    v = arith::IndexCastOp::create(b, loc, b.getI64Type(), v);
    return arith::SIToFPOp::create(b, loc, b.getF64Type(), v);
  };
  Value q = arith::DivFOp::create(b, loc, toFloat(x), toFloat(e.L.max(y, 1)));
  q = arith::FPToSIOp::create(b, loc, b.getI64Type(), q);
  return arith::IndexCastOp::create(b, loc, b.getIndexType(), q);
}

void forRowTiles(KernelEmitter &e, ArrayRef<Value> parts, int64_t mostRows,
                 function_ref<void(Value, Value, Value)> fn) {
  LaneBuilder &L = e.L;
  struct Cut {
    Value tiles, even, extra;
  };
  Value MR = L.index(mostRows), tiles = L.index(0);
  SmallVector<Cut> cuts;
  for (Value rows : parts) {
    Cut cut{L.div(L.sub(L.add(rows, MR), 1), MR), {}, {}};
    cut.even = divideByFloats(e, rows, cut.tiles);
    cut.extra = L.sub(rows, L.mul(cut.even, cut.tiles));
    tiles = L.add(tiles, cut.tiles);
    cuts.push_back(cut);
  }
  // Where a tile begins goes from one to the next: computed of i it would be
  // computed anew for each element.
  e.loop(L.index(0), tiles, 1, L.index(0), [&](Value i, ValueRange first) {
    Value number = i, even = cuts[0].even, extra = cuts[0].extra;
    if (cuts.size() > 1) {
      Value second = L.uge(i, cuts[0].tiles);
      number = L.select(second, L.sub(i, cuts[0].tiles), i);
      even = L.select(second, cuts[1].even, even);
      extra = L.select(second, cuts[1].extra, extra);
    }
    Value more = L.ult(number, extra);
    Value mr = L.add(even, arith::IndexCastUIOp::create(
                               e.b, L.loc, e.b.getIndexType(), more));
    fn(i, first[0], mr);
    return SmallVector<Value>{L.add(first[0], mr)};
  });
}

void forRowTiles(KernelEmitter &e, Value rows, int64_t mostRows,
                 function_ref<void(Value, Value, Value)> fn) {
  forRowTiles(e, ArrayRef(rows), mostRows, fn);
}

void forPanelGroups(KernelEmitter &e, Value begin, Value end,
                    function_ref<void(Value, int64_t)> fn) {
  LaneBuilder &L = e.L;
  Value count = L.sub(end, begin), group = L.index(kTilePanels);
  Value whole = L.add(begin, L.mul(L.div(count, group), group));
  e.loop(begin, whole, kTilePanels, [&](Value p) { fn(p, kTilePanels); });
  auto constant = constantIndex(count);
  if (!constant || *constant % kTilePanels)
    e.loop(whole, end, 1, [&](Value p) { fn(p, 1); });
}

void forPanelColumns(KernelEmitter &e, Value panel, const SymExpr &N,
                     function_ref<void(Value, Value)> fn) {
  LaneBuilder &L = e.L;
  LaneScope saved(L, e.vectorLanes());
  Value n = e.dim(N), first = L.mul(panel, kPanelColumns);
  if (int64_t all = N.constant().value_or(kPanelColumns); all < kPanelColumns) {
    // The one panel: which vectors there are is known.
    for (int64_t c = 0; c < all; c += L.lanes) {
      if (all - c < L.lanes)
        L.mask = L.tailMask(L.index(all - c));
      fn(L.index(c), L.index(c));
      L.mask = {};
    }
    return;
  }
  auto divides = [&](int64_t by) {
    return N.constant() && *N.constant() % by == 0;
  };
  e.loop(L.index(0), L.index(kPanelColumns), L.lanes, [&](Value c) {
    Value column = L.add(first, c);
    if (divides(kPanelColumns))
      return fn(c, column);
    Value left = L.sub(n, column);
    // A mask costs more than a test, and the last vector alone needs one.
    Value whole = L.sge(left, L.lanes);
    e.ifThen(whole, [&] { fn(c, column); });
    if (divides(L.lanes))
      return;
    Value part = L.both(L.sgt(left, 0), L.slt(left, L.lanes));
    e.ifThen(part, [&] {
      L.mask = L.tailMask(left);
      fn(c, column);
      L.mask = {};
    });
  });
}

} // namespace tenon
