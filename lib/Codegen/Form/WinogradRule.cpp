//===- WinogradRule.cpp - where Winograd's products are faster ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One rule, an expression of the image's dims: of sizes that are known it is a
// constant, else a run evaluates it.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/WinogradRule.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

using Fn = SymExpr::Fn;
constexpr int64_t kSide = 3, kTaps = kSide * kSide;
/// Of the widest vectors, and of a panel.
constexpr int64_t kLanes = 16, kColumns = 32;

SymExpr orZero(const SymExpr &x) { return SymExpr::apply(Fn::Max, x, 0); }

/// Of positions, or of an image's squares: all, or those that meet pixels of
/// the image alone.
struct Counts {
  SymExpr positions = 1, squares = 1, inside = 1;
};

/// Counts those along dim `d` as well.
void countAlong(Im2ColOp patches, size_t d, Counts &counts) {
  SymExpr size = getDims(patches.getInput())[1 + d];
  int64_t step = patches.getStrides()[d], apart = patches.getDilations()[d],
          before = patches.getPads()[d], behind = patches.getPads()[d + 2],
          side = step > 1 ? kWinogradStepsTile : kWinogradTile,
          block = kWinogradOutputs * apart;
  // Squares that begin before there: so many of each block, one beside the
  // other.
  auto squaresBefore = [&](const SymExpr &place, int64_t block) {
    if (apart == 1)
      return SymExpr::apply(Fn::CeilDiv, place, block);
    SymExpr blocks = SymExpr::apply(Fn::FloorDiv, place, block);
    return blocks * SymExpr(apart) +
           SymExpr::apply(Fn::Min, place - blocks * SymExpr(block), apart);
  };
  SymExpr room =
      orZero(size + SymExpr(before + behind - (kSide - 1) * apart - 1 + step));
  SymExpr positions = SymExpr::apply(Fn::FloorDiv, room, step),
          squares = squaresBefore(positions, block);
  // From the first square on whose pixels the image has to the last one.
  SymExpr first = squaresBefore(std::max<int64_t>(before, 0), block * step),
          end =
              squaresBefore(orZero(size + SymExpr(before - (side - 1) * apart)),
                            block * step);
  counts.positions = counts.positions * positions;
  counts.squares = counts.squares * squares;
  counts.inside =
      counts.inside * orZero(SymExpr::apply(Fn::Min, end, squares) - first);
}

/// Times as fast, as measured: multiplications, and what the transforms take
/// beside those. The pixels of a square at the border are copied before, and
/// read as they were not written where their channels fill no vectors; the
/// columns of half a panel take as long as all.
SymExpr takesLonger(const Counts &counts, bool steps, int64_t channels,
                    int64_t columns) {
  constexpr double least = 1.1, direct = 1.05, unit = 4096;
  int64_t numbers = steps ? kWinogradStepsRows : kWinogradMatrices;
  bool fills = channels % kLanes == 0 && columns % kColumns == 0;
  double own = steps ? 1.1 : 1.18, ofTransform = steps ? 4 : 3.75,
         ofCopy = (steps ? 30 : 15) * (fills ? 1 : 3);
  double ofSquare = own + ofTransform / channels + ofTransform / columns,
         ofBorder = ofCopy / columns;
  auto whole = [](double x) { return SymExpr(std::lround(x * unit)); };
  double all = least * double(numbers);
  return SymExpr::apply(Fn::Lt, counts.positions * whole(kTaps * direct),
                        counts.squares * whole(all * (ofSquare + ofBorder)) -
                            counts.inside * whole(all * ofBorder));
}

/// Is it 1 where all that a run chooses is this large?
bool holdsAt(const SymExpr &loss, int64_t size) {
  auto all = [&](const std::string &) { return std::optional(size); };
  return loss.evaluate(all) == 1;
}

} // namespace

WinogradLoss lossByWinograd(Im2ColOp patches, int64_t channels, int64_t columns,
                            int64_t vectorBits) {
  bool steps = patches.getStrides()[0] > 1;
  Counts counts;
  for (size_t d = 0; d < 2; ++d)
    countAlong(patches, d, counts);
  if (counts.squares == SymExpr(0))
    return {1, "its result is empty"};
  // Squares that share a weight. It comes from the third cache, or if it is
  // large from memory, and what a task begins with takes longer than small
  // products. Of a run's images one is certain.
  constexpr int64_t large = 8 << 20, huge = 32 << 20, wide = 512;
  int64_t matrix = channels * columns * int64_t(sizeof(float)),
          bytes = matrix * (steps ? kWinogradStepsRows : kWinogradMatrices),
          least = steps ? 24 : 9,
          images = getDims(patches.getInput())[0].constant().value_or(1);
  if (bytes > large)
    least = steps ? 48 : vectorBits < wide ? 16 : 24;
  SymExpr outside = takesLonger(counts, steps, channels, columns),
          few = SymExpr::apply(Fn::Lt, counts.squares * SymExpr(images), least),
          loss = SymExpr::apply(Fn::Max, outside, few);
  // Steps lead to small images: where those are not known a weight has two
  // forms only if it is no larger than that.
  if (steps && bytes > large && !loss.isConstant())
    return {1, "too few positions may meet its weight"};
  // What is known decides where it does so in an image that is large in all
  // other ways.
  constexpr int64_t largest = 1 << 13, smallest = 32;
  if (holdsAt(outside, largest))
    return {1, "too much of its squares of 2x2 lies outside"};
  if (holdsAt(few, largest))
    return {1, "too few positions meet its weight"};
  // Two forms take memory, and a model that is given so little is rare.
  constexpr int64_t small = 1 << 18;
  if (bytes > huge || (kTaps * matrix > small && !holdsAt(loss, smallest)))
    return {0, {}};
  return {loss, {}};
}

} // namespace tenon
