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
#ifndef TENON_LIB_CODEGEN_EMIT_KERNELEMITTER_H
#define TENON_LIB_CODEGEN_EMIT_KERNELEMITTER_H

#include "dialects/Tenon/IR/TenonKernel.h"
#include "lib/Codegen/Emit/Walk.h"
#include "lib/Codegen/Lanes/LaneBuilder.h"
#include "tenon/Codegen/Kernels.h"
#include "tenon/Target/TargetInfo.h"

namespace tenon {

class ArgReduceOp;
class BroadcastToOp;
class ConcatOp;
class ConstantOp;
class DequantizeOp;
class DepthwiseOp;
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
  const Walk *walk; ///< of what is emitted now
  KernelInfo &info;
  mlir::OpBuilder b;
  LaneBuilder L;
  mlir::Value begin, end, scratch, error;

  unsigned vectorLanes() const { return walk->lanes(*this); }
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
        << "' kernel has no tiling of this family: run tenon-tile first";
    failed = true;
    return nullptr;
  }
  /// The memory of a region argument or of the i-th result.
  mlir::Value input(mlir::BlockArgument arg);
  mlir::Value result(unsigned i);
  /// A dim as an index: a constant, or an argument of the function.
  mlir::Value dim(const SymExpr &e);
  /// Memory of a task, 64-byte aligned, as a flat memref. Where a task's lies
  /// is the family's to say, of the whole kernel.
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
  mlir::Value pull(DequantizeOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(ReduceOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(ArgReduceOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(Im2ColOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(DepthwiseOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(PackBOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(MatMulOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(DimsValueOp op, llvm::ArrayRef<Idx> idx);
  mlir::Value pull(IotaOp op, llvm::ArrayRef<Idx> idx);
  template <typename OpTy>
  mlir::Value emitPatch(OpTy op, const Idx &batch, Idx o, Idx k,
                        const Idx *channel);
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

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_KERNELEMITTER_H
