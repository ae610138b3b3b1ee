//===- Backend.h - what a family of targets offers --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A family (the CPUs, the GPUs) has one program for all its levels (x86-64-v2
// to -v4): how its kernels are cut into tasks is decided once, by tenon-tile. A
// level decides what is in registers, when `emitKernel` is called for it.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_BACKEND_H
#define TENON_CODEGEN_BACKEND_H

#include "dialects/Tenon/IR/TenonTiling.h"
#include "tenon/Codegen/Kernels.h"
#include "tenon/Codegen/Layout.h"

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace tenon {

class KernelOp;

/// What all levels of an artifact are taken to have. These are fixed figures,
/// not the build machine's: artifacts are reproducible.
struct Machine {
  int64_t l2Bytes = 1 << 20; ///< of a core's second cache
  /// What a GPU's tensor cores multiply f32 operands as.
  MmaProducts products = MmaProducts::tf32x3;
  bool warpgroups = false; ///< of a GPU's levels one multiplies by them
};

/// What a kernel does when all its tasks are done: tasks of another function,
/// which has the same buffers. What the first ones leave lies in one more
/// behind the results.
struct SecondHalf {
  KernelInfo kernel;
  mlir::Type element; ///< of that memory
  SymExpr elements;
};

/// A column is `taps` runs of `run` numbers, `apart` from each other, with
/// zeros in between.
struct WeightColumns {
  int64_t taps, run, apart;
};

class Backend {
public:
  virtual ~Backend() = default;
  virtual llvm::StringRef getFamily() const = 0;
  /// How the kernel can be cut: as chosen, then as a tuner may try. Empty where
  /// there is no choice. A function of what the kernel's text says, so that
  /// equal kernels stay equal.
  virtual llvm::SmallVector<TilingInterface>
  candidates(KernelOp kernel, const Machine &machine) const = 0;
  /// Writes the kernel as a function into `kernels`, for one level, which takes
  /// `dims` first (of other levels, so that all take the same); failure after
  /// an error that names the kernel.
  virtual mlir::FailureOr<KernelInfo>
  emitKernel(KernelOp kernel, mlir::ModuleOp kernels, llvm::StringRef symbol,
             const TargetInfo &target, llvm::ArrayRef<SymExpr> dims) const = 0;
  /// Of a kernel that has one, as a function of this symbol: the kernel's own
  /// and `secondHalf`.
  virtual mlir::FailureOr<std::optional<SecondHalf>>
  emitSecondHalf(KernelOp kernel, mlir::ModuleOp kernels,
                 llvm::StringRef symbol, const TargetInfo &target,
                 llvm::ArrayRef<SymExpr> dims) const;
  static constexpr llvm::StringLiteral secondHalf = "_columns";
  /// Does a task copy the rows of a product that it does not find in place? It
  /// may as well compute them then.
  virtual bool copiesRows() const { return false; }
  /// Does an attention finish rows of weights before it multiplies them, where
  /// the model does something to what its softmax gives, and may its scores be
  /// sums of integers?
  virtual bool finishesRows() const { return false; }
  /// Do a convolution's tiles store its channels first, where they are short?
  virtual bool turnsTiles() const { return false; }
  /// Of a kernel that is cut and reads the few columns of its weight one after
  /// the other, rather than a panel of them: how they lie there.
  virtual std::optional<WeightColumns> columnsOf(KernelOp kernel) const;
  /// The passes that lay operands out as its kernels want them.
  virtual void populateLayout(mlir::OpPassManager &pm,
                              const LayoutOptions &layout) const = 0;
};

const Backend &cpuBackend();
const Backend &gpuBackend();
/// Null for a family that is none.
const Backend *findBackend(llvm::StringRef family);

} // namespace tenon

#endif // TENON_CODEGEN_BACKEND_H
