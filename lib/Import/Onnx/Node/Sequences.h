//===- Sequences.h - values that are no tensors -----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A sequence is a list of tensors that the importer knows: how many there are
// may not depend on data. A cast of all of them to one value stands for it, and
// is gone when everything that took elements has taken them. An optional is its
// value, or, where it has none, such a cast of nothing.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_SEQUENCES_H
#define TENON_IMPORT_ONNX_SEQUENCES_H

#include "lib/Import/Onnx/Node/NodeImporter.h"

namespace tenon::onnximport {

inline bool isTensor(mlir::Value v) {
  return mlir::isa<mlir::RankedTensorType>(v.getType());
}

mlir::Value makeSequence(NodeImporter &n, llvm::ArrayRef<mlir::Value> elements);
/// The elements; nullopt, after an error, where operand `i` is no sequence.
std::optional<llvm::SmallVector<mlir::Value>> elementsOf(NodeImporter &n,
                                                         unsigned i);

mlir::Value makeAbsent(NodeImporter &n);
/// Is this an optional without a value?
bool isAbsent(mlir::Value v);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_SEQUENCES_H
