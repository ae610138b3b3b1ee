//===- WidenConvs.cpp - convolutions of halves in f32 ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/WidenHalves.h"
#include "mlir/Pass/Pass.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_WIDENCONVSPASS
#include "lib/Codegen/Form/WidenConvs.h.inc"

namespace {

bool isOfHalves(Value v) { return isHalf(getElementTypeOrSelf(v.getType())); }

Value castTo(OpBuilder &b, Value v, Type element) {
  return CastOp::create(b, v.getLoc(), v, element, /*unsaturated=*/false,
                        RoundModeAttr());
}

/// Moves or chooses numbers: halves become halves.
bool isExact(Operation *op) {
  return isReshape(op) || isTranspose(op) || isSlice(op) ||
         isa<AbsOp, BroadcastToOp, ConcatOp, GatherOp, MaxOp, MinOp, NegOp,
             PadOp, SelectOp>(op);
}

bool convolvesHalves(ConvOp op) {
  return isOfHalves(op.getResult()) &&
         op.getWeight().getDefiningOp<ConstantOp>();
}

SymExpr tapsOf(ConvOp op) {
  return productOf(ArrayRef(getDims(op.getWeight())).drop_front(2));
}

/// Are pixels read for several others, and channels added up?
bool readsPatches(ConvOp op) {
  return convolvesHalves(op) && tapsOf(op) != SymExpr(1) &&
         getDims(op.getWeight())[1] != SymExpr(1);
}

/// A product of rows by a matrix takes it as it is stored, unless it has so few
/// columns (PackFormats.cpp).
bool isProductOfRows(ConvOp op) {
  constexpr int64_t fewColumns = 16;
  return op.getGroup() == 1 && tapsOf(op) == SymExpr(1) &&
         getDims(op.getWeight())[0].constant().value_or(0) > fewColumns;
}

/// The halves of a block that are stored as f32.
class Widening {
public:
  explicit Widening(Block &block) : block(block) {}
  /// How many convolutions read them.
  int64_t run();

private:
  void find(Value half);
  Value get(Value half);
  bool widen(ConvOp op);
  bool widenExact(Operation *op);
  void narrow(Value half);

  bool isInside(Operation *op) { return op && op->getBlock() == &block; }

  Block &block;
  llvm::SetVector<Value> halves;
  /// Each as f32, and constants.
  DenseMap<Value, Value> wideOf;
};

/// A convolution reads `half`, or what exact ops make of it.
void Widening::find(Value half) {
  if (!halves.insert(half))
    return;
  Operation *op = half.getDefiningOp();
  if (isInside(op) && isExact(op))
    for (Value v : op->getOperands())
      if (isOfHalves(v))
        find(v);
}

/// `half` as f32; null for a constant whose bytes are nowhere.
Value Widening::get(Value half) {
  if (Value wide = wideOf.lookup(half))
    return wide;
  OpBuilder b(&block, block.begin());
  if (isInside(half.getDefiningOp()))
    b.setInsertionPointAfter(half.getDefiningOp());
  Value wide;
  if (auto constant = half.getDefiningOp<ConstantOp>()) {
    ElementsAttr value = widenHalves(constant.getValue());
    if (!value)
      return {};
    wide = ConstantOp::create(b, half.getLoc(), value);
  } else {
    wide = castTo(b, half, b.getF32Type());
  }
  return wideOf[half] = wide;
}

bool Widening::widen(ConvOp op) {
  if (!convolvesHalves(op) || !halves.contains(op.getInput()))
    return false;
  OpBuilder b(op);
  Value input = get(op.getInput()),
        weight = isProductOfRows(op) ? castTo(b, op.getWeight(), b.getF32Type())
                                     : get(op.getWeight());
  if (!weight)
    return false;
  Operation *wide = b.clone(*op);
  wide->setOperands({input, weight});
  wide->getResult(0).setType(widened(op.getType()));
  Value half =
      castTo(b, wide->getResult(0), getElementTypeOrSelf(op.getType()));
  if (halves.contains(op.getResult())) {
    halves.insert(half);
    halves.remove(op.getResult());
  }
  op.getResult().replaceAllUsesWith(half);
  op.erase();
  return true;
}

/// Computes in f32 what convolutions read of an exact op.
bool Widening::widenExact(Operation *op) {
  if (!isExact(op) || !halves.contains(op->getResult(0)))
    return false;
  SmallVector<Value> operands;
  for (Value v : op->getOperands()) {
    operands.push_back(isOfHalves(v) ? get(v) : v);
    if (!operands.back())
      return false;
  }
  OpBuilder b(op);
  Operation *wide = b.clone(*op);
  wide->setOperands(operands);
  wide->getResult(0).setType(widened(op->getResult(0).getType()));
  wideOf[op->getResult(0)] = wide->getResult(0);
  return true;
}

/// What reads `half`, which is stored as f32, reads that.
void Widening::narrow(Value half) {
  Value wide = wideOf.lookup(half), narrowed;
  for (OpOperand &use : llvm::make_early_inc_range(half.getUses())) {
    Operation *user = use.getOwner();
    if (user == wide.getDefiningOp())
      continue;
    if (auto cast = dyn_cast<CastOp>(user); cast && cast.getTo().isF32()) {
      cast.getResult().replaceAllUsesWith(wide);
      cast.erase();
      continue;
    }
    if (!narrowed) {
      OpBuilder b(block.getParent());
      b.setInsertionPointAfter(wide.getDefiningOp());
      narrowed = castTo(b, wide, getElementTypeOrSelf(half.getType()));
    }
    use.set(narrowed);
  }
}

int64_t Widening::run() {
  for (auto op : block.getOps<ConvOp>())
    if (readsPatches(op))
      find(op.getInput());
  int64_t count = 0;
  SmallVector<Operation *> exact;
  for (Operation &op : llvm::make_early_inc_range(block)) {
    if (auto conv = dyn_cast<ConvOp>(op))
      count += widen(conv);
    else if (widenExact(&op))
      exact.push_back(&op);
  }
  for (Operation *op : llvm::reverse(exact)) {
    narrow(op->getResult(0));
    halves.remove(op->getResult(0));
    op->erase();
  }
  // Of an op with regions, or from outside, it lies in memory as halves.
  for (Value half : halves)
    if (Operation *op = half.getDefiningOp();
        isInside(op) && op->getNumRegions() == 0 && !isa<ConstantOp>(op) &&
        wideOf.contains(half))
      narrow(half);
  return count;
}

struct WidenConvsPass : ::tenon::impl::WidenConvsPassBase<WidenConvsPass> {
  void runOnOperation() override {
    SmallVector<Block *> blocks;
    getOperation()->walk([&](ConvOp op) {
      if (readsPatches(op) && !llvm::is_contained(blocks, op->getBlock()))
        blocks.push_back(op->getBlock());
    });
    for (Block *block : blocks)
      numWidened += Widening(*block).run();
  }
};

} // namespace
} // namespace tenon
