//===- Steps.h - what the steps of an operator compute in -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What ONNX states as one operator computes in f32 and rounds once, however
// many steps it takes here: see docs/Math.md.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_STEPS_H
#define TENON_IMPORT_ONNX_STEPS_H

#include "lib/Import/Onnx/Node/Registry.h"

namespace tenon::onnximport {

/// What an operator of several steps computes in: f32 for floats of 16 bits,
/// the type itself otherwise.
mlir::Type stepType(mlir::Type type);
inline mlir::Type stepType(mlir::Value v) {
  return stepType(NodeImporter::elem(v));
}
/// `v` as the steps take it; null stays null.
mlir::Value widen(NodeImporter &n, mlir::Value v);

/// Calls the import function. Where the operator's steps are elementwise or
/// reductions, floats of 16 bits are widened before the first and rounded after
/// the last: a step may leave their range though the result does not.
void importOperator(ImportFn fn, NodeImporter &n);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_STEPS_H
