//===- MmaMatMul.cpp - matmul on tensor cores -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// By mma.sync. In a tile a warp has 32 x 32: one panel. Of few rows each warp
// has a panel and a range of K, with a ring of its own: no warp waits for
// another before the end. A panel's sums then go to shared memory.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/ProductTiles.h"

using namespace mlir;

namespace tenon {

namespace {

/// Rows and columns of a warp in a tile.
constexpr int64_t kWarpRows = 32;
/// The most that a kernel has without asking for more.
constexpr int64_t kSharedBytes = 48 << 10;

class MmaMatMul : public ProductTiles {
public:
  using ProductTiles::ProductTiles;

protected:
  int64_t planShared(bool few, bool tiles) override;
  void emitTile(const MmaTile &tile) override;
  void emitFew(const MmaTile &tile, Value first) override;

private:
  void storeSums(const MmaTeam &team, ValueRange sums);
  void planFew();

  /// What a warp of `few` has in shared memory, and its stages there.
  int64_t bytesOfWarp = 0, stagesOfFew = 0;
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

void MmaMatMul::emitTile(const MmaTile &tile) {
  Value warpPanel = L.rem(warp, panelsOfTile);
  Value warpRow = L.mul(L.div(warp, panelsOfTile), kWarpRows);
  MmaTeam team{
      /*block=*/true,     thread,    threads,         L.index(0),
      tiling.getStages(), rows,      panelsOfTile,    warpRow,
      warpPanel,          kWarpRows, /*warpPanels=*/1};
  storeSums(team, split == 1 ? multiply(team, tile, L.index(0), parts())
                             : multiply(team, tile, L.index(0), parts(),
                                        ofRange(), split));
  emitBarrier(e);
  epilogue(tile, rows, stored(), [&](Value r, Value c) {
    Value at = L.add(L.mul(r, rowOfSums(panelsOfTile)), c);
    return ring->load(L.vec(mma.sumType()), L.mul(at, 4));
  });
}

void MmaMatMul::emitFew(const MmaTile &tile, Value first) {
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
  MmaTile own = tile;
  own.panel = L.add(tile.panel, L.rem(warp, panelsOfFew));
  Value range = L.add(first, L.div(warp, panelsOfFew));
  Value from = L.min(L.mul(range, ofRange()), parts());
  storeSums(team,
            multiply(team, own, from, L.min(L.add(from, ofRange()), parts())));
  emitBarrier(e);
  // Column c is one of a panel, each half of which a warp has.
  int64_t ofHalf = panelsOfFew * kPanelColumns;
  combineFew(tile, [&](Value inBlock, Value r, Value c) {
    Value half = L.div(c, ofHalf), inHalf = L.rem(c, ofHalf);
    Value column =
        L.add(L.mul(half, kPanelColumns), L.rem(inHalf, kPanelColumns));
    Value of = L.add(L.mul(inBlock, panelsOfFew), L.div(inHalf, kPanelColumns));
    Value at = L.mul(L.add(L.mul(r, rowOfSums(cut)), column), 4);
    return ring->load(L.vec(mma.sumType()), L.add(at, L.mul(of, bytesOfWarp)));
  });
}

/// As many stages of `few` as have room; two have at least by asking for it.
void MmaMatMul::planFew() {
  int64_t bytesOfFew = kMmaRows * rowOfSums(cut) * 4;
  for (int64_t most : {kSharedBytes, kMostShared})
    for (stagesOfFew = tiling.getStages(); stagesOfFew > 1; --stagesOfFew) {
      bytesOfWarp =
          std::max(stagesOfFew * bytesOfStage(kMmaRows, cut), bytesOfFew);
      if (warps * bytesOfWarp <= most)
        return;
    }
  llvm_unreachable("a split's warps, eight at most, have room");
}

int64_t MmaMatMul::planShared(bool few, bool tiles) {
  if (few)
    planFew();
  int64_t bytes = few ? warps * bytesOfWarp : 0;
  if (tiles)
    bytes =
        std::max({bytes, tiling.getStages() * bytesOfStage(rows, panelsOfTile),
                  rows * rowOfSums(panelsOfTile) * 4});
  return bytes;
}

} // namespace

bool isWarpgroupTile(GpuMatMulTilingAttr tiling) {
  return tiling.getRows() == 128 && tiling.getColumns() == 64 &&
         tiling.getProducts() != MmaProducts::i8;
}

void emitMmaMatMulKernel(KernelEmitter &e, GpuMatMulTilingAttr tiling,
                         bool grid) {
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
  if (isWarpgroupTile(tiling) && e.target.cpu == "sm_90a")
    return emitWarpgroupMatMul(e, op, *operand, tiling, grid);
  MmaMatMul(e, op, *operand, tiling, grid).run();
}

} // namespace tenon
