//===- options.h - the command line of semantic-search ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef SEMANTIC_SEARCH_OPTIONS_H
#define SEMANTIC_SEARCH_OPTIONS_H

#include <cstdint>
#include <string>
#include <vector>

namespace semsearch {

struct Options {
  std::string model; ///< path of the artifact; empty: the linked-in one
  std::string vocab; ///< path of vocab.txt
  std::string file;  ///< lines to search; empty: compare the sentences
  std::vector<std::string> sentences; ///< to compare, or to look up in `file`
  size_t top = 0; ///< results to print; 0: 10 pairs or 5 lines
  size_t maxLength = 256;
  size_t batch = 16;
  int32_t threads = 0;
  bool tokenize = false;
  bool help = false;
};

extern const char *const usage;

/// Fills \p options; on failure says in \p error what is wrong.
bool parseOptions(int argc, const char *const *argv, Options &options,
                  std::string &error);

} // namespace semsearch

#endif // SEMANTIC_SEARCH_OPTIONS_H
