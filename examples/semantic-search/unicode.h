//===- unicode.h - BERT's view of characters --------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef SEMANTIC_SEARCH_UNICODE_H
#define SEMANTIC_SEARCH_UNICODE_H

#include <string>
#include <string_view>
#include <vector>

namespace semsearch {

/// BertNormalizer, then BertPreTokenizer: cleans, sets CJK ideographs apart,
/// strips accents, lowers case, and splits at white space and around each
/// punctuation character. The words are UTF-8.
std::vector<std::string> normalizeAndSplit(std::string_view text);

} // namespace semsearch

#endif // SEMANTIC_SEARCH_UNICODE_H
