//===- DotKernel.h - products by few columns --------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_DOTKERNEL_H
#define TENON_LIB_CODEGEN_CPU_DOTKERNEL_H

#include "lib/Codegen/Cpu/Product.h"

namespace tenon {

/// A window's product by so few columns that lanes had better lie along its
/// runs: a vector of them meets a vector of each column's weights, and the
/// lanes are added up at the end.
class DotKernel {
public:
  static constexpr int64_t kMostColumns = 4;
  /// nullopt where lanes are filled as well by the columns. The same at every
  /// level: so is the memory that a kernel needs.
  static std::optional<DotKernel> match(const TargetInfo &target,
                                        const SymExpr &columns, int64_t taps,
                                        const SymExpr &run);
  /// Rows of a tile, at most.
  int64_t mostRows() const;
  /// The weights out of the one panel at B, in the order of the lanes.
  mlir::Value loadWeights(KernelEmitter &e, mlir::Value B) const;
  /// C at cAt + row * ldc + column = the sums of `rows` rows of the window.
  void emit(KernelEmitter &e, mlir::Value rows, const MicroKernelOperands &o,
            mlir::Value weights, int64_t ldc) const;

private:
  DotKernel(const TargetInfo &target, int64_t columns, int64_t taps,
            int64_t run)
      : target(target), columns(columns), taps(taps), run(run) {}
  int64_t lanes() const { return target.vectorBits / 32; }
  /// Of a run, whole vectors of any level.
  int64_t length() const { return llvm::alignTo(run, 16); }
  mlir::func::FuncOp get(mlir::ModuleOp module, int64_t rows,
                         int64_t ldc) const;

  const TargetInfo &target;
  int64_t columns, taps, run;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_DOTKERNEL_H
