//===- Quant.h - quantisation that several operators need -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_QUANT_H
#define TENON_IMPORT_ONNX_QUANT_H

#include "lib/Import/Onnx/Node/Registry.h"

namespace tenon::onnximport {

/// (x - zero) * scale as floats of type `to`. Parameters are scalars, one per
/// index of `axis`, or (block > 0) one per block along it; zero may be null.
mlir::Value dequantize(NodeImporter &n, mlir::Value x, mlir::Value scale,
                       mlir::Value zero, int64_t axis, int64_t block,
                       mlir::Type to);
/// x / scale + zero as type `to`: rounded and saturated integers, or a small
/// float. The division is in `precision`, or else in the scale's type.
mlir::Value quantize(NodeImporter &n, mlir::Value x, mlir::Value scale,
                     mlir::Value zero, int64_t axis, int64_t block,
                     mlir::Type to, mlir::Type precision = {},
                     bool saturate = true);

/// Codes of sum * scale by the scale `to`, as onnxruntime and ONNX's reference
/// compute them: the two scales' quotient is one factor of the sum.
mlir::Value requantize(NodeImporter &n, mlir::Value sum, mlir::Value scale,
                       mlir::Value to, mlir::Value zero, mlir::Type code);

struct Quantized {
  mlir::Value value, scale, zero;
};
/// uint8 over the range of x (ONNX DynamicQuantizeLinear).
Quantized dynamicallyQuantize(NodeImporter &n, mlir::Value x);

/// (a - aZero) times (b - bZero) in int32; zero points may be null.
mlir::Value integerMatMul(NodeImporter &n, mlir::Value a, mlir::Value aZero,
                          mlir::Value b, mlir::Value bZero);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_QUANT_H
