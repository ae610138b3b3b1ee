//===- EpilogueFetch.h - what an epilogue meets, fetched in time -*- C++
//-*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_EPILOGUEFETCH_H
#define TENON_LIB_CODEGEN_CPU_EPILOGUEFETCH_H

#include "lib/Codegen/Emit/FusedProduct.h"

namespace tenon {

/// The memory that a product's epilogue writes, and what it reads at the same
/// positions (a residual). A tile meets a piece of each of its rows, which no
/// hardware foresees; it is fetched into the cache before the tile is
/// multiplied, which takes long enough.
class EpilogueFetch {
public:
  EpilogueFetch(KernelEmitter &e, const Sink &sink);
  /// Does the epilogue read such memory, too?
  bool reads = false;
  /// Columns [column, column + count) of the rows rowOf(0) to rowOf(rows - 1).
  void fetch(mlir::Value rows,
             llvm::function_ref<mlir::Value(mlir::Value)> rowOf,
             mlir::Value column, int64_t count);

private:
  KernelEmitter &e;
  SymExpr columns;
  llvm::SmallVector<mlir::Value> memories;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_EPILOGUEFETCH_H
