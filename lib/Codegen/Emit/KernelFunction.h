//===- KernelFunction.h - the function that a kernel becomes ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Its arguments are
//   (begin, end: index, scratch: memref<?xi8>, error: memref<?xi64>,
//    inputs..., results...: memref<?xT>, maps...: pointer, dims...: index)
//   -> i32
// `dims` grows with every expression that dim() is asked for; the runtime
// evaluates those expressions, so kernels do no shape arithmetic. `maps` are of
// a GPU's copy engine, and grow likewise.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_KERNELFUNCTION_H
#define TENON_LIB_CODEGEN_EMIT_KERNELFUNCTION_H

#include "dialects/Tenon/IR/TenonOpBase.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Lanes/LaneBuilder.h"
#include "tenon/Codegen/Kernels.h"
#include "tenon/Target/TargetInfo.h"

namespace tenon {

class KernelOp;

/// The function that a kernel is emitted into, with its arguments but the dims.
mlir::func::FuncOp createKernelFunction(KernelOp kernel, mlir::ModuleOp kernels,
                                        llvm::StringRef symbol);

class KernelFunction {
public:
  KernelFunction(KernelOp kernel, mlir::func::FuncOp func,
                 const TargetInfo &target, KernelInfo &info);
  KernelFunction(const KernelFunction &) = delete;
  KernelFunction &operator=(const KernelFunction &) = delete;

  const TargetInfo &target;
  KernelInfo &info; ///< the caller's: what the schedule learns of the kernel
  mlir::OpBuilder b;
  LaneBuilder L;
  const mlir::Value begin, end; ///< the tasks to do

  KernelOp kernel() const;
  mlir::Block &body() const { return op->getRegion(0).front(); }
  /// Where functions that kernels share stand.
  mlir::ModuleOp module() { return func->getParentOfType<mlir::ModuleOp>(); }

  /// An error at the kernel: nothing comes of it.
  mlir::InFlightDiagnostic fail(const llvm::Twine &message);
  bool hasFailed() const { return failed; }
  /// The op that the kernel ends with; null, after an error, if it is another.
  template <typename OpTy>
  OpTy rootOp() {
    auto root = body().getTerminator()->getOperand(0).getDefiningOp<OpTy>();
    if (!root)
      failOf("does not end with ")
          << OpTy::getOperationName().split('.').second;
    return root;
  }
  /// What tenon-tile wrote on the kernel; null, after an error, if it is not of
  /// this form.
  template <typename TilingT>
  TilingT tiling() {
    if (auto found = mlir::dyn_cast_if_present<TilingT>(anyTiling()))
      return found;
    failOf("has no tiling of this family: run tenon-tile first");
    return nullptr;
  }

  /// The memory of a region argument or of the i-th result.
  mlir::Value input(mlir::BlockArgument arg) const;
  mlir::Value result(unsigned i) const;
  /// Of the index that was out of range: itself, the bound, whether there is
  /// one (i64).
  mlir::Value errorRecord() const;
  /// A dim as an index: a constant, or an argument of the function.
  mlir::Value dim(const SymExpr &e);
  /// What tells a GPU's copy engine of a tensor.
  mlir::Value tensorMap(const TensorMap &map);
  /// Memory of a task, 64-byte aligned, as a flat memref. Where a task's lies
  /// is the family's to say, of the whole kernel.
  mlir::Value scratchBuffer(const SymExpr &elements, mlir::Type type);

  /// Element i of row-major `dims` (uniform).
  llvm::SmallVector<Idx> delinearize(mlir::Value i,
                                     llvm::ArrayRef<SymExpr> dims);
  Idx linearize(llvm::ArrayRef<Idx> idx, llvm::ArrayRef<SymExpr> dims);
  /// The index into an operand of dims `from` that is broadcast to `to`.
  llvm::SmallVector<Idx> broadcastIndex(llvm::ArrayRef<Idx> idx,
                                        llvm::ArrayRef<SymExpr> from,
                                        llvm::ArrayRef<SymExpr> to);

protected:
  /// What failed has been reported.
  void setFailed() { failed = true; }
  /// Ends the function with its last op.
  void finish(mlir::Value status);

private:
  mlir::InFlightDiagnostic failOf(llvm::StringRef what);
  TilingInterface anyTiling() const; ///< null without one
  unsigned firstDim() const;         ///< among the arguments

  mlir::Operation *op;
  mlir::func::FuncOp func;
  bool failed = false;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_KERNELFUNCTION_H
