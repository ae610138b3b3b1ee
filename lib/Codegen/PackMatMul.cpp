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
    SmallVector<PackBOp> packs;
    getOperation()->walk([&](PackBOp op) { packs.push_back(op); });
    for (PackBOp op : packs)
      shareTable(op);
  }

  /// A table that is gathered from and multiplied with (a tied embedding) is
  /// stored once: the gathers read its panels.
  void shareTable(PackBOp pack) {
    auto table = pack.getInput().getDefiningOp<ConstantOp>();
    if (!table || !getElementTypeOrSelf(table.getType()).isF32())
      return;
    SmallVector<SymExpr> dims = getDims(table.getResult());
    if (dims.size() != 2)
      return;
    SmallVector<GatherOp> gathers;
    for (Operation *user : table->getUsers()) {
      auto gather = dyn_cast<GatherOp>(user);
      if (user != pack && (!gather || gather.getIndices() == table.getResult()))
        return;
      if (gather)
        gathers.push_back(gather);
    }
    if (gathers.empty())
      return;
    // [panels, K, 32] with the panels' columns next to each other again.
    OpBuilder b(pack);
    b.setInsertionPointAfter(table);
    Location loc = table.getLoc();
    SymExpr columns = dims[pack.getTransposed() ? 0 : 1],
            rows = dims[pack.getTransposed() ? 1 : 0];
    SymExpr padded = SymExpr::apply(SymExpr::Fn::CeilDiv, columns, 32) * 32;
    SmallVector<int64_t> perm = pack.getTransposed()
                                    ? SmallVector<int64_t>{0, 2, 1}
                                    : SmallVector<int64_t>{1, 0, 2};
    SmallVector<SymExpr> whole = pack.getTransposed()
                                     ? SmallVector<SymExpr>{padded, rows}
                                     : SmallVector<SymExpr>{rows, padded};
    pack->moveAfter(table);
    b.setInsertionPointAfter(pack);
    Value v = TransposeOp::create(b, loc, pack.getResult(), perm);
    v = ReshapeOp::create(b, loc, v, DimsAttr::get(b.getContext(), whole));
    if (padded != columns) {
      SymExpr zero(0);
      SmallVector<SymExpr> starts(2, zero);
      v = SliceOp::create(b, loc, v, DimsAttr::get(b.getContext(), starts),
                          b.getDenseI64ArrayAttr({1, 1}),
                          DimsAttr::get(b.getContext(), dims));
    }
    for (GatherOp gather : gathers)
      gather.getInputMutable().assign(v);
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
