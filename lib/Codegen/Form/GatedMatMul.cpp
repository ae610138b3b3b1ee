//===- GatedMatMul.cpp - the two halves of a gated matmul -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/GatedMatMul.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

/// More ops than this are no epilogue.
static constexpr size_t kMaxBetween = 16;

Operation *findJoin(ArrayRef<Value> starts,
                    SmallVectorImpl<Operation *> &between) {
  Operation *first = nullptr;
  SmallVector<SymExpr> dims = getDims(starts.front());
  SmallVector<Value> reached(starts);
  for (Value v : starts) {
    Operation *def = v.getDefiningOp();
    if (!def || v.use_empty() || getDims(v) != dims ||
        (first && def->getBlock() != first->getBlock()))
      return nullptr;
    if (!first || def->isBeforeInBlock(first))
      first = def;
  }
  llvm::SmallPtrSet<Operation *, 16> inside;
  for (Operation *op = first->getNextNode(); op; op = op->getNextNode()) {
    if (llvm::none_of(op->getOperands(),
                      [&](Value v) { return llvm::is_contained(reached, v); }))
      continue;
    if (!op->hasTrait<OpTrait::Elementwise>() || op->getNumResults() != 1 ||
        getDims(op->getResult(0)) != dims || inside.size() == kMaxBetween)
      return nullptr;
    inside.insert(op);
    between.push_back(op);
    if (llvm::all_of(reached, [&](Value v) {
          return llvm::all_of(v.getUsers(), [&](Operation *user) {
            return inside.contains(user);
          });
        }))
      return op;
    reached.push_back(op->getResult(0));
  }
  return nullptr;
}

std::optional<MatMulHalves> matchHalves(PackedMatMulOp op) {
  SmallVector<SymExpr> dims = getDims(op.getResult());
  std::optional<int64_t> columns = dims.back().constant();
  if (!columns || *columns % 64 || !op.getResult().hasNUses(2))
    return std::nullopt;
  MatMulHalves halves;
  SymExpr half(*columns / 2);
  dims.back() = half;
  for (Operation *user : op.getResult().getUsers()) {
    auto slice = dyn_cast<SliceOp>(user);
    if (!slice || slice->getBlock() != op->getBlock() ||
        getDims(slice.getResult()) != dims ||
        llvm::any_of(slice.getSteps(), [](int64_t s) { return s != 1; }))
      return std::nullopt;
    // Of the leading dims nothing is left out, so those start at 0.
    SmallVector<SymExpr> starts = slice.getStarts().getSymExprs();
    if (starts.back().constant() == 0)
      halves.first = slice.getResult();
    else if (starts.back() == half)
      halves.second = slice.getResult();
  }
  if (!halves.first || !halves.second)
    return std::nullopt;
  return halves;
}

} // namespace tenon
