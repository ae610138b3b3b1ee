//===- PackedWeight.h - constants that are stored in panels -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_PACKEDWEIGHT_H
#define TENON_LIB_CODEGEN_FORM_PACKEDWEIGHT_H

#include "mlir/IR/Operation.h"

namespace tenon {

class ConstantOp;
class PackBOp;

/// One value in a great many places is packed when the model runs: a file of
/// its repetitions would take longer to read.
bool isLargeSplat(ConstantOp constant);

/// The constant whose panels `pack` is, seen through reshapes to known dims; or
/// null.
ConstantOp packedConstant(PackBOp pack);

/// Packed panels of constants, alone or several after one another: a layout of
/// the weights, not work. `op` may be null.
bool isPackedWeight(mlir::Operation *op);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PACKEDWEIGHT_H
