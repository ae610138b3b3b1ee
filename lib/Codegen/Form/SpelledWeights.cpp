//===- SpelledWeights.cpp - weights whose dequantisation is spelled out ---===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tools that store a model's weights in bytes write Cast and Mul in front of
// each user, and so is a DequantizeLinear imported of what is no matrix, as are
// a recurrent layer's weights. Computed as it stands a weight is dequantised,
// whole, in every run. The bits are the same: a code, less its zero point, is
// exact in f32, and is scaled once.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/SpelledWeights.h"
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Form/ConstantView.h"

using namespace mlir;

namespace tenon {

namespace {

struct SpelledWeight {
  MulOp op;
  Value codes = {}, scale = {}, zero = {};
  SmallVector<int64_t> dims = {}, blocks = {};

  bool match(Value cast, Value factor);
  bool readZero(Type code);
  bool serves(OpOperand &use) const;
  void replace();
};

bool SpelledWeight::match(Value cast, Value factor) {
  auto made = cast.getDefiningOp<CastOp>();
  auto type = cast_or_null<RankedTensorType>(op.getType());
  if (!made || !type || !type.hasStaticShape() ||
      !type.getElementType().isF32())
    return false;
  codes = made.getInput(), scale = factor, zero = Value();
  // Integers less a number, as i32.
  if (auto sub = codes.getDefiningOp<SubOp>())
    codes = sub.getLhs(), zero = sub.getRhs();
  if (auto wide = codes.getDefiningOp<CastOp>();
      wide && wide.getTo().isSignlessInteger(32))
    codes = wide.getInput();
  auto stored = ConstantView::of(codes), scales = ConstantView::of(scale);
  if (!stored || !scales || !stored->element.isInteger(8) ||
      ArrayRef(stored->dims) != type.getShape())
    return false;
  dims.assign(stored->dims), blocks.assign(dims);
  size_t missing = dims.size() - scales->dims.size();
  for (auto [i, size] : llvm::enumerate(scales->dims))
    if (size != 1)
      blocks[missing + i] = 1;
  if (zero && !readZero(stored->element))
    return false;
  return !llvm::is_contained(dims, 0) &&
         llvm::all_of(op->getUses(), [&](auto &use) { return serves(use); });
}

/// One zero point for all codes, as one of them.
bool SpelledWeight::readZero(Type code) {
  DenseElementsAttr number = match::smallConstant(zero);
  if (!number || number.getNumElements() != 1 ||
      !number.getElementType().isInteger(32))
    return false;
  APInt value = *number.getValues<APInt>().begin();
  if (code.isUnsignedInteger() ? !value.isIntN(8) : !value.isSignedIntN(8))
    return false;
  SmallVector<int64_t> one(dims.size(), 1);
  for (auto [size, block] : llvm::zip_equal(dims, blocks))
    if (block != size) // a scale for each of several
      return false;
  auto type = RankedTensorType::get(one, code);
  OpBuilder b(op);
  zero = ConstantOp::create(b, op.getLoc(), type,
                            DenseElementsAttr::get(type, value.trunc(8)));
  return true;
}

/// Is it the right operand of a product whose columns have a scale each, the
/// weight of a recurrent layer, or gathered from?
bool SpelledWeight::serves(OpOperand &use) const {
  if (isa<GatherOp>(use.getOwner()))
    return use.getOperandNumber() == 0 && !zero;
  if (isa<RecurrentOp>(use.getOwner()))
    return use.getOperandNumber() == 1;
  auto product = dyn_cast<MatMulOp>(use.getOwner());
  return product && use.getOperandNumber() == 1 && dims.size() == 2 &&
         blocks[product.getTransposeB() ? 1 : 0] ==
             dims[product.getTransposeB() ? 1 : 0];
}

void SpelledWeight::replace() {
  OpBuilder b(op);
  SmallVector<SymExpr> own;
  for (auto [size, block] : llvm::zip_equal(dims, blocks))
    own.push_back(SymExpr(block == 1 ? size : 1));
  scale = createReshape(b, op.getLoc(), scale, own);
  auto weight = DequantizeOp::create(b, op.getLoc(), codes, scale, zero,
                                     b.getDenseI64ArrayAttr(blocks),
                                     TypeAttr::get(b.getF32Type()));
  if (Attribute name = op->getAttr("tenon.value"))
    weight->setAttr("tenon.value", name);
  op.getResult().replaceAllUsesWith(weight.getResult());
  op.erase();
}

} // namespace

void nameSpelledWeights(Operation *root) {
  SmallVector<MulOp> ops;
  root->walk([&](MulOp op) { ops.push_back(op); });
  for (MulOp op : ops) {
    SpelledWeight weight{op};
    Value lhs = op->getOperand(0), rhs = op->getOperand(1);
    if (weight.match(lhs, rhs) || weight.match(rhs, lhs))
      weight.replace();
  }
}

} // namespace tenon
