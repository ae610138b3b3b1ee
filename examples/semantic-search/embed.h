//===- embed.h - sentences as unit vectors ----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef SEMANTIC_SEARCH_EMBED_H
#define SEMANTIC_SEARCH_EMBED_H

#include "tenon/tenon.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace semsearch {

/// Runs a compiled sentence encoder: inputs `input_ids`, `attention_mask` and,
/// where the model has it, `token_type_ids`, each int64 [batch, seq]; output
/// `last_hidden_state`, f32 [batch, seq, width].
class Embedder {
public:
  /// Uses \p threads threads, 0 for as many as the process may use. On failure
  /// returns null and says in \p error why.
  static std::unique_ptr<Embedder> create(const tenon_model *model,
                                          int32_t threads, std::string &error);

  /// Numbers in one embedding.
  size_t width() const { return vectorWidth; }

  /// Appends to \p embeddings one unit vector per sentence: the mean of the
  /// hidden states of its tokens. Sentences of like length share a run of at
  /// most \p maxBatch; \p padId fills up the shorter ones.
  bool embed(const std::vector<std::vector<int64_t>> &sentences, int64_t padId,
             size_t maxBatch, std::vector<float> &embeddings,
             std::string &error);

private:
  Embedder() = default;
  bool init(const tenon_model *model, int32_t threads, tenon_error &error);
  bool runBatch(int64_t batch, int64_t seq, tenon_error &error);

  struct ContextDeleter {
    void operator()(tenon_context *context) const {
      tenon_context_destroy(context);
    }
  };
  std::unique_ptr<tenon_context, ContextDeleter> context;
  int32_t idsInput = -1, maskInput = -1, typesInput = -1, hiddenOutput = -1;
  int32_t numInputs = 0;
  size_t vectorWidth = 0;

  // What the model reads and writes; kept between runs.
  std::vector<int64_t> ids, mask, types;
  std::vector<std::vector<unsigned char>> outputs;
};

} // namespace semsearch

#endif // SEMANTIC_SEARCH_EMBED_H
