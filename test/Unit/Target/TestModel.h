//===- TestModel.h - a small model to make artifacts of ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_TEST_UNIT_TARGET_TESTMODEL_H
#define TENON_TEST_UNIT_TARGET_TESTMODEL_H

#include "tenon/Target/Artifact.h"
#include "tenon/Target/Emit.h"
#include "llvm/ADT/SmallString.h"
#include <filesystem>
#include <string>
#include <vector>

namespace tenon::test {

/// What the exported function returns.
struct Table {
  const unsigned char *weights;
  uint64_t bytes;
  /// Of the linked runtime: calls malloc, memcpy and free.
  int (*selfTest)(int);
};

/// A directory that goes away.
class TemporaryDirectory {
public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  std::string path(llvm::StringRef name) const;
  std::vector<std::string> entries() const;

private:
  std::filesystem::path root;
};

/// What an artifact is made of.
struct Objects {
  llvm::SmallString<0> model, runtime, unused;
  std::vector<llvm::StringRef> list() const {
    return {model, runtime, unused};
  }
};

/// A model that exports `symbol` and has `bytes` of weights, and a runtime that
/// calls the function `needs`.
Objects makeObjects(llvm::StringRef symbol, uint64_t bytes,
                    llvm::StringRef needs = "free");

unsigned char weightAt(uint64_t index);
WeightsSource makeWeights(uint64_t bytes);
/// Whether the table's weights are those of makeWeights, at a page's start.
bool hasWeights(const Table *table, uint64_t bytes);

/// Runs a command; its output is shown when it fails.
bool runCommand(const std::string &command);

} // namespace tenon::test

#endif // TENON_TEST_UNIT_TARGET_TESTMODEL_H
