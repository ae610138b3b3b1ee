//===- Npy.h - numpy's array files ------------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reads and writes .npy files: versions 1.0 to 3.0, little-endian, C order. The
// data of a file stays mapped, so reading a large one costs nothing.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_SUPPORT_NPY_H
#define TENON_SUPPORT_NPY_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tenon {

/// Element types, numbered as in ONNX. numpy has no bfloat16 of its own: such
/// arrays are written as two-byte void ('|V2'), as ml_dtypes does, and those of
/// types of 8 bits and less that numpy lacks as one-byte void: an element a
/// byte, which holds its code. A file does not say which of these it holds.
enum class NpyType : int32_t {
  F32 = 1,
  U8 = 2,
  I8 = 3,
  U16 = 4,
  I16 = 5,
  I32 = 6,
  I64 = 7,
  Bool = 9,
  F16 = 10,
  F64 = 11,
  U32 = 12,
  U64 = 13,
  BF16 = 16,
  F8E4M3FN = 17,
  F8E4M3FNUZ = 18,
  F8E5M2 = 19,
  F8E5M2FNUZ = 20,
  U4 = 21,
  I4 = 22,
  F4E2M1 = 23,
  F8E8M0 = 24,
  U2 = 25,
  I2 = 26
};

/// numpy's name: "float32", "int64".
llvm::StringRef npyTypeName(NpyType type);
size_t npyTypeBytes(NpyType type);
/// Is this one of the types whose codes are written as one-byte void?
bool npyHoldsCodes(NpyType type);

/// A contiguous array in C order, aligned to its element size.
struct NpyArray {
  NpyType type = NpyType::F32;
  std::vector<int64_t> dims;
  const char *data = nullptr;
  size_t bytes = 0;
  std::unique_ptr<llvm::MemoryBuffer> storage; // what `data` points into
};

/// Reads a file; the error names the file and what is wrong with it.
llvm::Expected<NpyArray> readNpy(llvm::StringRef path);
/// Reads a buffer; `name` is what errors call it.
llvm::Expected<NpyArray> parseNpy(std::unique_ptr<llvm::MemoryBuffer> buffer,
                                  llvm::StringRef name);

/// The bytes before the data, a multiple of 64.
std::string npyHeader(NpyType type, llvm::ArrayRef<int64_t> dims);
/// Writes beside `path` and renames: after an error nothing has changed there.
llvm::Error writeNpy(llvm::StringRef path, NpyType type,
                     llvm::ArrayRef<int64_t> dims, const void *data);

} // namespace tenon

#endif // TENON_SUPPORT_NPY_H
