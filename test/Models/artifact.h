//===- artifact.h - an artifact that a test program opens -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_MODELS_ARTIFACT_H
#define TENON_TEST_MODELS_ARTIFACT_H

#include "tenon/tenon.h"
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace tenon::test {

/// Ends the program; it is named as it was called.
[[noreturn]] inline void fail(const std::string &message) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name,
               message.c_str());
  std::exit(1);
}

/// The dims of each input.
using Dims = std::vector<std::vector<int64_t>>;

inline std::vector<const int64_t *> pointersTo(const Dims &dims) {
  std::vector<const int64_t *> pointers;
  for (const std::vector<int64_t> &own : dims)
    pointers.push_back(own.data());
  return pointers;
}

/// Whatever goes wrong ends the program.
class Artifact {
public:
  explicit Artifact(const char *path) {
    tenon_error error;
    if (tenon_library_open(path, &library, &error))
      fail(error.message);
    TENON_INIT(info);
    if (tenon_get_model_info(library.model, &info, &error))
      fail(error.message);
    inputs.resize(info.num_inputs);
    for (int i = 0; i < info.num_inputs; ++i) {
      TENON_INIT(inputs[i]);
      if (tenon_get_input_info(library.model, i, &inputs[i], &error))
        fail(error.message);
    }
  }
  ~Artifact() { tenon_library_close(&library); }
  Artifact(const Artifact &) = delete;
  Artifact &operator=(const Artifact &) = delete;

  tenon_context *createContext(const tenon_context_options *options = nullptr) {
    tenon_error error;
    tenon_context *context = nullptr;
    if (tenon_context_create(library.model, options, &context, &error))
      fail(error.message);
    return context;
  }

  /// valueOf(name) says what a symbol is.
  template <typename ValueOf>
  Dims inputDims(ValueOf &&valueOf) const {
    Dims dims(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i)
      for (int d = 0; d < inputs[i].rank; ++d) {
        int64_t value = inputs[i].dim_values[d];
        dims[i].push_back(value < 0 ? valueOf(inputs[i].dim_names[d]) : value);
      }
    return dims;
  }

  tenon_library library;
  tenon_model_info info;
  std::vector<tenon_port_info> inputs;
};

} // namespace tenon::test

#endif // TENON_TEST_MODELS_ARTIFACT_H
