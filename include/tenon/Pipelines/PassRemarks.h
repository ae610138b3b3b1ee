//===- PassRemarks.h - what passes did, and did not and why -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_PIPELINES_PASSREMARKS_H
#define TENON_PIPELINES_PASSREMARKS_H

#include "mlir/IR/MLIRContext.h"
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace tenon {

struct PassRemark {
  /// Else the pattern did not match, and `reason` says why.
  bool applied;
  std::string pass, pattern, op;
  /// The ONNX nodes that the op comes from.
  std::string nodes;
  std::string reason;
};
using PassRemarkFn = std::function<void(const PassRemark &)>;

/// Makes the context's passes tell `sink` what they do. They may run on several
/// threads; one calls it at a time.
void collectPassRemarks(mlir::MLIRContext &context, PassRemarkFn sink);

/// What --mlir-pass-statistics prints: how often each pattern of each pass was
/// applied. (MLIR's own are empty in an LLVM without assertions.)
class PassStatistics {
public:
  void add(const PassRemark &remark);
  void print(llvm::raw_ostream &out) const;

private:
  struct Counts {
    std::string pass;
    std::map<std::string, size_t> patterns;
  };
  std::vector<Counts> passes; // in the order of their first remarks
};

} // namespace tenon

#endif // TENON_PIPELINES_PASSREMARKS_H
