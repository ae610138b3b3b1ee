//===- ControlFlow.cpp - branches -----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exporters write If around shape questions ("is this dim 1?"). Where the
// condition is known at import, the branch taken is imported in its place. One
// that only a run decides becomes a dim expression of 0 or 1: both branches are
// imported, and tenon.merge takes the results of one.
//
//===----------------------------------------------------------------------===//
#include "Registry.h"
#include "dialects/Tenon/IR/TenonControl.h"

using namespace mlir;

namespace tenon::onnximport {

/// Imports a branch in place. What it states of dims holds only where it is
/// taken.
static bool importBranch(NodeImporter &n, StringRef name,
                         const std::optional<SymExpr> &taken,
                         SmallVectorImpl<Value> &results) {
  const auto *branch = n.attr(name);
  if (!branch) {
    n.error("the branch '" + name + "' is missing");
    return false;
  }
  Block *block = n.builder.getInsertionBlock();
  Operation *before = block->empty() ? nullptr : &block->back();
  std::string message;
  if (!n.state.inlineGraph(branch->g(), {}, results, message) ||
      results.size() < n.numOutputs()) {
    n.error(message.empty() ? "the branch cannot be imported" : message);
    return false;
  }
  if (taken)
    for (Operation *op = before ? before->getNextNode() : &block->front(); op;
         op = op->getNextNode())
      limitTo(op, *taken);
  return true;
}

static void ifOp(NodeImporter &n) {
  std::optional<Dims> given = n.knownDims(n.in(0), "cond");
  if (given && given->size() != 1)
    n.error("the condition must have one element, found " +
            Twine(given->size()));
  if (n.failed())
    return;
  // Whatever it is computed from, it is 0 or 1.
  const SymExpr condition = given->front();
  if (auto constant = condition.constant()) {
    SmallVector<Value> results;
    if (!importBranch(n, *constant ? "then_branch" : "else_branch", {},
                      results))
      return;
    for (unsigned i = 0; i < n.numOutputs(); ++i)
      n.out(i, results[i]);
    return;
  }
  SmallVector<Value> onTrue, onFalse;
  if (!importBranch(n, "then_branch", condition, onTrue) ||
      !importBranch(n, "else_branch", SymExpr(1) - condition, onFalse))
    return;
  for (unsigned i = 0; i < n.numOutputs(); ++i) {
    Value a = onTrue[i], b = onFalse[i];
    if (a == b) {
      n.out(i, a);
      continue;
    }
    if (n.elem(a) != n.elem(b) || n.rank(a) != n.rank(b)) {
      n.error("the branches of a condition that is only known at run time must "
              "agree in element type and rank; output " +
              Twine(i) + " has rank " + Twine(n.rank(a)) + " and rank " +
              Twine(n.rank(b)));
      return;
    }
    Dims dims;
    for (auto [x, y] : llvm::zip(n.dims(a), n.dims(b)))
      dims.push_back(x == y ? x : SymExpr::select(condition, x, y));
    n.out(i, n.make<MergeOp>({a, b},
                             {n.named("condition",
                                      n.builder.getStringAttr(condition.str())),
                              n.named("dims", n.dimsAttr(dims))}));
  }
}

void registerControlFlow(Registry &r) { r.add("If", ifOp); }

} // namespace tenon::onnximport
