//===- tokenizer.h - WordPiece as BERT's uncased models use it --*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Text to token ids, with the ids that the PyPI package `tokenizers` gives for
// BertNormalizer (lowercase, accents stripped) + BertPreTokenizer + WordPiece.
//===----------------------------------------------------------------------===//
#ifndef SEMANTIC_SEARCH_TOKENIZER_H
#define SEMANTIC_SEARCH_TOKENIZER_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace semsearch {

class WordPieceTokenizer {
public:
  /// Reads a vocabulary with one token a line; the line's number is the id.
  /// On failure returns nothing and says in \p error what is wrong.
  static std::optional<WordPieceTokenizer> load(const std::string &path,
                                                std::string &error);

  struct Encoding {
    std::vector<int64_t> ids; ///< [CLS] ... [SEP]
    size_t dropped = 0;       ///< tokens cut off to fit into maxLength
  };

  /// Tokenizes UTF-8 text. \p maxLength bounds ids.size() (at least 2).
  /// Bytes that are not UTF-8 are dropped, as U+FFFD is.
  Encoding encode(std::string_view text, size_t maxLength = SIZE_MAX) const;

  int64_t padId() const { return pad; }

private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const {
      return std::hash<std::string_view>()(s);
    }
  };
  using Vocabulary =
      std::unordered_map<std::string, int64_t, Hash, std::equal_to<>>;

  const int64_t *find(std::string_view token) const;
  void encodePlain(std::string_view text, std::vector<int64_t> &ids) const;
  void encodeWord(std::string_view word, std::vector<int64_t> &ids) const;

  Vocabulary vocabulary;
  /// Tokens that text may name literally, such as "[SEP]".
  std::vector<std::pair<std::string, int64_t>> special;
  size_t longestToken = 0; ///< in bytes, to bound the search in encodeWord
  int64_t pad = 0, unknown = 0, classify = 0, separate = 0;
};

} // namespace semsearch

#endif // SEMANTIC_SEARCH_TOKENIZER_H
