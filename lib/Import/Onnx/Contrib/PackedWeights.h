//===- PackedWeights.h - numbers of a few bits in bytes ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_PACKEDWEIGHTS_H
#define TENON_IMPORT_ONNX_PACKEDWEIGHTS_H

#include "lib/Import/Onnx/Node/Registry.h"

namespace tenon::onnximport {

/// The `bits`-wide numbers of bytes x [..., k], lowest bits first:
/// [..., k * 8/bits].
mlir::Value unpackBits(NodeImporter &n, mlir::Value x, int64_t bits);

/// Fails unless bits is 2, 4 or 8.
bool supportedBits(NodeImporter &n, int64_t bits);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_PACKEDWEIGHTS_H
