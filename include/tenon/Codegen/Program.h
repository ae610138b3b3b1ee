//===- Program.h - the artifact's constant tables ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_PROGRAM_H
#define TENON_CODEGEN_PROGRAM_H

#include "tenon/Codegen/Kernels.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <array>
#include <functional>
#include <optional>

namespace llvm {
class Function;
class Module;
} // namespace llvm

namespace tenon {

/// The runtime's number of an element type (abi.h).
int32_t dtypeOf(mlir::Type elementType);

/// One instruction-set level of the artifact: its kernels are the schedule's
/// symbols with `suffix`.
struct ProgramLevel {
  std::string name;
  uint64_t featureBits = 0;
  std::string suffix;
};

struct ProgramRange {
  std::string name;
  int64_t lo, hi;
};

/// Places the schedule's weights in the blob, 64-byte aligned.
struct WeightsPlan {
  std::vector<uint64_t> offsets; ///< by buffer; meaningless for other kinds
  uint64_t bytes = 0;
};

/// A GPU level's kernels, as PTX or assembled.
struct GpuImage {
  std::string name; ///< "sm_90a"
  unsigned sm = 0;
  bool assembled = false;
  llvm::StringRef bytes;
};
/// A model on GPUs: a schedule of its own, with the same weights.
struct GpuProgram {
  const Schedule *schedule;
  WeightsPlan weights;
  std::vector<GpuImage> images; ///< best first
};

struct ProgramOptions {
  std::vector<ProgramLevel> levels; ///< best first
  std::optional<GpuProgram> gpu;
  std::vector<ProgramRange> ranges;
  std::string exportedSymbol = "tenon_model";
  bool shared = false; ///< the artifact is a shared library
  std::string precision = "f32"; ///< of products by weights
  int64_t window = 0; ///< how many rows of a past a new one looks back at
  std::vector<std::string> slow; ///< what is predicted to be, and why
  std::string compilerVersion;
  bool weightsInFile = false;
  std::string weightsFile; ///< its name without a directory
  std::array<uint8_t, 32> weightsHash = {};
};

/// Of a graph of kernels that read pages of pasts: how many keys a query looks
/// back at, at most, its own among them. 0: at all of them, or not known.
int64_t findWindow(mlir::ModuleOp graph);

WeightsPlan planWeights(const Schedule &schedule);
/// How many elements a weight's buffer holds, padding of panels included.
int64_t weightElements(const ScheduleBuffer &buffer);
/// Hands the blob to `sink` in order, a panel or a megabyte at a time.
llvm::Error
writeWeights(const Schedule &schedule, const WeightsPlan &plan,
             llvm::function_ref<llvm::Error(llvm::ArrayRef<char>)> sink);

/// Adds to a kernel (as MLIR translated it, under its level's name) an entry
/// function of type tenon_kernel, by which tables of another module find it.
void addKernelEntry(llvm::Function &kernel, size_t numBuffers, size_t numDims);

/// Adds to a module the tables of abi.h and the exported symbol. Fails when a
/// dim's symbol cannot be computed from the inputs.
llvm::Error emitProgram(llvm::Module &module, const Schedule &schedule,
                        const WeightsPlan &weights,
                        const ProgramOptions &options);

} // namespace tenon

#endif // TENON_CODEGEN_PROGRAM_H
