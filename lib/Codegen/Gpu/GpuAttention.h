//===- GpuAttention.h - what attentions on tensor cores share ---*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block has query rows of one batch and head. Keys and values come 32 at a
// time:
//
//   scores = queries x keys
//   each of them is pulled through what stands before the softmax: scale, mask
//   the rows' largest and sum follow (online softmax); older sums are scaled
//   sums += weights x values, in registers
//
// The result goes through shared memory to the epilogue. Keys that the mask
// hides from all rows of a block are not looked at; where a row turns out to
// see nothing else, they are.
//
// A thread holds columns 2t and 2t + 1 of a score's row, where the next product
// wants k = t and t + 4: it takes these columns as those ks, and so does the
// other operand, since a sum has no order of its own. Columns without a key
// have a score of -inf, which weighs 0.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_GPUATTENTION_H
#define TENON_LIB_CODEGEN_GPU_GPUATTENTION_H

#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/AttentionOps.h"
#include "lib/Codegen/Gpu/AttentionKeys.h"
#include "lib/Codegen/Gpu/Mma.h"
#include "lib/Codegen/Gpu/SharedMemory.h"

namespace tenon {

/// exp(x - largest); without any key nothing may be subtracted from -inf.
mlir::Value weightOf(KernelLoops &e, mlir::Value x, mlir::Value largest);
/// Makes a thread's scores of a row, which four neighbours have, weights.
/// `largest`, the row's so far, and `total`, the sum of its weights, take these
/// in. Gives by what older sums of the row are to be scaled.
mlir::Value weighRow(KernelLoops &e, mlir::Value &largest, mlir::Value &total,
                     llvm::MutableArrayRef<mlir::Value> scores);

class GpuAttention {
public:
  GpuAttention(KernelEmitter &e, GpuAttentionTilingAttr tiling,
               const AttentionOps &ops)
      : e(e), tiling(tiling), ops(ops) {}
  virtual ~GpuAttention() = default;
  void run();
  /// Of a block's shared memory, in `<symbol>_tiles`.
  virtual int64_t sharedWords() const = 0;

protected:
  static constexpr int64_t kKeys = kPanelColumns; ///< of a part
  static constexpr int64_t kQuad = 4;
  /// A thread's of 16 rows by the keys of a part: element 4j + 2h + d is row
  /// g + 8h, column 8j + 2t + d.
  static constexpr size_t kScores = 16;
  struct Task {
    mlir::Value batchIndex, row, keysAt, valuesAt;
    llvm::SmallVector<Idx> lead;
  };
  /// Of a thread's two rows: the largest score so far, the sum of weights.
  struct Rows {
    llvm::SmallVector<mlir::Value> largest, total;
  };
  virtual void runTask(const Task &task) = 0;

  /// Four numbers of row r of the block's queries from `column` on, or each
  /// alone, with its column. Rows behind the last one are that one; what is
  /// behind the depth is 0.
  void pullQueries(const Task &task, mlir::Value r, mlir::Value column,
                   llvm::function_ref<void(mlir::Value, mlir::Value)> put);
  /// What the softmax has of score x, of row r of the block.
  mlir::Value maskedScore(const Task &task, mlir::Value r, mlir::Value key,
                          mlir::Value x);
  /// Makes scores weights; what was summed before is scaled to the rows' new
  /// largest.
  void weigh(Rows &rowsOf, llvm::SmallVector<mlir::Value> &scores,
             llvm::SmallVector<mlir::Value> &sums);
  /// The weights as the left operand of `mma.depth()` keys from kk on.
  Mma::Fragment weightsOf(llvm::ArrayRef<mlir::Value> weights, int64_t kk);
  /// Which of 8 or 16 keys is k, less 2t: of 8 keys k = t is key 2t and k = t
  /// + 4 is 2t + 1; of 16 they are in order.
  int64_t keyOf(int64_t k) const { return narrow ? k : k / 4; }
  /// Sums in 8 columns of a thread each: of rows g and g + 8, 2t and 2t + 1.
  /// `store(pair, row, column)`: less g and 2t.
  using StorePair =
      llvm::function_ref<void(mlir::Value, int64_t row, int64_t column)>;
  void storeSums(const Rows &rowsOf, llvm::ArrayRef<mlir::Value> sums,
                 StorePair store);
  /// `load(type, r, c)`: of the result.
  using LoadResult =
      llvm::function_ref<mlir::Value(mlir::Type, mlir::Value r, mlir::Value c)>;
  void epilogue(const Task &task, LoadResult load);

  /// Goes over the parts that the rows look at, and over all where a row has
  /// seen nothing: each time pass(begin, end, done, isMasked), `done` parts
  /// after the first, gives what is carried on, and whether a row is masked.
  using Pass = llvm::function_ref<llvm::SmallVector<mlir::Value>(
      mlir::Value begin, mlir::Value end, mlir::Value done,
      mlir::Value &isMasked)>;
  llvm::SmallVector<mlir::Value> passOver(AttentionKeys::Parts parts,
                                          mlir::ValueRange initial, Pass pass);
  /// What the rows of a block look at.
  AttentionKeys::Parts partsOf(const Task &task);
  mlir::Value isMasked(const Rows &rowsOf) const {
    return L.either(seen.isMasked(rowsOf.largest[0]),
                    seen.isMasked(rowsOf.largest[1]));
  }

  size_t numSums() const { return size_t(panels) * 16; }
  /// What a thread carries of 16 rows at the beginning: sums, then Rows.
  llvm::SmallVector<mlir::Value> nothing() const;
  /// The Rows of what it carries.
  Rows rowsIn(mlir::ValueRange carried) const;

  mlir::Value add(mlir::Value x, int64_t y) { return L.add(x, y); }
  mlir::Value mul(mlir::Value x, int64_t y) { return L.mul(x, y); }

  KernelEmitter &e;
  GpuAttentionTilingAttr tiling;
  AttentionOps ops;
  LaneBuilder &L = e.L;
  mlir::OpBuilder &b = e.b;
  AttentionKeys seen{e, ops.softmax.getInput(), ops.qk.getResult()};
  Sink sink{e};
  Mma mma{e, tiling.getProducts()};
  llvm::SmallVector<SymExpr> q = getDims(ops.qk.getLhs()),
                             out = getDims(ops.pv.getResult());
  llvm::SmallVector<SymExpr> batch{out.begin(), out.end() - 2};
  int64_t rows = tiling.getRows(), threads = tiling.getThreads();
  int64_t depth = *q.back().constant(), width = *out.back().constant();
  /// What is multiplied: whole steps of K, whole panels.
  int64_t steps = llvm::divideCeil(depth, mma.depth());
  int64_t panels = llvm::divideCeil(width, kPanelColumns);
  SymExpr M = out.end()[-2], keys = getDims(ops.qk.getResult()).back();
  mlir::Type f32 = b.getF32Type();
  mlir::Value m = e.dim(M), nk = e.dim(keys);
  mlir::Value apart = e.dim(ops.V.panelsApart()); ///< panels of values
  /// Of the thread in its warp: number, quad, place in the quad.
  mlir::Value thread = threadIndex(e);
  mlir::Value lane = L.rem(thread, 32), warp = L.div(thread, 32);
  mlir::Value g = L.div(lane, 4), t = L.rem(lane, 4);
  mlir::Value K = globalPointer(e, e.input(ops.K.getMemory()));
  mlir::Value V = globalPointer(e, e.input(ops.V.getMemory()));
  bool narrow = mma.isNarrow();

private:
  llvm::SmallVector<Idx> at(const Task &task, mlir::Value row,
                            const Idx &column) const;
};

/// One whose products are a warpgroup's (GpuKernels.h). Another form of the
/// kernel takes so many words of shared memory.
std::unique_ptr<GpuAttention>
createWarpgroupAttention(KernelEmitter &e, GpuAttentionTilingAttr tiling,
                         const AttentionOps &ops, int64_t wordsOfOther);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_GPUATTENTION_H
