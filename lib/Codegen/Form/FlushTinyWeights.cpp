//===- FlushTinyWeights.cpp - zeros for weights far below others ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Pass/Pass.h"
#include <algorithm>
#include <cstring>

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_FLUSHTINYWEIGHTSPASS
#include "lib/Codegen/Form/FlushTinyWeights.h.inc"

namespace {

/// Of the bits of an f32 number, those below its sign; 2^-96 and what 2^64
/// times less is in them.
constexpr uint32_t kMagnitude = 0x7fffffff, kSmall = 0x0f800000,
                   kFarBelow = 64 << 23;

uint32_t bitsAt(const char *p) { // which may be any address
  uint32_t bits;
  memcpy(&bits, p, 4);
  return bits;
}

/// Below which bits f32 numbers are tiny beside the largest of them; 0 where
/// none is.
uint32_t tinyBelow(ArrayRef<char> data) {
  uint32_t largest = 0, smallest = kMagnitude;
  for (size_t i = 0; i + 4 <= data.size(); i += 4) {
    uint32_t bits = bitsAt(data.data() + i) & kMagnitude;
    largest = std::max(largest, bits);
    smallest = std::min(smallest, bits - 1); // 0 becomes the largest number
  }
  uint32_t limit =
      std::min(kSmall, largest > kFarBelow ? largest - kFarBelow : 0);
  return smallest + 1 < limit ? limit : 0;
}

struct FlushTinyWeightsPass
    : ::tenon::impl::FlushTinyWeightsPassBase<FlushTinyWeightsPass> {
  void runOnOperation() override {
    SmallVector<ConstantOp> constants;
    computed.clear();
    getOperation()->walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (auto constant = dyn_cast<ConstantOp>(op)) {
        if (getElementTypeOrSelf(constant.getType()).isF32())
          constants.push_back(constant);
      } else if (isa<ConvOp, MatMulOp>(op) ||
                 ((isView(op) || op->hasTrait<OpTrait::Elementwise>()) &&
                  llvm::any_of(op->getOperands(), [&](Value v) {
                    return computed.contains(v);
                  }))) {
        computed.insert(op->getResult(0));
      }
    });
    for (ConstantOp op : constants)
      if (isWeight(op))
        flush(op);
  }

  static bool isView(Operation *op) {
    return isReshape(op) || isTranspose(op) || isa<BroadcastToOp>(op);
  }

  /// Is it, or what views show of it, multiplied, or added to what a product
  /// computes, and nothing else?
  bool isWeight(Value v) {
    return llvm::all_of(v.getUsers(), [&](Operation *user) {
      if (isa<ConvOp, MatMulOp>(user))
        return true;
      if (isView(user))
        return isWeight(user->getResult(0));
      return isa<AddOp, MulOp, SubOp>(user) &&
             llvm::any_of(user->getOperands(),
                          [&](Value o) { return computed.contains(o); });
    });
  }

  void flush(ConstantOp op) {
    ArrayRef<char> data = match::bytesOf(op.getValue());
    uint32_t limit = tinyBelow(data);
    if (limit == 0)
      return;
    AsmResourceBlob blob =
        HeapAsmResourceBlob::allocate(data.size(), alignof(uint64_t));
    char *to = blob.getMutableData().data();
    for (size_t i = 0; i + 4 <= data.size(); i += 4) {
      uint32_t bits = bitsAt(data.data() + i);
      if ((bits & kMagnitude) < limit)
        bits = 0;
      memcpy(to + i, &bits, 4);
    }
    auto &manager =
        DenseResourceElementsHandle::getManagerInterface(&getContext());
    op.setValueAttr(DenseResourceElementsAttr::get(
        cast<RankedTensorType>(op.getType()),
        manager.insert("flushed", std::move(blob))));
    ++numFlushed;
  }

  /// What products compute, and what elementwise ops make of it.
  DenseSet<Value> computed;
};

} // namespace
} // namespace tenon
