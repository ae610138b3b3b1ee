//===- options.cpp - the command line of semantic-search ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "options.h"

#include <charconv>
#include <string_view>

using namespace semsearch;

const char *const semsearch::usage =
    R"(usage: semantic-search --vocab VOCAB [--model ARTIFACT] SENTENCE SENTENCE...
       semantic-search --vocab VOCAB [--model ARTIFACT] --file LINES [QUERY...]
       semantic-search --vocab VOCAB --tokenize

Finds sentences of like meaning with a sentence encoder compiled by Tenon.
Two or more sentences: prints the pairs, most alike first, with their cosine.
With --file: prints the lines of a text file that are closest to each query;
without queries on the command line they are read from standard input.

  --model ARTIFACT   the compiled encoder, such as minilm.so; may be left out
                     where one is linked into the program
  --vocab VOCAB      the encoder's vocab.txt
  --file LINES       UTF-8 text, one entry a line; empty lines are skipped
  --query QUERY      the same as QUERY; for one that begins with a dash
  --top K            print at most K results (pairs: 10, lines: 5)
  --max-length N     use the first N tokens of each text (256)
  --batch N          texts in one run of the model (16)
  --threads N        threads to use (all)
  --tokenize         print the token ids of each line of standard input
  --help             print this text
)";

static bool parseNumber(std::string_view text, size_t low, size_t high,
                        size_t &result) {
  const char *end = text.data() + text.size();
  auto [stop, status] = std::from_chars(text.data(), end, result);
  return status == std::errc() && stop == end && result >= low &&
         result <= high;
}

namespace {
/// Options that take a value, and where it goes.
struct Number {
  const char *name;
  size_t low, high;
  size_t *value;
};
struct Text {
  const char *name;
  std::string *value;
};
} // namespace

/// What is missing or too much, or nothing.
static const char *complaint(const Options &options) {
  if (options.vocab.empty())
    return "no vocabulary given: add --vocab VOCAB";
  if (options.tokenize && (!options.file.empty() || !options.sentences.empty()))
    return "--tokenize reads standard input and takes no sentences or file";
  if (!options.tokenize && options.file.empty() && options.sentences.size() < 2)
    return "nothing to compare: give two or more sentences, or --file LINES";
  return "";
}

bool semsearch::parseOptions(int argc, const char *const *argv,
                             Options &options, std::string &error) {
  size_t threads = 0;
  const Number numbers[] = {{"--top", 1, 1000000, &options.top},
                            {"--max-length", 3, 1000000, &options.maxLength},
                            {"--batch", 1, 4096, &options.batch},
                            {"--threads", 1, 1024, &threads}};
  const Text texts[] = {{"--model", &options.model},
                        {"--vocab", &options.vocab},
                        {"--file", &options.file}};

  bool onlySentences = false;
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    if (onlySentences || word.empty() || word[0] != '-' || word == "-") {
      options.sentences.emplace_back(word);
      continue;
    }
    if (word == "--") {
      onlySentences = true;
      continue;
    }
    if (word == "--help" || word == "-h") {
      options.help = true;
      return true;
    }
    if (word == "--tokenize") {
      options.tokenize = true;
      continue;
    }

    // The rest takes a value: --name VALUE or --name=VALUE.
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const Text *text = nullptr;
    const Number *number = nullptr;
    for (const Text &candidate : texts)
      if (name == candidate.name)
        text = &candidate;
    for (const Number &candidate : numbers)
      if (name == candidate.name)
        number = &candidate;
    const bool query = name == "--query";
    if (!text && !number && !query) {
      error = "unknown option '" + std::string(name) + "'; see --help";
      return false;
    }
    std::string_view value;
    if (equals != std::string_view::npos) {
      value = word.substr(equals + 1);
    } else if (++i < argc) {
      value = argv[i];
    } else {
      error = "option " + std::string(name) + " needs a value";
      return false;
    }
    if (query)
      options.sentences.emplace_back(value);
    else if (text)
      *text->value = value;
    else if (!parseNumber(value, number->low, number->high, *number->value)) {
      error = "option " + std::string(name) + " takes a number from " +
              std::to_string(number->low) + " to " +
              std::to_string(number->high) + ", found '" + std::string(value) +
              "'";
      return false;
    }
  }
  options.threads = static_cast<int32_t>(threads);

  error = complaint(options);
  return error.empty();
}
