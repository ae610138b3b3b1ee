//===- tokenizer.cpp - WordPiece as BERT's uncased models use it ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tokenizer.h"

#include "unicode.h"

#include <algorithm>
#include <fstream>

using namespace semsearch;

/// Longer words become [UNK] without a search; counted in code points.
static constexpr size_t maxWordLength = 100;

static bool startsCodePoint(char byte) { return (byte & 0xC0) != 0x80; }

std::optional<WordPieceTokenizer>
WordPieceTokenizer::load(const std::string &path, std::string &error) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    error = "cannot open vocabulary '" + path + "'";
    return std::nullopt;
  }
  WordPieceTokenizer tokenizer;
  std::string line;
  for (int64_t id = 0; std::getline(file, line); ++id) {
    if (!line.empty() && line.back() == '\r')
      line.pop_back();
    tokenizer.longestToken = std::max(tokenizer.longestToken, line.size());
    tokenizer.vocabulary.insert_or_assign(line, id);
  }
  if (file.bad()) {
    error = "cannot read vocabulary '" + path + "'";
    return std::nullopt;
  }

  int64_t mask = 0;
  const std::pair<const char *, int64_t *> required[] = {
      {"[PAD]", &tokenizer.pad},
      {"[UNK]", &tokenizer.unknown},
      {"[CLS]", &tokenizer.classify},
      {"[SEP]", &tokenizer.separate},
      {"[MASK]", &mask}};
  for (auto [name, id] : required) {
    const int64_t *found = tokenizer.find(name);
    if (!found) {
      error = "vocabulary '" + path + "' has no token " + name;
      return std::nullopt;
    }
    *id = *found;
    tokenizer.special.emplace_back(name, *found);
  }
  return tokenizer;
}

const int64_t *WordPieceTokenizer::find(std::string_view token) const {
  auto it = vocabulary.find(token);
  return it == vocabulary.end() ? nullptr : &it->second;
}

WordPieceTokenizer::Encoding
WordPieceTokenizer::encode(std::string_view text, size_t maxLength) const {
  Encoding result;
  result.ids.push_back(classify);

  // Special tokens are cut out of the raw text, before it is normalised: none
  // of them is the beginning of another, so the first that fits is the one.
  size_t begin = 0;
  for (size_t i = text.find('['); i != std::string_view::npos;) {
    auto match =
        std::find_if(special.begin(), special.end(), [&](const auto &entry) {
          return text.substr(i).starts_with(entry.first);
        });
    if (match == special.end()) {
      i = text.find('[', i + 1);
      continue;
    }
    encodePlain(text.substr(begin, i - begin), result.ids);
    result.ids.push_back(match->second);
    begin = i + match->first.size();
    i = text.find('[', begin);
  }
  encodePlain(text.substr(begin), result.ids);

  const size_t room = std::max<size_t>(maxLength, 2) - 1;
  if (result.ids.size() > room) {
    result.dropped = result.ids.size() - room;
    result.ids.resize(room);
  }
  result.ids.push_back(separate);
  return result;
}

void WordPieceTokenizer::encodePlain(std::string_view text,
                                     std::vector<int64_t> &ids) const {
  for (const std::string &word : normalizeAndSplit(text))
    encodeWord(word, ids);
}

/// Takes the longest token that the rest of the word begins with, again and
/// again; a word that cannot be cut up whole is one [UNK].
void WordPieceTokenizer::encodeWord(std::string_view word,
                                    std::vector<int64_t> &ids) const {
  const size_t before = ids.size();
  if (size_t(std::count_if(word.begin(), word.end(), startsCodePoint)) >
      maxWordLength) {
    ids.push_back(unknown);
    return;
  }
  std::string piece;
  for (size_t begin = 0; begin < word.size();) {
    piece = begin == 0 ? "" : "##";
    const size_t prefix = piece.size();
    piece += word.substr(begin, longestToken);
    const int64_t *id = find(piece);
    while (!id && piece.size() > prefix) {
      do
        piece.pop_back();
      while (piece.size() > prefix &&
             !startsCodePoint(word[begin + piece.size() - prefix]));
      if (piece.size() > prefix)
        id = find(piece);
    }
    if (!id) {
      ids.resize(before);
      ids.push_back(unknown);
      return;
    }
    ids.push_back(*id);
    begin += piece.size() - prefix;
  }
}
