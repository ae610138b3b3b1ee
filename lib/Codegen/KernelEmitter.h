//===- KernelEmitter.h - computing any element of a fused group -*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel is emitted by *pulling*: to store an element of the result, emit()
// asks the op that defines it, which asks its operands at the positions it
// needs, down to the kernel's inputs, which are loaded. Transposes, slices,
// gathers, concatenations and broadcasts thus cost index arithmetic only, and
// any mixture of them fuses. Ops that are not pointwise (softmax, matmul: the
// *anchor* of a kernel) are computed by the kernel's own loops and bound to a
// function that reads what the loops left in scratch memory or registers.
//
// The function has the arguments
//   (begin, end: index, scratch: memref<?xi8>, error: memref<?xi64>,
//    inputs..., results...: memref<?xT>, dims...: index) -> i32
// `dims` grows with every expression that emit() asks for; the runtime
// evaluates those expressions, so kernels do no shape arithmetic.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_KERNELEMITTER_H
#define TENON_LIB_CODEGEN_KERNELEMITTER_H

#include "LaneBuilder.h"
#include "Walk.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "tenon/Codegen/Kernels.h"
#include "tenon/Target/TargetInfo.h"

namespace tenon {

class ArgReduceOp;
class BroadcastToOp;
class ConcatOp;
class ConstantOp;
class DimsValueOp;
class GatherElementsOp;
class GatherNDOp;
class GatherOp;
class Im2ColOp;
class IotaOp;
class MatMulOp;
class PackBOp;
class PackOp;
class PadOp;
class ReduceOp;
class ReshapeOp;
class SliceOp;
class TransposeOp;
class UnpackOp;

class KernelEmitter {
public:
  KernelEmitter(KernelOp kernel, mlir::func::FuncOp func,
                const TargetInfo &target, const Walk &walk, KernelInfo &info);

  KernelOp kernel;
  mlir::func::FuncOp func;
  const TargetInfo &target;
  const Walk &walk;
  KernelInfo &info;
  mlir::OpBuilder b;
  LaneBuilder L;
  mlir::Value begin, end, scratch, error;

  unsigned vectorLanes() const { return target.vectorBits / 32; }
  mlir::Block &body() { return kernel.getBody().front(); }
  /// The op that the kernel ends with; null, after an error, if it is another.
  template <typename OpTy>
  OpTy rootOp() {
    auto op = body().getTerminator()->getOperand(0).getDefiningOp<OpTy>();
    if (op)
      return op;
    mlir::emitError(kernel.getLoc(), "a '")
        << stringifyKernelKind(kernel.getKind())
        << "' kernel does not end with "
        << OpTy::getOperationName().split('.').second;
    failed = true;
    return nullptr;
  }
  /// What tenon-tile wrote on the kernel; null, after an error, if it is not of
  /// this form.
  template <typename TilingT>
  TilingT tiling() {
    if (auto found = mlir::dyn_cast_if_present<TilingT>(kernel.getTilingAttr()))
      return found;
    mlir::emitError(kernel.getLoc(), "a '")
        << stringifyKernelKind(kernel.getKind())
        << "' kernel has no tiling for a CPU: run tenon-tile first";
    failed = true;
    return nullptr;
  }
  /// The memory of a region argument or of the i-th result.
  mlir::Value input(mlir::BlockArgument arg);
  mlir::Value result(unsigned i);
  /// A dim as an index: a constant, or an argument of the function.
  mlir::Value dim(const SymExpr &e);
  /// `bytes` of per-thread scratch (64-byte aligned) as a flat memref.
  mlir::Value scratchBuffer(const SymExpr &elements, mlir::Type type);
  /// What lanes carried out of a lanesLoop, as one scalar.
  mlir::Value combineLanes(mlir::Value v, mlir::vector::CombiningKind kind);

  /// The element of `v` at `idx` (one entry per dim).
  mlir::Value emit(mlir::Value v, llvm::ArrayRef<Idx> idx);
  /// The element of `indices` at `idx` as an index below `bound`: negative ones
  /// count from the end; outside it is noted as the run's error, and gives 0.
  Idx emitGatherIndex(mlir::Value indices, llvm::ArrayRef<Idx> idx,
                      const SymExpr &bound);
  /// emit() of `v` calls `fn` from now on.
  void bind(mlir::Value v, std::function<mlir::Value(llvm::ArrayRef<Idx>)> fn);
  /// Element i of row-major `dims` (uniform).
  llvm::SmallVector<Idx> delinearize(mlir::Value i,
                                     llvm::ArrayRef<SymExpr> dims);
  Idx linearize(llvm::ArrayRef<Idx> idx, llvm::ArrayRef<SymExpr> dims);
  /// The index into an operand of dims `from` that is broadcast to `to`.
  llvm::SmallVector<Idx> broadcastIndex(llvm::ArrayRef<Idx> idx,
                                        llvm::ArrayRef<SymExpr> from,
                                        llvm::ArrayRef<SymExpr> to);
  /// Says that `idx` is row-major position `flat` of `dims`: operands of those
  /// dims are then read at `flat` without recomputing it.
  void setDomain(llvm::ArrayRef<SymExpr> dims, llvm::ArrayRef<Idx> idx,
                 const Idx &flat);

  /// for i in [lo, hi) step: body; the cache does not leak out of it.
  void loop(mlir::Value lo, mlir::Value hi, int64_t step,
            llvm::function_ref<void(mlir::Value)> body);
  /// The same with loop-carried values.
  llvm::SmallVector<mlir::Value>
  loop(mlir::Value lo, mlir::Value hi, int64_t step, mlir::ValueRange init,
       llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value,
                                                         mlir::ValueRange)>
           body);
  /// Goes on with next(values) as long as condition(values) is true; gives the
  /// values for which it is not.
  llvm::SmallVector<mlir::Value>
  whileLoop(mlir::ValueRange init,
            llvm::function_ref<mlir::Value(mlir::ValueRange)> condition,
            llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::ValueRange)>
                next);
  /// Runs over [0, n) in steps of `lanes`: `body` is emitted for full vectors
  /// and once more, masked, for the tail (left out where lanes divide n).
  void lanesLoop(mlir::Value n, unsigned lanes,
                 llvm::function_ref<void(Idx)> body);
  /// With one loop-carried vector per init; the tail's `body` must neutralise
  /// inactive lanes itself (see L.mask).
  llvm::SmallVector<mlir::Value> lanesLoop(
      mlir::Value n, unsigned lanes, mlir::ValueRange init,
      llvm::function_ref<llvm::SmallVector<mlir::Value>(Idx, mlir::ValueRange)>
          body);
  mlir::Value ifElse(mlir::Value condition, mlir::Type type,
                     llvm::function_ref<mlir::Value()> then,
                     llvm::function_ref<mlir::Value()> otherwise);
  void ifThen(mlir::Value condition, llvm::function_ref<void()> then);
  /// The values of `then`, or `otherwise`.
  llvm::SmallVector<mlir::Value>
  ifThen(mlir::Value condition, mlir::ValueRange otherwise,
         llvm::function_ref<llvm::SmallVector<mlir::Value>()> then);
  /// Ends the function: returns the error flag.
  void finish();

  /// Emission failed (an op without a pull rule): set with a diagnostic.
  bool failed = false;

private:
  using Key = std::vector<const void *>;
  struct Scope; // saves and restores the cache

  bool isDomain(llvm::ArrayRef<Idx> idx, llvm::ArrayRef<SymExpr> dims) const;
  mlir::Value compute(mlir::Value v, llvm::ArrayRef<Idx> idx);
  mlir::Value loadInput(mlir::BlockArgument arg, llvm::ArrayRef<Idx> idx);
  // The rules: an element of the op's result, or null where there is none.
  mlir::Value pull(ConstantOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(BroadcastToOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(TransposeOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(SliceOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(GatherOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(GatherElementsOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(GatherNDOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(ReshapeOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(ConcatOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(PadOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(UnpackOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(PackOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(ReduceOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(ArgReduceOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(Im2ColOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(PackBOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(MatMulOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(DimsValueOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(IotaOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value emitUnlessEmpty(mlir::Value v, llvm::ArrayRef<Idx> idx,
                              llvm::ArrayRef<SymExpr> sizes);
  /// Type of an element of `v` computed at `idx`.
  mlir::Type laneType(mlir::Value v, llvm::ArrayRef<Idx> idx);

  std::map<Key, mlir::Value> cache;
  llvm::DenseMap<mlir::Value, std::function<mlir::Value(llvm::ArrayRef<Idx>)>>
      bound;
  llvm::SmallVector<SymExpr> domainDims;
  llvm::SmallVector<Idx> domainIdx;
  Idx domainFlat;
};

/// The lanes of an elementwise op from its operands' lanes (all scalar or all
/// vector); null when the op has no rule. ElementwiseLanes.cpp.
mlir::Value emitElementwise(LaneBuilder &L, mlir::Operation *op,
                            llvm::ArrayRef<mlir::Value> operands);
/// lhs (kind) rhs of a reduction, and its neutral element.
mlir::Value emitCombine(LaneBuilder &L, ReduceKind kind, mlir::Type elementType,
                        mlir::Value lhs, mlir::Value rhs);
mlir::Value emitNeutral(LaneBuilder &L, ReduceKind kind, mlir::Type elementType,
                        mlir::Type valueType);
mlir::Value emitSigmoid(LaneBuilder &L, mlir::Value x);

/// Up to this many rows so many panels are multiplied at once.
int64_t narrowRows(const TargetInfo &target);
inline constexpr int64_t kNarrowPanels = 4;
/// Elements of C that any call of a micro-kernel writes.
inline constexpr int64_t kTileElements =
    kTileRows * kTilePanels * kPanelColumns;
static_assert(3 * kNarrowPanels * kPanelColumns <= kTileElements);

/// What a micro-kernel is compiled for, beside its rows and the distance of
/// A's.
struct MicroKernelShape {
  int64_t panels = kTilePanels;
  /// Of `next`, for each panel and four rows of B, so many lines are fetched
  /// into the L2 cache; kAhead: its own panels some rows ahead.
  int64_t lines = 0;
  bool accumulate = false; ///< adds to what C holds
  bool inRows = false;     ///< C is no tile, its rows lie ldc apart
};
inline constexpr int64_t kAhead = -1;
/// func(A, aAt, lda, B, bAt, panelStride, K, C, cAt, ldc, next, nextStep): C at
/// cAt is [panels][rows][32], or rows ldc apart with `inRows`; A's rows lie lda
/// apart (0: not constant), B's panels panelStride. `next` is a position in B,
/// from where on elements are fetched into the cache, nextStep further for each
/// four rows of B; the same panelStride further for each panel.
mlir::func::FuncOp getMicroKernel(mlir::ModuleOp module,
                                  const TargetInfo &target, int64_t rows,
                                  int64_t lda, const MicroKernelShape &shape);
struct MicroKernelOperands {
  mlir::Value A, aAt, B, bAt, panelStride, K, C, cAt;
  mlir::Value next = {}, nextStep = {};
  mlir::Value ldc = {};
};
/// Calls the micro-kernel of `rows` rows, which is known at run time and at
/// least 1, at most `mostRows`. Fewer rows than `leastRows`, the end of a
/// block, fetch nothing.
void emitMicroKernel(KernelEmitter &e, mlir::Value rows, int64_t mostRows,
                     const SymExpr &lda, const MicroKernelOperands &operands,
                     const MicroKernelShape &shape, int64_t leastRows = 1);
/// Splits `rows` (at least 1) evenly into register tiles of at most `mostRows`:
/// fn(number of the tile, its first row, its rows).
void forRowTiles(
    KernelEmitter &e, mlir::Value rows, int64_t mostRows,
    llvm::function_ref<void(mlir::Value, mlir::Value, mlir::Value)> fn);
/// Calls fn(first panel, panels) for kTilePanels panels at a time from `begin`
/// to `end`, and for what is left of them.
void forPanelGroups(KernelEmitter &e, mlir::Value begin, mlir::Value end,
                    llvm::function_ref<void(mlir::Value, int64_t)> fn);
/// Walks a panel of N columns by vectors, masked at its end: fn(column in the
/// panel, column of the whole).
void forPanelColumns(KernelEmitter &e, mlir::Value panel, const SymExpr &N,
                     llvm::function_ref<void(mlir::Value, mlir::Value)> fn);

/// The right operand of a packed matmul: panels in memory, seen through views
/// that repeat or regroup matrices (the key heads that query heads share).
class PackedOperand {
public:
  /// nullopt where `packed` is no view of a region argument.
  static std::optional<PackedOperand> trace(mlir::Value packed);
  mlir::BlockArgument getMemory() const { return memory; }
  /// Where `panel` of matrix number `batchIndex` of row-major `batch` begins.
  mlir::Value at(KernelEmitter &e, mlir::Value batchIndex,
                 llvm::ArrayRef<SymExpr> batch, mlir::Value panel) const;

private:
  mlir::BlockArgument memory;
  llvm::SmallVector<SymExpr> dims;
  llvm::SmallVector<mlir::Value> repeats; ///< from the operand inwards
};

/// Where a matmul's epilogue ends: the kernel's result, or what a last
/// transpose (that keeps columns contiguous) reads.
struct Sink {
  explicit Sink(KernelEmitter &e);
  mlir::Value value;
  llvm::SmallVector<SymExpr> dims; ///< as stored
  llvm::SmallVector<int64_t> perm; ///< stored dim i is value's dim perm[i]
  mlir::Type element;
  /// Computes `value` at idx (row-major position `flat`) and stores it.
  void store(KernelEmitter &e, llvm::ArrayRef<Idx> idx, const Idx &flat);
};

/// The runtime's kernel that computes the one op of a "native" kernel.
KernelInfo describeNativeKernel(KernelOp kernel);

// One per kind of kernel that is emitted.
void emitMapKernel(KernelEmitter &e);
void emitRowKernel(KernelEmitter &e);
void emitMatMulKernel(KernelEmitter &e);
void emitAttentionKernel(KernelEmitter &e);
void emitScanKernel(KernelEmitter &e);
void emitScatterKernel(KernelEmitter &e);
void emitTopKKernel(KernelEmitter &e);
void emitRecurrenceKernel(KernelEmitter &e);
/// The map kernel of a reduction.
void emitReduceKernel(KernelEmitter &e, ReduceOp op);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_KERNELEMITTER_H
