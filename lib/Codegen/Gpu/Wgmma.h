//===- Wgmma.h - products of warpgroups -------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// wgmma multiplies 64 rows by up to 256 columns with 128 threads. Of a matmul
// its rows are columns of the weights, in registers: warp w has 16w to 16w +
// 15, as mma.sync has those of A (Mma.h), so that whatever format weights have
// is opened on the way. Its columns are rows of the left operand, which the
// tensor cores read in shared memory themselves: 128 bytes of K a row, of which
// the 16-byte blocks are exchanged, j and j ^ row % 8. A thread has of each 8
// columns the four sums that it has of mma.sync. Of an attention its rows are
// queries, in shared memory too, and weights, in registers.
//
// MLIR's own operation takes both operands from shared memory. This is inline
// assembly, from the fence of the registers to the wait: LLVM moves what
// computes with registers across either, and copies sums that are not there
// yet. Descriptors are computed there, too: outside they would be kept in
// registers, two each.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_WGMMA_H
#define TENON_LIB_CODEGEN_GPU_WGMMA_H

#include "lib/Codegen/Gpu/Mma.h"
#include "lib/Codegen/Gpu/SharedMemory.h"
#include <variant>

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

/// A matrix in shared memory: so many bytes behind what is described, within a
/// swizzle or by multiples of the alignment.
struct WgmmaMatrix {
  mlir::Value descriptor;
  int64_t bytes = 0;
  WgmmaMatrix after(int64_t more) const { return {descriptor, bytes + more}; }
};

/// One multiplication by so many columns.
struct WgmmaStep {
  std::variant<llvm::SmallVector<mlir::Value>, WgmmaMatrix> left; ///< registers
  WgmmaMatrix right;
  size_t sums = 0; ///< the first that it adds to
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
  /// Columns, or rows of the left operand, that begin at a byte: a multiple of
  /// the alignment, or so within a swizzle.
  WgmmaMatrix describe(const SharedArray &memory, mlir::Value at) const;
  /// Stores one number or several, which are f32, as they are multiplied; of
  /// tf32x3 what rounding leaves of them lies `plane` bytes behind.
  void store(const SharedArray &memory, mlir::Value x, mlir::Value to,
             int64_t plane) const;
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
