//===- ChecksumTest.cpp - the loader's BLAKE3 against LLVM's --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/checksum.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/BLAKE3.h"
#include <gtest/gtest.h>
#include <vector>

namespace {

/// Lengths around blocks, chunks and whole subtrees, handed over in pieces.
TEST(Checksum, isBlake3) {
  std::vector<size_t> lengths = {1023, 1024, 1025, 2047, 2048, 2049,  3072,
                                 3073, 4096, 5000, 8192, 8193, 131073};
  for (size_t n = 0; n < 300; n += 7)
    lengths.push_back(n);
  for (size_t length : lengths) {
    std::vector<uint8_t> data(length);
    for (size_t i = 0; i < length; ++i)
      data[i] = uint8_t(i * 31 + i / 251);
    tenon_blake3 state;
    tenon_blake3_init(&state);
    size_t step = 1;
    for (size_t at = 0; at < length; step = step > 5000 ? 1 : step * 3 + 1) {
      size_t part = std::min(step, length - at);
      tenon_blake3_update(&state, data.data() + at, part);
      at += part;
    }
    llvm::BLAKE3Result<32> found, expected;
    tenon_blake3_final(&state, found.data());
    llvm::BLAKE3 reference;
    reference.update(llvm::ArrayRef(data));
    reference.final(expected);
    EXPECT_EQ(found, expected) << length;
  }
}

} // namespace
