//===- JoinColumns.h - what ends several products, side by side -*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_JOINCOLUMNS_H
#define TENON_LIB_CODEGEN_FORM_JOINCOLUMNS_H

#include "mlir/IR/Builders.h"

namespace tenon {

class PackedMatMulOp;

/// Finds what ops do to several products of the same rows, each of its own
/// columns, and does it to one product that has all columns side by side:
/// scales and zero points of each weight become vectors.
class ColumnJoiner {
public:
  explicit ColumnJoiner(llvm::ArrayRef<PackedMatMulOp> products);

  /// As many ops from each product on do the same to all of them.
  size_t length() const { return steps.size(); }
  /// What the last of them leave.
  llvm::ArrayRef<mlir::Value> results() const { return current; }
  /// Of all columns, made where whatever the product `reference` meets is
  /// known.
  mlir::Value apply(mlir::OpBuilder &b, mlir::Value product, size_t reference);
  /// What nothing reads any longer, the products too.
  void erase();

private:
  using Values = llvm::SmallVector<mlir::Value>;
  struct Step {
    /// One for each product; null where its bias would be added.
    llvm::SmallVector<mlir::Operation *> ops;
    unsigned operand = 0; ///< that comes of the product
    Values others;        ///< empty: there is no other
  };
  std::optional<Step> next() const;
  bool canJoin(mlir::ValueRange values, size_t deep) const;
  mlir::Value join(mlir::OpBuilder &b, mlir::ValueRange values,
                   size_t reference) const;

  llvm::SmallVector<int64_t> columns;
  Values current;
  llvm::SmallVector<Step> steps;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_JOINCOLUMNS_H
