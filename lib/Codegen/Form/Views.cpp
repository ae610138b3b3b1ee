//===- Views.cpp - where elements of a view lie ---------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Form/Views.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

bool isSimpleReshape(ReshapeOp op) {
  SmallVector<SymExpr> from = getDims(op.getInput()),
                       to = getDims(op.getResult());
  llvm::erase_if(from, [](auto &d) { return d.constant() == 1; });
  llvm::erase_if(to, [](auto &d) { return d.constant() == 1; });
  size_t i = from.size(), o = to.size();
  while (i > 0 && o > 0) {
    size_t i0 = i;
    SymExpr pi = from[--i], po = to[--o];
    while (pi != po) {
      if (po.divideExactly(pi) && i > 0)
        pi = from[--i] * pi;
      else if (pi.divideExactly(po) && o > 0)
        po = to[--o] * po;
      else
        return false;
    }
    for (size_t k = i + 1; k < i0; ++k)
      if (!from[k].constant())
        return false;
  }
  return i == 0 && o == 0;
}

bool isStrided(Value v) {
  SymExpr distance = 1; // in `v`, then in what that is a view of
  while (Operation *view = v.getDefiningOp()) {
    if (!isa<ReshapeOp, TransposeOp>(view))
      break;
    v = view->getOperand(0);
    auto transpose = dyn_cast<TransposeOp>(view);
    if (!transpose)
      continue;
    SmallVector<SymExpr> dims = getDims(transpose.getResult()),
                         from = getDims(v);
    size_t d = dims.size();
    do // the dim along which they are neighbours
      if (d-- == 0)
        return false;
    while (dims[d] == SymExpr(1) ||
           productOf(ArrayRef(dims).drop_front(d + 1)) != distance);
    distance = productOf(ArrayRef(from).drop_front(transpose.getPerm()[d] + 1));
  }
  return distance != SymExpr(1);
}

} // namespace tenon
