//===- LowerConv.cpp - turn convolutions into matmuls of patches ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Pass/Pass.h"
#include "tenon/Codegen/Passes.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_LOWERCONVPASS
#include "tenon/Codegen/Passes.h.inc"

namespace {

struct LowerConvPass : ::tenon::impl::LowerConvPassBase<LowerConvPass> {
  void runOnOperation() override {
    SmallVector<ConvOp> ops;
    getOperation()->walk([&](ConvOp op) { ops.push_back(op); });
    for (ConvOp op : ops)
      lower(op);
  }

  void lower(ConvOp op) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    SmallVector<SymExpr> w = getDims(op.getWeight());
    SmallVector<SymExpr> out = getDims(op.getResult());
    SmallVector<int64_t> kernel;
    for (const SymExpr &d : ArrayRef(w).drop_front(2)) {
      if (!d.constant()) {
        op.emitError("the kernel's dims must be known when compiling, found ")
            << d.str();
        return signalPassFailure();
      }
      kernel.push_back(*d.constant());
    }
    int64_t groups = op.getGroup();
    if (groups != 1 && !w[0].constant()) {
      op.emitError("a convolution in groups must have a number of output "
                   "channels known when compiling, found ")
          << w[0].str();
      return signalPassFailure();
    }
    auto reshape = [&](Value v, ArrayRef<SymExpr> dims) -> Value {
      return ReshapeOp::create(b, loc, v, DimsAttr::get(b.getContext(), dims));
    };
    SymExpr cout = w[0];
    SymExpr k = productOf(ArrayRef(w).drop_front(1)); // of one group
    SymExpr positions = productOf(ArrayRef(out).drop_front(2));
    Value patches =
        Im2ColOp::create(b, loc, op.getInput(), kernel, op.getStrides(),
                         op.getPads(), op.getDilations());
    Value result;
    if (groups == 1) {
      Value flat = reshape(op.getWeight(), {cout, k});
      Value y = MatMulOp::create(b, loc, patches, flat, false, true);
      result = TransposeOp::create(b, loc, y, ArrayRef<int64_t>{0, 2, 1});
    } else {
      SymExpr perGroup = *cout.constant() / groups;
      Value split = reshape(patches, {out[0], positions, groups, k});
      Value a =
          TransposeOp::create(b, loc, split, ArrayRef<int64_t>{0, 2, 1, 3});
      Value flat = reshape(op.getWeight(), {groups, perGroup, k});
      Value y = MatMulOp::create(b, loc, a, flat, false, true);
      result = TransposeOp::create(b, loc, y, ArrayRef<int64_t>{0, 1, 3, 2});
    }
    result = reshape(result, out);
    if (Attribute name = op->getAttr("tenon.value"))
      result.getDefiningOp()->setAttr("tenon.value", name);
    op.getResult().replaceAllUsesWith(result);
    op.erase();
  }
};

} // namespace
} // namespace tenon
