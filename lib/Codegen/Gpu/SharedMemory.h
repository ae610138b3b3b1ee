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

/// Of a block what every GPU from sm_80 on gives where it is asked for.
inline constexpr int64_t kMostShared = 99 << 10;

/// An array in shared memory, one of each name in a module of kernels.
/// Positions are of type index, and count elements.
class SharedArray {
public:
  /// What every GPU has without being asked is the module's own; more, and what
  /// another level may need more of (`asked`), is the launch's.
  SharedArray(KernelLoops &e, llvm::StringRef name, mlir::Type element,
              int64_t count, int64_t alignment = 16, bool asked = false);
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

/// An object in shared memory that counts arrivals; threads wait for the end of
/// a phase, in which so many arrive. Positions are bytes.
class Mbarriers {
public:
  Mbarriers(KernelEmitter &e, const SharedArray &memory)
      : e(e), memory(memory) {}
  void create(mlir::Value at, int64_t arrivals);
  void arrive(mlir::Value at);
  /// Once the copies that this thread has begun are done.
  void arriveAfterCopies(mlir::Value at);
  /// The phase has so many bytes of boxes more to wait for; arrives as well.
  void arriveExpecting(mlir::Value at, int64_t bytes);
  /// Makes those that this thread has created known to the copy engine.
  void fence();
  /// Has the copy engine bring a box of a tensor to `to`, a multiple of 128,
  /// and count its bytes at `at`. What is outside of the tensor is 0. Blocks of
  /// 16 bytes of lines of 128 are exchanged, j and j ^ line % 8 of the address.
  void copyBox(mlir::Value to, mlir::Value map, mlir::ValueRange position,
               mlir::Value at);
  /// Waits until the phase of this parity, 0 or 1, is over. Of one that was
  /// just created that of parity 1 is.
  void await(mlir::Value at, mlir::Value parity);

private:
  KernelEmitter &e;
  const SharedArray &memory;
};

/// Waits for all threads of the block.
void emitBarrier(KernelLoops &e);
/// Waits for so many threads, whole warps, that come to the barrier `number`.
void emitBarrier(KernelLoops &e, int64_t number, int64_t threads);
/// What is known to have been written until now is so to the units that read
/// shared memory on their own.
void fenceAsyncProxy(KernelEmitter &e);
/// What this thread has seen written until now is so to whoever sees what it
/// writes after this, in any block; and the other way round.
void fenceDevice(KernelEmitter &e);
/// Counts the i32 at `position`, up to `last` and then from 0 on again; gives
/// what it was.
mlir::Value countAround(KernelEmitter &e, mlir::Value memory,
                        mlir::Value position, mlir::Value last);
/// The same, and gives whether the condition of any of them holds.
mlir::Value emitBarrierAny(KernelEmitter &e, mlir::Value condition);
/// Waits for all threads of the warp.
void emitWarpBarrier(KernelEmitter &e);
/// Number of the thread in its block.
mlir::Value threadIndex(KernelLoops &e);
/// Where a tensor's memory begins, as a pointer to global memory.
mlir::Value globalPointer(KernelEmitter &e, mlir::Value memory);
/// The element of `type` at `position` of it, or 0 unless `inside`; null: it
/// is.
mlir::Value loadNumber(KernelEmitter &e, mlir::Value from, mlir::Type type,
                       mlir::Value position, mlir::Value inside);
/// What lies so many bytes behind it, a multiple of the type's.
mlir::Value loadGlobal(KernelEmitter &e, mlir::Value from, mlir::Type type,
                       mlir::Value bytes);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_SHAREDMEMORY_H
