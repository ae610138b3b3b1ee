//===- Views.h - where elements of a view lie -------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_VIEWS_H
#define TENON_LIB_CODEGEN_FORM_VIEWS_H

#include "mlir/IR/Value.h"

namespace tenon {

class ReshapeOp;

/// Can the position in the result be turned into one in the operand without
/// dividing by a dim that is known only at run time?
bool isSimpleReshape(ReshapeOp op);

/// Do neighbours in a row of `v` lie apart in what it is a view of?
bool isStrided(mlir::Value v);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_VIEWS_H
