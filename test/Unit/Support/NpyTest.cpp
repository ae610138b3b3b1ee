//===- NpyTest.cpp - numpy's array files ----------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Support/Npy.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <cstring>
#include <gtest/gtest.h>

using namespace llvm;
using namespace tenon;

namespace {

/// A file's text with the given header dictionary.
std::string file(StringRef dictionary, StringRef data, int version = 1) {
  std::string text = "\x93NUMPY";
  text += {char(version), 0};
  size_t length = dictionary.size();
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i)
    text += char(length >> (8 * i) & 0xff);
  return text + dictionary.str() + data.str();
}

Expected<NpyArray> parse(StringRef text) {
  return parseNpy(MemoryBuffer::getMemBufferCopy(text), "x.npy");
}

std::string failure(StringRef text) {
  auto array = parse(text);
  return array ? "no failure" : toString(array.takeError());
}

constexpr StringLiteral kFloats =
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";

TEST(Npy, readsEveryVersion) {
  std::string data(24, 0);
  for (int i = 0; i < 6; ++i) {
    float value = float(i) + 0.5f;
    std::memcpy(&data[i * 4], &value, 4);
  }
  for (int version : {1, 2, 3}) {
    auto array = parse(file(kFloats, data, version));
    ASSERT_TRUE(bool(array)) << toString(array.takeError());
    EXPECT_EQ(array->type, NpyType::F32);
    EXPECT_EQ(array->dims, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(array->bytes, 24u);
    EXPECT_EQ(uintptr_t(array->data) % 4, 0u);
    EXPECT_EQ(std::memcmp(array->data, data.data(), 24), 0);
  }
}

TEST(Npy, readsOddSpellings) {
  for (StringRef dictionary :
       {"{'shape':(3L,),'fortran_order':False,'descr':'|i1'}",
        "  { \"descr\" : '|i1' , 'fortran_order' : True , 'shape' : ( 3 , ) "
        "}"}) {
    auto array = parse(file(dictionary, "abc"));
    ASSERT_TRUE(bool(array)) << toString(array.takeError());
    EXPECT_EQ(array->dims, std::vector<int64_t>{3});
  }
  auto scalar = parse(
      file("{'descr': '|b1', 'fortran_order': False, 'shape': ()}", "\1"));
  ASSERT_TRUE(bool(scalar)) << toString(scalar.takeError());
  EXPECT_TRUE(scalar->dims.empty());
  EXPECT_EQ(scalar->bytes, 1u);
  auto empty = parse(
      file("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99)}", ""));
  ASSERT_TRUE(bool(empty)) << toString(empty.takeError());
  EXPECT_EQ(empty->bytes, 0u);
}

TEST(Npy, everyTypeSurvivesTheRoundTrip) {
  for (NpyType type :
       {NpyType::F32, NpyType::U8, NpyType::I8, NpyType::U16, NpyType::I16,
        NpyType::I32, NpyType::I64, NpyType::Bool, NpyType::F16, NpyType::F64,
        NpyType::U32, NpyType::U64, NpyType::BF16})
    for (std::vector<int64_t> dims : std::vector<std::vector<int64_t>>{
             {}, {0}, {5}, {2, 3}, {1, 2, 1, 4}}) {
      size_t bytes = npyTypeBytes(type);
      for (int64_t dim : dims)
        bytes *= size_t(dim);
      std::string data(bytes, 0);
      for (size_t i = 0; i < bytes; ++i)
        data[i] = char(i * 37 + 1);
      std::string header = npyHeader(type, dims);
      EXPECT_EQ(header.size() % 64, 0u);
      auto array = parse(header + data);
      ASSERT_TRUE(bool(array)) << toString(array.takeError());
      EXPECT_EQ(array->type, type);
      EXPECT_EQ(array->dims, dims);
      EXPECT_EQ(StringRef(array->data, array->bytes), data);
    }
}

TEST(Npy, writesWholeFilesOrNone) {
  SmallString<128> folder;
  ASSERT_FALSE(sys::fs::createUniqueDirectory("tenon-npy", folder));
  SmallString<128> path(folder);
  sys::path::append(path, "a.npy");
  int32_t values[] = {1, 2, 3};
  ASSERT_FALSE(bool(writeNpy(path, NpyType::I32, {3}, values)));
  auto array = readNpy(path);
  ASSERT_TRUE(bool(array)) << toString(array.takeError());
  EXPECT_EQ(std::memcmp(array->data, values, sizeof values), 0);

  SmallString<128> lost(folder);
  sys::path::append(lost, "none", "a.npy");
  EXPECT_NE(toString(writeNpy(lost, NpyType::I32, {3}, values))
                .find("No such file or directory"),
            std::string::npos);
  sys::fs::remove_directories(folder);
  EXPECT_EQ(toString(readNpy(path).takeError()),
            "'" + path.str().str() +
                "': cannot read it: No such file or directory");
}

TEST(Npy, damageIsAnError) {
  EXPECT_EQ(failure(""), "'x.npy': not a .npy file");
  EXPECT_EQ(failure("PK\3\4"), "'x.npy': not a .npy file");
  EXPECT_EQ(failure(StringRef("\x93NUMPY\1\0", 8)),
            "'x.npy': the header is truncated");
  EXPECT_EQ(failure(file(kFloats, "", 4)),
            "'x.npy': version 4 of the .npy format is not supported");
  EXPECT_EQ(failure(file(kFloats, std::string(23, 0))),
            "'x.npy': it is truncated: 23 bytes of data, expected 24");
  std::string whole = file(kFloats, std::string(24, 0));
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_NE(failure(StringRef(whole).take_front(length)), "no failure");
  EXPECT_EQ(failure(file("{'descr': '>f4', 'fortran_order': False, 'shape': "
                         "(2,)}",
                         "12345678")),
            "'x.npy': its dtype '>f4' is big-endian; save it as little-endian");
  EXPECT_EQ(
      failure(file("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}",
                   std::string(16, 0))),
      "'x.npy': it is in Fortran order; save numpy.ascontiguousarray of it");
  EXPECT_EQ(
      failure(file("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
                   "12345678")),
      "'x.npy': its dtype '<c8' is not supported");
  EXPECT_EQ(failure(file("{'descr': '<f4', 'fortran_order': False, 'shape': "
                         "(4611686018427387904, 4611686018427387904)}",
                         "")),
            "'x.npy': its shape is too large");
}

TEST(Npy, malformedHeadersAreAnError) {
  for (StringRef dictionary :
       {"", "{", "}", "{}", "{'descr'}", "{'descr': }", "{'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': "
        "(99999999999999999999,)}",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} trailing"})
    EXPECT_EQ(failure(file(dictionary, "1234")),
              "'x.npy': the header is malformed, or its dtype is structured")
        << dictionary.str();
}

} // namespace
