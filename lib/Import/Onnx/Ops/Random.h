//===- Random.h - numbers that look random ----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_RANDOM_H
#define TENON_IMPORT_ONNX_RANDOM_H

#include "lib/Import/Onnx/Node/NodeImporter.h"

namespace tenon::onnximport {

/// An f32 in [0, 1), of 24 bits, for each element of `dims`: a hash of its
/// position, the node's seed, its first output's name and `stream`. A run draws
/// the same numbers as the one before, on any number of threads.
mlir::Value uniform(NodeImporter &n, llvm::ArrayRef<SymExpr> dims,
                    unsigned stream = 0);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_RANDOM_H
