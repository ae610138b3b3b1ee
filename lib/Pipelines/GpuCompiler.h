//===- GpuCompiler.h - the GPU levels of an artifact ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// GPU levels begin with the kernels of the stage `fuse`, which they cut by
// tilings of their own. All of them have one schedule, which is not that of the
// CPUs: other tasks, other scratch memory.
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_PIPELINES_GPUCOMPILER_H
#define TENON_LIB_PIPELINES_GPUCOMPILER_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Support/LogicalResult.h"
#include "tenon/Codegen/Program.h"
#include "tenon/Pipelines/Pipelines.h"
#include "tenon/Target/TargetInfo.h"
#include "llvm/Support/Error.h"

namespace tenon {

struct GpuLevel {
  TargetInfo target;
  mlir::OwningOpRef<mlir::ModuleOp> kernels;
  std::string llvm, ptx;
  std::string cubin; ///< empty: not assembled
};

class GpuCompiler {
public:
  std::vector<GpuLevel> levels; ///< oldest architecture first
  Schedule schedule;

  llvm::Error addLevel(llvm::StringRef name);
  bool empty() const { return levels.empty(); }
  mlir::ModuleOp getGraph() { return *graph; }

  /// The options, with what the levels have.
  TilingOptions withLevels(TilingOptions tiling) const;
  /// Cuts a copy of the kernels of `fused`; fails after an error.
  mlir::LogicalResult cut(mlir::ModuleOp fused, const TilingOptions &tiling);
  /// Emits all levels' kernels and lists the steps; fails after an error.
  mlir::LogicalResult tile();
  mlir::LogicalResult lowerToVectors();
  mlir::LogicalResult lowerToLLVM();
  /// Fills in each level's LLVM IR and PTX.
  llvm::Error emitPtx(int optLevel);
  /// And its cubin. Where there is no ptxas, `note` says what that means.
  llvm::Error assemble(llvm::StringRef ptxas, std::string &note);
  /// Does another schedule have the same weights in the same order?
  bool sharesWeights(const Schedule &other) const;
  /// For the artifact's tables, which it must outlive.
  GpuProgram getProgram() const;

private:
  mlir::LogicalResult checkSizes();
  llvm::Error emitPtx(GpuLevel &level, int optLevel);

  mlir::OwningOpRef<mlir::ModuleOp> graph;
};

} // namespace tenon

#endif // TENON_LIB_PIPELINES_GPUCOMPILER_H
