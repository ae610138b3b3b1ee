//===- NarrowRows.h - products of few rows by f32 panels --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Few rows wait for B: all of them meet it as it comes from memory. Very few
// have too few sums of one panel to hide the latency of an addition, and take
// four neighbouring panels at once. With AVX-512 one panel's tile has room for
// twelve rows, with AVX2 they take turns by parts of a panel; of two tiles the
// second would read no memory. What fits a tile of two panels is multiplied as
// such: in the caches its sums are chains enough, where those of one panel are
// not.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_NARROWROWS_H
#define TENON_LIB_CODEGEN_CPU_NARROWROWS_H

#include "lib/Codegen/Cpu/Product.h"

namespace tenon {

struct NarrowRows {
  /// The rows of a task are all there may be. `waits`: AVX2 has panels that all
  /// of them meet by parts.
  NarrowRows(const TargetInfo &target, int64_t taskRows, bool waits);
  int64_t few, most; ///< by four panels, by one

  /// Is it so many that are multiplied at once?
  mlir::Value contain(KernelEmitter &e, mlir::Value rows) const;
  /// Of `panels` how many times four are met at once.
  mlir::Value groups(KernelEmitter &e, mlir::Value rows,
                     mlir::Value panels) const;
  /// Calls the micro-kernel for four panels or for one.
  void multiply(KernelEmitter &e, mlir::Value rows, const SymExpr &lda,
                const MicroKernelOperands &operands, int64_t panels) const;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_NARROWROWS_H
