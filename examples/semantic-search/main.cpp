//===- main.cpp - finds sentences of like meaning -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Sentences -> tokens (tokenizer.h) -> unit vectors (embed.h) -> cosines.
//===----------------------------------------------------------------------===//

#include "embed.h"
#include "options.h"
#include "tokenizer.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <numeric>
#include <optional>
#include <tuple>
#include <unistd.h>

#ifdef SEMANTIC_SEARCH_LINKED_MODEL
TENON_DECLARE_SHARED_MODEL(linkedModel);
#endif

using namespace semsearch;

namespace {

/// Texts and their embeddings.
struct Index {
  std::vector<std::string> texts;
  std::vector<float> vectors;
};

struct Program {
  Options options;
  std::optional<WordPieceTokenizer> tokenizer;
  tenon_library library = {};
  std::unique_ptr<Embedder> embedder;
  std::string error;

  ~Program() {
    embedder.reset(); // before the code that it runs
    tenon_library_close(&library);
  }
  bool openModel();
  bool readLines(std::vector<std::string> &lines);
  bool addTexts(const std::vector<std::string> &texts, const char *kind,
                Index &index);
  bool comparePairs();
  bool answer(const Index &lines, const std::string &query);
  bool answerQueries();
  void tokenizeInput();
  bool run();
};

} // namespace

static float dot(const float *a, const float *b, size_t size) {
  return std::inner_product(a, a + size, b, 0.0f);
}

bool Program::openModel() {
  const tenon_model *model = nullptr;
#ifdef SEMANTIC_SEARCH_LINKED_MODEL
  model = &linkedModel;
#endif
  if (!options.model.empty()) {
    tenon_error message;
    if (tenon_library_open(options.model.c_str(), &library, &message)) {
      error = message.message;
      return false;
    }
    model = library.model;
  }
  if (!model) {
    error = "no model given: add --model ARTIFACT";
    return false;
  }
  embedder = Embedder::create(model, options.threads, error);
  return embedder != nullptr;
}

bool Program::readLines(std::vector<std::string> &lines) {
  std::ifstream file(options.file, std::ios::binary);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.empty() && line.back() == '\r')
      line.pop_back();
    lines.push_back(line);
  }
  // A folder opens, but cannot be read.
  if (!file.is_open() || file.bad()) {
    error = "cannot read '" + options.file + "'";
    return false;
  }
  return true;
}

/// Embeds what has at least one token; \p kind names a text in notices.
bool Program::addTexts(const std::vector<std::string> &texts, const char *kind,
                       Index &index) {
  std::vector<std::vector<int64_t>> ids;
  for (size_t i = 0; i < texts.size(); ++i) {
    WordPieceTokenizer::Encoding encoding =
        tokenizer->encode(texts[i], options.maxLength);
    if (encoding.ids.size() <= 2) // nothing between [CLS] and [SEP]
      continue;
    if (encoding.dropped)
      std::cerr << "semantic-search: note: " << kind << ' ' << i + 1
                << " is cut to its first " << options.maxLength << " tokens ("
                << encoding.dropped << " dropped)\n";
    index.texts.push_back(texts[i]);
    ids.push_back(std::move(encoding.ids));
  }
  return embedder->embed(ids, tokenizer->padId(), options.batch, index.vectors,
                         error);
}

bool Program::comparePairs() {
  Index index;
  if (!addTexts(options.sentences, "sentence", index))
    return false;
  const size_t count = index.texts.size(), width = embedder->width();
  if (count < 2) {
    error = "nothing to compare: fewer than two sentences are not empty";
    return false;
  }

  struct Pair {
    float cosine;
    size_t first, second;
  };
  std::vector<Pair> pairs;
  for (size_t i = 0; i < count; ++i)
    for (size_t j = i + 1; j < count; ++j)
      pairs.push_back(
          {dot(&index.vectors[i * width], &index.vectors[j * width], width), i,
           j});
  std::sort(pairs.begin(), pairs.end(), [](const Pair &a, const Pair &b) {
    return std::tie(b.cosine, a.first, a.second) <
           std::tie(a.cosine, b.first, b.second);
  });
  pairs.resize(std::min(pairs.size(), options.top ? options.top : 10));
  for (const Pair &pair : pairs)
    std::printf("%7.4f  %s  ~  %s\n", pair.cosine,
                index.texts[pair.first].c_str(),
                index.texts[pair.second].c_str());
  return true;
}

bool Program::answer(const Index &lines, const std::string &query) {
  Index single;
  if (!addTexts({query}, "query", single))
    return false;
  if (single.texts.empty())
    return true;
  const size_t width = embedder->width();
  std::vector<std::pair<float, size_t>> ranking;
  for (size_t i = 0; i < lines.texts.size(); ++i)
    ranking.emplace_back(
        dot(single.vectors.data(), &lines.vectors[i * width], width), i);
  const size_t top =
      std::min(ranking.size(), options.top ? options.top : size_t(5));
  std::partial_sort(ranking.begin(), ranking.begin() + top, ranking.end(),
                    [](const auto &a, const auto &b) {
                      return std::tie(b.first, a.second) <
                             std::tie(a.first, b.second);
                    });
  std::printf("%s\n", query.c_str());
  for (size_t i = 0; i < top; ++i)
    std::printf("%7.4f  %s\n", ranking[i].first,
                lines.texts[ranking[i].second].c_str());
  std::fflush(stdout);
  return true;
}

bool Program::answerQueries() {
  std::vector<std::string> texts;
  Index lines;
  if (!readLines(texts) || !addTexts(texts, "line", lines))
    return false;
  if (lines.texts.empty()) {
    error = "'" + options.file + "' has no line with text";
    return false;
  }
  for (const std::string &query : options.sentences)
    if (!answer(lines, query))
      return false;
  if (!options.sentences.empty())
    return true;

  const bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  if (terminal)
    std::printf("%zu lines; ask away, an empty line or Ctrl-D ends\n",
                lines.texts.size());
  std::string query;
  while (true) {
    if (terminal) {
      std::printf("> ");
      std::fflush(stdout);
    }
    if (!std::getline(std::cin, query) || (terminal && query.empty()))
      return true;
    if (!answer(lines, query))
      return false;
  }
}

void Program::tokenizeInput() {
  std::string line;
  while (std::getline(std::cin, line)) {
    WordPieceTokenizer::Encoding encoding = tokenizer->encode(line);
    for (size_t i = 0; i < encoding.ids.size(); ++i)
      std::printf(i ? " %lld" : "%lld",
                  static_cast<long long>(encoding.ids[i]));
    std::printf("\n");
  }
}

bool Program::run() {
  tokenizer = WordPieceTokenizer::load(options.vocab, error);
  if (!tokenizer)
    return false;
  if (options.tokenize) {
    tokenizeInput();
    return true;
  }
  if (!openModel())
    return false;
  return options.file.empty() ? comparePairs() : answerQueries();
}

int main(int argc, char **argv) {
  Program program;
  bool ok = parseOptions(argc, argv, program.options, program.error);
  if (ok && program.options.help) {
    std::fputs(usage, stdout);
    return 0;
  }
  ok = ok && program.run();
  if (ok && (std::fflush(stdout) != 0 || std::ferror(stdout))) {
    program.error = "cannot write to standard output";
    ok = false;
  }
  if (!ok)
    std::cerr << "semantic-search: error: " << program.error << '\n';
  return ok ? 0 : 1;
}
