//===- SharedMemory.h - memory of a block's threads -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_SHAREDMEMORY_H
#define TENON_LIB_CODEGEN_GPU_SHAREDMEMORY_H

#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// An array in shared memory, one of each name in a module of kernels.
/// Positions are of type index, and count elements.
class SharedArray {
public:
  SharedArray(KernelLoops &e, llvm::StringRef name, mlir::Type element,
              int64_t count);
  mlir::Value at(mlir::Value position) const;
  /// `type` is the element's, or a vector of it at a multiple of its size.
  mlir::Value load(mlir::Type type, mlir::Value position) const;
  void store(mlir::Value v, mlir::Value position) const;

private:
  KernelLoops &e;
  mlir::Type element;
  mlir::Value base;
};

/// Begins to copy 16 bytes, from so many elements of `type` behind the pointer
/// `from`, or zeros unless `inside`.
void copyAsync(KernelEmitter &e, const SharedArray &into, mlir::Value at,
               mlir::Value from, mlir::Type type, mlir::Value position,
               mlir::Value inside);
/// The copies of this thread since the last call are a group.
void closeCopies(KernelEmitter &e);
/// Waits for all groups of this thread but the last `left`.
void awaitCopies(KernelEmitter &e, int64_t left);

/// Waits for all threads of the block.
void emitBarrier(KernelLoops &e);
/// The same, and gives whether the condition of any of them holds.
mlir::Value emitBarrierAny(KernelEmitter &e, mlir::Value condition);
/// Waits for all threads of the warp.
void emitWarpBarrier(KernelEmitter &e);
/// Number of the thread in its block.
mlir::Value threadIndex(KernelLoops &e);
/// Where a tensor's memory begins, as a pointer to global memory.
mlir::Value globalPointer(KernelEmitter &e, mlir::Value memory);
/// What lies so many bytes behind it, a multiple of the type's.
mlir::Value loadGlobal(KernelEmitter &e, mlir::Value from, mlir::Type type,
                       mlir::Value bytes);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_SHAREDMEMORY_H
