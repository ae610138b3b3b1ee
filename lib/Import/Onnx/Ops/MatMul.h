//===- MatMul.h - products that several operators need ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_MATMUL_H
#define TENON_IMPORT_ONNX_MATMUL_H

#include "lib/Import/Onnx/Node/Registry.h"

namespace tenon::onnximport {

/// numpy.matmul: 1-D operands are a row on the left, a column on the right.
mlir::Value numpyMatMul(NodeImporter &n, mlir::Value a, mlir::Value b);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_MATMUL_H
