//===- FlattenNorms.cpp - norms of one dim --------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_FLATTENNORMSPASS
#include "lib/Codegen/Form/FlattenNorms.h.inc"

namespace {

struct FlattenNormsPass
    : ::tenon::impl::FlattenNormsPassBase<FlattenNormsPass> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<LayerNormOp, RmsNormOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops)
      if (auto norm = dyn_cast<LayerNormOp>(op))
        flatten(norm);
      else
        flatten(cast<RmsNormOp>(op));
  }

  template <typename OpTy>
  void flatten(OpTy op) {
    int64_t over = op.getDims();
    if (over == 1)
      return;
    OpBuilder b(op);
    SmallVector<SymExpr> dims = getDims(op.getResult());
    SymExpr row = productOf(ArrayRef(dims).take_back(over));
    SmallVector<SymExpr> rows(dims.begin(), dims.end() - over);
    rows.push_back(row);
    auto reshape = [&](Value v, ArrayRef<SymExpr> to) -> Value {
      return createReshape(b, op.getLoc(), v, to);
    };
    // The input has the result's dims, every parameter the last `over` of them.
    SmallVector<Value> operands = {reshape(op.getInput(), rows)};
    for (Value parameter : op->getOperands().drop_front())
      operands.push_back(reshape(parameter, {row}));
    auto flat = OpTy::create(b, op.getLoc(), operands[0].getType(), operands,
                             op->getAttrs());
    flat.setDims(1);
    flat->removeAttr("tenon.value");
    Value result = reshape(flat.getResult(), dims);
    if (Attribute name = op->getAttr("tenon.value"))
      result.getDefiningOp()->setAttr("tenon.value", name);
    op.getResult().replaceAllUsesWith(result);
    op.erase();
  }
};

} // namespace
} // namespace tenon
