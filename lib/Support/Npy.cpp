//===- Npy.cpp - numpy's array files --------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A file is a magic, a version, the length of the header and the header, which
// is a Python dictionary in text:
//
//   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
//
//===----------------------------------------------------------------------===//
#include "tenon/Support/Npy.h"
#include "tenon/Support/OutputFile.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <cstring>
#include <optional>

using namespace llvm;

namespace tenon {

namespace {

constexpr StringLiteral kMagic("\x93NUMPY");
/// Headers are some hundred bytes; a length beyond this is damage.
constexpr size_t kMaxHeader = 1 << 20;

struct TypeRow {
  NpyType type;
  StringLiteral descr; // without the byte order
  StringLiteral name;
  size_t bytes;
};

const TypeRow kTypes[] = {
    {NpyType::F32, "f4", "float32", 4},
    {NpyType::F64, "f8", "float64", 8},
    {NpyType::F16, "f2", "float16", 2},
    {NpyType::BF16, "V2", "bfloat16", 2},
    {NpyType::I8, "i1", "int8", 1},
    {NpyType::I16, "i2", "int16", 2},
    {NpyType::I32, "i4", "int32", 4},
    {NpyType::I64, "i8", "int64", 8},
    {NpyType::U8, "u1", "uint8", 1},
    {NpyType::U16, "u2", "uint16", 2},
    {NpyType::U32, "u4", "uint32", 4},
    {NpyType::U64, "u8", "uint64", 8},
    {NpyType::Bool, "b1", "bool", 1},
    // ml_dtypes writes float8_e5m2 as "f1"; the others are told apart by what
    // they are read for.
    {NpyType::F8E4M3FN, "V1", "float8_e4m3fn", 1},
    {NpyType::F8E4M3FNUZ, "V1", "float8_e4m3fnuz", 1},
    {NpyType::F8E5M2, "V1", "float8_e5m2", 1},
    {NpyType::F8E5M2, "f1", "float8_e5m2", 1},
    {NpyType::F8E5M2FNUZ, "V1", "float8_e5m2fnuz", 1},
    {NpyType::F8E8M0, "V1", "float8_e8m0fnu", 1},
    {NpyType::F4E2M1, "V1", "float4_e2m1fn", 1},
    {NpyType::U4, "V1", "uint4", 1},
    {NpyType::I4, "V1", "int4", 1},
    {NpyType::U2, "V1", "uint2", 1},
    {NpyType::I2, "V1", "int2", 1},
};

const TypeRow &rowOf(NpyType type) {
  for (const TypeRow &row : kTypes)
    if (row.type == type)
      return row;
  return kTypes[0];
}

Error failure(StringRef name, const Twine &what) {
  return createStringError("'" + name + "': " + what);
}

/// Reads the header's dictionary. Each function skips blanks first and returns
/// nothing where the text is not what it reads.
class HeaderParser {
public:
  explicit HeaderParser(StringRef text) : text(text) {}

  bool take(char c) {
    text = text.ltrim(" \t\r\n");
    return text.consume_front(StringRef(&c, 1));
  }
  bool atEnd() {
    text = text.ltrim(" \t\r\n");
    return text.empty();
  }
  std::optional<StringRef> string() {
    char quote = take('\'') ? '\'' : take('"') ? '"' : 0;
    size_t end = quote ? text.find(quote) : StringRef::npos;
    if (end == StringRef::npos)
      return std::nullopt;
    StringRef result = text.take_front(end);
    text = text.drop_front(end + 1);
    return result;
  }
  std::optional<bool> boolean() {
    text = text.ltrim(" \t\r\n");
    if (text.consume_front("True"))
      return true;
    if (text.consume_front("False"))
      return false;
    return std::nullopt;
  }
  std::optional<std::vector<int64_t>> tuple() {
    if (!take('('))
      return std::nullopt;
    std::vector<int64_t> items;
    while (!take(')')) {
      int64_t item;
      text = text.ltrim(" \t\r\n");
      if (text.consumeInteger(10, item) || item < 0)
        return std::nullopt;
      text.consume_front("L"); // written by Python 2
      items.push_back(item);
      if (!take(',') && !text.ltrim(" \t\r\n").starts_with(")"))
        return std::nullopt;
    }
    return items;
  }

private:
  StringRef text;
};

struct Header {
  std::optional<StringRef> descr;
  std::optional<bool> fortran;
  std::optional<std::vector<int64_t>> shape;
};

/// Nothing when the text is no dictionary of the three keys.
std::optional<Header> parseHeader(StringRef text) {
  HeaderParser parser(text);
  Header header;
  if (!parser.take('{'))
    return std::nullopt;
  while (!parser.take('}')) {
    std::optional<StringRef> key = parser.string();
    if (!key || !parser.take(':'))
      return std::nullopt;
    bool good = false;
    if (*key == "descr") {
      // A structured type is a list: it has no name to report.
      header.descr = parser.string();
      good = header.descr.has_value();
    } else if (*key == "fortran_order") {
      header.fortran = parser.boolean();
      good = header.fortran.has_value();
    } else if (*key == "shape") {
      header.shape = parser.tuple();
      good = header.shape.has_value();
    }
    if (!good)
      return std::nullopt;
    parser.take(',');
  }
  if (!parser.atEnd() || !header.descr || !header.fortran || !header.shape)
    return std::nullopt;
  return header;
}

Expected<NpyType> parseType(StringRef descr, StringRef name) {
  char order = descr.empty() ? 0 : descr.front();
  StringRef kind = descr;
  if (order == '<' || order == '>' || order == '|' || order == '=')
    kind = descr.drop_front();
  for (const TypeRow &row : kTypes)
    if (row.descr == kind || (kind == "?" && row.type == NpyType::Bool)) {
      if (order == '>' && row.bytes > 1)
        return failure(name, "its dtype '" + descr +
                                 "' is big-endian; save it as little-endian");
      return row.type;
    }
  return failure(name, "its dtype '" + descr + "' is not supported");
}

} // namespace

StringRef npyTypeName(NpyType type) { return rowOf(type).name; }
size_t npyTypeBytes(NpyType type) { return rowOf(type).bytes; }
bool npyHoldsCodes(NpyType type) { return rowOf(type).descr == "V1"; }

Expected<NpyArray> parseNpy(std::unique_ptr<MemoryBuffer> buffer,
                            StringRef name) {
  StringRef bytes = buffer->getBuffer();
  if (!bytes.starts_with(kMagic))
    return failure(name, "not a .npy file");
  if (bytes.size() < 10)
    return failure(name, "the header is truncated");
  unsigned major = uint8_t(bytes[6]);
  if (major < 1 || major > 3)
    return failure(name, "version " + Twine(major) +
                             " of the .npy format is "
                             "not supported");
  size_t lengthBytes = major == 1 ? 2 : 4;
  if (bytes.size() < 8 + lengthBytes)
    return failure(name, "the header is truncated");
  const char *lengthAt = bytes.data() + 8;
  size_t length = major == 1 ? support::endian::read16le(lengthAt)
                             : support::endian::read32le(lengthAt);
  size_t start = 8 + lengthBytes;
  if (length > kMaxHeader || length > bytes.size() - start)
    return failure(name, "the header is truncated");

  std::optional<Header> header = parseHeader(bytes.substr(start, length));
  if (!header)
    return failure(name, "the header is malformed, or its dtype is structured");
  Expected<NpyType> type = parseType(*header->descr, name);
  if (!type)
    return type.takeError();

  NpyArray array;
  array.type = *type;
  array.dims = std::move(*header->shape);
  size_t large = count_if(array.dims, [](int64_t dim) { return dim > 1; });
  if (*header->fortran && large > 1)
    return failure(name, "it is in Fortran order; save "
                         "numpy.ascontiguousarray of it");
  size_t elementBytes = npyTypeBytes(array.type);
  array.bytes = elementBytes;
  bool empty = is_contained(array.dims, 0);
  for (int64_t dim : array.dims)
    if (!empty &&
        __builtin_mul_overflow(array.bytes, size_t(dim), &array.bytes))
      return failure(name, "its shape is too large");
  if (empty)
    array.bytes = 0;

  StringRef data = bytes.drop_front(start + length);
  if (data.size() < array.bytes)
    return failure(name, "it is truncated: " + Twine(data.size()) +
                             " bytes of data, expected " + Twine(array.bytes));
  array.data = data.data();
  array.storage = std::move(buffer);
  // Old writers align data to 16 bytes or not at all.
  if (reinterpret_cast<uintptr_t>(array.data) % elementBytes) {
    auto copy = WritableMemoryBuffer::getNewUninitMemBuffer(array.bytes, name,
                                                            Align(64));
    if (!copy)
      return failure(name, "out of memory");
    std::memcpy(copy->getBufferStart(), array.data, array.bytes);
    array.data = copy->getBufferStart();
    array.storage = std::move(copy);
  }
  return array;
}

Expected<NpyArray> readNpy(StringRef path) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
  if (!buffer)
    return failure(path, "cannot read it: " + buffer.getError().message());
  return parseNpy(std::move(*buffer), path);
}

std::string npyHeader(NpyType type, ArrayRef<int64_t> dims) {
  const TypeRow &row = rowOf(type);
  std::string text = "{'descr': '";
  text += row.bytes == 1 || type == NpyType::BF16 ? '|' : '<';
  text += row.descr.str() + "', 'fortran_order': False, 'shape': (";
  for (int64_t dim : dims)
    text += std::to_string(dim) + (dims.size() == 1 ? "," : ", ");
  if (dims.size() > 1)
    text.resize(text.size() - 2);
  text += "), }";
  constexpr size_t kPrefix = 10; // magic, version, length
  size_t padding = 63 - (kPrefix + text.size()) % 64;
  text.append(padding, ' ');
  text += '\n';
  std::string result = kMagic.str();
  result += {1, 0, char(text.size() & 0xff), char(text.size() >> 8)};
  return result + text;
}

Error writeNpy(StringRef path, NpyType type, ArrayRef<int64_t> dims,
               const void *data) {
  size_t bytes = npyTypeBytes(type);
  for (int64_t dim : dims)
    bytes *= size_t(dim);
  return writeOutputFile(path, [&](raw_ostream &out) {
    out << npyHeader(type, dims);
    out.write(static_cast<const char *>(data), bytes);
    return Error::success();
  });
}

} // namespace tenon
