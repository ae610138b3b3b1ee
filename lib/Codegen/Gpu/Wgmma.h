//===- Wgmma.h - products of warpgroups -------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// wgmma multiplies 64 rows by up to 256 columns with 128 threads. Here its rows
// are columns of the weights, in registers: warp w has 16w to 16w + 15, as
// mma.sync has those of A (Mma.h), so that whatever format weights have is
// opened on the way. Its columns are rows of the left operand, which the tensor
// cores read in shared memory themselves: 128 bytes of K a row, of which the
// 16-byte blocks are exchanged, j and j ^ row % 8. A thread has of each 8
// columns the four sums that it has of mma.sync.
//
// MLIR's own operation takes both operands from shared memory. This is inline
// assembly, from the fence of the registers to the wait: LLVM moves what
// computes with registers across either, and copies sums that are not there
// yet.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_WGMMA_H
#define TENON_LIB_CODEGEN_GPU_WGMMA_H

#include "lib/Codegen/Gpu/Mma.h"
#include "lib/Codegen/Gpu/SharedMemory.h"

namespace tenon {

inline constexpr int64_t kWarpgroup = 128;    ///< threads
inline constexpr int64_t kWgmmaRows = 64;     ///< of its left operand
inline constexpr int64_t kSwizzleBytes = 128; ///< of K, of a column
inline constexpr int64_t kSwizzleAlignment = 1024;
/// Registers of a thread where two blocks of two warpgroups fit a
/// multiprocessor, and those of either while one fills and one multiplies.
inline constexpr int64_t kRegisters = 128, kRegistersToFill = 72,
                         kRegistersToMultiply =
                             2 * kRegisters - kRegistersToFill;

/// One multiplication by so many columns.
struct WgmmaStep {
  llvm::SmallVector<mlir::Value> left; ///< four registers
  mlir::Value right;                   ///< a descriptor
};

/// A warpgroup gives registers back to its block, or waits until there are
/// some.
void giveRegisters(KernelEmitter &e, int64_t left);
void takeRegisters(KernelEmitter &e, int64_t wanted);

class Wgmma {
public:
  Wgmma(KernelEmitter &e, const Mma &mma, int64_t columns)
      : e(e), mma(mma), columns(columns) {}

  int64_t numSums() const { return columns / 2; } ///< a thread's
  /// What describes columns that begin at a byte, a multiple of the alignment.
  mlir::Value describe(const SharedArray &memory, mlir::Value at) const;
  /// The same of what lies so many bytes further, within a swizzle or by
  /// multiples of the alignment.
  mlir::Value describeAfter(mlir::Value descriptor, int64_t bytes) const;
  /// The sums with the steps' products, which are added one after the other.
  llvm::SmallVector<mlir::Value>
  multiply(mlir::ValueRange sums, llvm::ArrayRef<WgmmaStep> steps) const;

private:
  KernelEmitter &e;
  const Mma &mma;
  int64_t columns;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_WGMMA_H
