//===- embed.cpp - sentences as unit vectors ------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "embed.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

using namespace semsearch;

std::unique_ptr<Embedder> Embedder::create(const tenon_model *model,
                                           int32_t threads,
                                           std::string &error) {
  std::unique_ptr<Embedder> embedder(new Embedder);
  tenon_error message;
  if (!embedder->init(model, threads, message)) {
    error = message.message;
    return nullptr;
  }
  return embedder;
}

bool Embedder::init(const tenon_model *model, int32_t threads,
                    tenon_error &error) {
  tenon_model_info info;
  TENON_INIT(info);
  if (tenon_get_model_info(model, &info, &error) ||
      tenon_find_input(model, "input_ids", &idsInput, &error) ||
      tenon_find_input(model, "attention_mask", &maskInput, &error) ||
      tenon_find_output(model, "last_hidden_state", &hiddenOutput, &error))
    return false;
  tenon_find_input(model, "token_type_ids", &typesInput, nullptr);
  if (info.num_inputs != (typesInput < 0 ? 2 : 3)) {
    tenon_fail(&error, TENON_INVALID_ARGUMENT, "the model '", info.name,
               "' has inputs beside input_ids, attention_mask and "
               "token_type_ids",
               nullptr);
    return false;
  }
  numInputs = info.num_inputs;

  tenon_port_info hidden;
  TENON_INIT(hidden);
  if (tenon_get_output_info(model, hiddenOutput, &hidden, &error))
    return false;
  if (hidden.dtype != TENON_F32 || hidden.rank != 3 ||
      hidden.dim_values[2] <= 0) {
    tenon_fail(&error, TENON_INVALID_ARGUMENT, "the output last_hidden_state ",
               "of '", info.name, "' is not f32 [batch, seq, width]");
    return false;
  }
  vectorWidth = static_cast<size_t>(hidden.dim_values[2]);
  outputs.resize(static_cast<size_t>(info.num_outputs));

  tenon_context_options options;
  TENON_INIT(options);
  options.threads = threads;
  tenon_context *created = nullptr;
  if (tenon_context_create(model, &options, &created, &error))
    return false;
  context.reset(created);
  return true;
}

/// Runs the model on ids, mask and types, which hold [batch, seq].
bool Embedder::runBatch(int64_t batch, int64_t seq, tenon_error &error) {
  const int64_t dims[2] = {batch, seq};
  const int64_t *inputDims[3] = {dims, dims, dims};
  auto bind = [&](int32_t input, const std::vector<int64_t> &data) {
    return input < 0 || !tenon_bind_input(
                            context.get(), input, TENON_I64, 2, dims,
                            data.data(), data.size() * sizeof(int64_t), &error);
  };
  if (tenon_reserve(context.get(), inputDims, &error) || !bind(idsInput, ids) ||
      !bind(maskInput, mask) || !bind(typesInput, types))
    return false;

  // Every output needs memory, the ones that nobody reads too.
  const tenon_model *model = tenon_context_model(context.get());
  for (size_t i = 0; i < outputs.size(); ++i) {
    tenon_port_info port;
    TENON_INIT(port);
    if (tenon_get_output_info(model, static_cast<int32_t>(i), &port, &error))
      return false;
    std::vector<int64_t> outputDims(static_cast<size_t>(port.rank));
    if (tenon_output_dims(context.get(), inputDims, static_cast<int32_t>(i),
                          outputDims.data(), &error))
      return false;
    const int64_t elements =
        std::accumulate(outputDims.begin(), outputDims.end(), int64_t(1),
                        std::multiplies<int64_t>());
    outputs[i].resize(static_cast<size_t>(elements) *
                      tenon_dtype_bytes(port.dtype));
    if (tenon_bind_output(context.get(), static_cast<int32_t>(i), port.dtype,
                          port.rank, outputDims.data(), outputs[i].data(),
                          outputs[i].size(), &error))
      return false;
  }
  return tenon_run(context.get(), &error) == TENON_OK;
}

/// The mean over the tokens, scaled to length 1.
static void pool(const float *hidden, size_t tokens, size_t width,
                 float *result) {
  std::vector<double> sum(width, 0.0);
  for (size_t t = 0; t < tokens; ++t)
    for (size_t i = 0; i < width; ++i)
      sum[i] += hidden[t * width + i];
  double square = 0;
  for (double x : sum)
    square += x * x;
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  for (size_t i = 0; i < width; ++i)
    result[i] = static_cast<float>(sum[i] * scale);
}

bool Embedder::embed(const std::vector<std::vector<int64_t>> &sentences,
                     int64_t padId, size_t maxBatch,
                     std::vector<float> &embeddings, std::string &error) {
  // Shortest first: neighbours then need little padding.
  std::vector<size_t> order(sentences.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::make_pair(sentences[a].size(), a) <
           std::make_pair(sentences[b].size(), b);
  });

  const size_t base = embeddings.size();
  embeddings.resize(base + sentences.size() * vectorWidth);
  for (size_t begin = 0; begin < order.size(); begin += maxBatch) {
    const size_t end = std::min(begin + maxBatch, order.size());
    const size_t batch = end - begin;
    const size_t seq = sentences[order[end - 1]].size();
    ids.assign(batch * seq, padId);
    mask.assign(batch * seq, 0);
    types.assign(batch * seq, 0);
    for (size_t row = 0; row < batch; ++row) {
      const std::vector<int64_t> &sentence = sentences[order[begin + row]];
      std::copy(sentence.begin(), sentence.end(), ids.begin() + row * seq);
      std::fill_n(mask.begin() + row * seq, sentence.size(), 1);
    }

    tenon_error message;
    if (!runBatch(static_cast<int64_t>(batch), static_cast<int64_t>(seq),
                  message)) {
      error = message.message;
      return false;
    }
    const auto *hidden = reinterpret_cast<const float *>(
        outputs[static_cast<size_t>(hiddenOutput)].data());
    for (size_t row = 0; row < batch; ++row) {
      const size_t sentence = order[begin + row];
      pool(hidden + row * seq * vectorWidth, sentences[sentence].size(),
           vectorWidth, embeddings.data() + base + sentence * vectorWidth);
    }
  }
  return true;
}
