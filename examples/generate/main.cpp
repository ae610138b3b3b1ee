//===- main.cpp - continues token ids, greedily ---------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Lines of token ids in, lines of the likeliest next ones out. A tokenizer is
// another program's.
//===----------------------------------------------------------------------===//

#include "decoder.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <string_view>

namespace {

const char *const usage =
    R"(usage: generate MODEL [OPTION...] < IDS

Continues each line of token ids, separated by blanks, with the tokens that the
decoder finds likeliest, and prints these. MODEL is a decoder compiled by Tenon
whose pasts a state can hold ('tenon inspect' says so).

  --tokens N     tokens behind each line (64)
  --end ID       stop behind this token (none)
  --capacity N   tokens for which there is room, the line's included (2048)
  --chunk N      tokens of a line in one run (512)
  --threads N    threads to use (all)
  --help         print this text
)";

struct Options {
  std::string model;
  int64_t tokens = 64, end = -1, capacity = 2048, chunk = 512, threads = 0;
};

int fail(const std::string &message) {
  std::fprintf(stderr, "generate: error: %s\n", message.c_str());
  return 1;
}

bool parseNumber(std::string_view text, int64_t low, int64_t &result) {
  const char *end = text.data() + text.size();
  auto [stop, status] = std::from_chars(text.data(), end, result);
  return status == std::errc() && stop == end && result >= low;
}

bool parseOptions(int argc, char **argv, Options &options, std::string &error) {
  struct Number {
    std::string_view name;
    int64_t low;
    int64_t *value;
  };
  const Number numbers[] = {{"--tokens", 1, &options.tokens},
                            {"--end", 0, &options.end},
                            {"--capacity", 1, &options.capacity},
                            {"--chunk", 1, &options.chunk},
                            {"--threads", 1, &options.threads}};
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    auto number = std::find_if(
        std::begin(numbers), std::end(numbers),
        [&](const Number &candidate) { return candidate.name == word; });
    if (number != std::end(numbers)) {
      if (i + 1 == argc ||
          !parseNumber(argv[i + 1], number->low, *number->value)) {
        error = "option " + std::string(word) + " takes a number of " +
                std::to_string(number->low) + " or more";
        return false;
      }
      ++i;
    } else if (word.starts_with("-") || !options.model.empty()) {
      error = "unexpected '" + std::string(word) + "'; see --help";
      return false;
    } else {
      options.model = word;
    }
  }
  if (options.model.empty())
    error = "no model given; see --help";
  return !options.model.empty();
}

bool parseIds(const std::string &line, std::vector<int64_t> &ids) {
  std::string_view rest = line;
  while (!rest.empty()) {
    size_t blank = rest.find_first_of(" \t\r");
    std::string_view word = rest.substr(0, blank);
    rest = blank == rest.npos ? "" : rest.substr(blank + 1);
    if (!word.empty() && !parseNumber(word, 0, ids.emplace_back()))
      return false;
  }
  return true;
}

bool answer(generate::Decoder &decoder, std::vector<int64_t> ids,
            const Options &options, std::string &error) {
  if (!decoder.rollBack(0, error))
    return false;
  while (!ids.empty()) {
    auto middle = ids.begin() + std::min(options.chunk, int64_t(ids.size()));
    if (!decoder.run({ids.begin(), middle}, error))
      return false;
    ids.erase(ids.begin(), middle);
  }
  for (int64_t i = 0; i < options.tokens; ++i) {
    int64_t next = decoder.best();
    std::printf("%s%lld", i ? " " : "", static_cast<long long>(next));
    std::fflush(stdout); // as it comes
    if (next == options.end || i + 1 == options.tokens)
      break;
    if (!decoder.run({next}, error))
      break;
  }
  std::printf("\n");
  return error.empty();
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  std::string error;
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]) == "--help") {
      std::fputs(usage, stdout);
      return 0;
    }
  if (!parseOptions(argc, argv, options, error))
    return fail(error);
  auto decoder = generate::Decoder::open(options.model, int(options.threads),
                                         options.capacity, error);
  if (!decoder)
    return fail(error);
  std::string line;
  for (int number = 1; std::getline(std::cin, line); ++number) {
    std::vector<int64_t> ids;
    if (!parseIds(line, ids) || ids.empty())
      return fail("line " + std::to_string(number) +
                  ": expected token ids, numbers of 0 or more");
    if (!answer(*decoder, std::move(ids), options, error))
      return fail("line " + std::to_string(number) + ": " + error);
  }
  return 0;
}
