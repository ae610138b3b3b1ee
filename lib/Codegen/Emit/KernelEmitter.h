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
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_KERNELEMITTER_H
#define TENON_LIB_CODEGEN_EMIT_KERNELEMITTER_H

#include "lib/Codegen/Emit/KernelLoops.h"
#include "llvm/ADT/SmallBitVector.h"

namespace tenon {

class ArgReduceOp;
class BroadcastToOp;
class CastOp;
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
class LookUpOp;
class MatMulOp;
class PackBOp;
class PackOp;
class PadOp;
class ReduceOp;
class ReshapeOp;
class SliceOp;
class TransposeOp;
class UnpackOp;

class KernelEmitter : public KernelLoops {
public:
  using KernelLoops::KernelLoops;

  /// The element of `v` at `idx` (one entry per dim).
  mlir::Value emit(mlir::Value v, llvm::ArrayRef<Idx> idx);
  /// The element of `indices` at `idx` as an index below `bound`: negative ones
  /// count from the end; outside it is noted as the run's error, and gives 0.
  Idx emitGatherIndex(mlir::Value indices, llvm::ArrayRef<Idx> idx,
                      const SymExpr &bound);
  /// emit() of `v` calls `fn` from now on, and pulls `v` where that gives null.
  void bind(mlir::Value v, std::function<mlir::Value(llvm::ArrayRef<Idx>)> fn);
  void unbind(mlir::Value v) { bound.erase(v); }
  /// Says that whatever is asked of a padded image lies inside it along these
  /// dims, and that some of it does not along the others; of none: nothing.
  void setInside(mlir::Operation *pad, const llvm::SmallBitVector &dims);
  /// May something be asked that lies outside?
  bool isPadded(PadOp op, size_t dim) const;
  /// Is it codes without a sign of quantised numbers?
  bool saturates(mlir::Value v);
  /// Codes of quantised numbers, also as i32 or f32; null where `op` is of
  /// others. With `zeroPoint`, in vectors of 512 bits and of what saturates:
  /// an i32 that saturates to the code when the zero point, an i16, is added.
  /// With `lowByte` an i32 whose low byte is the code. QuantizedLanes.cpp.
  mlir::Value emitQuantized(CastOp op, llvm::ArrayRef<Idx> idx,
                            mlir::Value *zeroPoint = nullptr,
                            bool lowByte = false);
  /// Says that `idx` is row-major position `flat` of `dims`: operands of those
  /// dims are then read at `flat` without recomputing it.
  void setDomain(llvm::ArrayRef<SymExpr> dims, llvm::ArrayRef<Idx> idx,
                 const Idx &flat);

private:
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
  mlir::Value pull(LookUpOp op, llvm::ArrayRef<Idx> idx); // LookUpLanes.cpp
  mlir::Value quotientByNumber(
      mlir::Value x, mlir::Value scale,
      llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> clamp);
  /// Of narrower vectors a division costs no more than its correction.
  bool correctsQuotients() const {
    return target.hasFma && target.vectorBits == 512;
  }
  mlir::Value emitUnlessEmpty(mlir::Value v, llvm::ArrayRef<Idx> idx,
                              llvm::ArrayRef<SymExpr> sizes);
  /// Type of an element of `v` computed at `idx`.
  mlir::Type laneType(mlir::Value v, llvm::ArrayRef<Idx> idx);

  llvm::DenseMap<mlir::Value, std::function<mlir::Value(llvm::ArrayRef<Idx>)>>
      bound;
  llvm::DenseMap<mlir::Operation *, llvm::SmallBitVector> insideDims;
  llvm::SmallVector<SymExpr> domainDims;
  llvm::SmallVector<Idx> domainIdx;
  Idx domainFlat;
};

/// Is each element computed of those of 32 bits, in memory, at its own place?
/// Lanes of it that a border cuts are loaded under masks.
bool isInPlace(mlir::Value v);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_KERNELEMITTER_H
