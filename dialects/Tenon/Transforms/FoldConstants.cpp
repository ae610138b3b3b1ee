//===- FoldConstants.cpp - compute ops on small constants -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Not folders of the ops: folders would also compute with what a person wants
// to see in the IR, and cannot look into resource blobs.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonSmallTensor.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"

namespace tenon {
#define GEN_PASS_DEF_FOLDCONSTANTSPASS
#include "dialects/Tenon/Transforms/FoldConstants.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {

/// Of a model's constants, and of what is computed of them in f32: a filter or
/// a table that the model spells out.
constexpr int64_t maxElements = 4096, maxComputed = 1 << 17;

/// Large constants that were computed here.
using Computed = DenseSet<Value>;

/// Is it of f32, or a condition computed of such? Masks and positions are no
/// large constants: passes that follow know them by how they are made.
bool isOfFloats(Operation *op, const Computed &computed) {
  Type result = getElementTypeOrSelf(op->getResult(0).getType());
  return (result.isF32() || result.isInteger(1)) &&
         llvm::all_of(op->getOperands(), [&](Value v) {
           Type type = getElementTypeOrSelf(v.getType());
           return type.isF32() || (type.isInteger(1) && computed.contains(v));
         });
}

/// The constant that the op computes, or null.
DenseElementsAttr compute(Operation *op, const Computed &computed) {
  if (op->getNumResults() != 1 || op->getNumOperands() == 0)
    return {};
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !type.hasStaticShape())
    return {};
  if (type.getNumElements() > maxElements &&
      (type.getNumElements() > maxComputed || !isOfFloats(op, computed)))
    return {};
  SmallVector<SmallTensor> operands;
  for (Value operand : op->getOperands()) {
    DenseElementsAttr constant = match::smallConstant(
        operand, computed.contains(operand) ? maxComputed : maxElements);
    std::optional<SmallTensor> tensor =
        constant ? SmallTensor::unpack(constant) : std::nullopt;
    if (!tensor)
      return {};
    operands.push_back(std::move(*tensor));
  }
  std::optional<SmallTensor> result = evaluateOp(op, operands);
  return result ? result->pack() : DenseElementsAttr();
}

/// Where the elements that a slice takes begin in its input, if they lie
/// together there.
std::optional<int64_t> contiguousStart(SliceOp op) {
  auto from = cast<RankedTensorType>(op.getInput().getType());
  auto to = cast<RankedTensorType>(op.getResult().getType());
  if (!from.hasStaticShape() || !to.hasStaticShape())
    return std::nullopt;
  int64_t start = 0;
  bool whole = false; // dims behind one of several elements are taken whole
  for (auto [first, step, size, all] :
       llvm::zip_equal(op.getStarts().getSymExprs(), op.getSteps(),
                       to.getShape(), from.getShape())) {
    if (!first.constant() || (step != 1 && size > 1) || (whole && size != all))
      return std::nullopt;
    whole |= size > 1;
    start = start * all + *first.constant();
  }
  return start;
}

/// The bytes of a large constant that a slice takes (a direction's weights), as
/// a constant: they are not copied. Null where they do not lie together.
DenseResourceElementsAttr viewOfSlice(SliceOp op) {
  Value source = skipReshapes(op.getInput());
  auto constant = source.getDefiningOp<ConstantOp>();
  std::optional<int64_t> start = contiguousStart(op);
  if (!constant || !start)
    return {};
  auto type = cast<RankedTensorType>(op.getResult().getType());
  size_t bytes = type.getElementTypeBitWidth() / 8; // 0: packed
  size_t size = type.getNumElements() * bytes;
  ArrayRef<char> data = match::bytesOf(constant.getValue());
  if (size == 0 || *start < 0 || *start * bytes + size > data.size())
    return {};
  // The model's file, or the attribute, lives as long as the context.
  AsmResourceBlob blob = UnmanagedAsmResourceBlob::allocateWithAlign(
      data.slice(*start * bytes, size), 1);
  auto &manager =
      DenseResourceElementsHandle::getManagerInterface(op.getContext());
  return DenseResourceElementsAttr::get(
      type, manager.insert("part", std::move(blob)));
}

struct FoldConstantsPass
    : tenon::impl::FoldConstantsPassBase<FoldConstantsPass> {
  void runOnOperation() override {
    OpBuilder builder(&getContext());
    Computed computed;
    // In order: an op that folds makes its users' operands constant.
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (!isa<TenonDialect>(op->getDialect()))
        return;
      ElementsAttr value = compute(op, computed);
      bool isComputed = value && value.getNumElements() > maxElements;
      if (auto slice = value ? SliceOp() : dyn_cast<SliceOp>(op))
        value = viewOfSlice(slice);
      if (!value)
        return;
      noteApplied(getArgument(), op, "folded");
      builder.setInsertionPoint(op);
      Value constant = ConstantOp::create(builder, op->getLoc(), value);
      if (isComputed)
        computed.insert(constant);
      op->getResult(0).replaceAllUsesWith(constant);
      op->erase();
    });
  }
};

} // namespace
