//===- WarpgroupMatMul.cpp - matmul by products of warpgroups -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block is two warpgroups with a ring of stages between them, 128 bytes of K
// each, and two mbarriers a stage:
//
//   the second fills   wait until stage s is empty; pull rows of A, convert and
//                      store them swizzled; begin to copy panels of B; arrive
//                      at its `full`, at once and when the copies are done
//   the first one      wait until stage s is full; fence; load the weights'
//   multiplies         registers; wgmma; wait for it; arrive at its `empty`
//
// What need not be computed the copy engine brings, a box a stage, swizzled: A
// of 16 bits that is multiplied as it lies in memory, and panels without
// scales. One thread asks for it. Where that is both, the other threads do
// nothing.
//
// The sums alone are half of the registers that a thread has where two blocks
// fit a multiprocessor. So the second warpgroup lends some to the first one.
//
// So what computes A may take its time, and weights come in whatever format.
// Few rows are the same with 16 rows in place of 128: bits do not depend on how
// many columns a wgmma has. Sums go to shared memory in the end, those of each
// range of few rows to a place of their own.
//
// Blocks of a grid go from tile to tile, and the ring with them: what was over
// of it goes on counting. While the first warpgroup stores a tile, alone, the
// second one fills the stages of the next. The other block of the
// multiprocessor multiplies meanwhile. So the sums have a place beside the
// ring, of some rows at a time, and the others wait in their registers.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/ProductTiles.h"
#include "lib/Codegen/Gpu/Wgmma.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace tenon {

namespace {

/// Number of the barrier at which the first warpgroup waits for itself.
constexpr int64_t kOwnBarrier = 1;
constexpr int64_t kBytesOfBarrier = 8;
/// Rows of a grid's sums that are in shared memory at a time: what is left in
/// registers leaves the epilogue no fewer than it has without a grid.
constexpr int64_t kRowsAtOnce = 32;

class WarpgroupMatMul : public ProductTiles {
public:
  using ProductTiles::ProductTiles;

protected:
  int64_t planShared(bool few, bool tiles) override;
  bool goesOn() const override { return grid; }
  void emitTile(const MmaTile &tile) override;
  void emitTiles(FindTile find) override;
  void emitFew(const MmaTile &tile, Value first) override;
  void beginFew() override { createBarriers(fewPlan); }
  int64_t rowsOfPart() const override { return depthOfStage; }
  int64_t alignmentOfShared() const override { return kSwizzleAlignment; }

private:
  int64_t bytesOfNumber = mma.isNarrow() ? 2 : 4;
  int64_t depthOfStage = kSwizzleBytes / bytesOfNumber;
  /// Of the layout of B, each with its header.
  int64_t partsOfStage = depthOfStage / depth;
  int64_t planes = mma.getProducts() == MmaProducts::tf32x3 ? 2 : 1;
  /// Of a panel, what a stage has.
  int64_t bytesOfBox = partsOfStage * bytesOfPanel;
  bool boxesA = false; ///< as boxesB
  Value mapB;

  /// How a tile's or few rows' shared memory is used.
  struct Plan {
    int64_t rows, panels; ///< of a stage; panels of both halves
    Value mapA = {};
    int64_t stages = 0;
    int64_t weightsAt = 0, sumsAt = 0, barriersAt = 0, bytes = 0;
  };
  Plan tilePlan{rows, panelsOfTile}, fewPlan{kMmaRows, panelsOfFew *cut};

  int64_t planeBytes(const Plan &plan) const {
    return plan.rows * kSwizzleBytes;
  }
  bool fits(Plan &plan, int64_t stages, bool few) const;
  void planBoxes(bool few, bool tiles);
  Value fullAt(const Plan &plan, Value stage) {
    return L.add(L.mul(stage, kBytesOfBarrier), plan.barriersAt);
  }
  Value emptyAt(const Plan &plan, Value stage) {
    return L.add(fullAt(plan, stage), plan.stages * kBytesOfBarrier);
  }
  MmaTeam weightsTeam(const Plan &plan, Value ofGroup);
  void fillBoxes(const Plan &plan, const MmaTile &tile, Value number,
                 Value stage);
  void fill(const Plan &plan, const MmaTile &tile, Value ofGroup, Value number,
            Value stage);
  void copyPanels(const Plan &plan, const MmaTile &tile, Value ofGroup,
                  Value number, Value stage);
  void pullRows(const Plan &plan, const MmaTile &tile, Value ofGroup,
                Value number, Value stage);
  Column columnAt(const Plan &plan, Value stage, int64_t part, Value panel,
                  int64_t more, Value j);
  SmallVector<Value> multiplyStage(const Plan &plan, Value stage,
                                   ValueRange sums);
  void storeSums(const Plan &plan, ValueRange sums, Value at);
  /// Calls `finish(range, ..., sums)` for each of the ranges [first, last) of
  /// K.
  using Done = function_ref<SmallVector<Value>(Value, ValueRange, ValueRange)>;
  SmallVector<Value> multiplyRanges(const Plan &plan, Value first, Value last,
                                    ValueRange carried, Done finish);
  SmallVector<Value> multiplyTile(const Plan &plan);
  void createBarriers(const Plan &plan);
  void byFillers(function_ref<void()> fills);
  void fillStages(const Plan &plan, const MmaTile &tile, Value begin,
                  Value end);
  void emitStages(const Plan &plan, const MmaTile &tile, Value begin, Value end,
                  function_ref<void()> multiplies);
  void storeTile(const Plan &plan, const MmaTile &tile, ValueRange sums);
  Value beginOf(Value range) { return L.min(L.mul(range, ofRange()), parts()); }
};

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

bool WarpgroupMatMul::fits(Plan &plan, int64_t stages, bool few) const {
  plan.stages = stages;
  plan.weightsAt = stages * planes * planeBytes(plan);
  int64_t end =
      plan.weightsAt + stages * partsOfStage * plan.panels * bytesOfPanel;
  // A tile's sums take the place of its operands; those of a range, or of a
  // grid, come while others are still multiplied.
  int64_t rowsOfSums = grid && !few ? kRowsAtOnce : plan.rows;
  int64_t ofSums = rowsOfSums * rowOfSums(plan.panels) * 4;
  plan.sumsAt = few || grid ? end : 0;
  end = std::max(end, plan.sumsAt + (few ? kRangesOfBlock : 1) * ofSums);
  plan.barriersAt = llvm::alignTo(end, kBytesOfBarrier);
  plan.bytes = plan.barriersAt + 2 * stages * kBytesOfBarrier;
  return plan.bytes <= kMostShared;
}

/// What the copy engine can bring: rows and lines of whole 16 bytes, at places
/// that are known.
void WarpgroupMatMul::planBoxes(bool few, bool tiles) {
  auto depthOfAll = K.constant();
  if (!depthOfAll || *depthOfAll == 0)
    return;
  auto lhsAt = dyn_cast<BlockArgument>(op.getLhs());
  boxesA = mma.isNarrow() && liesInRows(mma.narrowType(), bytesOfNumber);
  for (auto [plan, isThere] :
       {std::pair(&fewPlan, few), std::pair(&tilePlan, tiles)})
    if (boxesA && isThere)
      plan->mapA = e.tensorMap({lhsAt.getArgNumber(),
                                bytesOfNumber,
                                {K, M, productOf(batch)},
                                {depthOfStage, plan->rows, 1}});
  constexpr int64_t word = 4;
  int64_t inMemory = layout.format ? *packed.back().constant()
                                   : *depthOfAll * layout.bytesOfGroup;
  boxesB = shared && isa<BlockArgument>(op.getPacked()) &&
           !layout.bytesOfHeader && !layout.block &&
           inMemory % kSwizzleBytes == 0 &&
           bytesOfPanel % kSwizzleAlignment == 0;
  if (boxesB)
    mapB = e.tensorMap({operand.getMemory().getArgNumber(),
                        word,
                        {kSwizzleBytes / word, inMemory / kSwizzleBytes,
                         packed[packed.size() - inner]},
                        {kSwizzleBytes / word, bytesOfBox / kSwizzleBytes, 1}});
}

int64_t WarpgroupMatMul::planShared(bool few, bool tiles) {
  planBoxes(few, tiles);
  // Few rows wait for memory: what has room is on its way.
  constexpr int64_t mostOfFew = 8;
  auto bytesOf = [&](Plan &plan, int64_t stages, bool isFew) {
    while (!fits(plan, stages, isFew) && stages > 2)
      --stages;
    return plan.bytes;
  };
  int64_t ofFew = few ? bytesOf(fewPlan, mostOfFew, true) : 0,
          ofTiles = tiles ? bytesOf(tilePlan, tiling.getStages(), false) : 0;
  return std::max(ofFew, ofTiles);
}

//===----------------------------------------------------------------------===//
// The warpgroup that fills
//===----------------------------------------------------------------------===//

/// A thread of a warpgroup among those that copy panels; a stage of theirs is a
/// part of the layout.
MmaTeam WarpgroupMatMul::weightsTeam(const Plan &plan, Value ofGroup) {
  return {/*block=*/false,
          ofGroup,
          kWarpgroup,
          L.index(plan.weightsAt),
          plan.stages * partsOfStage,
          /*rows=*/0,
          plan.panels,
          L.index(0),
          L.index(0),
          0,
          0};
}

void WarpgroupMatMul::pullRows(const Plan &plan, const MmaTile &tile,
                               Value ofGroup, Value number, Value stage) {
  constexpr int64_t unit = 16;
  int64_t ofRow = depthOfStage / kQuad, bytes = kQuad * bytesOfNumber;
  Value base = L.mul(stage, planes * planeBytes(plan));
  Wgmma wgmma(e, mma, plan.rows);
  e.loop(ofGroup, L.index(plan.rows * ofRow), kWarpgroup, [&](Value i) {
    Value r = L.div(i, ofRow), c = L.rem(i, ofRow);
    Value row = L.min(L.add(tile.row, r), L.sub(m, 1));
    Value column = L.add(L.mul(number, depthOfStage), L.mul(c, kQuad));
    Value block = L.div(c, unit / bytes), inBlock = L.rem(c, unit / bytes);
    Value place =
        L.add(L.mul(L.bitXor(block, L.rem(r, 8)), unit), L.mul(inBlock, bytes));
    Value to = L.add(base, L.add(L.mul(r, kSwizzleBytes), place));
    pullA(tile, row, column, depthOfStage, [&](int64_t i, Value x) {
      wgmma.store(*ring, x, L.add(to, i * bytesOfNumber), planeBytes(plan));
    });
  });
}

/// Done by one thread.
void WarpgroupMatMul::fillBoxes(const Plan &plan, const MmaTile &tile,
                                Value number, Value stage) {
  Mbarriers barriers(e, *ring);
  Value full = fullAt(plan, stage);
  int64_t ofA = boxesA ? planeBytes(plan) : 0,
          ofB = boxesB ? plan.panels * bytesOfBox : 0;
  barriers.arriveExpecting(full, ofA + ofB);
  if (boxesA)
    barriers.copyBox(L.mul(stage, ofA), plan.mapA,
                     {L.mul(number, depthOfStage), tile.row, tile.batchIndex},
                     full);
  if (!boxesB)
    return;
  Value line = L.mul(number, bytesOfBox / kSwizzleBytes);
  Value base = L.add(L.mul(stage, ofB), plan.weightsAt);
  int64_t ofHalf = plan.panels / cut;
  for (int64_t p = 0; p < plan.panels; ++p) {
    Value panel = L.add(tile.panel, p % ofHalf);
    if (p >= ofHalf) // the second half's lie behind all of the first's
      panel = L.add(panel, np);
    barriers.copyBox(L.add(base, p * bytesOfBox), mapB,
                     {L.index(0), line, panel}, full);
  }
}

void WarpgroupMatMul::fill(const Plan &plan, const MmaTile &tile, Value ofGroup,
                           Value number, Value stage) {
  // Copies take their time, while rows are pulled.
  if (boxesA && boxesB)
    return fillBoxes(plan, tile, number, stage);
  if (boxesA || boxesB)
    e.ifThen(L.eq(ofGroup, 0), [&] { fillBoxes(plan, tile, number, stage); });
  if (!boxesB)
    copyPanels(plan, tile, ofGroup, number, stage);
  if (!boxesA)
    pullRows(plan, tile, ofGroup, number, stage);
}

void WarpgroupMatMul::copyPanels(const Plan &plan, const MmaTile &tile,
                                 Value ofGroup, Value number, Value stage) {
  MmaTeam team = weightsTeam(plan, ofGroup);
  auto divides = K.constant();
  for (int64_t part = 0; part < partsOfStage; ++part) {
    Value ofAll = L.add(L.mul(number, partsOfStage), part);
    Value exists;
    if (!divides || *divides % depthOfStage)
      exists = L.ult(L.mul(ofAll, depth), k);
    fillB(team, tile, ofAll, L.add(L.mul(stage, partsOfStage), part), exists);
  }
}

//===----------------------------------------------------------------------===//
// The warpgroup that multiplies
//===----------------------------------------------------------------------===//

/// Of a part of a stage.
MmaOperands::Column WarpgroupMatMul::columnAt(const Plan &plan, Value stage,
                                              int64_t part, Value panel,
                                              int64_t more, Value j) {
  if (!boxesB)
    return columnOf(weightsTeam(plan, thread),
                    L.add(L.mul(stage, partsOfStage), part), panel, more, j);
  Value box = L.add(L.mul(stage, plan.panels), panel);
  return {*this,
          L.add(L.mul(box, bytesOfBox),
                plan.weightsAt + more * bytesOfBox + part * bytesOfPanel),
          j};
}

SmallVector<Value> WarpgroupMatMul::multiplyStage(const Plan &plan, Value stage,
                                                  ValueRange sums) {
  Wgmma wgmma(e, mma, plan.rows);
  WgmmaMatrix right =
      wgmma.describe(*ring, L.mul(stage, planes * planeBytes(plan)));
  int64_t groups = plan.panels * kPanelColumns / kWgmmaRows;
  size_t ofGroup = size_t(wgmma.numSums());
  SmallVector<Value> result;
  for (int64_t group = 0; group < groups; ++group) {
    // A warp has 16 columns: of half a panel.
    Value panel = L.div(warp, 2);
    Value block = L.mul(L.rem(warp, 2), 2);
    SmallVector<WgmmaStep> steps;
    for (int64_t part = 0; part < partsOfStage; ++part) {
      SmallVector<Column> columns;
      for (int64_t eight = 0; eight < 2; ++eight)
        columns.push_back(columnAt(plan, stage, part, panel,
                                   group * kWgmmaRows / kPanelColumns,
                                   L.add(block, eight)));
      for (int64_t kk = 0; kk < depth; kk += mma.depth()) {
        Mma::Fragment left = fragmentOf(columns, kk);
        WgmmaMatrix high = right.after((part * depth + kk) * bytesOfNumber);
        if (!left.low.empty()) { // the small products first
          steps.push_back({left.high, high.after(planeBytes(plan))});
          steps.push_back({left.low, high});
        }
        steps.push_back({left.high, high});
      }
    }
    SmallVector<Value> own(sums.slice(size_t(group) * ofGroup, ofGroup));
    llvm::append_range(result, wgmma.multiply(own, steps));
  }
  return result;
}

/// Sums lie as those of mma.sync do, exchanged: a thread has columns g and g +
/// 8 of its warp's, or those that it has of both halves of a panel, and of each
/// 8 rows two that follow each other.
void WarpgroupMatMul::storeSums(const Plan &plan, ValueRange sums, Value at) {
  int64_t row = rowOfSums(plan.panels), eight = 8;
  Value column = L.add(L.mul(warp, kMmaRows), g);
  if (areApart()) {
    eight = 4;
    Value half = L.add(L.mul(L.div(warp, 2), 2), L.div(g, 4));
    column = L.add(L.mul(half, kPanelColumns / 2),
                   L.add(L.mul(L.rem(warp, 2), 2 * eight), L.rem(g, 4)));
  }
  Value base = L.add(L.mul(L.mul(t, 2), row), column);
  size_t ofGroup = size_t(plan.rows) / 2;
  for (auto [i, sum] : llvm::enumerate(sums)) {
    int64_t group = int64_t(i / ofGroup), inGroup = int64_t(i % ofGroup);
    int64_t r = inGroup / 4 * 8 + inGroup % 2,
            c = group * kWgmmaRows + inGroup / 2 % 2 * eight;
    ring->store(sum, L.add(at, L.mul(L.add(base, r * row + c), 4)));
  }
}

SmallVector<Value> WarpgroupMatMul::multiplyRanges(const Plan &plan,
                                                   Value first, Value last,
                                                   ValueRange carried,
                                                   Done finish) {
  Mbarriers barriers(e, *ring);
  Value begin = beginOf(first);
  int64_t count = plan.rows / 2 * plan.panels * kPanelColumns / kWgmmaRows;
  SmallVector<Value> zeros(size_t(count), L.constant(mma.sumType(), 0));
  return e.loop(first, last, 1, carried, [&](Value range, ValueRange before) {
    Value from = beginOf(range);
    Value to = L.min(L.add(from, ofRange()), parts());
    SmallVector<Value> kept(before);
    SmallVector<Value> sums =
        e.loop(from, to, 1, zeros, [&](Value i, ValueRange args) {
          Value number = L.add(done, L.sub(i, begin));
          Value stage = L.rem(number, plan.stages);
          Value parity = L.rem(L.div(number, plan.stages), 2);
          barriers.await(fullAt(plan, stage), parity);
          if (!boxesA) // else threads have written nothing that wgmma reads
            fenceAsyncProxy(e);
          SmallVector<Value> next = multiplyStage(plan, stage, args);
          barriers.arrive(emptyAt(plan, stage));
          return next;
        });
    return finish(range, kept, sums);
  });
}

SmallVector<Value> WarpgroupMatMul::multiplyTile(const Plan &plan) {
  int64_t count = plan.rows / 2 * plan.panels * kPanelColumns / kWgmmaRows;
  SmallVector<Value> zeros(size_t(count), L.constant(mma.sumType(), 0));
  return multiplyRanges(plan, L.index(0), L.index(split), zeros,
                        [&](Value, ValueRange totals, ValueRange sums) {
                          if (split == 1)
                            return SmallVector<Value>(sums);
                          SmallVector<Value> next;
                          for (auto [total, sum] :
                               llvm::zip_equal(totals, sums))
                            next.push_back(addSums(e, total, sum));
                          return next;
                        });
}

//===----------------------------------------------------------------------===//
// Both
//===----------------------------------------------------------------------===//

void WarpgroupMatMul::createBarriers(const Plan &plan) {
  Mbarriers barriers(e, *ring);
  // A thread arrives for what it stores, and for what it copies; one more for
  // boxes.
  int64_t arrivals = (boxesA ? 0 : kWarpgroup) + (boxesB ? 0 : kWarpgroup) +
                     (boxesA || boxesB ? 1 : 0);
  e.ifThen(L.eq(thread, 0), [&] {
    for (int64_t stage = 0; stage < plan.stages; ++stage) {
      barriers.create(fullAt(plan, L.index(stage)), arrivals);
      barriers.create(emptyAt(plan, L.index(stage)), kWarpgroup);
    }
    if (boxesA || boxesB)
      barriers.fence();
  });
  emitBarrier(e);
}

void WarpgroupMatMul::fillStages(const Plan &plan, const MmaTile &tile,
                                 Value begin, Value end) {
  Mbarriers barriers(e, *ring);
  Value ofGroup = L.sub(thread, kWarpgroup);
  e.loop(begin, end, 1, [&](Value i) {
    Value number = L.add(done, L.sub(i, begin));
    Value stage = L.rem(number, plan.stages);
    Value parity = L.rem(L.add(L.div(number, plan.stages), 1), 2);
    barriers.await(emptyAt(plan, stage), parity);
    fill(plan, tile, ofGroup, i, stage);
    // Lanes that pull what others do not go on together: else some might spin
    // for the next stage before the others have arrived for this one.
    if (!boxesA)
      emitWarpBarrier(e);
    if (!boxesB)
      barriers.arriveAfterCopies(fullAt(plan, stage));
    if (!boxesA)
      barriers.arrive(fullAt(plan, stage));
  });
}

/// By the second warpgroup's threads, or one of them.
void WarpgroupMatMul::byFillers(function_ref<void()> fills) {
  e.ifThen(L.uge(thread, kWarpgroup), [&] {
    giveRegisters(e, kRegistersToFill);
    if (boxesA && boxesB)
      e.ifThen(L.eq(thread, kWarpgroup), fills);
    else
      fills();
  });
}

void WarpgroupMatMul::emitStages(const Plan &plan, const MmaTile &tile,
                                 Value begin, Value end,
                                 function_ref<void()> multiplies) {
  byFillers([&] { fillStages(plan, tile, begin, end); });
  e.ifThen(L.ult(thread, kWarpgroup), [&] {
    takeRegisters(e, kRegistersToMultiply);
    multiplies();
    // Warps have to meet between taking and giving.
    emitBarrier(e, kOwnBarrier, kWarpgroup);
    giveRegisters(e, kRegisters);
  });
  emitBarrier(e);
  // No sooner, or a warp that is late to multiply would find none.
  e.ifThen(L.uge(thread, kWarpgroup), [&] { takeRegisters(e, kRegisters); });
}

void WarpgroupMatMul::emitTile(const MmaTile &tile) {
  const Plan &plan = tilePlan;
  done = L.index(0);
  createBarriers(plan);
  emitStages(plan, tile, L.index(0), parts(), [&] {
    SmallVector<Value> sums = multiplyTile(plan);
    // The sums take the place of what the other warps may still multiply.
    emitBarrier(e, kOwnBarrier, kWarpgroup);
    storeSums(plan, sums, L.index(plan.sumsAt));
  });
  epilogue(tile, rows, stored(), [&](Value r, Value c) {
    Value at = L.add(L.mul(r, rowOfSums(plan.panels)), c);
    return ring->load(L.vec(mma.sumType()), L.add(L.mul(at, 4), plan.sumsAt));
  });
}

/// By the first warpgroup's threads, some rows at a time.
void WarpgroupMatMul::storeTile(const Plan &plan, const MmaTile &tile,
                                ValueRange sums) {
  int64_t passes = plan.rows / kRowsAtOnce;
  size_t ofPass = sums.size() / size_t(passes);
  SmallVector<Value> nothing(ofPass, L.constant(mma.sumType(), 0));
  e.loop(L.index(0), L.index(passes), 1, sums, [&](Value i, ValueRange args) {
    // Whoever reads those of the pass before, or of the tile, has done so.
    emitBarrier(e, kOwnBarrier, kWarpgroup);
    storeSums(plan, args.take_front(ofPass), L.index(plan.sumsAt));
    emitBarrier(e, kOwnBarrier, kWarpgroup);
    MmaTile rowsOf = tile;
    rowsOf.row = L.add(tile.row, L.mul(i, kRowsAtOnce));
    epilogue(
        rowsOf, kRowsAtOnce, stored(),
        [&](Value r, Value c) {
          Value at = L.mul(L.add(L.mul(r, rowOfSums(plan.panels)), c), 4);
          return ring->load(L.vec(mma.sumType()), L.add(at, plan.sumsAt));
        },
        kWarpgroup);
    SmallVector<Value> next(args.drop_front(ofPass));
    next.append(nothing);
    return next;
  });
}

void WarpgroupMatMul::emitTiles(FindTile find) {
  if (!goesOn())
    return ProductTiles::emitTiles(find);
  const Plan &plan = tilePlan;
  createBarriers(plan);
  byFillers([&] {
    overTasks(tasksOfTiles, [&] {
      fillStages(plan, find(task), L.index(0), parts());
      done = L.add(done, parts());
    });
  });
  e.ifThen(L.ult(thread, kWarpgroup), [&] {
    takeRegisters(e, kRegistersToMultiply);
    overTasks(tasksOfTiles, [&] {
      MmaTile tile = find(task);
      storeTile(plan, tile, multiplyTile(plan));
      done = L.add(done, parts());
    });
  });
}

void WarpgroupMatMul::emitFew(const MmaTile &tile, Value first) {
  const Plan &plan = fewPlan;
  int64_t ofRange = plan.rows * rowOfSums(plan.panels) * 4;
  Value last = L.add(first, kRangesOfBlock);
  emitStages(plan, tile, beginOf(first), beginOf(last), [&] {
    multiplyRanges(plan, first, last, {},
                   [&](Value range, ValueRange, ValueRange sums) {
                     Value at = L.mul(L.sub(range, first), ofRange);
                     storeSums(plan, sums, L.add(at, plan.sumsAt));
                     return SmallVector<Value>();
                   });
  });
  done = L.add(done, L.sub(beginOf(last), beginOf(first)));
  combineFew(tile, [&](Value range, Value r, Value c) {
    Value at = L.add(L.mul(r, rowOfSums(plan.panels)), c);
    return ring->load(
        L.vec(mma.sumType()),
        L.add(L.add(L.mul(at, 4), plan.sumsAt), L.mul(range, ofRange)));
  });
}

} // namespace

void emitWarpgroupMatMul(KernelEmitter &e, PackedMatMulOp op,
                         const PackedOperand &operand,
                         GpuMatMulTilingAttr tiling, bool grid) {
  WarpgroupMatMul(e, op, operand, tiling, grid).run();
}

} // namespace tenon
