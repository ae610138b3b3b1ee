//===- Repeats.cpp - matrices that views repeat ---------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Form/Repeats.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

bool keepsMatrices(Operation *op) {
  if (!isReshape(op) && !isa_and_nonnull<BroadcastToOp>(op))
    return false;
  SmallVector<SymExpr> from = getDims(op->getOperand(0)),
                       to = getDims(op->getResult(0));
  return from.size() >= 2 && to.size() >= 2 &&
         ArrayRef(from).take_back(2) == ArrayRef(to).take_back(2);
}

Value skipRepeats(Value v, SmallVectorImpl<Operation *> &views) {
  Value source = v;
  bool repeats = false;
  while (keepsMatrices(source.getDefiningOp())) {
    Operation *view = source.getDefiningOp();
    repeats |= isa<BroadcastToOp>(view);
    views.push_back(view);
    source = view->getOperand(0);
  }
  if (repeats)
    return source;
  views.clear();
  return v;
}

Value repeatAlike(OpBuilder &b, Operation *view, Value v, size_t inner) {
  SmallVector<SymExpr> dims = getDims(view->getResult(0)), of = getDims(v);
  dims.pop_back_n(2);
  dims.append(of.end() - inner, of.end());
  if (isReshape(view))
    return createReshape(b, view->getLoc(), v, dims);
  return BroadcastToOp::create(b, view->getLoc(), v,
                               DimsAttr::get(b.getContext(), dims));
}

} // namespace tenon
