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
// imported, and tenon.merge takes the results of one. Where their ranks differ
// one of them is chosen (Choices.h), and the condition becomes an entry check.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonControl.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Node/Sequences.h"

using namespace mlir;

namespace tenon::onnximport {

/// Imports a branch in place. What it states of dims holds only where it is
/// taken.
static bool importBranch(NodeImporter &n, StringRef name,
                         const std::optional<SymExpr> &taken,
                         SmallVectorImpl<Value> &results) {
  const auto *branch = n.getGraph(name);
  if (!branch) {
    n.error("the branch '" + name + "' is missing");
    return false;
  }
  Block *block = n.builder.getInsertionBlock();
  Operation *before = block->empty() ? nullptr : &block->back();
  std::string message;
  if (!n.state.inlineGraph(*branch, {}, results, message) ||
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

/// Only one branch is imported.
static void importOne(NodeImporter &n, bool which) {
  SmallVector<Value> results;
  if (!importBranch(n, which ? "then_branch" : "else_branch", {}, results))
    return;
  for (unsigned i = 0; i < n.numOutputs(); ++i)
    n.out(i, results[i]);
}

/// Flags that Paddle's exporter makes have one dim in one branch and none in
/// the other: one number gets the dims of the other.
static void joinRanks(NodeImporter &n, Value &a, Value &b) {
  if (!isTensor(a) || !isTensor(b) || n.rank(a) == n.rank(b) ||
      !isOneElement(a) || !isOneElement(b))
    return;
  Value &lower = n.rank(a) < n.rank(b) ? a : b;
  lower = n.reshape(lower, n.dims(n.rank(a) < n.rank(b) ? b : a));
}

/// Where the results of both branches cannot be one value, says so.
static bool haveOneType(NodeImporter &n, ArrayRef<Value> onTrue,
                        ArrayRef<Value> onFalse) {
  for (unsigned i = 0; i < n.numOutputs(); ++i) {
    Value a = onTrue[i], b = onFalse[i];
    if (a == b)
      continue;
    if (!isTensor(a) || !isTensor(b)) {
      n.error("the branches of a condition that is only known at run time must "
              "give tensors; output " +
              Twine(i) + " is a sequence");
      return false;
    }
    if (n.elem(a) == n.elem(b) && n.rank(a) == n.rank(b))
      continue;
    n.error("the branches of a condition that is only known at run time must "
            "agree in element type and rank; output " +
            Twine(i) + " has rank " + Twine(n.rank(a)) + " and rank " +
            Twine(n.rank(b)));
    return false;
  }
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
    importOne(n, *constant);
    return;
  }
  if (std::optional<bool> chosen = n.state.chosen(condition)) {
    n.checkChoice(condition, *chosen);
    importOne(n, *chosen);
    return;
  }
  SmallVector<Value> onTrue, onFalse;
  size_t before = n.state.numChosen;
  bool imported =
      importBranch(n, "then_branch", condition, onTrue) &&
      importBranch(n, "else_branch", SymExpr(1) - condition, onFalse);
  if (imported && !n.state.known.isOfInputs(condition))
    for (unsigned i = 0; i < n.numOutputs(); ++i)
      joinRanks(n, onTrue[i], onFalse[i]);
  if (!imported || !haveOneType(n, onTrue, onFalse)) {
    // One of them may be all that the graph has a type for; but not where what
    // was chosen inside a branch is what it has no type for.
    if (n.state.known.isOfInputs(condition) &&
        (imported || n.state.numChosen == before))
      n.state.choose(n.proto, condition, /*first=*/true, /*mustBeUnique=*/true);
    return;
  }
  for (unsigned i = 0; i < n.numOutputs(); ++i) {
    Value a = onTrue[i], b = onFalse[i];
    if (a == b) {
      n.out(i, a);
      continue;
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

void registerControlFlow(Registry &r) { r.addOfSequences("If", 1, ifOp); }

} // namespace tenon::onnximport
