//===- SplitTile.h - a tile of a split attention ----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_SPLITTILE_H
#define TENON_LIB_CODEGEN_GPU_SPLITTILE_H

#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Gpu/AttentionKeys.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/Mma.h"
#include "lib/Codegen/Gpu/SharedMemory.h"
#include "lib/Codegen/Gpu/SplitAttention.h"
#include "tenon/abi.h"
#include <cmath>

namespace tenon {

inline constexpr int64_t kPanel = kPanelColumns, kQuad = 4;
/// Keys that a block has at a time.
inline constexpr int64_t kKeysOfPart = 256,
                         kPanelsOfPart = kKeysOfPart / kPanel;
/// Elements of a row of scores in shared memory.
inline constexpr int64_t kRowOfSplitScores = kPanel + 4;
/// Tiles that keep a GPU busy without a split, and the most parts of all tiles
/// that have room in scratch memory.
inline constexpr int64_t kManyTiles = 1024, kMostParts = 32768;
static_assert(kManyTiles <= TENON_GPU_COUNTER_BYTES / 4);

/// Where a block's shared memory has what, in elements of f32. A warp's scores
/// lie where its sums do in the end.
struct SplitPlan {
  SplitPlan(int64_t depth, int64_t width, int64_t ofStep, int64_t warps)
      : warps(warps), steps(llvm::divideCeil(depth, ofStep)),
        panels(llvm::divideCeil(width, kPanel)), rowOfQ(steps * ofStep + 4),
        rowOfO(panels * kPanel + 4), quads(panels * kPanel / kQuad),
        warpsAt(kMmaRows * rowOfQ), joinedAt(warpsAt + warps * ofWarp()),
        elements(joinedAt + kMmaRows * (rowOfO + 2 * quads)) {}
  /// Sums, largest scores and totals.
  int64_t ofWarp() const { return kMmaRows * (rowOfO + 2); }

  int64_t warps, steps, panels, rowOfQ, rowOfO, quads;
  int64_t warpsAt, joinedAt, elements;
};
static_assert(kRowOfSplitScores <= kPanel + 4 + 2,
              "a row of the sums, at least");

struct SplitTile {
  KernelEmitter &e;
  const AttentionOps &ops;
  GpuAttentionTilingAttr tiling;
  int64_t group, elements;
  const PackedOperand &K = ops.K, &V = ops.V;
  PackedMatMulOp qk = ops.qk, pv = ops.pv;
  SoftmaxOp softmax = ops.softmax;
  AttentionKeys seen{e, softmax.getInput(), qk.getResult()};
  LaneBuilder &L = e.L;
  mlir::OpBuilder &b = e.b;
  Sink sink{e};
  Mma mma{e, tiling.getProducts()};
  llvm::SmallVector<SymExpr> q = getDims(qk.getLhs()),
                             out = getDims(pv.getResult());
  llvm::SmallVector<SymExpr> batch{out.begin(), out.end() - 2};
  int64_t depth = *q.back().constant(), width = *out.back().constant();
  int64_t threads = tiling.getThreads(), warps = threads / 32;
  SplitPlan plan{depth, width, mma.depth(), warps};
  SymExpr M = out.end()[-2], keys = getDims(qk.getResult()).back();
  SymExpr rowsOfGroup = M * group,
          down = SymExpr::apply(SymExpr::Fn::CeilDiv, rowsOfGroup, kMmaRows);
  SymExpr tiles = *productOf(batch).divideExactly(group) * down;
  SymExpr numParts =
      SymExpr::apply(SymExpr::Fn::Max, 1,
                     SymExpr::apply(SymExpr::Fn::CeilDiv, keys, kKeysOfPart));
  /// Do blocks share out the parts of a tile?
  SymExpr split = SymExpr::apply(SymExpr::Fn::Le, tiles, kManyTiles) *
                  SymExpr::apply(SymExpr::Fn::Le, 2, numParts) *
                  SymExpr::apply(SymExpr::Fn::Le, tiles *numParts, kMostParts);
  SymExpr rowsKept = SymExpr::apply(SymExpr::Fn::Min, rowsOfGroup, kMmaRows);
  mlir::Type f32 = b.getF32Type(), i32 = b.getI32Type();
  mlir::Type four = mlir::VectorType::get({kQuad}, f32);
  mlir::Value m = e.dim(M), apart = e.dim(V.panelsApart());
  SharedArray memory{
      e,        e.info.symbol + "_tiles", f32,
      elements, /*alignment=*/16,         isWarpgroupTile(tiling)};
  mlir::Value thread = threadIndex(e);
  mlir::Value lane = L.rem(thread, 32), warp = L.div(thread, 32);
  mlir::Value g = L.div(lane, 4), t = L.rem(lane, 4);
  bool narrow = mma.isNarrow();
  /// The ks of an operand's registers, less the first of the thread's.
  llvm::SmallVector<int64_t> ks = narrow
                                      ? llvm::SmallVector<int64_t>{0, 1, 8, 9}
                                      : llvm::SmallVector<int64_t>{0, 4};
  /// A tile: rows [first, first + count) of those of matrix `matrix`.
  mlir::Value number = {}, matrix = {}, first = {}, count = {};
  mlir::Value nk = {};      ///< keys that its sequence has
  mlir::Value shorter = {}; ///< than the longest by so many; null: none is
  mlir::Value counters = {}, left = {}; ///< in scratch memory
  mlir::Value low = L.constant(f32, -HUGE_VAL), zero = L.constant(f32, 0);

  struct Row {
    mlir::Value batchIndex, row;
    llvm::SmallVector<Idx> lead;
  };
  /// Where a panel of keys, or the values of these keys, begin.
  struct Place {
    mlir::Value at;
    mlir::Value page; ///< the number of the page that it lies in; null: in none
  };
  /// A row's largest score, the sum of its weights, and four of its sums.
  struct Item {
    mlir::Value largest, total, sums;
  };
  using Body = llvm::function_ref<void(mlir::Value row, mlir::Value quad)>;

  Row rowAt(mlir::Value r);
  Place placeOf(const PackedOperand &operand, int64_t rows, mlir::Value panel);
  mlir::Value loadQuad(const PackedOperand &operand, mlir::Value at,
                       mlir::Value inside);
  mlir::Value loadScale(const PackedOperand &operand, mlir::Value page,
                        mlir::Value key);
  void findKeys();
  mlir::Value extract(mlir::Value quad, int64_t i) {
    return mlir::vector::ExtractOp::create(b, L.loc, quad,
                                           llvm::ArrayRef<int64_t>{i});
  }
  mlir::Value fromElements(mlir::ValueRange values) {
    return mlir::vector::FromElementsOp::create(b, L.loc, four, values);
  }
  mlir::Value scaled(mlir::Value quad, mlir::Value by) {
    return L.mul(quad, mlir::vector::BroadcastOp::create(b, L.loc, four, by));
  }
  void fillQueries();
  llvm::SmallVector<mlir::Value> multiplyKeys(const Place &place);
  void pullScores(llvm::ArrayRef<mlir::Value> scores, const Place &place,
                  mlir::Value panel);
  void weigh(llvm::SmallVector<mlir::Value> &carried);
  llvm::SmallVector<mlir::Value> multiplyValues(mlir::Value panel,
                                                mlir::ValueRange init);
  mlir::Value roomOfWarp() {
    return L.add(L.mul(warp, plan.ofWarp()), plan.warpsAt);
  }
  /// Of its warp: row g, key 8t.
  mlir::Value scoresOfThread() {
    return L.add(roomOfWarp(), L.add(L.mul(g, kRowOfSplitScores), L.mul(t, 8)));
  }
  void passOver(mlir::Value begin, mlir::Value end);
  void forItems(Body body);
  Item ofWarps(mlir::Value r, mlir::Value quad);
  Item joinItems(const Item &x, const Item &y);
  Item loadJoined(mlir::Value r, mlir::Value quad);
  void storeJoined(const Item &item, mlir::Value r, mlir::Value quad);
  mlir::Value placeOfPart(mlir::Value part, mlir::Value r) {
    mlir::Value at = L.add(L.mul(number, e.dim(numParts)), part);
    at = L.add(L.mul(at, e.dim(rowsKept)), r);
    return L.mul(at, plan.panels * kPanel + kQuad);
  }
  void storePart(const Item &item, mlir::Value part, mlir::Value r,
                 mlir::Value quad);
  Item loadPart(mlir::Value part, mlir::Value r, mlir::Value quad);
  mlir::Value isLast(mlir::Value blocks);
  AttentionKeys::Parts allPanels();
  AttentionKeys::Parts panelsSeen();
  mlir::Value isAnyMasked();
  void passOverParts(mlir::Value begin, mlir::Value end,
                     const AttentionKeys::Parts &panels, mlir::Value alone);
  void joinParts();
  void epilogue();
  void run();
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_SPLITTILE_H
