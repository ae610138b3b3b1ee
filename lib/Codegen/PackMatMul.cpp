//===- PackMatMul.cpp - give matmul's right operand the packed layout -----===//
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
#define GEN_PASS_DEF_PACKMATMULPASS
#include "tenon/Codegen/Passes.h.inc"

namespace {

struct PackMatMulPass : ::tenon::impl::PackMatMulPassBase<PackMatMulPass> {
  void runOnOperation() override {
    SmallVector<MatMulOp> ops;
    getOperation()->walk([&](MatMulOp op) { ops.push_back(op); });
    for (MatMulOp op : ops)
      pack(op);
  }

  void pack(MatMulOp op) {
    Type element = getElementTypeOrSelf(op.getResult().getType());
    if (!element.isF32() && !element.isF16() && !element.isBF16())
      return;
    OpBuilder b(op);
    Location loc = op.getLoc();
    Value lhs = op.getLhs();
    if (op.getTransposeA()) {
      int64_t rank = cast<RankedTensorType>(lhs.getType()).getRank();
      SmallVector<int64_t> perm;
      for (int64_t i = 0; i < rank; ++i)
        perm.push_back(i);
      std::swap(perm[rank - 1], perm[rank - 2]);
      lhs = TransposeOp::create(b, loc, lhs, perm);
    }
    Value packed = PackBOp::create(b, loc, op.getRhs(), op.getTransposeB());
    SymExpr n = getDims(op.getResult()).back();
    Value result =
        PackedMatMulOp::create(b, loc, lhs, packed, b.getStringAttr(n.str()));
    if (Attribute name = op->getAttr("tenon.value"))
      result.getDefiningOp()->setAttr("tenon.value", name);
    op.getResult().replaceAllUsesWith(result);
    op.erase();
  }
};

} // namespace
} // namespace tenon
