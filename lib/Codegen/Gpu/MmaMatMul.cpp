//===- MmaMatMul.cpp - matmul on tensor cores -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two ways, of which the number of rows chooses where the tiling has a split:
//
//   tiles   a block has a tile of the result, a warp 32 x 32 of it: one panel
//   few     a block has 16 rows of a panel (gated: of each half), and each of
//           its warps a range of K, with a ring of its own: no warp waits for
//           another before the end
//
// The sums of the ranges are added in their order, in a tile by each thread as
// it comes to the end of one. So a row has the same bits in both ways: however
// many rows are computed beside it.
//
// In the end the sums go to shared memory as well, whence the epilogue takes
// them like an operand in memory: neighbouring threads have neighbouring
// columns. A gated matmul's tile has as many panels of each half.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/MmaOperands.h"

using namespace mlir;

namespace tenon {

namespace {

/// Rows and columns of a warp in a tile.
constexpr int64_t kWarpRows = 32;
/// A thread has so many neighbours of a row in the epilogue.
constexpr int64_t kQuad = 4;
/// The most that a kernel has without asking for more.
constexpr int64_t kSharedBytes = 48 << 10;

struct MmaMatMul : MmaOperands {
  using MmaOperands::MmaOperands;

  Sink sink{e};
  int64_t rows = tiling.getRows(), columns = tiling.getColumns(),
          threads = tiling.getThreads(), warps = tiling.getWarps(),
          split = tiling.getSplit();
  int64_t panelsOfTile = columns / kPanelColumns;
  /// Columns of a tile that are stored: of a gated matmul half of them.
  int64_t stored = columns / cut;
  /// Sums of `few` in shared memory, and all that a warp has there.
  int64_t bytesOfFew = kMmaRows * rowOfSums(cut) * 4, bytesOfWarp = 0,
          stagesOfFew = 0;

  /// Elements of a row of sums in shared memory.
  static int64_t rowOfSums(int64_t panels) {
    return panels * kPanelColumns + 4;
  }
  Value parts() { return L.div(L.add(k, depth - 1), depth); }
  Value ofRange() { return L.div(L.add(parts(), split - 1), split); }
  void storeSums(const MmaTeam &team, ValueRange sums);
  /// `load(r, c, vector)` gives the sums of a place in the tile.
  using LoadSums = function_ref<Value(Value r, Value c)>;
  void epilogue(const MmaTile &tile, int64_t rows, int64_t stored,
                LoadSums load);
  MmaTile tileAt(Value number, Value tilesDown, Value tilesAcross, int64_t rows,
                 int64_t panels);
  void runTiles();
  void runFew();
  bool planFew();
  void run();
};

void MmaMatMul::storeSums(const MmaTeam &team, ValueRange sums) {
  int64_t row = rowOfSums(team.panels), blocks = team.warpPanels * 4;
  Value base = L.add(L.mul(L.add(team.warpRow, g), row),
                     L.add(L.mul(team.warpPanel, kPanelColumns), L.mul(t, 2)));
  for (int64_t i = 0; i < team.warpRows / kMmaRows; ++i)
    for (int64_t j = 0; j < blocks; ++j)
      for (int64_t half = 0; half < 2; ++half) {
        size_t at = size_t(i * blocks + j) * 4 + size_t(half) * 2;
        Value pair = vector::FromElementsOp::create(
            b, L.loc, VectorType::get({2}, mma.sumType()),
            ValueRange{sums[at], sums[at + 1]});
        int64_t offset = (i * kMmaRows + half * 8) * row + j * kMmaColumns;
        ring->store(pair, L.add(team.ring, L.mul(L.add(base, offset), 4)));
      }
}

/// Neighbouring threads have neighbouring columns of a row, four each where
/// that divides the row.
void MmaMatMul::epilogue(const MmaTile &tile, int64_t rows, int64_t stored,
                         LoadSums load) {
  auto width = N.constant();
  int64_t lanes = width && *width % kQuad == 0 ? kQuad : 1;
  int64_t ofRow = stored / lanes;
  Value firstColumn = L.mul(tile.panel, kPanelColumns);
  e.loop(thread, L.index(rows * ofRow), threads, [&](Value i) {
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
        bindTo(halves->first.getResult(), 0);
        bindTo(halves->second.getResult(), 1);
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

/// Tiles of `rows` rows by `panels` of the result's.
MmaTile MmaMatMul::tileAt(Value number, Value tilesDown, Value tilesAcross,
                          int64_t rows, int64_t panels) {
  MmaTile tile;
  Value rest = L.div(number, tilesAcross);
  tile.batchIndex = shared ? L.index(0) : L.div(rest, tilesDown);
  tile.row = L.mul(shared ? rest : L.rem(rest, tilesDown), rows);
  tile.panel = L.mul(L.rem(number, tilesAcross), panels);
  tile.aAt = L.index(0);
  if (A && !shared)
    tile.aAt =
        L.mul(L.mul(tile.batchIndex, m), *K.constant() * bytesOfElement / 16);
  tile.bAt = layout.format
                 ? L.index(0)
                 : L.div(operand.at(e, tile.batchIndex, batch, L.index(0)), 4);
  return tile;
}

SymExpr ceilDiv(const SymExpr &x, int64_t y) {
  return SymExpr::apply(SymExpr::Fn::CeilDiv, x, y);
}

void MmaMatMul::runTiles() {
  Value warpPanel = L.rem(warp, panelsOfTile);
  Value warpRow = L.mul(L.div(warp, panelsOfTile), kWarpRows);
  MmaTeam team{
      /*block=*/true,     thread,    threads,         L.index(0),
      tiling.getStages(), rows,      panelsOfTile,    warpRow,
      warpPanel,          kWarpRows, /*warpPanels=*/1};
  Value across = e.dim(ceilDiv(N, stored)), down = e.dim(ceilDiv(M, rows));
  e.loop(e.begin, e.end, 1, [&](Value number) {
    MmaTile tile = tileAt(number, down, across, rows, stored / kPanelColumns);
    SmallVector<Value> sums =
        split == 1
            ? multiply(team, tile, L.index(0), parts())
            : multiply(team, tile, L.index(0), parts(), ofRange(), split);
    storeSums(team, sums);
    emitBarrier(e);
    epilogue(tile, rows, stored, [&](Value r, Value c) {
      Value at = L.add(L.mul(r, rowOfSums(panelsOfTile)), c);
      return ring->load(L.vec(mma.sumType()), L.mul(at, 4));
    });
  });
}

void MmaMatMul::runFew() {
  MmaTeam team{/*block=*/false,
               lane,
               /*threads=*/32,
               L.mul(warp, bytesOfWarp),
               stagesOfFew,
               kMmaRows,
               cut,
               L.index(0),
               L.index(0),
               kMmaRows,
               cut};
  Value across = e.dim(ceilDiv(N, kPanelColumns)),
        down = e.dim(ceilDiv(M, kMmaRows));
  Value first = L.min(L.mul(warp, ofRange()), parts());
  Value last = L.min(L.add(first, ofRange()), parts());
  e.loop(e.begin, e.end, 1, [&](Value number) {
    MmaTile tile = tileAt(number, down, across, kMmaRows, 1);
    storeSums(team, multiply(team, tile, first, last));
    emitBarrier(e);
    epilogue(tile, kMmaRows, kPanelColumns, [&](Value r, Value c) {
      Value at = L.mul(L.add(L.mul(r, rowOfSums(cut)), c), 4);
      Type type = L.vec(mma.sumType());
      Value sum = L.constant(type, 0); // as a tile's begins
      for (int64_t range = 0; range < split; ++range)
        sum = addSums(e, sum, ring->load(type, L.add(at, range * bytesOfWarp)));
      return sum;
    });
  });
}

/// How many stages of `few` have room; false where two have none.
bool MmaMatMul::planFew() {
  for (stagesOfFew = tiling.getStages(); stagesOfFew > 1; --stagesOfFew) {
    bytesOfWarp =
        std::max(stagesOfFew * bytesOfStage(kMmaRows, cut), bytesOfFew);
    if (warps * bytesOfWarp <= kSharedBytes)
      return true;
  }
  e.fail("the ranges of a split have no room beside each "
         "other: expected other than ")
      << tiling;
  return false;
}

void MmaMatMul::run() {
  // With more rows tiles read the weights less often.
  constexpr int64_t fewRows = 64;
  auto known = M.constant();
  bool few = split > 1 && (!known || *known <= fewRows), tiles = !few || !known;
  if (few && !planFew())
    return;
  SymExpr tasksOfTiles =
              productOf(batch) * ceilDiv(M, rows) * ceilDiv(N, stored),
          tasksOfFew = productOf(batch) * ceilDiv(M, kMmaRows) *
                       ceilDiv(N, kPanelColumns);
  e.info.cost = productOf(out) * K;
  e.info.tasks = !few     ? tasksOfTiles
                 : !tiles ? tasksOfFew
                          : SymExpr::select(SymExpr::apply(SymExpr::Fn::Le, M,
                                                           SymExpr(fewRows)),
                                            tasksOfFew, tasksOfTiles);
  int64_t bytes = few ? warps * bytesOfWarp : 0;
  if (tiles)
    bytes =
        std::max({bytes, tiling.getStages() * bytesOfStage(rows, panelsOfTile),
                  rows * rowOfSums(panelsOfTile) * 4});
  ring.emplace(e, e.info.symbol + "_ring", b.getI8Type(), bytes);
  if (!few)
    return runTiles();
  if (!tiles)
    return runFew();
  Value isFew = L.ule(m, fewRows);
  e.ifThen(isFew, [&] { runFew(); });
  e.ifThen(L.ugt(m, fewRows), [&] { runTiles(); });
}

} // namespace

void emitMmaMatMulKernel(KernelEmitter &e, GpuMatMulTilingAttr tiling) {
  PackedMatMulOp op = findProduct(e);
  auto operand = PackedOperand::of(e, op);
  if (!operand)
    return;
  auto fail = [&](StringRef why) { e.fail(why) << tiling; };
  FormatAttr format = op.getFormatAttr();
  if ((format && format.isInteger()) !=
      (tiling.getProducts() == MmaProducts::i8))
    return fail("integers alone are multiplied as i8: expected other products "
                "than ");
  if (matchHalves(op) && tiling.getColumns() < 2 * kPanelColumns)
    return fail("a gated matmul takes panels of each half: expected a tile of "
                "64 columns or more, found ");
  MmaMatMul(e, op, *operand, tiling).run();
}

} // namespace tenon
