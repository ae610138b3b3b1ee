//===- Artifact.h - artifacts and their tensors, for the tools --*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What run, bench, inspect and compare share: an opened artifact, tensors from
// files or at random, and a context with all of them bound.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_ARTIFACT_H
#define TENON_TOOLS_ARTIFACT_H

#include "tenon/Support/Npy.h"
#include "tenon/tenon.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tenon {

/// A failed call of the C API.
llvm::Error apiError(const tenon_error &error);

class OpenArtifact {
public:
  static llvm::Expected<std::unique_ptr<OpenArtifact>>
  open(llvm::StringRef path);
  ~OpenArtifact() { tenon_library_close(&library); }
  OpenArtifact(const OpenArtifact &) = delete;

  const tenon_model *model() const { return library.model; }
  tenon_model_info info;
  std::vector<tenon_port_info> inputs, outputs;
  std::vector<tenon_range_info> ranges;
  std::vector<tenon_check_info> checks;
  std::vector<tenon_level_info> levels;

private:
  OpenArtifact() = default;
  tenon_library library = {};
};

struct Tensor {
  tenon_dtype dtype = TENON_F32;
  std::vector<int64_t> dims;
  std::unique_ptr<llvm::MemoryBuffer> storage;
  void *data = nullptr;
  size_t bytes = 0;
  bool given = false; // read from a file
};

/// Memory for a tensor of these dims, 64-byte aligned.
llvm::Expected<Tensor> makeTensor(tenon_dtype dtype,
                                  llvm::ArrayRef<int64_t> dims);

/// Dims by name, from --dim.
using DimValues = std::map<std::string, int64_t>;
llvm::Expected<DimValues> parseDims(llvm::ArrayRef<std::string> settings);

/// Reads --input NAME=FILE.npy settings: one tensor per input of the artifact,
/// those not given left empty.
llvm::Expected<std::vector<Tensor>>
readInputs(const OpenArtifact &artifact, llvm::ArrayRef<std::string> settings);

/// Chooses every dim that an input names: from `dims`, from the given tensors,
/// else a default inside the declared range. `dims` then holds them all.
llvm::Error chooseDims(const OpenArtifact &artifact,
                       llvm::ArrayRef<Tensor> given, DimValues &dims);
/// The dims of an input once the names have values.
llvm::Expected<std::vector<int64_t>> portDims(const tenon_port_info &port,
                                              const DimValues &dims);

/// Fills the inputs that are not given: ids inside their bounds, masks ones,
/// floats normal. The same seed gives the same values everywhere.
llvm::Error fillInputs(const OpenArtifact &artifact, const DimValues &dims,
                       std::vector<Tensor> &inputs);

struct SessionOptions {
  int threads = 0;
  std::string level;
  std::string weights;
  bool oversubscribe = false;
  bool profile = false;
};

/// A context with inputs and outputs bound and the workspace reserved.
class Session {
public:
  static llvm::Expected<std::unique_ptr<Session>>
  create(const OpenArtifact &artifact, const SessionOptions &options,
         llvm::MutableArrayRef<Tensor> inputs);
  ~Session() { tenon_context_destroy(context); }
  Session(const Session &) = delete;

  llvm::Error run();

  tenon_context *context = nullptr;
  tenon_context_info info;
  /// After a run with the dims that it gave them.
  std::vector<Tensor> outputs;

private:
  explicit Session(const OpenArtifact &artifact) : artifact(artifact) {}
  /// Reserves the workspace and binds outputs with room for any outcome.
  llvm::Error makeRoom();

  const OpenArtifact &artifact;
  std::vector<const int64_t *> inputDims;
};

/// "i64 [batch, seq]".
std::string describePort(const tenon_port_info &port);

/// DIR/NAME.npy, every character of the name outside [A-Za-z0-9_.-] as '_'.
std::string npyPath(llvm::StringRef directory, llvm::StringRef name);
llvm::Error writeTensor(llvm::StringRef path, tenon_dtype dtype,
                        llvm::ArrayRef<int64_t> dims, const void *data);
/// An error when two of the names have the same file.
llvm::Error checkFileNames(llvm::ArrayRef<std::string> names);

} // namespace tenon

#endif // TENON_TOOLS_ARTIFACT_H
