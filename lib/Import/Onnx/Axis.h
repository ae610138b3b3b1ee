//===- Axis.h - an axis that is an operand ----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_AXIS_H
#define TENON_IMPORT_ONNX_AXIS_H

#include "Registry.h"

namespace tenon::onnximport {

/// fn(axis), where `axis` has one element in [-rank, rank) that must mean one
/// of the first `count` dims. Where only a run knows it, fn of each of them and
/// a choice: all must have the same dims. An axis outside ends such a run.
mlir::Value alongAxis(NodeImporter &n, mlir::Value axis, int64_t rank,
                      int64_t count,
                      llvm::function_ref<mlir::Value(int64_t)> fn);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_AXIS_H
