//===- CopyResults.cpp - memory of their own for results ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/CopyResults.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "lib/Codegen/Form/Demand.h"

using namespace mlir;

namespace tenon {

static bool isSplat(Value v) {
  auto c = v.getDefiningOp<ConstantOp>();
  return c && isa<SplatElementsAttr>(c.getValue());
}

/// What an alias stands for.
static Value sourceOf(Value v) {
  while (auto r = v.getDefiningOp<ReshapeOp>())
    v = r.getInput();
  return v;
}

void copyResults(Block &block) {
  Demand demand(block);
  DenseSet<Value> taken;
  // What writes straight to the memory of a result must not be needed where
  // another writes there.
  auto ensureOwn = [&](OpOperand &result, std::optional<SymExpr> where) {
    Value v = result.get(), source = sourceOf(v);
    Operation *def = source.getDefiningOp();
    if (isa_and_nonnull<KernelOp, MergeOp>(def) && def->getBlock() == &block &&
        (!where || demand.of(def).implies(*where)) &&
        taken.insert(source).second)
      return;
    OpBuilder b(result.getOwner());
    auto kernel = KernelOp::create(b, v.getLoc(), TypeRange{v.getType()},
                                   ValueRange{v}, KernelKind::map);
    Block *body = b.createBlock(&kernel.getBody());
    Value copied;
    if (isSplat(v)) { // is not read from memory
      kernel->setOperands({});
      copied = b.clone(*def)->getResult(0);
    } else {
      copied = body->addArgument(v.getType(), v.getLoc());
    }
    YieldOp::create(b, v.getLoc(), copied);
    result.set(kernel.getResult(0));
  };
  for (OpOperand &result : block.getTerminator()->getOpOperands())
    ensureOwn(result, {});
  for (auto merge : llvm::to_vector(block.getOps<MergeOp>())) {
    SymExpr condition =
        SymExpr::parse(merge.getCondition().str()).value_or(SymExpr(0));
    ensureOwn(merge->getOpOperand(0), condition);
    ensureOwn(merge->getOpOperand(1), SymExpr(1) - condition);
  }
}

} // namespace tenon
