//===- StoredRows.h - rows that a cache's pages get -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What kernels of tenon.store_pages share, whoever stores: dims, and how a row
// becomes codes of 8 bits, so that every target stores the same bytes.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_STOREDROWS_H
#define TENON_LIB_CODEGEN_EMIT_STOREDROWS_H

#include "dialects/Tenon/IR/Ops/StorePages.h"
#include "lib/Codegen/Emit/FusedProduct.h"

namespace tenon {

struct StoredRows {
  StoredRows(KernelEmitter &e, StorePagesOp op);

  KernelEmitter &e;
  StorePagesOp op;
  LaneBuilder &L = e.L;
  mlir::OpBuilder &b = e.b;
  mlir::Type f32 = b.getF32Type(), i32 = b.getI32Type(), i8 = b.getI8Type();
  mlir::Type element = op.getElement();
  llvm::SmallVector<SymExpr> whole, fresh, pages, outer;
  SymExpr length, size, carried;
  PageTable table;
  int64_t header, width; ///< of a page, and of a row in it

  bool isCoded() const { return header != 0; }
  mlir::Value constant(float value) { return L.constant(f32, value); }
  /// Of numbers without their sign the bits are in the same order; a NaN's are
  /// above infinity's.
  mlir::Value magnitudeOf(mlir::Value x);
  /// What a row's codes are times, and by what its numbers are multiplied: 0 of
  /// rows that are 0, or none that i8 can stand for.
  struct Scale {
    mlir::Value scale, inverse;
  };
  /// Of a row whose largest magnitude is this.
  Scale scaleOf(mlir::Value largest);
  mlir::Value codeOf(mlir::Value x, mlir::Value inverse);
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_STOREDROWS_H
