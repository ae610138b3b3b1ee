//===- Text.h - messages without stdio --------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Builds the text of a tenon_error in place, cut at its end. The runtime lives
// inside every artifact, so it stays off printf and off the heap.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_TEXT_H
#define TENON_RUNTIME_TEXT_H

#define TENON_NO_LOADER
#include "tenon/tenon.h"

namespace tenon::rt {

class Text {
public:
  Text(char *out, size_t capacity) : out(out), capacity(capacity) {
    if (capacity)
      out[0] = 0;
  }

  Text &add(char c) {
    if (length + 1 < capacity) {
      out[length++] = c;
      out[length] = 0;
    }
    return *this;
  }
  Text &add(const char *text) {
    for (text = text ? text : "(null)"; *text; ++text)
      add(*text);
    return *this;
  }
  Text &add(uint64_t value) {
    char digits[20];
    int n = 0;
    do
      digits[n++] = char('0' + value % 10);
    while (value /= 10);
    while (n)
      add(digits[--n]);
    return *this;
  }
  Text &add(int64_t value) {
    if (value >= 0)
      return add(uint64_t(value));
    return add('-').add(uint64_t(0) - uint64_t(value));
  }
  /// To nine digits: whatever floats differ, their texts do.
  Text &add(double value) {
    if (value != value)
      return add("NaN");
    if (value < 0) {
      add('-');
      value = -value;
    }
    if (value > __DBL_MAX__)
      return add("inf");
    int exponent = 0;
    for (; value >= 1e9; value /= 10)
      ++exponent;
    for (; value != 0 && value < 1e8; value *= 10)
      --exponent;
    auto digits = uint64_t(value + 0.5);
    for (; digits && digits % 10 == 0; digits /= 10)
      ++exponent;
    if (!digits)
      return add('0');
    if (exponent < -18 || exponent > 6)
      return add(digits).add('e').add(exponent);
    uint64_t scale = 1;
    for (int i = exponent < 0 ? -exponent : exponent; i > 0; --i)
      scale *= 10;
    if (exponent >= 0)
      return add(digits * scale);
    add(digits / scale).add('.');
    digits %= scale;
    for (scale /= 10; scale > 0; scale /= 10) {
      add(char('0' + digits / scale));
      digits %= scale;
    }
    return *this;
  }
  Text &add(int value) { return add(int64_t(value)); }
  Text &add(unsigned value) { return add(uint64_t(value)); }
  Text &add(unsigned long long value) { return add(uint64_t(value)); }
  Text &add(long long value) { return add(int64_t(value)); }

  bool empty() const { return length == 0; }

private:
  char *out;
  size_t capacity;
  size_t length = 0;
};

/// Writes the parts, one after the other, into `error` (may be null).
template <typename... Parts>
tenon_status fail(tenon_error *error, tenon_status status, Parts... parts) {
  if (error) {
    Text text(error->message, sizeof error->message);
    (text.add(parts), ...);
  }
  return status;
}

inline bool sameText(const char *a, const char *b) {
  while (*a && *a == *b)
    ++a, ++b;
  return *a == *b;
}

} // namespace tenon::rt

#endif // TENON_RUNTIME_TEXT_H
