//===- Artifact.h - writing .so, .o and .a files ----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights never pass through an assembler or a linker: the object has a section
// of the right size without bytes, and the bytes are streamed to the end of the
// finished file. Files get their names when they are whole (OutputFile.h): after
// an error nothing has changed there.
//
//===----------------------------------------------------------------------===//

#ifndef TENON_TARGET_ARTIFACT_H
#define TENON_TARGET_ARTIFACT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace tenon {

using WeightsHash = std::array<uint8_t, 32>;

/// Takes the next bytes of the weights.
using ChunkSink = llvm::function_ref<llvm::Error(llvm::ArrayRef<char>)>;

struct WeightsSource {
  uint64_t size = 0;
  /// Hands all `size` bytes to the sink, in order, in chunks of any size. May
  /// be called more than once and yields the same bytes each time.
  std::function<llvm::Error(ChunkSink sink)> write;
};

enum class ArtifactKind { SharedLibrary, Object, Archive };

/// From the output's extension: .so, .o, .a.
std::optional<ArtifactKind> artifactKindFromPath(llvm::StringRef path);

struct ArtifactOptions {
  std::string output;
  ArtifactKind kind = ArtifactKind::SharedLibrary;
  /// The model's symbol, the only one that others see.
  std::string exportedSymbol;
  /// Of a shared library: another name of it, and the library's own; neither
  /// where they are empty.
  std::string alias, soname;
  /// Weights go to the file weightsPath(output) instead of the artifact.
  bool weightsInFile = false;
  /// Required with weightsInFile: what hashWeights gave (the program has it).
  WeightsHash weightsHash = {};
};

/// The weights' file beside an artifact: "<output>.weights". The program names
/// it without a directory.
std::string weightsPath(llvm::StringRef output);

/// BLAKE3 of the blob, by one pass over the source.
llvm::Expected<WeightsHash> hashWeights(const WeightsSource &weights);

/// Writes the artifact (and the weights' file) from objects of emitObject and
/// the runtime's; those that the exported symbol does not reach are left out.
llvm::Error writeArtifact(const ArtifactOptions &options,
                          llvm::ArrayRef<llvm::StringRef> objects,
                          const WeightsSource &weights);

} // namespace tenon

#endif // TENON_TARGET_ARTIFACT_H
