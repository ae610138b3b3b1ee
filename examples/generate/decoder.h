//===- decoder.h - token ids in, the likeliest next one out -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef GENERATE_DECODER_H
#define GENERATE_DECODER_H

#include "tenon/tenon.hpp"

#include <memory>
#include <string>
#include <vector>

namespace generate {

/// One sequence of a compiled decoder, whose past is a tenon::State.
class Decoder {
public:
  /// `capacity`: tokens that there is room for. Null, with `error` set, where
  /// the model is no decoder of this kind.
  static std::unique_ptr<Decoder> open(const std::string &path, int threads,
                                       int64_t capacity, std::string &error);

  /// Runs tokens behind those that there are; false sets `error`.
  bool run(const std::vector<int64_t> &tokens, std::string &error);
  /// The likeliest token behind them.
  int64_t best() const;
  /// Back to the first `length` tokens.
  bool rollBack(int64_t length, std::string &error);

private:
  enum class Role { held, ids, mask, positions };
  struct Input {
    tenon::Port port;
    Role role = Role::held;
    tenon::StatePair state{};  // of one that is held
    tenon::Dims dims;          // as bound,
    std::vector<int64_t> wide; // with these numbers, or
    std::vector<int32_t> narrow;
  };

  Decoder(tenon::Library library, tenon::Context context, tenon::State state,
          int64_t capacity)
      : library(std::move(library)), context(std::move(context)),
        state(std::move(state)), capacity(capacity) {}
  bool learn(std::string &error);
  tenon::Dims dimsOf(const Input &input, int64_t past, int64_t tokens) const;
  std::vector<tenon::Dims> allDims(int64_t past, int64_t tokens) const;
  bool prepare(int64_t tokens, std::string &error);
  tenon::Status bind(Input &input, const std::vector<int64_t> &tokens);

  tenon::Library library;
  tenon::Context context;
  tenon::State state;
  int64_t capacity, length = 0;
  int64_t prepared = 0; // for so many tokens in a run
  std::vector<Input> inputs;
  std::string logits; // the output's name
  int32_t logitsIndex = -1;
  std::vector<float> scores;
  int64_t vocabulary = 0;
};

} // namespace generate

#endif // GENERATE_DECODER_H
