//===- StoredCodes.cpp - numbers of which codes reach memory --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/StoredCodes.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Depthwise.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Form/Views.h"

using namespace mlir;

namespace tenon {

static bool isCodes(Value v) {
  return getElementTypeOrSelf(v.getType()).isInteger(8);
}

Value codesBehind(Value v) {
  SmallVector<SymExpr> dims = getDims(v);
  for (Value from = v; from && getDims(from) == dims;) {
    if (isCodes(from))
      return from == v ? Value() : from;
    Operation *op = from.getDefiningOp();
    if (!op || op->hasAttr("tenon.value"))
      return nullptr;
    if (auto cast = dyn_cast<CastOp>(op)) {
      if (!isa<IntegerType>(getElementTypeOrSelf(cast.getInput().getType())))
        return nullptr;
    } else if (!isa<AddOp, SubOp, MulOp>(op) ||
               !isOneElement(op->getOperand(1)) ||
               !match::scalarOf(op->getOperand(1))) {
      return nullptr;
    }
    from = op->getOperand(0);
  }
  return nullptr;
}

bool areTurned(Value codes) {
  Operation *op = codes.getDefiningOp();
  while (op && op->hasTrait<OpTrait::Elementwise>() && op->getNumOperands()) {
    op = op->getOperand(0).getDefiningOp();
    if (auto turned = dyn_cast_or_null<TransposeOp>(op))
      return turned.getPerm().back() != int64_t(turned.getPerm().size()) - 1;
  }
  return false;
}

bool isWidenedImage(OpOperand &use) {
  return isa<DepthwiseOp>(use.getOwner()) && use.getOperandNumber() == 0;
}

bool widensInPlace(Value v, bool widensImages) {
  // What windows overlap in is read again and again.
  constexpr int64_t most = 2;
  int64_t parts = 0;
  return llvm::all_of(v.getUses(), [&](OpOperand &use) {
    Operation *user = use.getOwner();
    auto fusion = dyn_cast<FusionInterface>(user);
    if (!fusion || user->getBlock() != v.getParentBlock())
      return false;
    if (isa<DepthwiseOp>(user))
      return widensImages && isWidenedImage(use);
    if (auto view = dyn_cast<ReshapeOp>(user))
      return isSimpleReshape(view) &&
             widensInPlace(view.getResult(), widensImages);
    if (isa<SliceOp>(user))
      return ++parts <= most;
    return isa<ConcatOp, PadOp, ReduceOp>(user) ||
           fusion.getFusionRole() == FusionRole::Elementwise;
  });
}

} // namespace tenon
