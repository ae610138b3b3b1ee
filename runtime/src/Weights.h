//===- Weights.h - the weights file, mapped once per process ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_WEIGHTS_H
#define TENON_RUNTIME_WEIGHTS_H

#include "Text.h"
#include "tenon/abi.h"

namespace tenon::rt {

/// A share in the weights of a program: the embedded blob, or the map of its
/// file, which all contexts of the artifact share and the last one unmaps.
struct Weights {
  const uint8_t *data = nullptr;
  const char *path = nullptr; // of the mapped file
  void *mapping = nullptr;
};

/// Takes a share. `path` may be null: the program's file beside the artifact.
/// `verified`: after comparing the weights with their hash.
tenon_status openWeights(const tenon_program &program, const char *path,
                         bool verified, Weights &weights, tenon_error *error);
void closeWeights(Weights &weights);

} // namespace tenon::rt

#endif // TENON_RUNTIME_WEIGHTS_H
