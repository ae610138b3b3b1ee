//===- unicode.cpp - BERT's view of characters ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// ICU knows a newer Unicode than the tables that models were tokenized with.
// The package `tokenizers` carries categories of Unicode 8, decompositions of
// Unicode 9 and the case mappings of Unicode 17; ids must agree with it, so
// each lookup below is brought to that version by a character's age.
//===----------------------------------------------------------------------===//

#include "unicode.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>

using namespace semsearch;

/// The general category as a bit, as Unicode 8 had it; 0 for what came later.
static uint32_t categoryMask(UChar32 c) {
  switch (c) { // recategorised since
  case 0x1734: // Hanunoo sign pamudpod
    return U_GC_MN_MASK;
  case 0x166D:  // Canadian syllabics chi sign
  case 0x111C9: // Sharada sandhi mark
    return U_GC_PO_MASK;
  case 0x1885: // Mongolian letters Ali Gali baluda
  case 0x1886:
    return U_GC_LO_MASK;
  case 0xA9BD: // Javanese consonant sign keret
    return U_GC_MC_MASK;
  }
  UVersionInfo age;
  u_charAge(c, age);
  return age[0] > 8 ? 0 : U_GET_GC_MASK(c);
}

static bool isControl(UChar32 c) {
  if (c == '\t' || c == '\n' || c == '\r')
    return false;
  return categoryMask(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK);
}

/// ASCII symbols such as '$' and '^' count as punctuation too.
static bool isPunctuation(UChar32 c) {
  if (c < 0x80)
    return c > ' ' && c < 0x7F && !u_isalnum(c);
  return categoryMask(c) & U_GC_P_MASK;
}

/// The blocks that BERT's authors listed, the slip in 2B920 included.
static bool isIdeograph(UChar32 c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static UChar32 toLower(UChar32 c) {
  // Letters of Unicode 16 and 17, for an ICU older than they are.
  switch (c) {
  case 0x1C89: // Cyrillic tje
  case 0xA7CC: // S with diagonal stroke
  case 0xA7CE: // pharyngeal voiced fricative
  case 0xA7D2: // double thorn
  case 0xA7D4: // double wynn
  case 0xA7DA: // lambda
    return c + 1;
  case 0xA7CB: // rams horn
    return 0x264;
  case 0xA7DC: // lambda with stroke
    return 0x19B;
  }
  if (c >= 0x10D50 && c <= 0x10D65) // Garay
    return c + 0x20;
  if (c >= 0x16EA0 && c <= 0x16EB8) // Beria Erfe
    return c + 0x1B;
  return u_tolower(c);
}

/// Calls \p visit with each code point of \p text.
template <typename Visit>
static void forEachCodePoint(const icu::UnicodeString &text, Visit visit) {
  for (int32_t i = 0; i < text.length();) {
    UChar32 c = text.char32At(i);
    i += U16_LENGTH(c);
    visit(c);
  }
}

/// Canonical decomposition as of Unicode 9.
static icu::UnicodeString decompose(const icu::UnicodeString &text) {
  UErrorCode status = U_ZERO_ERROR;
  static const icu::UnicodeSet known(u"[:age=9.0:]", status);
  static const icu::Normalizer2 *nfd = icu::Normalizer2::getNFDInstance(status);
  if (U_FAILURE(status))
    return text;
  icu::FilteredNormalizer2 normalizer(*nfd, known);
  const icu::Normalizer2 &base = normalizer; // the subclass hides normalize
  icu::UnicodeString result = base.normalize(text, status);
  return U_FAILURE(status) ? text : result;
}

std::vector<std::string> semsearch::normalizeAndSplit(std::string_view text) {
  icu::UnicodeString clean;
  forEachCodePoint(icu::UnicodeString::fromUTF8(icu::StringPiece(
                       text.data(), static_cast<int32_t>(text.size()))),
                   [&](UChar32 c) {
                     if (c == 0 || c == 0xFFFD || isControl(c))
                       return;
                     if (u_isUWhiteSpace(c))
                       clean.append(u' ');
                     else if (isIdeograph(c))
                       clean.append(u' ').append(c).append(u' ');
                     else
                       clean.append(c);
                   });

  std::vector<std::string> words;
  icu::UnicodeString word;
  auto finish = [&] {
    if (word.isEmpty())
      return;
    word.toUTF8String(words.emplace_back());
    word.remove();
  };
  forEachCodePoint(decompose(clean), [&](UChar32 c) {
    if (categoryMask(c) == U_GC_MN_MASK) // an accent
      return;
    c = toLower(c);
    if (u_isUWhiteSpace(c))
      return finish();
    if (!isPunctuation(c)) {
      word.append(c);
      return;
    }
    finish();
    word.append(c);
    finish();
  });
  finish();
  return words;
}
