//===- DecodeBench.h - tenon bench --decode ---------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_DECODEBENCH_H
#define TENON_TOOLS_DECODEBENCH_H

#include "Decoder.h"

namespace tenon {

class Profile;

struct DecodeBench {
  SessionOptions session;
  int64_t context = 0, sequences = 1;
  DimValues dims;
  int runs = 0; ///< tokens to measure; 0: for so long
  double seconds = 0;
  bool json = false;
  Profile *profile = nullptr; ///< to add to, if there is one
};

/// Fills the context with random tokens, then measures those behind it, 32 at
/// most before it goes back, and prints how fast they came.
llvm::Error benchDecode(const OpenArtifact &artifact, const DecodeBench &bench,
                        std::vector<Tensor> given);

} // namespace tenon

#endif // TENON_TOOLS_DECODEBENCH_H
