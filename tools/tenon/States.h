//===- States.h - a decoder's pasts, for the tools --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_STATES_H
#define TENON_TOOLS_STATES_H

#include "Artifact.h"
#include "llvm/Support/JSON.h"
#include <cstdlib>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace tenon {

/// Is there a past that a tenon_state can hold?
bool hasStates(const OpenArtifact &artifact);
/// Is it the input, or the output, of such a pair?
bool holdsInput(const OpenArtifact &artifact, size_t input);
bool holdsOutput(const OpenArtifact &artifact, size_t output);

/// What a token of one sequence's context takes, in all states.
int64_t bytesPerToken(const OpenArtifact &artifact);
/// What a sequence takes whatever its context: all that is replaced.
int64_t bytesPerSequence(const OpenArtifact &artifact);
/// The rows for each of so many sequences for which memory has room.
int64_t mostRows(const OpenArtifact &artifact, int64_t sequences,
                 uint64_t bytes);

/// How much memory to say the capacity of, and for how many sequences.
struct MemoryQuestion {
  uint64_t bytes = 0; ///< 0: none
  int64_t sequences = 1;
};
void printStates(const OpenArtifact &artifact, const MemoryQuestion &memory,
                 llvm::raw_ostream &out);
void writeStates(const OpenArtifact &artifact, const MemoryQuestion &memory,
                 llvm::json::OStream &out);
/// "4096", "512M" or "2G".
llvm::Expected<uint64_t> parseBytes(llvm::StringRef option,
                                    llvm::StringRef text);

/// A tenon_state with its memory.
class StateMemory {
public:
  /// Of empty sequences; pages are touched as rows come.
  static llvm::Expected<StateMemory>
  create(const OpenArtifact &artifact, int64_t sequences, int64_t capacity);
  /// As write() left it. What is no whole state of the artifact is an error.
  static llvm::Expected<StateMemory> read(const OpenArtifact &artifact,
                                          llvm::StringRef path);
  llvm::Error write(llvm::StringRef path) const;

  tenon_state *state = nullptr;
  size_t bytes = 0;
  int64_t sequences = 0, capacity = 0;

private:
  struct Free {
    void operator()(void *memory) const { std::free(memory); }
  };

  llvm::Expected<char *> allocate(size_t size);
  llvm::Error checkRead(const OpenArtifact &artifact);

  std::unique_ptr<void, Free> memory;
};

} // namespace tenon

#endif // TENON_TOOLS_STATES_H
