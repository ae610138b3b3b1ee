//===- FusedProduct.h - what every target's products share ------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The packed operand that a product reads, and the place where a fused result
// ends.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_FUSEDPRODUCT_H
#define TENON_LIB_CODEGEN_EMIT_FUSEDPRODUCT_H

#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

class LoadPagesOp;
class PackedMatMulOp;

/// How pages are found (tenon.store_pages).
struct PageTable {
  SymExpr address;  ///< of the table; 0: matrices lie one after the other
  SymExpr count;    ///< of pages that a matrix has
  SymExpr matrices; ///< of a sequence
};
/// A table of i32 that the run has, whose address is a dim; 0: there is none.
class TableOfRun {
public:
  TableOfRun(KernelEmitter &e, const SymExpr &address);
  mlir::Value exists() const; ///< a bool
  /// Number `at`, an index, as an i32.
  mlir::Value load(mlir::Value at) const;

private:
  KernelEmitter &e;
  mlir::Value address; ///< i64
};
/// Number of `page` of matrix `matrix` among the pages of all.
mlir::Value placeOfPage(KernelEmitter &e, const PageTable &table,
                        mlir::Value matrix, mlir::Value page);

/// The product of the kernel, which holds one at most; null without.
PackedMatMulOp findProduct(KernelEmitter &e);

/// The right operand of a packed matmul: panels in memory, seen through views
/// that repeat or regroup matrices (the key heads that query heads share). The
/// panels may be columns of a matrix that lies in rows, single columns of few,
/// or a cache's pages, counted in elements.
class PackedOperand {
public:
  /// nullopt where `packed` is no view of a region argument, or one of pages
  /// that the caller does not know.
  static std::optional<PackedOperand> trace(mlir::Value packed,
                                            bool knowsPages = false);
  /// The same of a kernel's product, which may be null: an error then.
  static std::optional<PackedOperand> of(KernelEmitter &e, PackedMatMulOp op);
  mlir::BlockArgument getMemory() const { return memory; }
  /// Where `panel` of matrix number `batchIndex` of row-major `batch` begins.
  mlir::Value at(KernelEmitter &e, mlir::Value batchIndex,
                 llvm::ArrayRef<SymExpr> batch, mlir::Value panel) const;
  /// How far apart rows of a panel lie, and panels.
  int64_t rowsApart() const {
    return width ? width : inColumns() ? 1 : kPanelColumns;
  }
  /// Do columns lie one after the other (tenon-lay-columns)?
  bool inColumns() const { return dims.back() == SymExpr(1); }
  SymExpr panelsApart() const {
    return width  ? SymExpr(kPanelColumns)
           : page ? SymExpr(page)
                  : dims[dims.size() - 2] * kPanelColumns;
  }
  /// Null: it lies in no pages, and at() says where it lies.
  const PageTable *getPages() const { return page ? &table : nullptr; }
  /// How many rows each sequence has, a value of the kernel's region; null: as
  /// many as the product takes.
  mlir::Value getEnds() const { return ends; }
  /// The elements of a page, and where in it panel `panel` begins: of pages
  /// that are panels one, of others 32 columns.
  int64_t pageElements() const { return page; }
  mlir::Value inPage(LaneBuilder &L, mlir::Value panel) const;
  /// Do a panel's rows go on from page to page?
  bool hasRowsInPages() const { return page && width; }
  /// Number of the matrix that `batchIndex` of row-major `batch` reads.
  mlir::Value matrixAt(KernelEmitter &e, mlir::Value batchIndex,
                       llvm::ArrayRef<SymExpr> batch) const;
  /// What pages hold; null: f32, as everything else.
  mlir::Type getElement() const { return element; }
  /// Are its rows codes, with a scale each?
  bool hasScales() const { return element && element.isInteger(8); }
  /// Of `lanes` rows of the page at number `place` from `row` of it on.
  mlir::Value scalesAt(KernelEmitter &e, mlir::Value place,
                       mlir::Value row) const;

private:
  mlir::Value traceRows(mlir::Value packed);
  mlir::Value tracePages(LoadPagesOp load);
  mlir::BlockArgument memory;
  int64_t width = 0; ///< of rows, where panels are columns of them
  SymExpr height;    ///< and their number in a matrix
  int64_t page = 0; ///< elements of a page, `header` of them before the numbers
  int64_t header = 0;
  mlir::Type element;
  PageTable table;
  mlir::Value ends;
  llvm::SmallVector<SymExpr> dims;
  size_t inner = 3; ///< dims of a matrix's panels, as views have them
  llvm::SmallVector<mlir::Value> repeats; ///< from the operand inwards
};

/// Where a matmul's epilogue ends: the kernel's result, or what a last
/// transpose (that keeps columns contiguous, as a rule) reads.
struct Sink {
  explicit Sink(KernelEmitter &e);
  mlir::Value value;
  llvm::SmallVector<SymExpr> dims; ///< as stored
  llvm::SmallVector<int64_t> perm; ///< stored dim i is value's dim perm[i]
  mlir::Type element;
  /// Are columns no neighbours as stored?
  bool isTurned() const {
    return !perm.empty() && perm.back() + 1 != int64_t(perm.size());
  }
  /// Where the last transpose puts element idx.
  Idx at(KernelEmitter &e, llvm::ArrayRef<Idx> idx) const;
  /// Computes `value` at idx (row-major position `flat`) and stores it.
  void store(KernelEmitter &e, llvm::ArrayRef<Idx> idx, const Idx &flat);
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_FUSEDPRODUCT_H
