//===- QuantParameters.h - what scales and zero points may be ---*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Arithmetic that broadcasts would take nearly any scale or zero point and make
// something of it. Operators ask here for what their texts allow; another one
// is the node's error, after which the answer is false. Parameters may be null.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_QUANTPARAMETERS_H
#define TENON_IMPORT_ONNX_QUANTPARAMETERS_H

#include "lib/Import/Onnx/Node/NodeImporter.h"

namespace tenon::onnximport {

/// Is it of 8-bit integers?
bool checkBytes(NodeImporter &n, mlir::Value codes);
/// Is the scale of floats, or of i32, and the zero point of its codes' type?
bool checkScaleType(NodeImporter &n, mlir::Value scale);
bool checkZeroType(NodeImporter &n, mlir::Value codes, mlir::Value zero);
/// Have they one element?
bool checkOne(NodeImporter &n, std::initializer_list<mlir::Value> parameters);
/// One for all, or a vector of one for each of `count`?
bool checkOneOrEach(NodeImporter &n, mlir::Value parameter,
                    const SymExpr &count);
/// Of matrices: one, or one for each row of the left ones (a vector, or dims
/// [..., rows, 1]), or each column of the right ones?
bool checkOfMatrix(NodeImporter &n, mlir::Value parameter, mlir::Value matrix,
                   bool isLeft);
/// Is there a zero point for each scale, and (of several) one of either for
/// each index of `axis` of x, or (block > 0) each block along it?
bool checkOfAxis(NodeImporter &n, mlir::Value x, mlir::Value scale,
                 mlir::Value zero, int64_t axis, int64_t block);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_QUANTPARAMETERS_H
