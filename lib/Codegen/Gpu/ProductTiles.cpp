//===- ProductTiles.cpp - which tiles of a product a block has ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/ProductTiles.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "tenon/abi.h"

using namespace mlir;

namespace tenon {

static SymExpr ceilDiv(const SymExpr &x, int64_t y) {
  return SymExpr::apply(SymExpr::Fn::CeilDiv, x, y);
}

/// Neighbouring threads have neighbouring columns of a row, four each where
/// that divides the row.
void ProductTiles::epilogue(const MmaTile &tile, int64_t rows, int64_t stored,
                            LoadSums load, int64_t among) {
  auto width = N.constant();
  int64_t lanes = width && *width % kQuad == 0 ? kQuad : 1;
  int64_t ofRow = stored / lanes;
  Value firstColumn = L.mul(tile.panel, kPanelColumns);
  int64_t step = among ? among : threads;
  e.loop(thread, L.index(rows * ofRow), step, [&](Value i) {
    LaneScope scope(L, lanes);
    Value r = L.div(i, ofRow);
    Value c = L.mul(L.rem(i, ofRow), lanes);
    Value row = L.add(tile.row, r), column = L.add(firstColumn, c);
    Value inside = L.both(L.ult(row, m), L.ult(column, n));
    e.ifThen(inside, [&] {
      auto bindTo = [&](Value v, int64_t half) {
        Value x = load(r, L.add(c, half * stored));
        e.bind(v, [x](ArrayRef<Idx>) { return x; });
      };
      if (halves) {
        bindTo(halves->first, 0);
        bindTo(halves->second, 1);
      } else {
        bindTo(op.getResult(), 0);
      }
      SmallVector<Idx> idx = e.delinearize(tile.batchIndex, batch);
      idx.append(e.delinearize(row, rowDims));
      Idx of = lanes == 1 ? L.uniform(column) : Idx{column, 1, lanes, {}};
      idx.push_back(of);
      Value all = L.add(L.mul(tile.batchIndex, m), row);
      sink.store(e, idx, L.add(L.uniform(L.mul(all, n), lanes), of));
    });
  });
}

void ProductTiles::combineFew(const MmaTile &tile, LoadAnyRange load) {
  int64_t stored = columnsOfFew / cut;
  auto sumOf = [&](int64_t ranges, auto at) {
    Value sum = L.constant(L.vec(mma.sumType()), 0); // as a tile's begins
    for (int64_t range = 0; range < ranges; ++range)
      sum = addSums(e, sum, at(L.index(range)));
    return sum;
  };
  if (blocksOfFew() == 1)
    return epilogue(tile, kMmaRows, stored, [&](Value r, Value c) {
      return sumOf(kRangesOfBlock,
                   [&](Value range) { return load(range, r, c); });
    });
  // What this block has goes to memory, but for rows that nobody has.
  int64_t ofRow = columnsOfFew / kQuad, ofRange = kMmaRows * ofRow;
  Value first = L.mul(L.rem(task, blocksOfFew()), kRangesOfBlock);
  auto place = [&](Value range, Value r, Value c) {
    Value at = L.add(L.mul(number, split), range);
    return L.add(L.mul(L.add(L.mul(at, kMmaRows), r), columnsOfFew), c);
  };
  e.loop(thread, L.index(kRangesOfBlock * ofRange), threads, [&](Value i) {
    LaneScope scope(L, kQuad);
    Value range = L.div(i, ofRange), r = L.div(L.rem(i, ofRange), ofRow),
          c = L.mul(L.rem(i, ofRow), kQuad);
    e.ifThen(L.ult(L.add(tile.row, r), m), [&] {
      Value at = place(L.add(first, range), r, c);
      L.store(load(range, r, c), partial, Idx{at, 1, kQuad, {}}, mma.sumType());
    });
  });
  // The block that counts last adds up what all have left.
  emitBarrier(e);
  Value flag = L.index(0);
  Type i32 = b.getI32Type();
  e.ifThen(L.eq(thread, 0), [&] {
    fenceDevice(e);
    Value before = countAround(e, counters, number, L.index(blocksOfFew() - 1));
    fenceDevice(e);
    ring->store(before, flag);
  });
  emitBarrier(e);
  Value isLast = L.eq(ring->load(i32, flag), blocksOfFew() - 1);
  e.ifThen(isLast, [&] {
    epilogue(tile, kMmaRows, stored, [&](Value r, Value c) {
      return sumOf(split, [&](Value range) {
        Value at = place(range, r, c);
        int64_t lanes = L.lanes;
        return L.load(partial,
                      lanes == 1 ? L.uniform(at) : Idx{at, 1, lanes, {}},
                      mma.sumType());
      });
    });
  });
}

MmaTile ProductTiles::tileAt(const Tiles &tiles, Value matrix, Value down,
                             Value across) {
  MmaTile tile;
  tile.batchIndex = matrix;
  tile.row = L.mul(down, tiles.rows);
  tile.panel = L.mul(across, tiles.panels);
  tile.aAt = L.index(0);
  if (A && !shared)
    tile.aAt =
        L.mul(L.mul(tile.batchIndex, m), *K.constant() * bytesOfElement / 16);
  tile.bAt = L.div(operand.at(e, tile.batchIndex, batch, L.index(0)),
                   layout.format ? 16 : 4);
  return tile;
}

/// Those of a row of tiles follow each other.
MmaTile ProductTiles::tileInRows(const Tiles &tiles, Value number) {
  Value rest = L.div(number, tiles.across);
  return tileAt(tiles, shared ? L.index(0) : L.div(rest, tiles.down),
                shared ? rest : L.rem(rest, tiles.down),
                L.rem(number, tiles.across));
}

/// Those of some rows of tiles follow each other, column by column: about as
/// many as run at a time then read the fewest rows and panels.
MmaTile ProductTiles::tileInGroups(const Tiles &tiles, Value number) {
  constexpr int64_t most = 16;
  Value matrix = L.index(0);
  if (!shared) {
    Value ofMatrix = L.mul(tiles.down, tiles.across);
    matrix = L.div(number, ofMatrix);
    number = L.rem(number, ofMatrix);
  }
  Value ofGroup = L.mul(tiles.across, most);
  Value first = L.mul(L.div(number, ofGroup), most);
  Value inGroup = L.rem(number, ofGroup);
  Value height = L.min(L.sub(tiles.down, first), most);
  return tileAt(tiles, matrix, L.add(first, L.rem(inGroup, height)),
                L.div(inGroup, height));
}

/// Tells the runtime of it (abi.h).
void ProductTiles::markGrid() {
  std::string name = e.info.symbol + TENON_GPU_GRID;
  ModuleOp module = e.module();
  if (module.lookupSymbol(name))
    return;
  OpBuilder b(module.getBodyRegion());
  LLVM::GlobalOp::create(b, L.loc, b.getI32Type(), /*isConstant=*/false,
                         LLVM::Linkage::External, name, b.getI32IntegerAttr(1),
                         /*alignment=*/4,
                         unsigned(NVVM::NVVMMemorySpace::Global));
}

void ProductTiles::overTasks(const SymExpr &tasks, function_ref<void()> body) {
  task = e.begin;
  done = L.index(0);
  if (!goesOn())
    return body();
  Value all = e.dim(tasks);
  Value blocks = arith::IndexCastOp::create(
      b, L.loc, b.getIndexType(),
      NVVM::GridDimXOp::create(b, L.loc, b.getI32Type()));
  e.whileLoop(
      {task, done}, [&](ValueRange args) { return L.ult(args[0], all); },
      [&](ValueRange args) {
        Value own = task = args[0];
        done = args[1];
        body();
        return SmallVector<Value>{L.add(own, blocks), done};
      });
}

void ProductTiles::runTiles() {
  Tiles tiles{e.dim(ceilDiv(M, rows)), e.dim(ceilDiv(N, stored())), rows,
              stored() / kPanelColumns};
  emitTiles([&](Value number) {
    return goesOn() ? tileInGroups(tiles, number) : tileInRows(tiles, number);
  });
}

void ProductTiles::runFew() {
  Tiles tiles{e.dim(ceilDiv(M, kMmaRows)),
              e.dim(ceilDiv(N, panelsOfFew * kPanelColumns)), kMmaRows,
              panelsOfFew};
  beginFew();
  overTasks(tasksOfFew, [&] {
    number = L.div(task, blocksOfFew());
    Value first = L.mul(L.rem(task, blocksOfFew()), kRangesOfBlock);
    emitFew(tileInRows(tiles, number), first);
    if (!goesOn())
      return;
    // Where sums are read the next task's operands come.
    emitBarrier(e);
    fenceAsyncProxy(e);
  });
}

/// Memory for what the blocks of a tile leave each other.
bool ProductTiles::planBlocks() {
  if (blocksOfFew() == 1)
    return true;
  constexpr int64_t most = TENON_GPU_COUNTER_BYTES / 4;
  SymExpr across = ceilDiv(N, panelsOfFew * kPanelColumns);
  auto count = across.constant();
  if (!shared || !count || *count * (kFewRows / kMmaRows) > most) {
    e.fail("a split over blocks is for one matrix of weights and at most ")
        << most << " tiles: expected other than " << tiling;
    return false;
  }
  counters = e.scratchBuffer(most, b.getI32Type());
  SymExpr isFew = SymExpr::apply(SymExpr::Fn::Le, M, SymExpr(kFewRows));
  partial = e.scratchBuffer(SymExpr::select(isFew, tilesOfFew, 0) *
                                (split * kMmaRows * columnsOfFew),
                            mma.sumType());
  return true;
}

void ProductTiles::run() {
  // With more rows tiles read the weights less often.
  auto known = M.constant();
  bool few = split > 1 && (!known || *known <= kFewRows),
       tiles = !few || !known;
  tasksOfTiles = productOf(batch) * ceilDiv(M, rows) * ceilDiv(N, stored());
  tilesOfFew = productOf(batch) * ceilDiv(M, kMmaRows) *
               ceilDiv(N, panelsOfFew * kPanelColumns);
  tasksOfFew = tilesOfFew * blocksOfFew();
  // All levels of an artifact call the kernel with the same dims, and one pulls
  // what another copies.
  if (isWarpgroupTile(tiling)) {
    for (ArrayRef<SymExpr> dims :
         {ArrayRef(batch), ArrayRef(rowDims), ArrayRef(lhs), ArrayRef(out)})
      for (const SymExpr &d : dims)
        e.dim(d);
    e.dim(productOf(batch));
  }
  if (grid && tiles)
    e.dim(tasksOfTiles);
  if (grid && few)
    e.dim(tasksOfFew);
  if (goesOn())
    markGrid();
  if (few && !planBlocks())
    return;
  int64_t bytes = planShared(few, tiles);
  e.info.cost = productOf(out) * K;
  e.info.tasks = !few     ? tasksOfTiles
                 : !tiles ? tasksOfFew
                          : SymExpr::select(SymExpr::apply(SymExpr::Fn::Le, M,
                                                           SymExpr(kFewRows)),
                                            tasksOfFew, tasksOfTiles);
  ring.emplace(e, e.info.symbol + "_ring", b.getI8Type(), bytes,
               alignmentOfShared(), isWarpgroupTile(tiling));
  if (!few)
    return runTiles();
  if (!tiles)
    return runFew();
  e.ifThen(L.ule(m, kFewRows), [&] { runFew(); });
  e.ifThen(L.ugt(m, kFewRows), [&] { runTiles(); });
}

} // namespace tenon
