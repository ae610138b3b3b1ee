//===- PatchRows.h - patches of a stored image as rows ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_PATCHROWS_H
#define TENON_LIB_CODEGEN_CPU_PATCHROWS_H

#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// How many patches there are along each spatial dim.
llvm::SmallVector<SymExpr> patchPositions(Im2ColOp op);

/// The rows of a convolution's patches that a product multiplies, copied out of
/// the image: what lies together in a patch lies together there, so it is moved
/// by vectors, and positions are computed once for each of these runs.
class PatchRows {
public:
  /// nullopt where `lhs` is no view of patches of a region argument.
  static std::optional<PatchRows> match(mlir::Value lhs);
  /// Elements behind the last row that copy() may write as well.
  static constexpr int64_t kBehind = 16;
  /// Stores lanes to elements of the rows.
  using Put = llvm::function_ref<void(mlir::Value, const Idx &)>;
  /// Makes rows [begin, end), which lie `rowSize` apart: the patches from
  /// number `first` on of all images'.
  void copy(KernelEmitter &e, mlir::Value rowSize, Put put, mlir::Value first,
            mlir::Value begin, mlir::Value end) const;

private:
  PatchRows(Im2ColOp op, mlir::BlockArgument image) : op(op), image(image) {}
  Im2ColOp op;
  mlir::BlockArgument image;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_PATCHROWS_H
