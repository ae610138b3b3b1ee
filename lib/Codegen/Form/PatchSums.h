//===- PatchSums.h - sums of the rows of integers ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A zero point of a weight's column meets the sum of each row. Patches of an
// image share its elements: what a patch adds up is the sum of its channels at
// each of its places, which is taken once, along one dim of the window after
// the other.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_PATCHSUMS_H
#define TENON_LIB_CODEGEN_FORM_PATCHSUMS_H

#include "mlir/IR/Builders.h"

namespace tenon {

/// Sums of integers, i32, along the last dim, of which one element is left.
mlir::Value sumRows(mlir::OpBuilder &b, mlir::Location loc, mlir::Value rows);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PATCHSUMS_H
