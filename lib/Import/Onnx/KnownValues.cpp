//===- KnownValues.cpp - integers computed from dims, at import -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KnownValues.h"

using namespace mlir;

namespace tenon::onnximport {

Value KnownValues::simplify(OpBuilder &builder, Operation *op) {
  Value result = op->getResult(0);
  Value folded = evaluator.fold(builder, op);
  if (!folded)
    return result;
  evaluator.forget(result);
  op->erase();
  return folded;
}

} // namespace tenon::onnximport
