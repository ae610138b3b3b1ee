//===- KernelKinds.h - emitters that targets share --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// They ask the emitter's Walk how a task goes over its elements, so that a
// family of targets needs its own emitters only for products and attention.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_KERNELKINDS_H
#define TENON_LIB_CODEGEN_EMIT_KERNELKINDS_H

#include "dialects/Tenon/IR/TenonFormat.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// Pointwise on operands of the result's dims, but for single elements: all
/// dims of the map count as one.
bool isFlatMap(KernelEmitter &e, llvm::ArrayRef<SymExpr> dims);

/// The runtime's kernel that computes the one op of a "native" kernel.
KernelInfo describeNativeKernel(KernelOp kernel);

// One per kind of kernel that is emitted.
void emitMapKernel(KernelEmitter &e);
void emitRowKernel(KernelEmitter &e);
void emitTopKKernel(KernelEmitter &e);
// A task is so many columns of the dim that lanes lie along; a scatter by
// tuples has at most so many tasks, each of which reads all indices.
void emitScanKernel(KernelEmitter &e, int64_t columns);
void emitScatterKernel(KernelEmitter &e, int64_t columns, int64_t tasks);
void emitRecurrenceKernel(KernelEmitter &e, int64_t columns);
/// Panels of a weight: runs of `own`, `apart` from one to the next.
struct PanelRuns {
  mlir::Value first;
  int64_t count, own, apart;
  bool areOne() const { return own == count; }
};
/// What a step of a recurrent layer multiplies: `rows` rows of the state, of so
/// many units, from stateAt on, and some panels of the weight's,
/// [panel][unit][32] from weightAt on; of a row the gates have allPanels * 32
/// elements. There are at most mostRows.
struct StateProductOperands {
  mlir::Value rows, state, stateAt;
  int64_t mostRows, units;
  mlir::Value weight, weightAt;
  PanelRuns panels;
  int64_t allPanels;
  mlir::Value gates;
};
using StateProduct =
    std::function<void(KernelEmitter &, const StateProductOperands &)>;
/// The same of a layer of integers: `rows` rows of codes, rowSize apart and
/// filled up with zeros to that, by the weight's panels of `format` from
/// weightAt on. Calls finish(row, panel, at) for each row and panel, whose 32
/// sums, i32, lie in `sums` from `at` on; it has room for kElements.
struct CodeProductOperands {
  mlir::Value rows, codes;
  int64_t units, rowSize;
  FormatAttr format;
  mlir::Value weight, weightAt;
  int64_t panels;
  mlir::Value sums;
  std::function<void(mlir::Value, mlir::Value, mlir::Value)> finish;
  static constexpr int64_t kElements = kTileRows * kTilePanels * kPanelColumns;
};
/// What a level multiplies codes as, and how.
struct CodeProduct {
  mlir::Type rows = {};
  std::function<void(KernelEmitter &, const CodeProductOperands &)> multiply =
      {};
};
/// How a family computes them: a team is up to `few` sequences of one
/// direction, `many` of a weight that exceeds a core's cache. Without a
/// `product` each sum is a loop.
struct RecurrentForm {
  int64_t few = 1, many = 1;
  StateProduct product = {};
  CodeProduct ofCodes = {};
  bool inParts = false; ///< threads share steps: the kernel has a second half
};
void emitRecurrentKernel(KernelEmitter &e, const RecurrentForm &form);
/// Is the kernel a recurrent layer whose steps threads would share?
bool isRecurrentInParts(KernelOp kernel);
/// The second half of one in parts; gives the elements of both halves' memory.
SymExpr emitRecurrentSteps(KernelEmitter &e, const RecurrentForm &form);
/// The map kernel of a reduction.
void emitReduceKernel(KernelEmitter &e, ReduceOp op);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_KERNELKINDS_H
