//===- StageText.h - a stage's text, written and read back ------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_PIPELINES_STAGETEXT_H
#define TENON_LIB_PIPELINES_STAGETEXT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace tenon {

struct StageTextOptions {
  /// Each op's location beside it: the ONNX node that it comes from.
  bool locations = false;
  /// Leaves out the bytes of large weights.
  bool elideWeights = false;
};

/// Prints what reads back as the same program.
void printStage(mlir::ModuleOp module, llvm::raw_ostream &os,
                const StageTextOptions &options);

/// Reads what `--emit` printed of a graph (a file, "-", a pipe); null after a
/// diagnostic. `weights` says that their bytes are needed.
mlir::OwningOpRef<mlir::ModuleOp>
readStage(llvm::StringRef path, mlir::MLIRContext &context, bool weights);

} // namespace tenon

#endif // TENON_LIB_PIPELINES_STAGETEXT_H
