//===- ControlFlow.cpp - branches and loops that import can decide --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exporters write If around shape questions ("is this dim 1?"). Where the
// condition is known at import, the branch taken is imported in its place. One
// that only a run decides becomes a dim expression of 0 or 1: both branches are
// imported, and tenon.merge takes the results of one. A
// Scan over a dim of known size is written out, one copy of its body after the
// other.
//
//===----------------------------------------------------------------------===//
#include "Registry.h"

using namespace mlir;

namespace tenon::onnximport {

/// 1 where `a` is below `b`, else 0.
static SymExpr lessThan(const SymExpr &a, const SymExpr &b) {
  using Fn = SymExpr::Fn;
  return SymExpr::apply(Fn::Min, SymExpr(1),
                        SymExpr::apply(Fn::Max, SymExpr(0), b - a));
}

static SymExpr comparison(CompareKind kind, const SymExpr &a,
                          const SymExpr &b) {
  SymExpr one(1);
  switch (kind) {
  case CompareKind::lt:
    return lessThan(a, b);
  case CompareKind::gt:
    return lessThan(b, a);
  case CompareKind::le:
    return one - lessThan(b, a);
  case CompareKind::ge:
    return one - lessThan(a, b);
  case CompareKind::ne:
    return lessThan(a, b) + lessThan(b, a);
  case CompareKind::eq:
    return one - lessThan(a, b) - lessThan(b, a);
  }
  return one;
}

/// A bool of one element as an expression that is 0 or 1: what the importer
/// knows, or comparisons of such numbers that only a run can decide.
static std::optional<SymExpr> truthOf(NodeImporter &n, Value v,
                                      unsigned depth = 0) {
  if (const KnownValue *known = n.known(v))
    return known->elements.size() == 1 ? std::optional(known->elements[0])
                                       : std::nullopt;
  Operation *op = v.getDefiningOp();
  if (!op || depth > 16)
    return std::nullopt;
  auto operand = [&](unsigned i) {
    return truthOf(n, op->getOperand(i), depth + 1);
  };
  if (auto compare = dyn_cast<CompareOp>(op)) {
    auto a = operand(0), b = operand(1);
    return a && b ? std::optional(comparison(compare.getKind(), *a, *b))
                  : std::nullopt;
  }
  if (isa<NotOp>(op)) {
    auto a = operand(0);
    return a ? std::optional(SymExpr(1) - *a) : std::nullopt;
  }
  if (isa<AndOp, OrOp>(op)) {
    auto a = operand(0), b = operand(1);
    if (!a || !b)
      return std::nullopt;
    return isa<AndOp>(op) ? *a * *b : *a + *b - *a * *b;
  }
  if (isa<ReshapeOp>(op))
    return operand(0);
  if (auto cast = dyn_cast<CastOp>(op); cast && n.isBool(cast.getInput()))
    return operand(0);
  return std::nullopt;
}

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
  std::optional<SymExpr> condition = truthOf(n, n.in(0));
  if (!condition && !n.failed())
    n.error("a condition that depends on data is not supported: expected one "
            "that the inputs' dims decide");
  if (n.failed())
    return;
  if (auto constant = condition->constant()) {
    SmallVector<Value> results;
    if (!importBranch(n, *constant ? "then_branch" : "else_branch", {},
                      results))
      return;
    for (unsigned i = 0; i < n.numOutputs(); ++i)
      n.out(i, results[i]);
    return;
  }
  SmallVector<Value> onTrue, onFalse;
  if (!importBranch(n, "then_branch", *condition, onTrue) ||
      !importBranch(n, "else_branch", SymExpr(1) - *condition, onFalse))
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
      dims.push_back(y + *condition * (x - y));
    n.out(i, n.make<MergeOp>(
                 {a, b},
                 {n.named("condition",
                          n.builder.getStringAttr(condition->str())),
                  n.named("dims", n.dimsAttr(dims))}));
  }
}

/// Beyond this a body's copies take longer to compile than they are worth.
constexpr int64_t kMaxNodes = 4096;

/// What Scan says of its i-th scanned input or output.
struct ScanPort {
  int64_t axis = 0;
  bool backward = false;
};

static ScanPort scanPort(NodeImporter &n, StringRef kind, unsigned i,
                         int64_t rank) {
  ScanPort port;
  Ints axes = n.getInts(("scan_" + kind + "_axes").str()).value_or(Ints());
  Ints ways =
      n.getInts(("scan_" + kind + "_directions").str()).value_or(Ints());
  port.axis = i < axes.size() ? n.axis(axes[i], rank) : 0;
  port.backward = i < ways.size() && ways[i] == 1;
  return port;
}

static void scan(NodeImporter &n) {
  const auto *body = n.attr("body");
  int64_t scanned = n.getInt("num_scan_inputs", 0);
  int64_t states = int64_t(n.numInputs()) - scanned;
  if (!body || scanned < 1 || states < 0 ||
      int64_t(n.numOutputs()) < states) {
    n.error("the body or num_scan_inputs does not fit");
    return;
  }
  SmallVector<ScanPort> ports;
  std::optional<int64_t> count;
  for (int64_t i = 0; i < scanned; ++i) {
    Value x = n.in(states + i);
    if (n.rank(x) == 0) {
      n.error("a scanned input needs a rank of 1 or more");
      return;
    }
    ports.push_back(scanPort(n, "input", i, n.rank(x)));
    if (n.failed())
      return;
    SymExpr size = n.dims(x)[ports.back().axis];
    if (!size.isConstant() || (count && *count != *size.constant())) {
      n.error("the number of iterations must be static and alike for all "
              "inputs, found " +
              size.str());
      return;
    }
    count = *size.constant();
  }
  if (*count == 0 || *count * body->g().node_size() > kMaxNodes) {
    n.error("expected 1 iteration or more and at most " + Twine(kMaxNodes) +
            " nodes in all of them, found " + Twine(*count) + " iterations");
    return;
  }

  SmallVector<Value> carried;
  for (int64_t i = 0; i < states; ++i)
    carried.push_back(n.in(i));
  SmallVector<SmallVector<Value>> stacked(n.numOutputs() - states);
  for (int64_t at = 0; at < *count; ++at) {
    SmallVector<Value> inputs(carried), results;
    for (auto [i, port] : llvm::enumerate(ports)) {
      int64_t index = port.backward ? *count - 1 - at : at;
      Value one = n.slice(n.in(states + i), port.axis, SymExpr(index),
                          SymExpr(1));
      inputs.push_back(n.squeeze(one, {port.axis}));
    }
    if (n.failed())
      return;
    std::string message;
    if (!n.state.inlineGraph(body->g(), inputs, results, message) ||
        results.size() != stacked.size() + states) {
      n.error(message.empty() ? "the body cannot be imported" : message);
      return;
    }
    carried.assign(results.begin(), results.begin() + states);
    for (auto [list, value] :
         llvm::zip(stacked, ArrayRef(results).drop_front(states)))
      list.push_back(value);
  }
  for (int64_t i = 0; i < states; ++i)
    n.out(i, carried[i]);
  for (auto [i, list] : llvm::enumerate(stacked)) {
    ScanPort port = scanPort(n, "output", i, n.rank(list.front()) + 1);
    if (n.failed())
      return;
    for (Value &v : list)
      v = n.unsqueeze(v, {port.axis});
    if (port.backward)
      std::reverse(list.begin(), list.end());
    n.out(states + i, n.concat(list, port.axis));
  }
}

void registerControlFlow(Registry &r) {
  r.add("If", ifOp);
  r.add("Scan", 9, scan);
}

} // namespace tenon::onnximport
