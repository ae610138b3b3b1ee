//===- AttentionKernel.h - softmax(Q K^T) V on a CPU ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel whole (AttentionKernel.cpp), its products of codes
// (AttentionCodes.cpp), which keys of it count (AttentionRange.cpp), and in two
// halves (SplitAttention.cpp).
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_ATTENTIONKERNEL_H
#define TENON_LIB_CODEGEN_CPU_ATTENTIONKERNEL_H

#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Emit/AttentionOps.h"
#include "lib/Codegen/Form/AttentionMask.h"

namespace tenon {

/// The keys [begin, end) of a block of rows; `begin` starts a panel.
struct KeyRange {
  mlir::Value begin, end;
};

/// The rows of a task are numbered as those of its `heads` matrices, the rows
/// of one query side by side.
struct AttentionKernel : AttentionOps {
  AttentionKernel(const AttentionOps &ops, KernelEmitter &e, int64_t queryRows)
      : AttentionOps(ops), e(e), queryRows(queryRows) {}

  KernelEmitter &e;
  int64_t queryRows; // of a task
  LaneBuilder &L = e.L;
  mlir::OpBuilder &b = e.b;
  Sink sink{e};
  mlir::Type f32 = b.getF32Type();
  unsigned lanes = e.vectorLanes();
  llvm::SmallVector<SymExpr> q = getDims(qk.getLhs()),
                             k = getDims(qk.getPacked()),
                             v = getDims(pv.getPacked()),
                             scoreDims = getDims(qk.getResult()),
                             out = getDims(pv.getResult());
  llvm::SmallVector<SymExpr> batch{out.begin(), out.end() - 2};
  SymExpr rowsQ = out[out.size() - 2], depth = q.back(),
          keys = scoreDims.back(), N = out.back();
  /// Of codes or bf16, queries by keys and weights by values; null: f32.
  FormatAttr format = qk.getFormatAttr(), valueFormat = pv.getFormatAttr();
  SymExpr ld = k[k.size() - (format ? 2 : 3)] * kPanelColumns; // of the scores
  SymExpr rowSize = sizeOfRow();                               // of queries
  /// So many matrices in a row read the same keys and values.
  int64_t heads = countHeads();
  SymExpr rowsAll = rowsQ * heads, groups = groupsOf();
  KeyMask mask = findMask();
  mlir::Value queries = {}, scores = {}, inverse = {}, tile = {};
  mlir::Value sums = {}; ///< a tile of integers
  /// Rows of codes that meet values, and the sum of each.
  mlir::Value codes = {}, codeSums = {};
  ReduceOp rowSum = findRowSum(); ///< null: nothing reads those sums
  mlir::Value scoresAt = {};      ///< where the block's scores begin
  mlir::Value keyPlaces = {}, valuePlaces = {}; ///< of pages
  mlir::Value batchIndex = {}, m0 = {}; ///< first matrix and row of the block
  mlir::Value ownKeys = {};             ///< of the task's sequence
  mlir::Value shorter = {}; ///< than the longest by so many keys; null: none is

  // AttentionKernel.cpp
  int64_t countHeads();
  SymExpr groupsOf();
  KeyMask findMask();
  /// How many pages before it is read a page is fetched.
  static int64_t pagesAhead(const PackedOperand &operand);
  void findPages(const PackedOperand &operand, mlir::Value places,
                 const KeyRange &range, mlir::Value first);
  mlir::Value scalesOf(const PackedOperand &operand, mlir::Value places,
                       mlir::Value key);
  void packQueries(mlir::Value rows);
  struct Product;
  void multiply(const Product &product,
                llvm::function_ref<void(mlir::Value, mlir::Value, mlir::Value,
                                        mlir::Value)>
                    then = nullptr);
  void findOwnKeys();
  void computeScores(mlir::Value rows, const KeyRange &range);
  mlir::Value finishScores(mlir::Value row, const KeyRange &range);
  mlir::Value storeMaxima(mlir::Value rows, const KeyRange &range);
  void exponentiate(mlir::Value row, mlir::Value max, const KeyRange &range);
  void storeWeight(mlir::Value x, const Idx &at);
  void finishWeights(mlir::Value row, mlir::Value inv, const KeyRange &range);
  /// 0 for what belongs to a row whose 1/sum is NaN, where the softmax says so.
  mlir::Value guarded(mlir::Value x, mlir::Value inv);
  /// The keys of a row of the scores as they are walked by vectors.
  struct KeyWalk;
  KeyRange normalize(mlir::Value rows);
  /// Of panels [begin, end) of columns, or of all.
  void computeOutput(mlir::Value rows, const KeyRange &range,
                     mlir::Value begin = nullptr, mlir::Value end = nullptr);
  void outputPanel(mlir::Value tileRow, mlir::Value panel, mlir::Value r0,
                   mlir::Value mr);
  void takeScratch();
  /// Goes to the `number`th of the groups of matrices that share keys.
  void beginGroup(mlir::Value number);
  /// Tasks [begin, end) of a kernel that is whole.
  void runBlocks();

  // AttentionCodes.cpp
  static bool isInteger(FormatAttr of) { return of && of.isInteger(); }
  SymExpr sizeOfRow();
  SymExpr panelsOfValues();
  ReduceOp findRowSum();
  mlir::Value memoryOfCodes(FormatAttr of, const SymExpr &elements);
  void storeCode(FormatAttr of, mlir::Value x, mlir::Value memory,
                 const Idx &at);
  struct CodesProduct;
  void multiply(const CodesProduct &product,
                llvm::function_ref<void(mlir::Value, mlir::Value, mlir::Value,
                                        mlir::Value)>
                    then);
  void computeByFormat(mlir::Value rows, mlir::Value begin, mlir::Value end);
  void clearBehind(FormatAttr of, mlir::Value memory, mlir::Value at,
                   mlir::Value n);
  void multiplyWeights(mlir::Value rows, const KeyRange &range,
                       mlir::Value begin, mlir::Value end);

  // AttentionRange.cpp
  KeyRange allKeys() { return {L.index(0), ownKeys}; }
  mlir::Value boundAt(const KeyBound &bound, mlir::Value row);
  mlir::Value boundOf(const KeyBound &bound, mlir::Value rows);
  mlir::Value isPadding(mlir::Value row, mlir::Value key);
  mlir::Value isPaddingOfRows(mlir::Value rows, mlir::Value key,
                              bool backwards);
  KeyRange trimPadding(mlir::Value rows, KeyRange range);
  /// What any of the block's rows may look at; all keys where that is nothing.
  KeyRange boundKeys(mlir::Value rows);
  /// Is a row with this maximum masked whole, and `range` not all keys?
  mlir::Value needsAll(mlir::Value lowest, const KeyRange &range);

  // SplitAttention.cpp
  struct Split;

  /// What a vector of keys from `key` on, a multiple of its lanes, is to that
  /// which the scores are computed of.
  Idx columnsAt(mlir::Value key) {
    if (shorter)
      return Idx{L.add(key, shorter), 1, 1, {}};
    return Idx{key, 1, (int64_t)lanes, {}};
  }
  mlir::Value headOf(mlir::Value row) { return L.rem(row, L.index(heads)); }
  mlir::Value queryOf(mlir::Value row) { return L.div(row, L.index(heads)); }
  /// Of a row its matrix; with its query, and number among all rows.
  llvm::SmallVector<Idx> matrixIndex(mlir::Value row) {
    llvm::SmallVector<Idx> idx = e.delinearize(batchIndex, batch);
    if (heads > 1)
      idx.back() = L.uniform(L.add(idx.back().base, headOf(row)));
    return idx;
  }
  llvm::SmallVector<Idx> rowIndex(mlir::Value row) {
    llvm::SmallVector<Idx> idx = matrixIndex(row);
    idx.push_back(L.uniform(queryOf(row)));
    return idx;
  }
  mlir::Value flatRow(mlir::Value row) {
    mlir::Value matrix = L.add(batchIndex, headOf(row));
    return L.add(L.mul(matrix, e.dim(rowsQ)), queryOf(row));
  }
  mlir::Value placeAt(mlir::Value places, mlir::Value page) {
    mlir::Value place = mlir::memref::LoadOp::create(b, L.loc, places, page);
    return mlir::arith::IndexCastOp::create(b, L.loc, b.getIndexType(), place);
  }
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_ATTENTIONKERNEL_H
