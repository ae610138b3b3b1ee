//===- Decoder.h - a decoder that keeps its pasts in a state ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a host does from token to token, for a model that is not known: which
// inputs count tokens is told from the states' dims, what the others are for
// from their names, as exporters give them.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_DECODER_H
#define TENON_TOOLS_DECODER_H

#include "States.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include <optional>

namespace tenon {

struct DecoderOptions {
  SessionOptions session;
  int64_t sequences = 1;
  int64_t capacity = 0; ///< rows of each
  DimValues dims;       ///< of what is neither sequences nor rows
};

class Decoder {
public:
  /// `given`: an input's values instead of those of a role, or random ones.
  static llvm::Expected<std::unique_ptr<Decoder>>
  create(const OpenArtifact &artifact, const DecoderOptions &options,
         std::vector<Tensor> given);
  ~Decoder() { tenon_context_destroy(context); }
  Decoder(const Decoder &) = delete;

  /// Makes memory for runs of so many new rows up to the capacity.
  llvm::Error reserve(int64_t rows);
  /// Binds so many new tokens of each sequence, behind those that are there.
  llvm::Error prepare(int64_t rows);
  /// What prepare() has bound.
  llvm::Error run();
  /// To a length; where a state is replaced by each run, to that of keep().
  llvm::Error rollBack(int64_t length);
  /// Keeps what the state holds for rollBack.
  llvm::Error keep();

  /// How many tokens the graph itself wants in each run; 0: any number.
  int64_t fixedRows = 0;
  int64_t length = 0;
  tenon_context *context = nullptr;
  tenon_context_info info;
  const StateMemory &state() const { return *memory; }

private:
  enum class Role {
    other,
    held,
    ids,
    positions,
    mask,
    last,
    total,
    past,
    rows ///< of a ragged run that have outputs: here all
  };
  struct Input {
    Role role = Role::other;
    Tensor tensor;
    std::vector<int64_t> filledFor; ///< an `other` one is filled once
  };

  Decoder(const OpenArtifact &artifact, const DecoderOptions &options)
      : artifact(artifact), options(options), dims(options.dims) {}
  Role roleOf(size_t index) const;
  /// Adds the dim's name to those, where nothing is known of it yet.
  void name(const tenon_port_info &port, int32_t dim,
            std::set<std::string> &names);
  llvm::Error nameDims();
  /// The dims of an input for so many rows behind `past` ones.
  llvm::Expected<std::vector<int64_t>> shapeOf(size_t index, int64_t past,
                                               int64_t rows) const;
  int64_t valueOf(Role role, size_t element, llvm::ArrayRef<int64_t> shape,
                  int64_t rows) const;
  llvm::Error fill(size_t index, llvm::ArrayRef<int64_t> shape, int64_t rows);
  llvm::Error withState(llvm::function_ref<void(char *)> use);
  llvm::Error bindOutputs(llvm::ArrayRef<const int64_t *> shapes);

  const OpenArtifact &artifact;
  const DecoderOptions options;
  std::optional<StateMemory> memory;
  std::vector<char> kept; ///< of the state's memory
  std::vector<Input> inputs;
  std::vector<Tensor> outputs;
  int64_t pending = 0; ///< rows that run() adds
  DimValues dims;      ///< that stay
  /// Names of dims: the sequences, the rows of buffers, those of pasts, the new
  /// ones, and both.
  std::set<std::string> batchDims, roomDims, pastDims, rowDims, totalDims;
};

} // namespace tenon

#endif // TENON_TOOLS_DECODER_H
