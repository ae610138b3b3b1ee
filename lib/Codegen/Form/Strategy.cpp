//===- Strategy.cpp - what is computed far below the machine's speed ------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Predictions, not measurements: of 16 multiply-adds a cycle, two vectors of 8
// lanes, so many are useful. They tell orders of magnitude apart.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "tenon/Codegen/Kernels.h"

using namespace mlir;

namespace tenon {

/// Percent of the peak that a pulled operation reaches: a product gathers the
/// rows of its right operand, a sum is one chain of additions.
static constexpr int64_t kPulledProduct = 6, kPulledSum = 8;
/// Cycles for an element that is computed where a product packs it: more where
/// it is looked for in a window.
static constexpr double kPulledElement = 4, kPulledAlone = 1;
/// Multiply-adds and elements from memory in a cycle.
static constexpr double kPerCycle = 16, kReadPerCycle = 8;
static constexpr int64_t kSlow = 10;
/// What takes a microsecond or two is bound by its call.
static constexpr int64_t kFewElements = 4096;
/// Percent of the memory's rate at which elements that lie anywhere in a row
/// are found: each lane is a load of its own.
static constexpr int64_t kGathered = 30;

/// Patches whose elements are computed one by one, by so few columns that this
/// takes nearly all of the time.
static void addPatches(PackedMatMulOp product, std::vector<SlowWork> &found) {
  auto patches = skipReshapes(product.getLhs()).getDefiningOp<Im2ColOp>();
  auto columns = getDims(product.getResult()).back().constant();
  if (!patches || !columns || isa<BlockArgument>(patches.getInput()))
    return;
  // Few channels are moved to the back by a vector of each (ImageStrip.h).
  Operation *image = patches.getInput().getDefiningOp();
  if (isTranspose(image) && patches.getChannelsLast() &&
      isa<BlockArgument>(image->getOperand(0)))
    return;
  // Of an image, whose elements lie in as many patches as the window is large.
  double window = 1;
  for (int64_t size : patches.getKernel())
    window *= size;
  double least = std::max(*columns / kPerCycle, 1 / (window * kReadPerCycle));
  double pulled = window == 1 ? kPulledAlone : kPulledElement;
  int64_t percent = 100 * least / (least + pulled);
  if (percent < kSlow)
    found.push_back({product, percent,
                     "each element of the patches is computed by itself, for " +
                         std::to_string(*columns) + " columns"});
}

/// Elements that are made of several which lie anywhere (samples of an image).
static void addSamples(KernelOp kernel, std::vector<SlowWork> &found) {
  int64_t places = 0;
  GatherElementsOp last;
  for (auto op : kernel.getBody().front().getOps<GatherElementsOp>())
    if (op.getAxis() + 1 == getDims(op.getResult()).size()) {
      ++places;
      last = op;
    }
  if (places && kGathered / places < kSlow)
    found.push_back({last, kGathered / places,
                     "each element is made of " + std::to_string(places) +
                         " that lie anywhere in a row, a load each"});
}

/// Are all tensors known, and small?
static bool isShort(KernelOp kernel) {
  auto isFew = [](Value v) {
    std::optional<int64_t> size = productOf(getDims(v)).constant();
    return size && *size <= kFewElements;
  };
  return llvm::all_of(kernel->getOperands(), isFew) &&
         llvm::all_of(kernel->getResults(), isFew);
}

/// Sums that attention takes of its codes as it makes them.
static bool isOfCodes(KernelOp kernel, ReduceOp op) {
  return kernel.getKind() == KernelKind::attention &&
         getElementTypeOrSelf(op.getResult().getType()).isInteger();
}

/// Along other dims than the last one lanes compare beside each other.
static bool isAlongRow(ArgReduceOp op) {
  return op.getAxis() + 1 == getDims(op.getInput()).size() &&
         !isTranspose(op.getInput().getDefiningOp());
}

std::vector<SlowWork> findSlowWork(ModuleOp graph) {
  std::vector<SlowWork> found;
  graph.walk([&](KernelOp kernel) {
    if (isShort(kernel))
      return;
    Value stored = kernel.getBody().front().getTerminator()->getOperand(0);
    kernel.getBody().walk([&](Operation *op) {
      // A reduction that ends its kernel has tasks, lanes and a tree of its
      // own; products of panels are tiles, every other one is a dot product.
      if (auto sum = dyn_cast<ReduceOp>(op);
          sum && sum != stored.getDefiningOp() && !isOfCodes(kernel, sum))
        found.push_back({op, kPulledSum,
                         "each element adds up its terms where it is used"});
      else if (isa<MatMulOp>(op))
        found.push_back({op, kPulledProduct,
                         "it has no panels: each element is a dot product"});
      else if (auto best = dyn_cast<ArgReduceOp>(op); best && isAlongRow(best))
        found.push_back(
            {op, kPulledSum, "each element compares one after the other"});
      else if (auto product = dyn_cast<PackedMatMulOp>(op))
        addPatches(product, found);
    });
    addSamples(kernel, found);
  });
  return found;
}

std::string describe(const SlowWork &work) {
  std::string text = work.op->getName().getStringRef().str();
  if (auto name = dyn_cast<NameLoc>(work.op->getLoc()))
    text += " of node '" + name.getName().str() + "'";
  llvm::raw_string_ostream(text) << ": " << work.op->getResult(0).getType();
  return text;
}

} // namespace tenon
