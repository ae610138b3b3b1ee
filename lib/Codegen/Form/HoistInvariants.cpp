//===- HoistInvariants.cpp - compute once what iterations do not change ---===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Not upstream's loop-invariant code motion: that moves whatever may be moved,
// and what is moved here is stored.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Form/PackedWeight.h"
#include "mlir/Pass/Pass.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_HOISTINVARIANTSPASS
#include "lib/Codegen/Form/HoistInvariants.h.inc"

namespace {

struct Hoist {
  explicit Hoist(LoopOp loop) : loop(loop), body(&loop.getBody()) {}

  LoopOp loop;
  Region *body;
  BodySymbols changing{body->front(), loop.getName()};
  DenseSet<Operation *> invariant;

  bool isInvariant(Operation &op) const;
  static bool computes(Operation *op);
  unsigned run();
};

bool Hoist::isInvariant(Operation &op) const {
  // Some end the run with an error, some are computed as a branch needs them.
  if (op.getNumRegions() || op.getNumResults() != 1 || !isPure(&op) ||
      op.hasAttr("tenon.value") ||
      isa<MergeOp, GatherOp, GatherElementsOp, GatherNDOp, ScatterElementsOp,
          ScatterNDOp>(op))
    return false;
  if (llvm::any_of(
          op.getAttrs(),
          [&](NamedAttribute attr) { return changing.in(attr.getValue()); }) ||
      llvm::any_of(getDims(op.getResult(0)),
                   [&](const SymExpr &d) { return changing.in(d); }))
    return false;
  return llvm::all_of(op.getOperands(), [&](Value v) {
    Operation *def = v.getDefiningOp();
    return v.getParentRegion() != body || (def && invariant.contains(def));
  });
}

/// Is it worth to store what the op computes?
bool Hoist::computes(Operation *op) {
  Value v = op->getResult(0);
  SmallVector<SymExpr> dims = getDims(v);
  if (isOneElement(dims))
    return false;
  if (isa<PackBOp>(op)) // other readers see panels through views
    return !isPackedWeight(op) &&
           llvm::all_of(v.getUsers(), [](Operation *user) {
             return isa<PackedMatMulOp>(user);
           });
  if (auto fusion = dyn_cast<FusionInterface>(op);
      isa<CumulateOp>(op) ||
      (fusion && llvm::is_contained({FusionRole::Anchor, FusionRole::Loop},
                                    fusion.getFusionRole())))
    return true;
  // What repeats its operands would take more memory than they do.
  return op->hasTrait<OpTrait::Elementwise>() &&
         llvm::any_of(op->getOperands(),
                      [&](Value o) { return getDims(o) == dims; });
}

unsigned Hoist::run() {
  SmallVector<Operation *> candidates;
  for (Operation &op : loop.getBody().front().without_terminator())
    if (isInvariant(op)) {
      invariant.insert(&op);
      candidates.push_back(&op);
    }
  DenseSet<Operation *> wanted;
  for (Operation *op : llvm::reverse(candidates))
    if (computes(op) || wanted.contains(op))
      for (Value v : op->getOperands()) {
        wanted.insert(op);
        if (Operation *def = v.getDefiningOp(); def && invariant.contains(def))
          wanted.insert(def);
      }
  unsigned moved = 0;
  for (Operation *op : candidates)
    if (wanted.contains(op)) {
      op->moveBefore(loop);
      ++moved;
    }
  return moved;
}

struct HoistInvariantsPass
    : ::tenon::impl::HoistInvariantsPassBase<HoistInvariantsPass> {
  void runOnOperation() override {
    // Inner loops first: what they do not change an outer one may not either.
    getOperation()->walk<WalkOrder::PostOrder>(
        [&](LoopOp loop) { numHoisted += Hoist(loop).run(); });
  }
};

} // namespace
} // namespace tenon
