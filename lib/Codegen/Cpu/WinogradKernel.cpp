//===- WinogradKernel.cpp - convolutions of 3x3 by Winograd's products ----===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A square is 2x2 positions of the result; squares are counted image by image,
// from each one's first row and column, so that an element's bits depend
// neither on the task nor on the batch. A task is a block of squares by some
// panels of columns, panels fastest:
//
//   [V = what the squares' 4x4 pixels are transformed to, 16 matrices of
//    squares by channels, when a new block begins]
//   for two panels:
//     for matrix k of 16:  for tile of 6 squares:
//       micro-kernel       V[k] x the panels of weight k -> M[k]
//     for square:
//       M is transformed to the sums of four positions (L1)
//       epilogue           a position at a time, where it lies inside
//
// V and M have their matrices a line further apart than they are long: else
// all 16 pixels, or products, might lie in the same few lines of the cache.
// They stay in the second one, as the panels of one matrix do while all squares
// meet them; meanwhile those of the next are fetched.
//
// Of windows in steps of 2 a square meets 5x5 pixels and has nine products, of
// 4 C, 2 C or C terms; V is one matrix of 25 C columns, of which each product
// has its own, and so are the weight's rows (tenon.packed_matmul).
//
// With a dilation of d a square's positions, and its pixels, lie d apart. Each
// block of 2d rows has d rows of squares, one for each of its first d rows; so
// have columns. Of those the squares of a block are neighbours, a pixel from
// one to the next.
//
// Pixels outside of the image are zeros: a square that meets some has its
// pixels copied, with zeros in their place.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Cpu/EpilogueFetch.h"
#include "lib/Codegen/Cpu/PatchRows.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Cpu/WinogradTransforms.h"

using namespace mlir;

namespace tenon {

namespace {

using Fn = SymExpr::Fn;
constexpr int64_t kLine = 16; ///< elements of a line of the cache
/// Elements of a square's positions in a panel.
constexpr int64_t kOfSquare =
    kWinogradOutputs * kWinogradOutputs * kPanelColumns;
/// So few squares still hide what a task begins with, and a weight of so many
/// bytes may be read by each of many blocks.
constexpr int64_t kLeast = 4 * kTileRows, kSmallWeight = 1 << 20;
/// So many tasks give a few threads the same to do.
constexpr int64_t kTasks = 32;

SymExpr ceilDiv(const SymExpr &x, const SymExpr &y) {
  return SymExpr::apply(Fn::CeilDiv, x, y);
}

/// Of so many positions, those of a square `apart` from each other.
SymExpr squaresAlong(const SymExpr &all, int64_t apart) {
  SymExpr side = apart * kWinogradOutputs;
  if (apart == 1)
    return ceilDiv(all, side);
  SymExpr blocks = SymExpr::apply(Fn::FloorDiv, all, side);
  return blocks * SymExpr(apart) +
         SymExpr::apply(Fn::Min, all - blocks * side, SymExpr(apart));
}

struct WinogradKernel {
  KernelEmitter &e;
  PackedMatMulOp op;
  PackedOperand operand;
  CpuWinogradTilingAttr tiling;
  Im2ColOp patches;
  LaneBuilder &L = e.L;
  Sink sink{e};
  EpilogueFetch epilogueFetch{e, sink};
  SmallVector<SymExpr> packed = getDims(op.getPacked()),
                       out = getDims(op.getResult()),
                       image = getDims(patches.getInput()),
                       positions = patchPositions(patches);
  SymExpr N = out.back(), C = image.back(), panels = packed.end()[-3];
  int64_t step = patches.getStrides()[0];
  bool steps = step > 1;
  int64_t apartDown = patches.getDilations()[0],
          apartAcross = patches.getDilations()[1];
  /// Pixels along a square's side, and from one square to the next.
  int64_t side = steps ? kWinogradStepsTile : kWinogradTile,
          sideApart = apartAcross == 1 ? kWinogradOutputs * step : 1;
  /// Numbers of a square that are multiplied, and by how many products.
  int64_t numbers = side * side;
  static constexpr int64_t parts = std::size(kWinogradParts);
  int64_t products = steps ? parts * parts : numbers;
  int64_t tileRows = tiling.getTileRows(),
          tilePanels = std::min(tiling.getTilePanels(),
                                panels.constant().value_or(kTilePanels));
  int64_t ofTile = tilePanels * kPanelColumns; ///< columns
  SymExpr down = squaresAlong(positions[0], apartDown),
          across = squaresAlong(positions[1], apartAcross),
          squares = image[0] * down * across;
  SymExpr groups = ceilDiv(panels, SymExpr(tiling.getTaskPanels()));
  /// Register tiles of squares, all and those of a block.
  SymExpr tiles = ceilDiv(squares, tileRows), tilesOfBlock = mostTiles(),
          blocks = ceilDiv(tiles, tilesOfBlock);
  /// From a square to the next one, and from a matrix to the next one.
  SymExpr ofSquare = steps ? C * SymExpr(numbers) : C;
  SymExpr ofV = tilesOfBlock * tileRows * C + SymExpr(kLine),
          ofM = tilesOfBlock * (tileRows * ofTile) + SymExpr(kLine);
  Type f32 = e.b.getF32Type();
  Value X = {}, V = {}, M = {}, Y = {}, outside = {}, B = {}, np = {},
        panelSize = {};

  SymExpr mostTiles() const {
    int64_t bytes = 4 * numbers * kPanelColumns * C.constant().value_or(1) *
                    panels.constant().value_or(1);
    int64_t least =
        bytes > kSmallWeight ? std::max(kLeast, tiling.getSquares()) : kLeast;
    SymExpr share = ceilDiv(squares, ceilDiv(SymExpr(kTasks), groups));
    SymExpr most = SymExpr::apply(Fn::Max, share, SymExpr(least));
    most = SymExpr::apply(Fn::Min, SymExpr(tiling.getSquares()), most);
    return SymExpr::apply(Fn::FloorDiv, most, SymExpr(tileRows));
  }
  /// Squares of a register tile: those of few columns leave registers for more.
  int64_t squaresOfTile() const {
    constexpr int64_t more = 8;
    bool few = N.constant().value_or(INT64_MAX) <= int64_t(e.vectorLanes());
    return few ? std::max(tileRows, more) : tileRows;
  }
  struct Block {
    Value first, count; ///< squares
  };
  /// Squares [begin, end) of a row of an image, whose first positions have the
  /// row y; square x is number place + x of the block.
  struct Row {
    Value image, y, begin, end, place;
  };
  void forRows(const Block &block, function_ref<void(const Row &)> fn);
  Value firstPosition(Value square, int64_t apart);
  void copyPixels(Value image, Value y, Value x);
  void transformPixels(const Row &row);
  void transformNeighbours(const Row &row, Value before);
  /// One of the products of a block by the panels of a tile: where its rows
  /// lie in V, M and B, how many terms it has, and what is fetched meanwhile.
  struct Product {
    Value vAt, mAt, bAt, terms, next;
  };
  void multiply(const Block &block, Value panel);
  void fetch(const Row &row, Value x, Value panel);
  void multiplyTiles(const Block &block, Value panel, const Product &product);
  void finish(const Row &row, Value panel);
  void epilogue(const Row &row, Value x, Value panel);
  void emit();
};

void WinogradKernel::forRows(const Block &block,
                             function_ref<void(const Row &)> fn) {
  Value width = e.dim(across), end = L.add(block.first, block.count);
  e.loop(L.div(block.first, width), L.add(L.div(L.sub(end, 1), width), 1), 1,
         [&](Value number) {
           Value before = L.mul(number, width);
           fn({L.div(number, e.dim(down)),
               firstPosition(L.rem(number, e.dim(down)), apartDown),
               L.max(L.sub(block.first, before), 0),
               L.min(L.sub(end, before), width), L.sub(before, block.first)});
         });
}

/// Along one dim.
Value WinogradKernel::firstPosition(Value square, int64_t apart) {
  if (apart == 1)
    return L.mul(square, kWinogradOutputs);
  return L.add(square, L.mul(L.div(square, apart), apart));
}

/// The pixels from (y, x) on, some of which lie outside.
void WinogradKernel::copyPixels(Value number, Value y, Value x) {
  Value height = e.dim(image[1]), width = e.dim(image[2]), channels = e.dim(C);
  // Columns [begin, end) lie inside.
  auto within = [&](Value pixels, Value least) {
    Value column = pixels;
    if (apartAcross > 1)
      column = L.div(L.add(L.max(pixels, 0), apartAcross - 1), apartAcross);
    return L.min(L.max(column, least), side);
  };
  Value begin = within(L.sub(L.index(0), x), L.index(0)),
        end = within(L.sub(width, x), begin);
  e.loop(L.index(0), L.index(side), 1, [&](Value i) {
    Value row = L.add(y, L.mul(i, apartDown)), isInside = L.ult(row, height);
    Value line = L.mul(L.add(L.mul(number, height), row), width);
    Value from = L.mul(L.add(line, x), channels),
          to = L.mul(L.mul(i, side), channels);
    auto forColumns = [&](Value begin, Value end, bool zeros,
                          Value further = {}) {
      Value at = L.mul(begin, channels),
            pixel = further ? L.add(from, further) : from;
      e.lanesLoop(
          L.mul(L.sub(end, begin), channels), e.vectorLanes(), [&](Idx c) {
            c = L.add(L.uniform(at), c);
            Value v = zeros ? L.constant(L.vec(f32), 0)
                            : L.load(X, L.add(L.uniform(pixel), c), f32);
            L.store(v, outside, L.add(L.uniform(to), c), f32);
          });
    };
    Value last = L.select(isInside, end, L.index(0)),
          first = L.min(begin, last);
    forColumns(L.index(0), first, true);
    if (apartAcross == 1)
      forColumns(first, last, false);
    else
      e.loop(first, last, 1, [&](Value j) {
        Value pixel = L.mul(L.mul(j, apartAcross - 1), channels);
        forColumns(j, L.add(j, 1), false, pixel);
      });
    forColumns(last, L.index(side), true);
  });
}

void WinogradKernel::transformPixels(const Row &row) {
  if (apartAcross == 1)
    return transformNeighbours(row, L.index(0));
  Value last = L.div(L.sub(row.end, 1), apartAcross);
  e.loop(L.div(row.begin, apartAcross), L.add(last, 1), 1, [&](Value block) {
    Value before = L.mul(block, apartAcross);
    transformNeighbours({row.image, row.y, L.max(row.begin, before),
                         L.min(row.end, L.add(before, apartAcross)), row.place},
                        before);
  });
}

/// Of squares `sideApart` from one to the next; so many columns that others
/// begin with lie before the first one of them.
void WinogradKernel::transformNeighbours(const Row &row, Value before) {
  Value height = e.dim(image[1]), width = e.dim(image[2]), channels = e.dim(C);
  func::FuncOp ofCopy = steps ? getWinogradStepsInput(e.module(), e.target)
                              : getWinogradInput(e.module(), e.target);
  func::FuncOp ofImage =
      apartAcross > 1 ? getWinogradDilatedInput(e.module(), e.target) : ofCopy;
  int64_t top = patches.getPads()[0], left = patches.getPads()[1];
  auto call = [&](func::FuncOp transform, Value memory, Value at, Value apart,
                  Value x, Value count) {
    SmallVector<Value> operands{
        memory,   at, L.mul(apart, channels),
        channels, V,  L.mul(L.add(row.place, x), e.dim(ofSquare)),
        count};
    if (!steps)
      operands.push_back(e.dim(ofV));
    if (transform != ofCopy)
      operands.push_back(L.mul(channels, apartAcross));
    func::CallOp::create(e.b, L.loc, transform, operands);
  };
  auto pixelOf = [&](Value x) {
    return L.sub(L.add(L.mul(x, sideApart), before), left);
  };
  int64_t below = (side - 1) * apartDown + 1,
          beyond = (side - 1) * apartAcross + 1 - sideApart;
  // Squares [begin, end) meet pixels of the image alone.
  Value y = L.sub(L.mul(row.y, step), top);
  Value isInside = L.both(L.sge(y, 0), L.sle(L.add(y, below), height));
  auto within = [&](Value x, Value least) {
    return L.select(isInside, L.min(L.max(x, least), row.end), row.end);
  };
  int64_t pads = llvm::divideCeilSigned(std::max<int64_t>(left, 0), sideApart);
  Value begin = within(L.sub(L.index(pads), before), row.begin);
  Value room = L.max(L.sub(L.add(width, left - beyond), before), 0);
  Value end = within(L.div(room, sideApart), begin);
  Value line = L.mul(L.add(L.mul(row.image, height), y), width);
  call(ofImage, X, L.mul(L.add(line, pixelOf(begin)), channels),
       L.mul(width, apartDown), begin, L.sub(end, begin));
  Value first = L.sub(begin, row.begin),
        others = L.add(first, L.sub(row.end, end));
  e.loop(L.index(0), others, 1, [&](Value i) {
    Value x = L.add(L.select(L.ult(i, first), row.begin, L.sub(end, first)), i);
    copyPixels(row.image, y, pixelOf(x));
    call(ofCopy, outside, L.index(0), L.index(side), x, L.index(1));
  });
}

/// The block's squares by the panels of one tile.
void WinogradKernel::multiplyTiles(const Block &block, Value panel,
                                   const Product &product) {
  int64_t most = squaresOfTile();
  Value tiles = L.div(L.add(block.count, most - 1), most);
  Value lines = L.div(L.add(L.index(4 * kPanelColumns - 1), tiles), tiles);
  Value share = L.mul(lines, L.div(product.terms, 4));
  bool whole = panels.constant() && *panels.constant() % tilePanels == 0;
  MicroKernelShape tile{tilePanels};
  tile.inRows = true;
  forRowTiles(e, block.count, most, [&](Value i, Value r0, Value rows) {
    MicroKernelOperands o{
        V,         L.add(product.vAt, L.mul(r0, e.dim(ofSquare))),
        B,         product.bAt,
        panelSize, product.terms,
        M,         L.add(product.mAt, L.mul(r0, ofTile))};
    o.next = L.add(product.next, L.mul(i, share)), o.nextStep = lines;
    o.ldc = L.index(ofTile);
    forTileShapes(e, {panels, N, whole, tiles, L.sub(np, panel), most, tile},
                  [&](const MicroKernelShape &shape, int64_t leastRows) {
                    emitMicroKernel(e, rows, most, ofSquare, o, shape,
                                    leastRows);
                  });
  });
}

/// All products of the block's squares by the panels of one tile.
void WinogradKernel::multiply(const Block &block, Value panel) {
  Value own = L.mul(panel, panelSize), zero = L.index(0);
  // Behind the last product the next panels of the first one.
  auto nextOf = [&](Value k, Value behind) {
    return L.select(L.eq(k, products - 1),
                    L.add(own, L.mul(panelSize, tilePanels)), behind);
  };
  if (!steps) {
    Value apart = L.mul(np, panelSize);
    return e.loop(zero, L.index(products), 1, [&](Value k) {
      Value bAt = L.add(L.mul(k, apart), own);
      multiplyTiles(block, panel,
                    {L.mul(k, e.dim(ofV)), L.mul(k, e.dim(ofM)), bAt, e.dim(C),
                     nextOf(k, L.add(bAt, apart))});
    });
  }
  // Where a product's terms begin goes from one to the next.
  e.loop(zero, L.index(products), 1, zero, [&](Value k, ValueRange first) {
    auto count = [&](Value part) {
      return L.select(L.eq(part, 1), L.index(kWinogradParts[1].count),
                      L.index(kWinogradParts[0].count));
    };
    Value terms =
        L.mul(L.mul(count(L.div(k, parts)), count(L.rem(k, parts))), e.dim(C));
    Value bAt = L.add(own, L.mul(first[0], kPanelColumns));
    multiplyTiles(block, panel,
                  {first[0], L.mul(k, e.dim(ofM)), bAt, terms,
                   nextOf(k, L.add(bAt, L.mul(terms, kPanelColumns)))});
    return SmallVector<Value>{L.add(first[0], terms)};
  });
}

/// What the epilogue of square x of a row meets.
void WinogradKernel::fetch(const Row &row, Value x, Value panel) {
  Value height = e.dim(positions[0]), width = e.dim(positions[1]);
  auto numberOf = [&](Value i) {
    Value y = L.add(row.y, L.mul(L.div(i, kWinogradOutputs), apartDown)),
          column = L.add(firstPosition(x, apartAcross),
                         L.mul(L.rem(i, kWinogradOutputs), apartAcross));
    return L.add(L.mul(L.add(L.mul(row.image, height), y), width), column);
  };
  epilogueFetch.fetch(L.index(kWinogradOutputs * kWinogradOutputs), numberOf,
                      L.mul(panel, kPanelColumns), ofTile);
}

/// What becomes of the products of a row of squares.
void WinogradKernel::finish(const Row &row, Value panel) {
  func::FuncOp transform = steps ? getWinogradStepsOutput(e.module(), e.target)
                                 : getWinogradOutput(e.module(), e.target);
  int64_t columns =
      panels.constant() == 1 ? lastColumns(e.target, N) : kPanelColumns;
  e.loop(row.begin, row.end, 1, [&](Value x) {
    constexpr int64_t ahead = 2; // squares
    if (epilogueFetch.reads)
      fetch(row, L.add(x, ahead), panel);
    Value at = L.mul(L.add(row.place, x), ofTile);
    for (int64_t p = 0; p < tilePanels; ++p) {
      auto one = [&] {
        func::CallOp::create(e.b, L.loc, transform,
                             ValueRange{M, L.add(at, p * kPanelColumns),
                                        e.dim(ofM), Y, L.index(p * kOfSquare),
                                        L.index(columns)});
      };
      p == 0 ? one() : e.ifThen(L.ult(L.add(panel, p), np), one);
    }
    epilogue(row, firstPosition(x, apartAcross), panel);
  });
}

/// Of the four positions from x on those that lie inside.
void WinogradKernel::epilogue(const Row &row, Value x, Value panel) {
  Value height = e.dim(positions[0]), width = e.dim(positions[1]);
  auto forBoth = [&](function_ref<void(Value)> fn) {
    e.loop(L.index(0), L.index(kWinogradOutputs), 1, fn);
  };
  auto store = [&](Value from, Value y, Value x) {
    Value position = L.add(L.mul(y, width), x);
    Value number = L.add(L.mul(row.image, L.mul(height, width)), position);
    SmallVector<Idx> idx{L.uniform(row.image), L.uniform(position), Idx()};
    Idx base = L.uniform(L.mul(number, e.dim(N)));
    for (int64_t p = 0; p < tilePanels; ++p) {
      Value own = L.add(panel, p), at = L.add(from, p * kOfSquare);
      auto one = [&] {
        forPanelColumns(e, own, N, [&](Value c, Value column) {
          int64_t lanes = L.lanes;
          idx.back() = Idx{column, 1, lanes, {}};
          Idx in{L.add(at, c), 1, lanes, {}};
          e.bind(op.getResult(), [this, in](ArrayRef<Idx>) {
            LaneScope whole(L, L.lanes); // as the tile is
            return L.load(Y, in, f32);
          });
          sink.store(e, idx, L.add(base, idx.back()));
        });
      };
      p == 0 ? one() : e.ifThen(L.ult(own, np), one);
    }
  };
  forBoth([&](Value i) {
    Value ofRow = L.add(row.y, L.mul(i, apartDown));
    e.ifThen(L.ult(ofRow, height), [&] {
      forBoth([&](Value j) {
        Value column = L.add(x, L.mul(j, apartAcross));
        Value from = L.mul(L.add(L.mul(i, kWinogradOutputs), j), kPanelColumns);
        e.ifThen(L.ult(column, width), [&] { store(from, ofRow, column); });
      });
    });
  });
}

void WinogradKernel::emit() {
  e.info.tasks = blocks * groups;
  e.info.cost = squares * SymExpr(numbers) * C * N;
  X = e.input(cast<BlockArgument>(patches.getInput()));
  B = e.input(operand.getMemory());
  V = e.scratchBuffer(
      steps ? tilesOfBlock * tileRows * ofSquare : ofV * products, f32);
  M = e.scratchBuffer(ofM * products, f32);
  Y = e.scratchBuffer(SymExpr(tilePanels * kOfSquare), f32);
  outside = e.scratchBuffer(C * numbers, f32);
  np = e.dim(panels), panelSize = L.mul(e.dim(packed.end()[-2]), kPanelColumns);
  int64_t ofTask = tiling.getTaskPanels();
  Value perBlock = e.dim(groups);
  e.loop(e.begin, e.end, 1, [&](Value number) {
    Value group = L.rem(number, perBlock), i = L.div(number, perBlock);
    auto begin = [&](Value i) {
      Value tile = L.div(L.mul(i, e.dim(tiles)), e.dim(blocks));
      return L.min(L.mul(tile, tileRows), e.dim(squares));
    };
    Block block{begin(i), {}};
    block.count = L.sub(begin(L.add(i, 1)), block.first);
    Value fresh = L.either(L.eq(group, 0), L.eq(number, e.begin));
    e.ifThen(fresh, [&] {
      forRows(block, [&](const Row &row) { transformPixels(row); });
    });
    auto panelsOf = [&](Value panel) {
      multiply(block, panel);
      forRows(block, [&](const Row &row) { finish(row, panel); });
    };
    Value first = L.mul(group, ofTask);
    if (ofTask <= tilePanels)
      return panelsOf(first);
    e.loop(first, L.min(L.add(first, ofTask), np), tilePanels, panelsOf);
  });
}

} // namespace

void emitWinogradKernel(KernelEmitter &e) {
  PackedMatMulOp product = findWinograd(e.kernel());
  auto operand = PackedOperand::of(e, product);
  auto tiling =
      operand ? e.tiling<CpuWinogradTilingAttr>() : CpuWinogradTilingAttr();
  if (!tiling)
    return;
  auto patches = product.getLhs().getDefiningOp<Im2ColOp>();
  if (!patches || !isa<BlockArgument>(patches.getInput())) {
    e.fail("expected patches of a stored image for ") << tiling;
    return;
  }
  WinogradKernel{e, product, *operand, tiling, patches}.emit();
}

} // namespace tenon
