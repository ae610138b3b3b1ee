//===- Profile.h - where the time of a run goes -----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_PROFILE_H
#define TENON_TOOLS_PROFILE_H

#include "Roofline.h"
#include "tenon/tenon.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include <vector>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace tenon {

/// What of a step's weights a run reads: of a large table that is looked into
/// the rows alone.
double bytesOfWeights(const tenon_step_info &step);

/// Step times summed over runs, told per kernel, and what of the runs' time
/// was spent outside steps. The rates of a kernel that a loop calls take each
/// call as large as the last one.
class Profile {
public:
  Profile(int32_t steps, const Roofline &roofline)
      : roofline(roofline), steps(size_t(steps)) {}
  /// Takes the times of the last run.
  void add(tenon_context *context);

  void print(llvm::raw_ostream &out) const;
  void writeJson(llvm::json::OStream &out) const;
  /// Of one run in ms: all of it, and what it spent outside kernels. Besides,
  /// how many barriers it has, and the share of its threads' time at them.
  void writeTotals(llvm::json::OStream &out) const;
  /// The last run, step by step, in Chrome's trace format. Of a step in a loop
  /// the last call.
  llvm::Error writeTrace(llvm::StringRef path, tenon_context *context) const;

private:
  struct Step {
    const char *kernel = "", *nodes = "";
    double ns = 0, calls = 0; // of all runs
    double cost = 0, bytes = 0, weights = 0;
    int32_t threads = 0;
  };
  struct Kernel {
    llvm::StringRef name;
    double calls = 0, ms = 0, cost = 0, bytes = 0; // of one run
    double flops = 0;                              ///< of matrix products
    double leastMs = 0;                            ///< by the roofline
    int32_t threads = 0;
    std::string nodes;
  };
  std::vector<Kernel> kernels() const;
  double perRun(double ns) const { return ns / 1e6 / (runs ? runs : 1); }
  double waitShare() const { return threadsNs > 0 ? waitNs / threadsNs : 0; }

  Roofline roofline;
  std::vector<Step> steps;
  int runs = 0;
  double runNs = 0, prepareNs = 0, controlNs = 0; // of all runs
  double threadsNs = 0, waitNs = 0;               // of all threads, likewise
  double barriers = 0;                            // negative: not known
};

} // namespace tenon

#endif // TENON_TOOLS_PROFILE_H
