//===- AttentionCodes.cpp - attention's products of codes -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Form/AttentionCodes.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "lib/Codegen/Form/PackedWeight.h"

using namespace mlir;

namespace tenon {

bool isOfScores(MatMulOp op) {
  Value v = op.getResult();
  while (v.hasOneUse()) {
    Operation *user = *v.getUsers().begin();
    if (isa<SoftmaxOp>(user))
      return true;
    if (!user->hasTrait<OpTrait::Elementwise>())
      break;
    v = user->getResult(0);
  }
  return false;
}

bool isOfProbabilities(Value v) {
  SmallVector<SymExpr> dims = getDims(v);
  SmallVector<Value> values{v};
  SmallPtrSet<Operation *, 16> seen;
  while (!values.empty()) {
    Operation *op = values.pop_back_val().getDefiningOp();
    if (isa_and_nonnull<SoftmaxOp>(op))
      return true;
    if (op && op->hasTrait<OpTrait::Elementwise>() && seen.insert(op).second)
      llvm::copy_if(op->getOperands(), std::back_inserter(values),
                    [&](Value o) { return getDims(o) == dims; });
  }
  return false;
}

bool isOfCodes(PackedMatMulOp product) {
  FormatAttr format = product.getFormatAttr();
  bool halves = format.getRows() && format.getRows().isBF16();
  return (format.isInteger() || halves) && format.getBlock() == 0 &&
         !isPackedWeight(product.getPacked().getDefiningOp());
}

/// Does nothing but the product's epilogue read what is made of `v`, a number
/// for each row? Collects what makes it.
static bool isReadByEpilogue(Value v, PackedMatMulOp product,
                             function_ref<Operation *(Operation *)> anchorOf,
                             SmallVectorImpl<Operation *> &inside) {
  inside.push_back(v.getDefiningOp());
  return llvm::all_of(v.getUsers(), [&](Operation *user) {
    if (Operation *anchor = anchorOf(user))
      return anchor == product.getOperation();
    return user->getBlock() == product->getBlock() &&
           user->hasTrait<OpTrait::Elementwise>() &&
           getDims(user->getResult(0)) == getDims(v) &&
           isReadByEpilogue(user->getResult(0), product, anchorOf, inside);
  });
}

std::optional<SmallVector<Operation *>>
readsRowsAlone(PackedMatMulOp product,
               function_ref<Operation *(Operation *)> anchorOf) {
  SmallVector<Operation *> sums;
  Value rows = product.getLhs();
  int64_t last = getDims(rows).size() - 1;
  for (Operation *user : rows.getUsers()) {
    if (user == product.getOperation())
      continue;
    auto cast = dyn_cast<CastOp>(user);
    auto reduce = cast && cast->hasOneUse()
                      ? dyn_cast<ReduceOp>(*cast->user_begin())
                      : ReduceOp();
    if (!product.getFormatAttr() || !sums.empty() || !reduce ||
        !cast.getTo().isSignlessInteger(32) ||
        reduce.getKind() != ReduceKind::sum || !reduce.getKeepdims() ||
        reduce.getAxes() != ArrayRef<int64_t>(last) ||
        !isReadByEpilogue(reduce.getResult(), product, anchorOf, sums))
      return std::nullopt;
    sums.push_back(cast);
  }
  return sums;
}

} // namespace tenon
