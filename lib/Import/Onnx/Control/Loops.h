//===- Loops.h - bodies that are repeated -----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_LOOPS_H
#define TENON_IMPORT_ONNX_LOOPS_H

#include "lib/Import/Onnx/Node/NodeImporter.h"

namespace tenon::onnximport {

/// A body, and how often it runs.
struct Repeated {
  /// Imports a copy of the body for the iteration with this number (a scalar)
  /// and the values that the last one handed on. It gives the condition, where
  /// `gives`, the values for the next, and rows; false after an error.
  std::function<bool(mlir::Value number, llvm::ArrayRef<mlir::Value> handed,
                     llvm::SmallVectorImpl<mlir::Value> &results)>
      body;
  SymExpr trips;
  bool gives = false; ///< the body gives a condition, the first of its results
  bool mayChange = false; ///< the dims of handed values, with each iteration
  bool isLayer = false;   ///< may be a recurrent layer: better as a loop
  llvm::SmallVector<mlir::Value> initial;
  size_t numRows = 0;
  int64_t numNodes = 1; ///< of the body, for what its copies cost
};

/// The last handed values, then the rows of all iterations, stacked; empty
/// after an error. A small number of iterations that is known is written out,
/// any other becomes a tenon.loop.
llvm::SmallVector<mlir::Value> repeat(NodeImporter &n, const Repeated &r);

/// The same, always as a tenon.loop.
llvm::SmallVector<mlir::Value> makeLoop(NodeImporter &n, const Repeated &r);

/// A bool that is known at import.
std::optional<int64_t> certainBool(NodeImporter &n, mlir::Value v);

/// x[number] along an axis, without that dim.
mlir::Value rowAt(NodeImporter &n, mlir::Value x, mlir::Value number,
                  int64_t axis);
/// The elements along the first dim from the last to the first.
mlir::Value reversed(NodeImporter &n, mlir::Value v);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_LOOPS_H
