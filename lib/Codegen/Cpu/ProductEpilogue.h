//===- ProductEpilogue.h - what follows a register tile ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_PRODUCTEPILOGUE_H
#define TENON_LIB_CODEGEN_CPU_PRODUCTEPILOGUE_H

#include "lib/Codegen/Emit/FusedProduct.h"

namespace tenon {

/// Reads here what is one number for all of a kernel's result, as
/// DynamicQuantizeLinear's scale, or at some columns what the rows have in
/// common there: in loops each store might change the memory that it comes
/// from.
void readAhead(KernelEmitter &e, const SymExpr &columns,
               llvm::ArrayRef<Idx> at = {});

/// The result's rows come of scratch memory, [row][32] of each product.
struct ProductEpilogue {
  KernelEmitter &e;
  Sink &sink;
  llvm::ArrayRef<SymExpr> out, batch; ///< dims
  SymExpr M, N;
  bool shared; ///< all dims but the last count as rows
  mlir::Type sumType;
  bool isShort; ///< the product: what its rows have in common counts
  mlir::Value C;
  /// What lies from C[second] on: two of a gated matmul.
  llvm::SmallVector<std::pair<mlir::Value, mlir::Value>, 2> products;

  /// Rows [m0, m0 + rows) of one panel.
  void emit(mlir::Value batchIndex, mlir::Value m0, mlir::Value rows,
            mlir::Value panel);

private:
  struct Row {
    llvm::SmallVector<Idx> idx; ///< but for the column
    Idx base;
    mlir::Value inPanel;
  };
  /// A vector of a row.
  struct Place {
    llvm::SmallVector<Idx> idx;
    Idx to;
    llvm::SmallVector<Idx, 2> in; ///< of each product
  };
  Row rowAt(mlir::Value batchIndex, mlir::Value m, mlir::Value r);
  Place placeAt(Row row, mlir::Value c, const Idx &column);
  void bindProducts(const Place &place);
  void inTurns(llvm::ArrayRef<Place> places,
               llvm::function_ref<void(const Place &)> fn);
  void store(const Place &place);
  bool storesBytes();
  void storeBytes(llvm::ArrayRef<Place> places);
  void storeTogether(llvm::ArrayRef<Row> rows,
                     llvm::ArrayRef<std::pair<mlir::Value, Idx>> columns);
  void emitByPanel(mlir::Value batchIndex, mlir::Value m0, mlir::Value rows,
                   mlir::Value panel);
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_PRODUCTEPILOGUE_H
