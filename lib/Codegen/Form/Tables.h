//===- Tables.h - tables that rows are gathered from ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_TABLES_H
#define TENON_LIB_CODEGEN_FORM_TABLES_H

#include "mlir/IR/Operation.h"

namespace tenon {

/// Rows are gathered of the codes, or numbers of another type, that a large
/// constant table has, before they are dequantised or cast: what is gathered
/// from lies in memory, so that all rows would be.
void gatherStoredRows(mlir::Operation *root);

/// A table that is gathered from and multiplied with (a tied embedding) is
/// stored once: the gathers read its panels, whatever their format.
void shareTables(mlir::Operation *root);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_TABLES_H
