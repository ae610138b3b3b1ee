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
// Pixels outside of the image are zeros: a square that meets some has its
// pixels copied, with zeros in their place.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Cpu/PatchRows.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Cpu/WinogradTransforms.h"

using namespace mlir;

namespace tenon {

namespace {

using Fn = SymExpr::Fn;
constexpr int64_t kLine = 16; ///< elements of a line of the cache
/// So few squares still hide what a task begins with, and a weight of so many
/// bytes may be read by each of many blocks.
constexpr int64_t kLeast = 4 * kTileRows, kSmallWeight = 1 << 20;
/// So many tasks give a few threads the same to do.
constexpr int64_t kTasks = 32;

SymExpr ceilDiv(const SymExpr &x, const SymExpr &y) {
  return SymExpr::apply(Fn::CeilDiv, x, y);
}

struct WinogradKernel {
  KernelEmitter &e;
  PackedMatMulOp op;
  PackedOperand operand;
  CpuWinogradTilingAttr tiling;
  Im2ColOp patches;
  LaneBuilder &L = e.L;
  Sink sink{e};
  SmallVector<SymExpr> packed = getDims(op.getPacked()),
                       out = getDims(op.getResult()),
                       image = getDims(patches.getInput()),
                       positions = patchPositions(patches);
  SymExpr N = out.back(), C = image.back(), panels = packed[1];
  int64_t tileRows = tiling.getTileRows(), tilePanels = tiling.getTilePanels();
  SymExpr down = ceilDiv(positions[0], kWinogradOutputs),
          across = ceilDiv(positions[1], kWinogradOutputs),
          squares = image[0] * down * across;
  SymExpr groups = ceilDiv(panels, SymExpr(tiling.getTaskPanels()));
  SymExpr most = SymExpr::apply(
      Fn::Min, SymExpr(tiling.getSquares()),
      SymExpr::apply(Fn::Max,
                     ceilDiv(squares, ceilDiv(SymExpr(kTasks), groups)),
                     SymExpr(leastSquares())));
  SymExpr blocks = ceilDiv(squares, most);
  int64_t ofTile = tilePanels * kPanelColumns; ///< columns
  SymExpr ofV = most * C + SymExpr(kLine),
          ofM = most * SymExpr(ofTile) + SymExpr(kLine);
  Type f32 = e.b.getF32Type();
  Value X = {}, V = {}, M = {}, Y = {}, outside = {}, B = {}, np = {},
        panelSize = {};

  int64_t leastSquares() const {
    int64_t bytes = 4 * kWinogradMatrices * kPanelColumns *
                    C.constant().value_or(1) * panels.constant().value_or(1);
    return bytes > kSmallWeight ? std::max(kLeast, tiling.getSquares())
                                : kLeast;
  }
  /// Of a square: its image, and its first position.
  struct Square {
    Value image, y, x;
  };
  struct Block {
    Value first, count;
  };
  Square squareAt(Value number);
  void copyPixels(Value image, Value y, Value x);
  void transformPixels(const Block &block);
  void multiply(const Block &block, Value panel);
  void finish(const Block &block, Value panel);
  void epilogue(const Square &square, Value panel);
  void emit();
};

WinogradKernel::Square WinogradKernel::squareAt(Value number) {
  SmallVector<Idx> at = e.delinearize(number, {image[0], down, across});
  return {at[0].base, L.mul(at[1].base, kWinogradOutputs),
          L.mul(at[2].base, kWinogradOutputs)};
}

/// The pixels from (y, x) on, some of which lie outside.
void WinogradKernel::copyPixels(Value number, Value y, Value x) {
  Value height = e.dim(image[1]), width = e.dim(image[2]);
  auto forPixels = [&](function_ref<void(Value)> fn) {
    e.loop(L.index(0), L.index(kWinogradTile), 1, fn);
  };
  forPixels([&](Value i) {
    Value row = L.add(y, i), isRow = L.ult(row, height);
    Value line = L.mul(L.add(L.mul(number, height), row), width);
    forPixels([&](Value j) {
      Value column = L.add(x, j);
      Value inside = L.both(isRow, L.ult(column, width));
      Value from = L.mul(L.add(line, column), e.dim(C)),
            to = L.mul(L.add(L.mul(i, kWinogradTile), j), e.dim(C));
      auto copy = [&](bool zeros) {
        e.lanesLoop(e.dim(C), e.vectorLanes(), [&](Idx c) {
          Value v = zeros ? L.constant(L.vec(f32), 0)
                          : L.load(X, L.add(L.uniform(from), c), f32);
          L.store(v, outside, L.add(L.uniform(to), c), f32);
        });
      };
      e.ifThen(inside, [&] { copy(false); });
      e.ifThen(L.no(inside), [&] { copy(true); });
    });
  });
}

void WinogradKernel::transformPixels(const Block &block) {
  Value height = e.dim(image[1]), width = e.dim(image[2]), channels = e.dim(C),
        matrix = e.dim(ofV);
  func::FuncOp transform = getWinogradInput(e.module(), e.target);
  ArrayRef<int64_t> pads = patches.getPads();
  e.loop(L.index(0), block.count, 1, [&](Value i) {
    Square square = squareAt(L.add(block.first, i));
    Value y = L.sub(square.y, pads[0]), x = L.sub(square.x, pads[1]);
    auto isInside = [&](Value from, Value size) {
      return L.both(L.sge(from, 0), L.sle(L.add(from, kWinogradTile), size));
    };
    Value inside = L.both(isInside(y, height), isInside(x, width));
    e.ifThen(L.no(inside), [&] { copyPixels(square.image, y, x); });
    Value line = L.add(L.mul(square.image, height), y);
    Value at = L.mul(L.add(L.mul(line, width), x), channels);
    Value memory =
        arith::SelectOp::create(e.b, L.loc, inside, X, outside).getResult();
    func::CallOp::create(
        e.b, L.loc, transform,
        ValueRange{
            memory, L.select(inside, at, L.index(0)),
            L.mul(L.select(inside, width, L.index(kWinogradTile)), channels),
            channels, V, L.mul(i, channels), matrix});
  });
}

/// The block's squares by the panels of one tile, of all matrices.
void WinogradKernel::multiply(const Block &block, Value panel) {
  Value tiles = L.div(L.add(block.count, tileRows - 1), tileRows);
  Value step = L.div(L.add(L.index(4 * kPanelColumns - 1), tiles), tiles);
  Value share = L.mul(step, L.div(e.dim(C), 4));
  bool whole = panels.constant() && *panels.constant() % tilePanels == 0;
  Value apart = L.mul(np, panelSize), own = L.mul(panel, panelSize);
  e.loop(L.index(0), L.index(kWinogradMatrices), 1, [&](Value k) {
    Value bAt = L.add(L.mul(k, apart), own);
    // Behind the last matrix the next panels of the first one.
    Value next =
        L.select(L.eq(k, kWinogradMatrices - 1),
                 L.add(own, L.mul(panelSize, tilePanels)), L.add(bAt, apart));
    forRowTiles(e, block.count, tileRows, [&](Value i, Value r0, Value rows) {
      MicroKernelOperands o{
          V,         L.add(L.mul(k, e.dim(ofV)), L.mul(r0, e.dim(C))),
          B,         bAt,
          panelSize, e.dim(C),
          M,         L.add(L.mul(k, e.dim(ofM)), L.mul(r0, ofTile))};
      o.next = L.add(next, L.mul(i, share)), o.nextStep = step;
      forTileShapes(e,
                    {panels, N, whole, tiles, L.sub(np, panel), tileRows,
                     MicroKernelShape{tilePanels}},
                    [&](const MicroKernelShape &shape, int64_t leastRows) {
                      emitMicroKernel(e, rows, tileRows, C, o, shape,
                                      leastRows);
                    });
    });
  });
}

/// What becomes of the products.
void WinogradKernel::finish(const Block &block, Value panel) {
  func::FuncOp transform = getWinogradOutput(e.module(), e.target);
  forRowTiles(e, block.count, tileRows, [&](Value, Value r0, Value rows) {
    e.loop(L.index(0), rows, 1, [&](Value r) {
      Square square = squareAt(L.add(L.add(block.first, r0), r));
      Value row = L.add(L.mul(r0, ofTile), L.mul(r, kPanelColumns));
      for (int64_t p = 0; p < tilePanels; ++p)
        func::CallOp::create(
            e.b, L.loc, transform,
            ValueRange{M, L.add(row, L.mul(rows, p * kPanelColumns)),
                       e.dim(ofM), Y,
                       L.index(p * kWinogradOutputs * kWinogradOutputs *
                               kPanelColumns)});
      epilogue(square, panel);
    });
  });
}

/// Of the four positions those that lie inside.
void WinogradKernel::epilogue(const Square &square, Value panel) {
  Value height = e.dim(positions[0]), width = e.dim(positions[1]);
  auto half = [&](function_ref<void(Value)> fn) {
    e.loop(L.index(0), L.index(kWinogradOutputs), 1, fn);
  };
  auto store = [&](Value i, Value j, Value y, Value x) {
    Value position = L.add(L.mul(y, width), x);
    Value row = L.add(L.mul(square.image, L.mul(height, width)), position);
    SmallVector<Idx> idx{L.uniform(square.image), L.uniform(position), Idx()};
    Idx base = L.uniform(L.mul(row, e.dim(N)));
    Value from = L.mul(L.add(L.mul(i, kWinogradOutputs), j), kPanelColumns);
    for (int64_t p = 0; p < tilePanels; ++p) {
      Value own = L.add(panel, p);
      Value at =
          L.add(from, p * kWinogradOutputs * kWinogradOutputs * kPanelColumns);
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
  half([&](Value i) {
    Value y = L.add(square.y, i);
    e.ifThen(L.ult(y, height), [&] {
      half([&](Value j) {
        Value x = L.add(square.x, j);
        e.ifThen(L.ult(x, width), [&] { store(i, j, y, x); });
      });
    });
  });
}

void WinogradKernel::emit() {
  e.info.tasks = blocks * groups;
  e.info.cost = squares * SymExpr(kWinogradMatrices) * C * N;
  X = e.input(cast<BlockArgument>(patches.getInput()));
  B = e.input(operand.getMemory());
  V = e.scratchBuffer(ofV * kWinogradMatrices, f32);
  M = e.scratchBuffer(ofM * kWinogradMatrices, f32);
  Y = e.scratchBuffer(SymExpr(kWinogradOutputs * kWinogradOutputs * ofTile),
                      f32);
  outside = e.scratchBuffer(C * kWinogradMatrices, f32);
  np = e.dim(panels), panelSize = L.mul(e.dim(C), kPanelColumns);
  int64_t ofTask = tiling.getTaskPanels();
  Value perBlock = e.dim(groups);
  e.loop(e.begin, e.end, 1, [&](Value number) {
    Value group = L.rem(number, perBlock), i = L.div(number, perBlock);
    auto begin = [&](Value i) {
      return L.div(L.mul(i, e.dim(squares)), e.dim(blocks));
    };
    Block block{begin(i), {}};
    block.count = L.sub(begin(L.add(i, 1)), block.first);
    Value fresh = L.either(L.eq(group, 0), L.eq(number, e.begin));
    e.ifThen(fresh, [&] { transformPixels(block); });
    auto panelsOf = [&](Value panel) {
      multiply(block, panel);
      finish(block, panel);
    };
    Value first = L.mul(group, ofTask);
    if (ofTask == tilePanels)
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
