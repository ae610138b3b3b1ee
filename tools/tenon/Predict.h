//===- Predict.h - what a GPU could do at best ------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Without the GPU: from an artifact's tables, its assembled code and the
// device's data sheet. The times are limits that no run can beat, not measured.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_PREDICT_H
#define TENON_TOOLS_PREDICT_H

#include "Artifact.h"
#include "llvm/ADT/StringRef.h"

namespace llvm {
class raw_ostream;
namespace json {
class OStream;
} // namespace json
} // namespace llvm

namespace tenon {

/// What a data sheet says; rates are 10^12 operations a second, two of a
/// multiply-add, without sparsity.
struct GpuSheet {
  llvm::StringLiteral name, title;
  int32_t capability; ///< ten times major.minor
  int64_t multiprocessors, warps, blocks, sharedBytes; ///< of each: at most
  double gbytes;                                       ///< 10^9 a second
  double f32, tf32, half, integer;
};
/// Null after an error that lists those that there are.
llvm::Expected<const GpuSheet *> findGpuSheet(llvm::StringRef name);

struct PredictedKernel {
  llvm::StringRef name, nodes; ///< of the first call
  int64_t calls = 0;
  int64_t blocks = 0, threads = 0; ///< of a call
  int64_t registers = 0;           ///< of a thread; 0: not assembled for it
  int64_t sharedBytes = 0;         ///< of a block
  int64_t resident = 0;            ///< blocks on a multiprocessor at a time
  double waves = 0, occupancy = 0;
  double bytes = 0, operations = 0, leastUs = 0; ///< of all calls
  bool memoryBound = false;
};

struct Prediction {
  const GpuSheet *gpu = nullptr;
  llvm::StringRef image; ///< that would run
  DimValues dims;
  std::vector<PredictedKernel> kernels; ///< by their time
  int64_t launches = 0;
  int64_t unknown = 0; ///< calls whose dims depend on values
  double leastUs = 0;
};

/// With `dims` for all names.
llvm::Expected<Prediction> predict(const OpenArtifact &artifact,
                                   llvm::StringRef device, DimValues dims);
void printPrediction(const Prediction &prediction, llvm::raw_ostream &out);
/// As attributes of the object that is being written.
void writePrediction(const Prediction &prediction, llvm::json::OStream &out);

} // namespace tenon

#endif // TENON_TOOLS_PREDICT_H
