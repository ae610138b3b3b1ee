//===- KernelLoops.h - loops and branches of a kernel -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Blocks of scf inside a kernel's function. What was computed in a block does
// not dominate what follows it, so the values that are known go with the block.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_KERNELLOOPS_H
#define TENON_LIB_CODEGEN_EMIT_KERNELLOOPS_H

#include "lib/Codegen/Emit/KernelFunction.h"
#include "lib/Codegen/Emit/Walk.h"

namespace tenon {

class KernelLoops : public KernelFunction {
public:
  KernelLoops(KernelOp kernel, mlir::func::FuncOp func,
              const TargetInfo &target, const Walk &walk, KernelInfo &info);

  /// How what is emitted now goes over elements.
  const Walk &walk() const { return *current; }
  unsigned vectorLanes() const { return walk().lanes(*this); }

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
  /// The same of one value.
  mlir::Value whileLoop(mlir::Value init,
                        llvm::function_ref<mlir::Value(mlir::Value)> condition,
                        llvm::function_ref<mlir::Value(mlir::Value)> next);
  /// Goes over [0, n), `lanes` elements at a time, as the walk says; where
  /// fewer are left `body` is emitted once more, masked.
  void lanesLoop(mlir::Value n, unsigned lanes,
                 llvm::function_ref<void(Idx)> body);
  /// With one loop-carried vector per init; the tail's `body` must neutralise
  /// inactive lanes itself (see L.mask).
  llvm::SmallVector<mlir::Value> lanesLoop(
      mlir::Value n, unsigned lanes, mlir::ValueRange init,
      llvm::function_ref<llvm::SmallVector<mlir::Value>(Idx, mlir::ValueRange)>
          body);
  /// What lanes carried out of a lanesLoop, as one scalar.
  mlir::Value combineLanes(mlir::Value v, mlir::vector::CombiningKind kind);
  mlir::Value ifElse(mlir::Value condition, mlir::Type type,
                     llvm::function_ref<mlir::Value()> then,
                     llvm::function_ref<mlir::Value()> otherwise);
  /// condition && more(), a bool; `more` is computed where it counts.
  mlir::Value bothIn(mlir::Value condition,
                     llvm::function_ref<mlir::Value()> more);
  /// The largest, or the least, of what fn gives for [first, end), which is not
  /// empty.
  mlir::Value extremeOf(mlir::Value first, mlir::Value end, bool largest,
                        llvm::function_ref<mlir::Value(mlir::Value)> fn);
  void ifThen(mlir::Value condition, llvm::function_ref<void()> then);
  /// The values of `then`, or `otherwise`.
  llvm::SmallVector<mlir::Value>
  ifThen(mlir::Value condition, mlir::ValueRange otherwise,
         llvm::function_ref<llvm::SmallVector<mlir::Value>()> then);
  /// What `fn` gives; what it computed on the way is not known afterwards.
  mlir::Value apart(llvm::function_ref<mlir::Value()> fn);
  /// Ends the function with the walk's status.
  void finish() { KernelFunction::finish(walk().status(*this)); }

protected:
  using Key = std::vector<const void *>;
  /// What remember() was told in a block that is still open; null: nothing.
  mlir::Value lookUp(const Key &key) const;
  void remember(Key key, mlir::Value v);

private:
  struct Scope;
  friend class WalkScope;

  const Walk *current;
  std::map<Key, mlir::Value> known;
};

/// Another walk until the end of a scope.
class WalkScope {
public:
  WalkScope(KernelLoops &e, const Walk &walk) : e(e), saved(e.current) {
    e.current = &walk;
  }
  ~WalkScope() { e.current = saved; }
  WalkScope(const WalkScope &) = delete;
  WalkScope &operator=(const WalkScope &) = delete;

private:
  KernelLoops &e;
  const Walk *saved;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_KERNELLOOPS_H
