//===- decoder.cpp - token ids in, the likeliest next one out -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "decoder.h"

#include <algorithm>

using namespace generate;
using tenon::Dims;
using tenon::Status;

static bool failed(const Status &status, std::string &error) {
  if (!status)
    error = status.message();
  return !status;
}

std::unique_ptr<Decoder> Decoder::open(const std::string &path, int threads,
                                       int64_t capacity, std::string &error) {
  auto library = tenon::Library::open(path);
  if (failed(library.status(), error))
    return nullptr;
  auto context = tenon::Context::create(library->model(), {.threads = threads});
  if (failed(context.status(), error))
    return nullptr;
  auto state = tenon::State::create(library->model(), 1, capacity);
  if (failed(state.status(), error))
    return nullptr;
  std::unique_ptr<Decoder> decoder(
      new Decoder(library.take(), context.take(), state.take(), capacity));
  if (failed(decoder->context.bindState(decoder->state), error) ||
      !decoder->learn(error))
    return nullptr;
  return decoder;
}

/// What the model's inputs and outputs are for: the states' by what the
/// artifact says, the others' by the names that exporters give them.
bool Decoder::learn(std::string &error) {
  tenon::Model model = library.model();
  auto inputPorts = model.inputs();
  auto outputPorts = model.outputs();
  auto states = model.states();
  if (failed(inputPorts.status(), error) ||
      failed(outputPorts.status(), error) || failed(states.status(), error))
    return false;
  for (size_t i = 0; i < inputPorts->size(); ++i) {
    Input input;
    input.port = (*inputPorts)[i];
    const std::string &name = input.port.name;
    auto pair = std::find_if(
        states->begin(), states->end(), [&](const tenon::StatePair &state) {
          return state.reason.empty() && size_t(state.input) == i;
        });
    auto says = [&](const char *word) {
      return name.find(word) != std::string::npos;
    };
    if (pair != states->end()) {
      input.state = *pair;
    } else if (says("mask"))
      input.role = Role::mask;
    else if (says("position"))
      input.role = Role::positions;
    else if (says("ids"))
      input.role = Role::ids;
    else {
      error = "input '" + name + "' is not one that this program knows: ids, " +
              "mask or positions";
      return false;
    }
    if (input.role != Role::held && input.port.dtype != TENON_I64 &&
        input.port.dtype != TENON_I32) {
      error = "input '" + name + "' has dtype " +
              tenon_dtype_name(input.port.dtype) + ", expected i64 or i32";
      return false;
    }
    inputs.push_back(std::move(input));
  }
  for (size_t o = 0; o < outputPorts->size(); ++o) {
    const tenon::Port &port = (*outputPorts)[o];
    bool held = std::any_of(
        states->begin(), states->end(), [&](const tenon::StatePair &state) {
          return state.reason.empty() && size_t(state.output) == o;
        });
    if (held)
      continue;
    if (logitsIndex >= 0 || port.dtype != TENON_F32 ||
        port.dimValues.size() < 2) {
      error = "output '" + port.name + "': expected logits in f32 alone, and " +
              "outputs that a state holds";
      return false;
    }
    logitsIndex = int32_t(o);
    logits = port.name;
  }
  if (logitsIndex < 0)
    error = "the model has no logits";
  return logitsIndex >= 0;
}

Dims Decoder::dimsOf(const Input &input, int64_t past, int64_t tokens) const {
  Dims dims(input.port.dimValues.size(), 1);
  if (input.role == Role::held) {
    dims = input.port.dimValues;
    const tenon::StatePair &state = input.state;
    dims[size_t(state.sequences)] = 1;
    if (state.axis >= 0 && dims[size_t(state.axis)] < 0)
      dims[size_t(state.axis)] = state.grows      ? past
                                 : state.replaced ? state.most
                                                  : capacity;
  } else {
    dims.back() = input.role == Role::mask ? past + tokens : tokens;
  }
  return dims;
}

std::vector<Dims> Decoder::allDims(int64_t past, int64_t tokens) const {
  std::vector<Dims> all;
  for (const Input &input : inputs)
    all.push_back(dimsOf(input, past, tokens));
  return all;
}

/// Memory for runs of so many tokens, wherever they are.
bool Decoder::prepare(int64_t tokens, std::string &error) {
  if (tokens == prepared)
    return true;
  // The longest past needs most; what is too long is the run's to refuse.
  int64_t past = std::max(capacity - tokens, length);
  auto dims = allDims(past, tokens);
  if (failed(context.reserve(dims), error))
    return false;
  auto shape = context.outputDims(dims, logitsIndex);
  if (failed(shape.status(), error))
    return false;
  size_t count = 1;
  for (int64_t dim : *shape)
    count *= size_t(dim);
  vocabulary = shape->back();
  scores.resize(count);
  prepared = tokens;
  return !failed(context.bindOutput(logits.c_str(), std::span(scores)), error);
}

Status Decoder::bind(Input &input, const std::vector<int64_t> &tokens) {
  input.dims = dimsOf(input, length, int64_t(tokens.size()));
  switch (input.role) {
  case Role::held:
    return {};
  case Role::ids:
    input.wide = tokens;
    break;
  case Role::mask:
    input.wide.assign(size_t(length) + tokens.size(), 1);
    break;
  case Role::positions:
    input.wide.resize(tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i)
      input.wide[i] = length + int64_t(i);
    break;
  }
  const char *name = input.port.name.c_str();
  if (input.port.dtype == TENON_I64)
    return context.bindInput(name, input.dims, std::span(input.wide));
  input.narrow.assign(input.wide.begin(), input.wide.end());
  return context.bindInput(name, input.dims, std::span(input.narrow));
}

bool Decoder::run(const std::vector<int64_t> &tokens, std::string &error) {
  if (!prepare(int64_t(tokens.size()), error))
    return false;
  for (Input &input : inputs)
    if (failed(bind(input, tokens), error))
      return false;
  if (failed(context.run(), error))
    return false;
  length += int64_t(tokens.size());
  return true;
}

int64_t Decoder::best() const {
  auto last = scores.end() - vocabulary;
  return std::max_element(last, scores.end()) - last;
}

bool Decoder::rollBack(int64_t to, std::string &error) {
  if (failed(state.setLength(to), error))
    return false;
  length = to;
  return true;
}
