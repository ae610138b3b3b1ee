//===- CacheCodes.h - key and value caches of codes -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_CACHECODES_H
#define TENON_IMPORT_ONNX_CACHECODES_H

#include "lib/Import/Onnx/Node/Registry.h"

namespace tenon::onnximport {

/// How a cache [B, H, T, D] of com.microsoft's attention holds its numbers: as
/// they are, or as round(x / scale) in an int8, or in half a byte of a uint8
/// that counts from -8 on, even elements low.
class CacheCodes {
public:
  /// One side's, as the attribute (k_quant_type), the cache and its scale say;
  /// nullopt after an error. `fresh` is what will be appended.
  static std::optional<CacheCodes> of(NodeImporter &n, llvm::StringRef attr,
                                      unsigned cache, unsigned scale,
                                      mlir::Value fresh);
  mlir::Value encode(NodeImporter &n, mlir::Value x) const;
  /// In f32, where they are codes.
  mlir::Value decode(NodeImporter &n, mlir::Value codes) const;

private:
  mlir::Value scale; // f32, broadcast to [B, H, T, D]; null: no codes
  int64_t bits = 0;
};

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_CACHECODES_H
