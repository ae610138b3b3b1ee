//===- opened.cpp - a C++ program that opens a model ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "sentence.h"
#include <tenon/tenon.hpp>

#include <cstdio>
#include <exception>

static float result[LENGTH * WIDTH], pooled[WIDTH];

int main(int, char **argv) try {
  auto library = tenon::Library::open(argv[1]).orThrow();
  auto context =
      tenon::Context::create(library.model(), {.threads = 1}).orThrow();
  const int64_t dims[] = {1, LENGTH};
  context.reserve({{1, LENGTH}, {1, LENGTH}, {1, LENGTH}}).orThrow();
  context.bindInput("input_ids", dims, std::span(ids)).orThrow();
  context.bindInput("attention_mask", dims, std::span(mask)).orThrow();
  context.bindInput("token_type_ids", dims, std::span(types)).orThrow();
  context.bindOutput("last_hidden_state", std::span(result)).orThrow();
  context.bindOutput("pooler_output", std::span(pooled)).orThrow();
  context.run().orThrow();
  std::printf("%.3f\n", result[0]);
  std::fflush(stdout);
  std::getchar(); // until it has been measured
} catch (const std::exception &error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
