//===- MatMulKernel.cpp - matmul by packed panels -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task is some panels of 32 columns for some rows, as the kernel's tiling
// says; the figures below are those of a large product. Rows are walked in
// blocks that stay in the L2 cache:
//
//   for task in [begin, end):    (batch, block, panels, part), parts fastest
//     [pack the rows of A that are needed, when a new block begins]
//     for tile of rows in part:  as even as possible: 8 = 4 + 4
//       micro-kernel(rows)       A (L2) x two B panels (L2) -> C (L1)
//       epilogue                 C -> result, a row at a time
//
// While the tiles of a block are multiplied with two panels, the next two are
// fetched from memory, each tile its share. Where K is so large that two panels
// and the next two crowd the L2 cache, a task is a whole block and walks K in
// chunks; the sums so far wait in scratch memory, so that each is still one
// chain of additions.
//
// Few rows in all (decoding tokens) are met at once (NarrowRows.h).
// Of a single panel the columns that fill no vector have their lanes along the
// rows (DotKernel.h), and those of one vector leave registers for 12 rows.
// Products of few terms have no tiles at all (ThinKernel.h).
// A gated matmul (GatedMatMul.h) takes a panel of each half at a time, and its
// epilogue stores the 32 columns that come of both.
// A that lies in memory as it is needed is read in place; the patches of a
// convolution are copied out of its image into a scratch block (PatchRows.h),
// any other prologue (a transpose, a gather, a cast) is computed there by
// pulling. Where B has no batch dims, all leading dims of A count as rows.
//
// Panels in a format (FormatKernels.h): a task dequantises those of its tile
// into scratch memory once for all its rows, or, few rows, in registers. The
// rows of a product of integers or of bf16 are laid out for the level, those of
// a task; then the panels are read as they are. Rows that become integers all
// are so before (QuantizedRows.h); then tasks that follow one another meet the
// same panels, which are opened to bytes once for these.
// Where the level has tiles (AMX) a register tile is up to 32 rows. All
// levels ask for the same memory: they share a schedule.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/EpilogueFetch.h"
#include "lib/Codegen/Cpu/MatMulForm.h"
#include "lib/Codegen/Cpu/PlaneKernel.h"
#include "lib/Codegen/Cpu/ProductEpilogue.h"
#include "lib/Codegen/Cpu/ThinKernel.h"
#include "lib/Codegen/Lanes/CastLanes.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;

namespace tenon {

namespace {

/// Of a register tile that is made of tiles (AMX).
constexpr int64_t kMostRows = 2 * kRowsOfTile;

struct MatMulKernel : MatMulForm {
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Sink sink{e};
  EpilogueFetch epilogueFetch{e, sink};

  void run();
  void packRows(Value batchIndex, Value m0, Value begin, Value end);
  void clearBehind(Value r);
  void epilogue(Value cAt, Value batchIndex, Value m0, Value rows, Value panel,
                Value secondAt = {});
  void wide();
  void byTiles();
  void narrow(Value m);
  void narrowCoded(Value m);
  /// What a task multiplies.
  struct Task {
    Value batchIndex, panel, bAt; // the panels, and where they lie in B
    Value row, rows, aAt;         // its rows, and where they lie in A
    Value tiles, firstTile;       // of its block, and its own first one
    Value fresh;                  // are the panels others than the last task's?
  };
  void multiplyPanels(const Task &t);
  void clearSums(Value rows);
  void dequantize(const Task &t, Value k0, Value len);
  void chunk(const Task &t, Value k0, Value len, Value next, Value last);
  void multiplyTile(const MicroKernelOperands &o, const Task &t, Value mr);
  void forTiles(Value rows, llvm::function_ref<void(Value, Value, Value)> fn);
  Value rowsHeld(Value mr);
  Value memoryOfRows();
  void multiplyBytes(Value rows, Value aAt, Value bAt, int64_t count,
                     Value apart, Value cAt, Value next = {}, Value share = {});
  Value atLeast(Value x, int64_t n) { return L.uge(x, n); }
  Value no(Value condition) { return L.no(condition); }

  Value A = {}, B = {}, C = {}, k = {}, np = {}, panelSize = {};
  Value lda = {};
  /// Distance of the panels of a tile in B.
  Value panelStride = {};
  Value numbers = {}; ///< the dequantised, or opened, panels of a tile
  /// Where these lie in B, and whether the tile is the one that opens them.
  Value stored = {}, opens = {};
  Value weights = {}; ///< of `dots`
  Value marks = {};   ///< of the panel's blocks of integers
};

/// Rows [begin, end) of the block that begins at m0, to their place in A.
void MatMulKernel::packRows(Value batchIndex, Value m0, Value begin,
                            Value end) {
  // As the level multiplies it.
  auto put = [&](Value x, const Idx &at) {
    if (integer && rowType.isInteger(16)) {
      x = L.widen(x);
      Type wide = L.isVector(x) ? L.vec(rowType) : rowType;
      x = arith::ExtUIOp::create(b, L.loc, wide, x);
    }
    // Those of f32 are rounded already.
    if (rounded && laidOut)
      x = bitsOfBF16(L, x);
    else if (coded && format.getRows())
      x = emitRoundTo(L, x, format.getRows());
    L.store(x, A, at, rowType);
  };
  if (patches) {
    patches->copy(e, lda, put, L.add(L.mul(batchIndex, e.dim(M)), m0), begin,
                  end);
    return e.loop(begin, end, 1, [&](Value r) { clearBehind(r); });
  }
  SmallVector<SymExpr> rowDims(lhs.begin(), lhs.end() - 1);
  Value k = e.dim(K);
  e.loop(begin, end, 1, [&](Value r) {
    Value m = L.add(m0, r);
    SmallVector<Idx> idx;
    if (shared) {
      idx = e.delinearize(m, rowDims);
    } else {
      idx = e.broadcastIndex(e.delinearize(batchIndex, batch),
                             ArrayRef(lhs).drop_back(2), batch);
      idx.push_back(L.uniform(m));
    }
    idx.push_back(Idx());
    Idx to = L.uniform(L.mul(r, lda));
    e.lanesLoop(k, lanes, [&](Idx i) {
      idx.back() = i;
      put(e.emit(op.getLhs(), idx), L.add(to, i));
    });
    clearBehind(r);
  });
}

/// Behind the last element of a row of integers anything will do: it meets
/// zeros. Of bf16 it could be a NaN.
void MatMulKernel::clearBehind(Value r) {
  if (!laidOut || !rounded || K == rowSize)
    return;
  Value zero = L.constantInt(rowType, 0);
  e.loop(k, lda, 1, [&](Value i) {
    memref::StoreOp::create(b, L.loc, zero, A, L.add(L.mul(r, lda), i));
  });
}

/// Rows [m0, m0 + rows) of one panel, whose products lie from C[cAt] on; of a
/// gated matmul those of the second half from C[secondAt] on.
void MatMulKernel::epilogue(Value cAt, Value batchIndex, Value m0, Value rows,
                            Value panel, Value secondAt) {
  ProductEpilogue after{e,      sink,    out,     batch, M, N,
                        shared, sumType, isShort, C,     {}};
  after.products.emplace_back(halves ? halves->first : op.getResult(), cAt);
  if (halves)
    after.products.emplace_back(halves->second, secondAt);
  after.emit(batchIndex, m0, rows, panel);
}

/// C = or += a tile of `mr` rows by the task's panels.
void MatMulKernel::multiplyTile(const MicroKernelOperands &o, const Task &t,
                                Value mr) {
  if (format) {
    auto multiply = [&](int64_t count) {
      if (coded) {
        MicroKernelShape shape{count, count == tilePanels, chunks > 1};
        return emitDequantizedTile(e, mr, tileRows, K, o, shape, format, opens,
                                   stored);
      }
      if (tiled)
        return emitTileProduct(e, {mr, rowsHeld(mr)}, format, *K.constant(),
                               count, chunks > 1, o, lda, marks);
      if (!quantized)
        return emitDotKernel(e, mr, format, count, chunks > 1,
                             {o.A, o.aAt, lda, o.B, o.bAt, o.panelStride, o.K,
                              o.C, o.cAt, marks, o.next, o.nextStep});
      multiplyBytes(mr, o.aAt, o.bAt, count, o.panelStride, o.cAt, o.next,
                    o.nextStep);
    };
    if (wholeTiles())
      return multiply(tilePanels);
    Value whole = atLeast(L.sub(np, t.panel), tilePanels);
    e.ifThen(whole, [&] { multiply(tilePanels); });
    return e.ifThen(no(whole), [&] { multiply(1); });
  }
  if (thin) {
    MicroKernelShape shape{1};
    shape.columns = lastColumns(e.target, SymExpr(wholeColumns));
    if (wholeColumns)
      emitMicroKernel(e, mr, rowsOfTile, K, o, shape);
    if (dots)
      dots->emit(e, mr, o, weights, kPanelColumns);
    return;
  }
  MicroKernelShape shape{tilePanels, 0, chunks > 1};
  if (waits && M.constant().value_or(1) <= tileRows)
    shape.lines = kAhead;
  forTileShapes(
      e,
      {panels, N, wholeTiles(), t.tiles, L.sub(np, t.panel), rowsOfTile, shape},
      [&](const MicroKernelShape &own, int64_t leastRows) {
        emitMicroKernel(e, mr, rowsOfTile, K, o, own, leastRows);
      });
}

/// Rows that a register tile of `mr` rows has in C.
Value MatMulKernel::rowsHeld(Value mr) {
  if (!tiled || integer)
    return mr;
  return L.mul(L.div(L.add(mr, kRowsOfTile - 1), kRowsOfTile), kRowsOfTile);
}

/// Calls fn(number, first row, rows) for each register tile.
void MatMulKernel::forTiles(Value rows,
                            llvm::function_ref<void(Value, Value, Value)> fn) {
  if (!tiled)
    return forRowTiles(e, rows, rowsOfTile, fn);
  Value count = L.div(L.add(rows, kMostRows - 1), kMostRows);
  e.loop(L.index(0), count, 1, [&](Value i) {
    Value r0 = L.mul(i, kMostRows);
    fn(i, r0, L.min(L.sub(rows, r0), L.index(kMostRows)));
  });
}

/// C at cAt is `rows` quantised rows from aAt on times panels, the first at
/// bAt.
void MatMulKernel::multiplyBytes(Value rows, Value aAt, Value bAt,
                                 int64_t count, Value apart, Value cAt,
                                 Value next, Value share) {
  Value blocks = e.dim(rowsOfBytes->blocks), scales = rowsOfBytes->scales,
        sums = rowsOfBytes->sums;
  Value at = L.mul(L.div(aAt, lda), blocks);
  for (int64_t p = 0; p < count && opened; ++p)
    emitOpenedKernel(e, rows, format,
                     {A, aAt, lda, scales, sums, at, blocks, numbers,
                      L.add(bAt, p * openedSize()), C,
                      L.add(cAt, L.mul(rows, p * kPanelColumns)),
                      L.add(next, L.mul(apart, p)), B});
  if (opened)
    return;
  emitByteKernel(e, rows, format, count, apart,
                 {A, aAt, lda, scales, sums, at, blocks, B, bAt, C, cAt}, next,
                 share);
}

/// Rows [k0, k0 + len) of the task's panels as f32, or opened.
void MatMulKernel::dequantize(const Task &t, Value k0, Value len) {
  auto get = opened ? getPanelOpener : getDequantizer;
  auto func = get(e.module(), e.target, format);
  for (int64_t p = 0; p < tilePanels; ++p) {
    auto one = [&] {
      Value to =
          opened ? L.index(p * openedSize()) : L.mul(len, p * kPanelColumns);
      func::CallOp::create(b, L.loc, func,
                           ValueRange{B, L.add(t.bAt, L.mul(panelStride, p)),
                                      k0, L.add(k0, len), numbers, to});
    };
    if (p == 0 || halves || wholeTiles())
      one();
    else
      e.ifThen(L.ult(L.add(t.panel, p), np), one);
  }
}

/// Rows [k0, k0 + len) of B for all rows of a task, and the epilogue if these
/// are the last (null: they are). Meanwhile what lies at `next` is fetched.
void MatMulKernel::chunk(const Task &t, Value k0, Value len, Value next,
                         Value last) {
  // Tile i of n fetches the i-th of n shares, a step for each four rows.
  Value step = L.div(L.add(L.index(4 * kPanelColumns - 1), t.tiles), t.tiles);
  Value share = L.mul(step, L.div(len, 4));
  int64_t ofRow = sizeOfRow();
  if (laidOut) // in bytes, as many as there are steps
    step = share = L.div(L.mul(len, ofRow), t.tiles);
  Value bAt = L.add(t.bAt, L.mul(k0, ofRow));
  marks = L.index(0);
  if (integer && format.getBlock())
    marks = marksOf(L, format, t.bAt, *K.constant(), k0);
  if ((coded && !opensInTile) || opened) {
    auto open = [&] { dequantize(t, k0, len); };
    t.fresh ? e.ifThen(t.fresh, open) : open();
  }
  if (coded) {
    stored = bAt;
    bAt = L.index(0);
    step = L.div(L.add(L.index(4 * ofRow - 1), t.tiles), t.tiles);
    share = L.mul(step, L.div(len, 4));
  } else if (opened) {
    bAt = L.index(0);
    share = L.index(bytesFetchedByOpened(format));
  }
  forTiles(t.rows, [&](Value i, Value r0, Value mr) {
    Value cAt = chunks > 1 ? L.mul(r0, tilePanels * kPanelColumns) : L.index(0);
    MicroKernelOperands o{A,
                          L.add(L.add(t.aAt, L.mul(r0, lda)), k0),
                          coded ? numbers : B,
                          bAt,
                          coded ? L.mul(len, kPanelColumns) : panelStride,
                          len,
                          C,
                          cAt,
                          L.add(next, L.mul(L.add(t.firstTile, i), share)),
                          step};
    if (coded)
      o.bytes = B, o.bytesApart = panelStride;
    if (opensInTile) {
      opens = L.eq(i, 0);
      if (t.fresh)
        opens = L.both(opens, t.fresh);
    }
    // A long product has no need of it. Of integers it is short enough to feel
    // a loop whose end is computed.
    if (chunks == 1)
      epilogueFetch.fetch(
          isShort && !tiled ? L.index(rowsOfTile) : mr,
          [&](Value r) {
            Value row = L.add(L.add(t.row, r0), r);
            return shared ? row : L.add(L.mul(t.batchIndex, e.dim(M)), row);
          },
          L.mul(t.panel, kPanelColumns), panelsOfTile * kPanelColumns);
    multiplyTile(o, t, mr);
    auto finish = [&] {
      auto productsOf = [&](int64_t p) {
        return L.add(cAt, L.mul(rowsHeld(mr), p * kPanelColumns));
      };
      Value row = L.add(t.row, r0);
      if (halves)
        return epilogue(cAt, t.batchIndex, row, mr, t.panel, productsOf(1));
      for (int64_t p = 0; p < tilePanels; ++p) {
        Value panel = L.add(t.panel, p);
        auto one = [&] {
          epilogue(productsOf(p), t.batchIndex, row, mr, panel);
        };
        if (p == 0 || wholeTiles())
          one();
        else
          e.ifThen(L.ult(panel, np), one);
      }
    };
    last ? e.ifThen(last, finish) : finish();
  });
}

void MatMulKernel::wide() {
  Value m = e.dim(M), nb = e.dim(blocks), np2 = e.dim(pairs), ns = e.dim(parts);
  Value blockRows = e.dim(rowsOfBlock), taskRows = e.dim(rowsOfTask);
  e.loop(e.begin, e.end, 1, [&](Value number) {
    Task t;
    Value part = L.rem(number, ns), rest = L.div(number, ns);
    Value block = L.div(rest, np2);
    Value first = L.mul(L.rem(rest, np2), panelsOfTask);
    t.batchIndex = L.index(0);
    if (!shared) {
      t.batchIndex = L.div(block, nb);
      block = L.rem(block, nb);
    }
    // The last block may have no row left for its last parts.
    Value m0 = L.mul(block, blockRows);
    Value blockEnd = L.min(L.add(m0, blockRows), m);
    t.row = L.min(L.add(m0, L.mul(part, taskRows)), blockEnd);
    t.rows = L.min(L.sub(blockEnd, t.row), taskRows);
    t.tiles = L.div(L.add(L.sub(blockEnd, m0), tileRows - 1), tileRows);
    t.firstTile = L.mul(part, tiling.getTaskRows() / tileRows);
    bool readsAll = inPlace || quantized;
    if (!readsAll) {
      auto equal = [&](Value x, Value y) -> Value { return L.eq(x, y); };
      Value fresh = L.either(equal(L.rem(number, L.mul(ns, np2)), L.index(0)),
                             equal(number, e.begin));
      e.ifThen(fresh, [&] {
        // Where this call ends in the block, before it comes to other panels,
        // it needs a few rows alone.
        Value left = L.sub(e.end, number);
        Value all = L.ugt(L.add(part, left), ns);
        Value begin = L.select(all, L.index(0), L.mul(part, taskRows));
        Value behind = L.mul(L.add(part, left), taskRows);
        Value rows = L.sub(blockEnd, m0);
        packRows(t.batchIndex, m0, begin,
                 L.select(all, rows, L.min(behind, rows)));
      });
    }
    auto multiply = [&](Value panel) {
      t.panel = panel;
      t.bAt = operand.at(e, t.batchIndex, batch, panel);
      t.aAt = L.mul(readsAll ? L.add(L.mul(t.batchIndex, m), t.row)
                             : L.sub(t.row, m0),
                    lda);
      multiplyPanels(t);
    };
    if (panelsOfTask == panelsOfTile) {
      // Parts of a block follow one another, and take the same panels.
      if ((coded && chunks == 1) || opened)
        t.fresh = L.either(L.eq(part, 0), L.eq(number, e.begin));
      return multiply(first);
    }
    Value last = L.min(L.add(first, panelsOfTask), np);
    e.loop(first, last, panelsOfTile, multiply);
  });
}

void MatMulKernel::byTiles() {
  emitTileShapes(e, format, *K.constant());
  wide();
  emitTileRelease(e);
}

/// The rows of a task by the panels of one tile.
void MatMulKernel::multiplyPanels(const Task &t) {
  Value nextPanels = L.add(t.bAt, L.mul(panelSize, panelsOfTile));
  e.ifThen(atLeast(t.rows, 1), [&] {
    if (chunks == 1)
      return chunk(t, L.index(0), k, nextPanels, {});
    clearSums(rowsHeld(t.rows));
    Value size = L.index(chunkRows);
    e.loop(L.index(0), L.index(chunks), 1, [&](Value c) {
      Value k0 = L.mul(c, size), end = L.min(L.add(k0, size), k);
      Value last = atLeast(c, chunks - 1);
      Value next =
          L.select(last, nextPanels, L.add(t.bAt, L.mul(end, sizeOfRow())));
      chunk(t, k0, L.sub(end, k0), next, last);
    });
  });
}

void MatMulKernel::clearSums(Value rows) {
  LaneScope saved(L, lanes);
  Value zero = L.constant(L.vec(sumType), 0);
  Value n = L.mul(rows, tilePanels * kPanelColumns);
  e.loop(L.index(0), n, lanes, [&](Value i) {
    L.store(zero, C, Idx{i, 1, (int64_t)lanes, {}}, sumType);
  });
}

/// All rows at once, four panels (of each half) at a time, or one.
void MatMulKernel::narrow(Value m) {
  Value zero = L.index(0);
  if (quantized)
    rowsOfBytes->write(zero, m, /*forOpened=*/false);
  else if (!inPlace)
    packRows(zero, zero, zero, m);
  if (format)
    return narrowCoded(m);
  auto multiply = [&](Value panel, int64_t count) {
    // The second half's products lie behind the first's.
    Value ofHalf = L.mul(m, count * kPanelColumns);
    for (int64_t half = 0; half < cut; ++half) {
      Value from = L.add(panel, L.mul(np, half));
      atOnce.multiply(e, m, K,
                      {A, zero, B, L.mul(from, panelSize), panelSize, k, C,
                       L.mul(ofHalf, half)},
                      count);
    }
    for (int64_t p = 0; p < count; ++p) {
      Value at = L.mul(L.mul(L.index(p), m), kPanelColumns);
      epilogue(at, zero, zero, m, L.add(panel, p), L.add(at, ofHalf));
    }
  };
  Value first = L.mul(e.begin, panelsOfTask);
  Value last = L.min(L.mul(e.end, panelsOfTask), np);
  Value groups = atOnce.groups(e, m, L.sub(last, first));
  e.loop(zero, groups, 1, [&](Value g) {
    multiply(L.add(first, L.mul(g, kNarrowPanels)), kNarrowPanels);
  });
  Value rest = L.add(first, L.mul(groups, kNarrowPanels));
  e.loop(rest, last, 1, [&](Value panel) { multiply(panel, 1); });
}

/// The same, two panels (one of each half) at a time, opened in registers by
/// each tile of rows.
void MatMulKernel::narrowCoded(Value m) {
  Value zero = L.index(0);
  Value first = L.mul(e.begin, panelsOfTask);
  Value last = L.min(L.mul(e.end, panelsOfTask), np);
  auto multiply = [&](Value panel, int64_t count, Value r0, Value rows) {
    Value aAt = L.mul(r0, lda), ofPanel = L.mul(rows, kPanelColumns);
    Value apart = halves ? L.mul(np, panelSize) : panelSize;
    Value bAt = L.mul(panel, panelSize);
    if (quantized)
      multiplyBytes(rows, aAt, bAt, count * cut, apart, zero);
    else
      emitFormatKernel(e, rows, rowSize, format, count * cut, apart,
                       {A, aAt, lda, B, bAt, k, C, zero});
    e.loop(zero, L.index(count), 1, [&](Value p) {
      epilogue(L.mul(ofPanel, p), zero, r0, rows, L.add(panel, p), ofPanel);
    });
  };
  auto tiles = [&](Value panel, int64_t count) {
    int64_t most =
        quantized ? mostByteRows(e.target) : mostFormatRows(format, e.target);
    if (quantized && most >= kFewQuantizedRows)
      return multiply(panel, count, zero, m);
    forRowTiles(e, m, most, [&](Value, Value r0, Value rows) {
      multiply(panel, count, r0, rows);
    });
  };
  if (panelsOfTile == 1)
    return e.loop(first, last, 1, [&](Value panel) { tiles(panel, 1); });
  if (wholeTiles())
    return e.loop(first, last, panelsOfTile,
                  [&](Value panel) { tiles(panel, panelsOfTile); });
  forPanelGroups(e, first, last, tiles);
}

/// Where A's rows lie: in the argument, or in scratch memory.
Value MatMulKernel::memoryOfRows() {
  auto argument = [&] { return e.input(cast<BlockArgument>(op.getLhs())); };
  if (inPlace && !integer)
    return argument();
  // Tiles are whole, the rows of the last one too.
  SymExpr rows = laidOut ? rowsOfBlock + kRowsOfTile : rowsOfBlock;
  SymExpr elements = rowSize * rows + PatchRows::kBehind;
  if (!integer)
    return e.scratchBuffer(elements, rowType);
  // A level has bytes or pairs of bytes, and reads rows here or there: all take
  // the same memory, and the same dims.
  Value memory = e.scratchBuffer(elements * 2, b.getI8Type());
  for (const SymExpr &dim : lhs)
    e.dim(dim);
  if (inPlace)
    return argument();
  if (rowType.getIntOrFloatBitWidth() == 8)
    return memory;
  return memref::ViewOp::create(b, L.loc, memoryType(rowType), memory,
                                L.index(0), ValueRange{L.index(0)});
}

void MatMulKernel::run() {
  e.info.tasks = productOf(batch) * blocks * pairs * parts;
  e.info.cost = productOf(out) * K;
  SymExpr ofRow(tilePanels * kPanelColumns);
  SymExpr rowsOfC = laidOut ? rowsOfTask + kRowsOfTile
                    : coded ? rowsOfTask + kFormatRows
                            : rowsOfTask;
  int64_t ofTile = cut * kTileElements;
  if (coded)
    ofTile = std::max(ofTile, tilePanels * kFormatRows * kPanelColumns);
  if (laidOut)
    ofTile = std::max(ofTile, kMostRows * tilePanels * kPanelColumns);
  C = e.scratchBuffer(chunks > 1 ? rowsOfC * ofRow : SymExpr(ofTile), sumType);
  if (quantized) {
    rowsOfBytes->takeScratch();
    A = rowsOfBytes->A;
  } else {
    A = memoryOfRows();
  }
  if (coded)
    numbers = e.scratchBuffer((chunkRows ? SymExpr(chunkRows) : K) *
                                  (tilePanels * kPanelColumns),
                              f32);
  if (quantized && rowsOfBytes->opensSomewhere)
    numbers = e.scratchBuffer(tilePanels * openedSize(), b.getI8Type());
  B = e.input(operand.getMemory());
  k = e.dim(K), np = e.dim(panels), lda = e.dim(rowSize);
  panelSize = format ? e.dim(packed.back()) : L.mul(k, kPanelColumns);
  panelStride = halves ? L.mul(panelSize, np) : panelSize;
  if (isShort)
    readAhead(e, N);
  if (thin) {
    if (!DotKernel::fits(e, operand, op, N, 1, K))
      return;
    weights = operand.inColumns() ? B : DotKernel::reserve(e, N, 1, K);
    if (dots && !operand.inColumns())
      dots->loadWeights(e, B, weights);
    return wide();
  }
  int64_t fewRows = coded       ? mostRowsInRegisters(format, e.target)
                    : quantized ? kFewQuantizedRows
                    : laidOut   ? 0
                                : atOnce.most;
  auto many = [&] {
    if (quantized) { // which the kernel's first function has made
      rowsOfBytes->takeMemory(e.result(1));
      A = rowsOfBytes->A;
    }
    tiled ? byTiles() : wide();
  };
  if (!shared ||
      M.constant().value_or(std::min<int64_t>(fewRows, 1)) > fewRows ||
      fewRows == 0)
    return many();
  Value m = e.dim(M);
  Value few = format ? L.ule(m, fewRows) : atOnce.contain(e, m);
  // An empty M has no tasks: neither form runs.
  e.ifThen(few, [&] {
    // A few rows open panels in registers.
    llvm::SaveAndRestore byThemselves(opened, false);
    narrow(m);
  });
  if (!quantized || !M.constant()) // else there is no such function
    e.ifThen(no(few), many);
}

} // namespace

void emitMatMulKernel(KernelEmitter &e) {
  PackedMatMulOp anchor = findProduct(e);
  auto operand = PackedOperand::of(e, anchor);
  if (!operand)
    return;
  auto tiling = e.tiling<CpuMatMulTilingAttr>();
  if (!tiling)
    return;
  FormatAttr format = anchor.getFormatAttr();
  if (format && roundsToBF16(format) && e.target.vectorBits < 512) {
    e.fail("products of bf16 need AVX-512, which "
           "level '")
        << e.target.name << "' lacks";
    return;
  }
  if (matchHalves(anchor) && tiling.getTilePanels() != 2) {
    e.fail("a gated matmul takes a panel of each half: "
           "expected a tile of 2 panels, found ")
        << tiling;
    return;
  }
  if (isThinProduct(anchor, *operand))
    return emitThinKernel(e, anchor, *operand, tiling.getTaskRows());
  if (isPlaneProduct(anchor, *operand))
    return emitPlaneKernel(e, anchor, *operand, tiling.getTaskRows());
  MatMulKernel{{e, anchor, *operand, tiling}}.run();
}

} // namespace tenon
