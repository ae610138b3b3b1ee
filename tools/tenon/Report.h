//===- Report.h - an artifact as a page to look at --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_REPORT_H
#define TENON_TOOLS_REPORT_H

#include "Artifact.h"
#include "Roofline.h"
#include "llvm/ADT/StringMap.h"
#include <string>
#include <vector>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace tenon {

/// Steps [first, first + period * count): `count` times the same kernels.
struct Stretch {
  size_t first, period, count;
  bool operator==(const Stretch &) const = default;
};
/// Cuts a list of kernels so that equal layers stand together, in order.
std::vector<Stretch> findLayers(llvm::ArrayRef<llvm::StringRef> kernels);

struct ReportStep {
  llvm::StringRef kernel, nodes;
  int64_t tasks = 0, calls = 0; ///< 0 calls: a branch that was not taken
  int32_t threads = 0;
  double bytes = 0, weightBytes = 0;
  double flops = 0; ///< of matrix products
  double leastMs = 0;
  /// Of a run; numbers above are a call's.
  double runMs() const { return leastMs * double(calls); }
};

/// What the page tells, of one run.
struct Report {
  const OpenArtifact *artifact = nullptr;
  tenon_context_info context = {};
  DimValues dims;
  Roofline roofline;
  std::vector<ReportStep> steps;
  std::vector<tenon_buffer_info> buffers;
  /// Milliseconds of a call, by kernel; empty: nothing was measured.
  llvm::StringMap<double> measured;
};

/// From a session that has run.
llvm::Error fillReport(const Session &session, Report &report);
/// Takes the kernels' times from a file of `tenon bench --profile --json`.
llvm::Error readMeasured(llvm::StringRef path, Report &report);
/// One page that needs nothing else.
void writeReport(const Report &report, llvm::raw_ostream &out);

/// "the dim seq is at most 512".
std::string checkInWords(const tenon_check_info &check);
/// How a kernel of this name goes about it.
llvm::StringRef strategyOf(llvm::StringRef kernel);

} // namespace tenon

#endif // TENON_TOOLS_REPORT_H
