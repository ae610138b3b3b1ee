//===- AttentionCodes.cpp - attention's products of codes -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Form/AttentionCodes.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "lib/Codegen/Form/PackedWeight.h"

using namespace mlir;

namespace tenon {

bool isOfCodes(PackedMatMulOp product) {
  FormatAttr format = product.getFormatAttr();
  return format.isInteger() && format.getBlock() == 0 &&
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
