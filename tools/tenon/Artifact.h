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
#include <set>
#include <string>
#include <vector>

namespace tenon {

/// A failed call of the C API.
llvm::Error apiError(const tenon_error &error);

class OpenArtifact {
public:
  /// `flags` are TENON_LIBRARY_*.
  static llvm::Expected<std::unique_ptr<OpenArtifact>>
  open(llvm::StringRef path, uint32_t flags = 0);
  /// A model that is in memory and stays there.
  static llvm::Expected<std::unique_ptr<OpenArtifact>>
  of(const tenon_model *model);
  ~OpenArtifact() { tenon_library_close(&library); }
  OpenArtifact(const OpenArtifact &) = delete;

  const tenon_model *model() const { return library.model; }
  tenon_model_info info;
  std::vector<tenon_port_info> inputs, outputs;
  std::vector<tenon_range_info> ranges;
  std::vector<tenon_check_info> checks;
  std::vector<tenon_level_info> levels;
  std::vector<tenon_gpu_image_info> gpuImages;
  std::vector<tenon_state_info> states; // those with a reason are none

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

/// A port's number, or -1 for a name that none has, and a file's path.
struct NamedFile {
  int32_t port;
  std::string path;
};
/// Takes NAME=FILE.npy apart; `option` is the one that has it as its value.
llvm::Expected<NamedFile> splitSetting(llvm::StringRef option,
                                       llvm::StringRef setting,
                                       llvm::ArrayRef<tenon_port_info> ports);

/// Reads --input NAME=FILE.npy settings: one tensor per input of the artifact,
/// those not given left empty.
llvm::Expected<std::vector<Tensor>>
readInputs(const OpenArtifact &artifact, llvm::ArrayRef<std::string> settings);

/// "input 'x' is not given: --input x=FILE.npy, f32 [batch, 3]"
llvm::Error missingInput(const tenon_port_info &port);

/// Chooses every dim that an input names: from `dims`, from the given tensors,
/// else a default inside the declared range. `dims` then holds them all.
llvm::Error chooseDims(const OpenArtifact &artifact,
                       llvm::ArrayRef<Tensor> given, DimValues &dims);
/// The dims of an input once the names have values.
llvm::Expected<std::vector<int64_t>> portDims(const tenon_port_info &port,
                                              const DimValues &dims);

struct SessionOptions {
  int threads = 0;
  std::string level;
  std::string device;
  std::string weights;
  bool oversubscribe = false;
  bool profile = false;
  tenon_state *state = nullptr; ///< to bind; its ports are then left alone
};

/// A context with inputs and outputs bound and the workspace reserved.
class Session {
public:
  static llvm::Expected<std::unique_ptr<Session>>
  create(const OpenArtifact &artifact, const SessionOptions &options,
         llvm::MutableArrayRef<Tensor> inputs);
  /// The same in two steps: what the first one refuses no input is to blame
  /// for.
  static llvm::Expected<std::unique_ptr<Session>>
  open(const OpenArtifact &artifact, const SessionOptions &options);
  llvm::Error bind(llvm::MutableArrayRef<Tensor> inputs);
  /// A context alone, for who binds what there is themselves.
  static llvm::Expected<tenon_context *>
  createContext(const OpenArtifact &artifact, const SessionOptions &options);
  ~Session() { tenon_context_destroy(context); }
  Session(const Session &) = delete;

  llvm::Error run();

  tenon_context *context = nullptr;
  tenon_context_info info;
  /// After a run with the dims that it gave them; empty where the state holds
  /// them.
  std::vector<Tensor> outputs;

private:
  explicit Session(const OpenArtifact &artifact) : artifact(artifact) {}
  /// Reserves the workspace and binds outputs with room for any outcome.
  llvm::Error makeRoom();

  const OpenArtifact &artifact;
  std::vector<const int64_t *> inputDims;
  bool hasState = false;
};

/// The inputs that were not given, each with how it was filled.
using Filled = std::vector<std::pair<std::string, std::string>>;
/// A session that has run once, on inputs that the model accepts: ids inside
/// their bounds, masks ones, floats normal, numbers that give dims as the
/// checks demand. Where the run refuses the likeliest values others are tried.
/// The same dims give the same values everywhere.
llvm::Expected<std::unique_ptr<Session>>
runFilled(const OpenArtifact &artifact, const SessionOptions &options,
          const DimValues &dims, std::vector<Tensor> &inputs, Filled &filled);
/// "normal: x, y; ones: mask".
std::string describeFilled(const Filled &filled);

/// What a model's compiler predicted to be slow, and why.
std::vector<llvm::StringRef> slowWork(const tenon_model_info &info);

/// "i64 [batch, seq]".
std::string describePort(const tenon_port_info &port);

/// Gives each name a file of its own.
class FileNames {
public:
  /// DIR/NAME.npy, every character of the name outside [A-Za-z0-9_.-] as '_'
  /// and its end left out where it is long. Where another name has that file
  /// it is DIR/NAME.2.npy, then DIR/NAME.3.npy.
  std::string path(llvm::StringRef directory, llvm::StringRef name);

private:
  static constexpr size_t kLongest = 200; // a file's name has up to 255 bytes
  std::map<std::string, std::string> files;
  std::set<std::string> taken;
};

llvm::Error writeTensor(llvm::StringRef path, tenon_dtype dtype,
                        llvm::ArrayRef<int64_t> dims, const void *data);

} // namespace tenon

#endif // TENON_TOOLS_ARTIFACT_H
