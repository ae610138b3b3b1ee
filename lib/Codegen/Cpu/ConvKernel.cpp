//===- ConvKernel.cpp - products that read an image in place of patches ---===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The matmul of MatMulKernel.cpp, whose rows of A are the patches of an image:
//
//   for task in [begin, end):    (block of positions, panels), panels fastest
//     [copy what the block meets of the image, when a new block begins;
//      patches that meet no border are read where the image lies, and so are
//      all but the ends of its rows in a block of its middle (ImageStrip.h)]
//     for tile of positions:     as even as possible
//       micro-kernel(positions)  runs of the image x B's panels -> C (L1)
//       epilogue                 C -> result, a position at a time
//
// Meanwhile the next panels are fetched; with a block's last ones, and wide
// vectors, what the blocks behind it meet of the image, whose copy would wait
// for memory. A task of many panels, whose products are short, has them inside
// the tiles of positions then: it stores longer pieces of the result.
//
// Groups of channels are images that follow one another, each with panels of
// its own; a block has one of them.
//
// A patch is read through offsets (ImageStrip.h). Where K is large a task walks
// it some taps at a time; the sums so far wait in scratch memory, so that each
// is still one chain of additions.
//
// Columns that fill no vector have their lanes along the runs (DotKernel.h). Of
// up to three the sums of a whole block wait in scratch memory for its
// epilogue: elements that are neighbours in the result fill vectors there.
//
// Sums of few terms go to the epilogue in registers (ShortWindow.h).
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Cpu/DotKernel.h"
#include "lib/Codegen/Cpu/EpilogueFetch.h"
#include "lib/Codegen/Cpu/ImageStrip.h"
#include "lib/Codegen/Cpu/ShortWindow.h"
#include "lib/Codegen/Form/GatedMatMul.h"

using namespace mlir;

namespace tenon {

namespace {

/// Micro-kernels are unrolled for runs up to this.
constexpr int64_t kShortRun = 32;

struct ConvKernel {
  KernelEmitter &e;
  PackedMatMulOp op;
  PackedOperand operand;
  CpuConvTilingAttr tiling;
  Im2ColOp patches;
  ImageStrip::Source source;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Sink sink{e};
  EpilogueFetch epilogueFetch{e, sink};
  SmallVector<SymExpr> packed = getDims(op.getPacked()),
                       out = getDims(op.getResult());
  SymExpr N = out.back(),
          panels = operand.inColumns() ? SymExpr(1) : packed[packed.size() - 3];
  int64_t tileRows = tiling.getTileRows(), tilePanels = tiling.getTilePanels();
  SymExpr groups = SymExpr::apply(SymExpr::Fn::CeilDiv, panels,
                                  SymExpr(tiling.getTaskPanels()));
  int64_t matrices = matricesOf(op); ///< that the images meet in turns
  int64_t most = tiling.getChunk() + tiling.getChunk() / 2;
  /// Of a run. Where lanes lie along runs, these decide the order of additions,
  /// and no number of the tiling may.
  int64_t longest = N.constant().value_or(INT64_MAX) < kPanelColumns
                        ? INT64_MAX
                        : tiling.getChunk();
  ImageStrip strip{e,
                   patches,
                   source,
                   tiling.getPositions(),
                   groups * SymExpr(matrices),
                   longest,
                   ImageStrip::staysInPlace(patches, source, N),
                   /*apart=*/matrices > 1};
  int64_t tapsOfChunk = countTaps();
  int64_t chunks = llvm::divideCeil(strip.numTaps, tapsOfChunk);
  Type f32 = b.getF32Type();
  Value B = {}, C = {}, run = {}, panelSize = {}, np = {};

  /// Of B's rows those of so many taps are walked for all positions of a task
  /// before the next ones.
  int64_t countTaps() {
    std::optional<int64_t> length = strip.run.constant();
    if (!length || strip.numTaps * *length <= most)
      return strip.numTaps;
    int64_t pieces =
        llvm::divideCeil(strip.numTaps * *length, tiling.getChunk());
    return std::max<int64_t>(llvm::divideCeil(strip.numTaps, pieces), 1);
  }
  /// Positions of a tile by so few columns. Those of one vector leave registers
  /// for more; but each position takes one that says where it lies.
  int64_t positionsOfTile(int64_t columns) {
    constexpr int64_t more = 8;
    bool one = columns <= int64_t(e.vectorLanes());
    return one ? std::max(tileRows, more) : tileRows;
  }
  /// Every tile has all its panels.
  bool wholeTiles() {
    return panels.constant() && *panels.constant() % tilePanels == 0;
  }
  Value ceilDiv(Value v, Value by) { return L.div(L.sub(L.add(v, by), 1), by); }
  struct Tile {
    Value number, first, rows; // positions of the task
  };
  struct Task {
    Value count, tiles; // of positions
    SmallVector<ImageStrip::Part> parts;
    Value panel, bAt; // the first panel of a tile, and where it lies
    std::optional<ImageStrip::Behind> behind; // its block
    std::optional<Tile> tile;                 // the only one
  };
  /// Fetched: the next panels, or the image behind the block.
  struct Next {
    Value in, at, apart, step, share;
  };
  Next nextOf(const Task &t, Value next, Value length, Value last);
  void forTasks(function_ref<void(const ImageStrip::Block &, Value, Value)> fn);
  void multiplyPanels(const Task &t);
  void chunk(const Task &t, Value firstTap, Value numTaps, Value next,
             Value last);
  void epilogue(Value cAt, Value place, Value rows, Value panel, int64_t ldc);
  MicroKernelOperands operandsOf(ArrayRef<ImageStrip::Part> parts, Value place);
  void forTiles(ArrayRef<ImageStrip::Part> parts, int64_t most,
                function_ref<void(Value, Value, Value)> fn);
  MicroKernelShape shapeOf(int64_t panels);
  void fewTerms(ShortWindow window);
  void fewColumns();
  void fewSums(const ImageStrip::Block &block);
  void emit();
};

/// Calls fn(block, number of its group of panels) for each task; what the block
/// meets has been copied.
void ConvKernel::forTasks(
    function_ref<void(const ImageStrip::Block &, Value, Value)> fn) {
  Value perBlock = e.dim(groups);
  e.loop(e.begin, e.end, 1, [&](Value number) {
    Value group = L.rem(number, perBlock);
    Value ofBlock = L.div(number, perBlock);
    ImageStrip::Block block = strip.block(ofBlock);
    Value isFirst = L.eq(group, 0);
    Value fresh = L.either(isFirst, L.eq(number, e.begin));
    e.ifThen(fresh, [&] { strip.copy(block); });
    fn(block, ofBlock, group);
  });
}

/// Places [place, place + rows) of the block, whose sums lie from C[cAt] on.
void ConvKernel::epilogue(Value cAt, Value place, Value rows, Value panel,
                          int64_t ldc) {
  SmallVector<SymExpr> rowDims(out.begin(), out.end() - 1);
  e.loop(L.index(0), rows, 1, [&](Value r) {
    Value row = strip.rowAt(L.add(place, r));
    SmallVector<Idx> idx = e.delinearize(row, rowDims);
    idx.push_back(Idx());
    Idx base = L.uniform(L.mul(row, e.dim(N)));
    Value at = L.add(cAt, L.mul(r, ldc));
    forPanelColumns(e, panel, N, [&](Value c, Value column) {
      int64_t lanes = L.lanes;
      idx.back() = Idx{column, 1, lanes, {}};
      Idx in{L.add(at, c), 1, lanes, {}};
      // What lies behind the columns, where their lanes lie along the runs, is
      // any number: computing of denormals takes a hundred times as long.
      e.bind(op.getResult(),
             [this, in](ArrayRef<Idx>) { return L.load(C, in, f32); });
      sink.store(e, idx, L.add(base, idx.back()));
    });
  });
}

/// All taps of the positions from `place` on, which lie in one of the parts.
MicroKernelOperands ConvKernel::operandsOf(ArrayRef<ImageStrip::Part> parts,
                                           Value place) {
  Value zero = L.index(0), memory = parts[0].memory, taps = parts[0].taps;
  if (parts.size() > 1) {
    Value second = L.uge(place, parts[0].count);
    memory = arith::SelectOp::create(b, L.loc, second, parts[1].memory, memory);
    taps = L.select(second, parts[1].taps, taps);
  }
  MicroKernelOperands o{memory, zero, B, zero, panelSize, run, C, zero};
  o.places = strip.placeTable, o.placeAt = place;
  o.taps = strip.tapTable, o.tapAt = taps, o.numTaps = L.index(strip.numTaps);
  return o;
}

/// No tile has positions of two parts.
void ConvKernel::forTiles(ArrayRef<ImageStrip::Part> parts, int64_t most,
                          function_ref<void(Value, Value, Value)> fn) {
  SmallVector<Value> counts;
  for (const ImageStrip::Part &part : parts)
    counts.push_back(part.count);
  forRowTiles(e, counts, most, fn);
}

MicroKernelShape ConvKernel::shapeOf(int64_t panels) {
  MicroKernelShape shape{panels};
  shape.window = true;
  int64_t length = strip.run.constant().value_or(0);
  shape.run = length <= kShortRun ? length : 0;
  return shape;
}

/// What the tiles of a task fetch, tile i of n the i-th of n shares, a step for
/// each four rows of B: of B what lies at `next`, or, with a block's last
/// panels, of the image what blocks behind it meet. The copy of those waits for
/// memory otherwise.
ConvKernel::Next ConvKernel::nextOf(const Task &t, Value next, Value length,
                                    Value last) {
  Value rounds = L.div(length, 4), step = L.index(4 * kPanelColumns);
  step = ceilDiv(step, t.tiles);
  Next own{B, next, panelSize, step, L.mul(step, rounds)};
  if (!t.behind)
    return own;
  const ImageStrip::Behind &behind = *t.behind;
  Value is = L.both(behind.is, L.uge(L.add(t.panel, tilePanels), np));
  if (last)
    is = L.both(is, last);
  // A part for each panel that the last tile has.
  int64_t parts = (*panels.constant() - 1) % tilePanels + 1;
  Value apart = ceilDiv(behind.count, L.index(parts));
  Value share = ceilDiv(apart, t.tiles);
  auto select = [&](Value image, Value panels) {
    return L.select(is, image, panels);
  };
  own.in = arith::SelectOp::create(b, L.loc, is, behind.image, B);
  own.at = select(behind.begin, next);
  own.apart = select(apart, panelSize);
  own.step = select(ceilDiv(share, L.max(rounds, 1)), step);
  own.share = select(share, own.share);
  return own;
}

/// The runs of `numTaps` taps from firstTap on, for all positions of a task,
/// and the epilogue if these are the last (null: they are). Meanwhile what lies
/// at `next` is fetched.
void ConvKernel::chunk(const Task &t, Value firstTap, Value numTaps, Value next,
                       Value last) {
  Next fetched = nextOf(t, next, L.mul(numTaps, run), last);
  Value bAt = L.add(t.bAt, L.mul(L.mul(firstTap, run), kPanelColumns));
  int64_t rowsOfTile = positionsOfTile(N.constant().value_or(INT64_MAX));
  auto tiles = [&](function_ref<void(Value, Value, Value)> fn) {
    t.tile ? fn(t.tile->number, t.tile->first, t.tile->rows)
           : forTiles(t.parts, rowsOfTile, fn);
  };
  tiles([&](Value i, Value first, Value rows) {
    Value cAt =
        chunks > 1 ? L.mul(first, tilePanels * kPanelColumns) : L.index(0);
    MicroKernelOperands o = operandsOf(t.parts, first);
    o.bAt = bAt, o.cAt = cAt;
    o.next = L.add(fetched.at, L.mul(i, fetched.share));
    o.nextStep = fetched.step, o.nextIn = fetched.in;
    o.nextApart = fetched.apart;
    o.tapAt = L.add(o.tapAt, firstTap), o.numTaps = numTaps;
    MicroKernelShape shape = shapeOf(tilePanels);
    shape.accumulate = chunks > 1;
    if (chunks == 1) // a long product has no need of it
      epilogueFetch.fetch(
          rows, [&](Value r) { return strip.rowAt(L.add(first, r)); },
          L.mul(t.panel, kPanelColumns), tilePanels * kPanelColumns);
    forTileShapes(e,
                  {panels, N, wholeTiles(), t.tiles, L.sub(np, t.panel),
                   rowsOfTile, shape, t.behind ? 1 : 0},
                  [&](const MicroKernelShape &own, int64_t leastRows) {
                    emitMicroKernel(e, rows, rowsOfTile, SymExpr(0), o, own,
                                    leastRows);
                  });
    auto finish = [&] {
      for (int64_t p = 0; p < tilePanels; ++p) {
        Value panel = L.add(t.panel, p);
        Value at = L.add(cAt, L.mul(rows, p * kPanelColumns));
        auto one = [&] { epilogue(at, first, rows, panel, kPanelColumns); };
        if (p == 0 || wholeTiles())
          one();
        else
          e.ifThen(L.ult(panel, np), one);
      }
    };
    last ? e.ifThen(last, finish) : finish();
  });
}

/// A task's positions by the panels of one tile.
void ConvKernel::multiplyPanels(const Task &t) {
  Value next = L.add(t.bAt, L.mul(panelSize, tilePanels));
  if (chunks == 1)
    return chunk(t, L.index(0), L.index(strip.numTaps), next, {});
  {
    LaneScope saved(L, e.vectorLanes());
    Value zero = L.constant(L.vec(f32), 0);
    Value n = L.mul(t.count, tilePanels * kPanelColumns);
    e.loop(L.index(0), n, L.lanes, [&](Value i) {
      L.store(zero, C, Idx{i, 1, (int64_t)L.lanes, {}}, f32);
    });
  }
  e.loop(L.index(0), L.index(chunks), 1, [&](Value c) {
    Value first = L.mul(c, tapsOfChunk);
    Value end = L.min(L.add(first, tapsOfChunk), strip.numTaps);
    Value last = L.uge(c, chunks - 1);
    Value behind = L.add(t.bAt, L.mul(L.mul(end, run), kPanelColumns));
    chunk(t, first, L.sub(end, first), L.select(last, next, behind), last);
  });
}

/// The block's elements of a result of so few columns that their sums all lie
/// one behind the other, by vectors.
void ConvKernel::fewSums(const ImageStrip::Block &block) {
  SmallVector<SymExpr> rowDims(out.begin(), out.end() - 1);
  int64_t lanes = e.vectorLanes(), columns = *N.constant();
  LaneScope saved(L, lanes);
  // Lane l of vector v is element v * lanes + l.
  auto pattern = [&](int64_t v, function_ref<int64_t(int64_t)> of) -> Value {
    SmallVector<int64_t> numbers;
    for (int64_t l = 0; l < lanes; ++l)
      numbers.push_back(of(v * lanes + l));
    return arith::ConstantOp::create(b, L.loc, b.getIndexVectorAttr(numbers));
  };
  auto vectors = [&](Value place, Value row, Value left) {
    for (int64_t v = 0; v < columns; ++v) {
      Idx rest{row, 1, 1, {}}, column = L.uniform(0);
      if (columns > 1) {
        Value rows = pattern(v, [&](int64_t i) { return i / columns; });
        rest = L.add(L.uniform(row), Idx{{}, 0, 1, rows});
        column.vec = pattern(v, [&](int64_t i) { return i % columns; });
      }
      SmallVector<Idx> idx(out.size());
      for (size_t d = rowDims.size(); d-- > 1;)
        std::tie(rest, idx[d]) = L.divRem(rest, e.dim(rowDims[d]));
      idx[0] = rest;
      idx.back() = column;
      if (left)
        L.mask = L.tailMask(L.sub(L.mul(left, columns), v * lanes));
      Idx in{L.add(L.mul(place, columns), v * lanes), 1, 1, {}};
      e.bind(op.getResult(), [this, in](ArrayRef<Idx>) {
        LaneScope whole(L, L.lanes); // there is room
        return L.load(C, in, f32);
      });
      sink.store(e, idx, Idx{L.add(L.mul(row, columns), v * lanes), 1, 1, {}});
      L.mask = {};
    }
  };
  strip.forRuns(block, [&](Value place, Value row, Value count) {
    Value whole = L.mul(L.div(count, lanes), lanes);
    e.loop(L.index(0), whole, lanes,
           [&](Value r) { vectors(L.add(place, r), L.add(row, r), {}); });
    Value left = L.sub(count, whole);
    e.ifThen(L.ne(left, 0),
             [&] { vectors(L.add(place, whole), L.add(row, whole), left); });
  });
}

void ConvKernel::fewTerms(ShortWindow window) {
  strip.readByRows();
  int64_t columns = tiling.getTaskPanels() * kPanelColumns;
  forTasks([&](const ImageStrip::Block &block, Value, Value group) {
    SmallVector<ImageStrip::Part> parts = strip.partsOf(block);
    Value from = L.mul(group, columns);
    strip.forRows(block, [&](Value place, Value row, Value count) {
      window.emit(operandsOf(parts, place), row, count, from);
    });
  });
}

void ConvKernel::fewColumns() {
  bool all =
      DotKernel::matchesAll(N, strip.numTaps, strip.run) && sink.perm.empty();
  int64_t columns = *N.constant(), ldc = all ? columns : kPanelColumns;
  C = e.scratchBuffer(all ? (strip.places + SymExpr(kPanelColumns)) * columns
                          : SymExpr(kTileElements),
                      f32);
  bool inColumns = operand.inColumns();
  if (!DotKernel::fits(e, operand, op, N, strip.numTaps, strip.run))
    return;
  Value weights =
      inColumns ? B : DotKernel::reserve(e, N, strip.numTaps, strip.run);
  auto dots = DotKernel::match(e.target, N, strip.numTaps, strip.run,
                               /*isWindow=*/true, inColumns);
  if (dots && !inColumns)
    dots->loadWeights(e, B, weights);
  int64_t whole = dots ? dots->getFirst() : columns;
  int64_t apart = strip.apart().value_or(0);
  // Nothing follows the sums of neighbours in a row: these are the result.
  bool stored = all && apart && !strip.hasParts() &&
                sink.value == op.getResult() && sink.element.isF32();
  if (all && apart)
    strip.readByRows();
  int64_t rowsOfTile = positionsOfTile(whole);
  forTasks([&](const ImageStrip::Block &block, Value, Value) {
    SmallVector<ImageStrip::Part> parts = strip.partsOf(block);
    if (all) {
      auto sums = [&](const ImageStrip::Part &part, Value first, Value row,
                      Value count, int64_t apart) {
        MicroKernelOperands o = operandsOf(part, first);
        o.cAt = L.mul(stored ? row : first, columns);
        if (stored)
          o.C = e.result(0);
        dots->emit(e, count, o, weights, ldc, apart);
      };
      if (apart)
        strip.forRows(block, [&](Value place, Value row, Value count) {
          sums(parts[0], place, row, count, apart);
        });
      else
        sums(parts[0], L.index(0), {}, parts[0].count, 0);
      if (parts.size() > 1)
        sums(parts[1], parts[0].count, {}, parts[1].count, 0);
      return stored ? void() : fewSums(block);
    }
    forTiles(parts, rowsOfTile, [&](Value, Value first, Value rows) {
      MicroKernelOperands o = operandsOf(parts, first);
      MicroKernelShape shape = shapeOf(1);
      shape.columns = lastColumns(e.target, SymExpr(whole));
      if (whole)
        emitMicroKernel(e, rows, rowsOfTile, SymExpr(0), o, shape);
      if (dots)
        dots->emit(e, rows, o, weights, ldc);
      epilogue(L.index(0), first, rows, L.index(0), ldc);
    });
  });
}

void ConvKernel::emit() {
  e.info.tasks = strip.blocks * groups;
  e.info.cost = productOf(out) * strip.run * SymExpr(strip.numTaps);
  B = e.input(operand.getMemory());
  strip.prepare();
  run = e.dim(strip.run), np = e.dim(panels);
  panelSize = L.mul(e.dim(packed[packed.size() - 2]), kPanelColumns);
  if (operand.inColumns() ||
      (matrices == 1 && DotKernel::matchesSome(N, strip.numTaps, strip.run)))
    return fewColumns();
  if (matrices == 1 && !strip.hasParts())
    if (auto window =
            ShortWindow::match(e, op, sink, epilogueFetch, strip.numTaps,
                               strip.run, strip.positionsOfRow(), strip.apart(),
                               tiling.getTaskPanels() * kPanelColumns))
      return fewTerms(*window);
  C = e.scratchBuffer(chunks > 1
                          ? strip.places * SymExpr(tilePanels * kPanelColumns)
                          : SymExpr(kTileElements),
                      f32);
  int64_t ofTask = tiling.getTaskPanels();
  bool wide = e.target.vectorBits >= 512;
  forTasks([&](const ImageStrip::Block &block, Value number, Value group) {
    Task t;
    t.count = strip.countOf(block);
    t.parts = strip.partsOf(block);
    if (panels.constant())
      t.behind = strip.behind(number);
    if (!wide) // but all levels take the same dims
      t.behind.reset();
    t.tiles = L.index(0);
    for (const ImageStrip::Part &part : t.parts)
      t.tiles = L.add(t.tiles, ceilDiv(part.count, L.index(tileRows)));
    Value matrix = L.index(0);
    if (matrices > 1)
      matrix = L.mul(L.rem(block.image, matrices), L.mul(np, panelSize));
    auto multiply = [&](Value panel) {
      t.panel = panel;
      t.bAt = L.add(matrix, L.mul(panel, panelSize));
      multiplyPanels(t);
    };
    Value first = L.mul(group, ofTask);
    if (ofTask == tilePanels)
      return multiply(first);
    Value last = L.min(L.add(first, ofTask), np);
    auto panelsOf = [&] { e.loop(first, last, tilePanels, multiply); };
    if (chunks > 1 || !wide)
      return panelsOf();
    forTiles(t.parts, positionsOfTile(kPanelColumns * ofTask),
             [&](Value number, Value first, Value rows) {
               t.tile = Tile{number, first, rows};
               panelsOf();
             });
  });
}

} // namespace

void emitConvKernel(KernelEmitter &e) {
  PackedMatMulOp product = findProduct(e);
  auto operand = PackedOperand::of(e, product);
  auto tiling = operand ? e.tiling<CpuConvTilingAttr>() : CpuConvTilingAttr();
  if (!tiling)
    return;
  Im2ColOp patches = findPatches(e.kernel());
  auto source = patches ? ImageStrip::sourceOf(patches) : std::nullopt;
  if (!source || matchHalves(product)) {
    e.fail("expected patches of a stored image and one "
           "product of them for ")
        << tiling;
    return;
  }
  ConvKernel{e, product, *operand, tiling, patches, *source}.emit();
}

} // namespace tenon
