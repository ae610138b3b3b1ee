//===- ControlFlow.cpp - branches and loops that import can decide --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exporters write If around shape questions ("is this dim 1?"). Where the
// condition is known at import, the branch taken is imported in its place. A
// Scan over a dim of known size is written out, one copy of its body after the
// other.
//
//===----------------------------------------------------------------------===//
#include "Registry.h"

using namespace mlir;

namespace tenon::onnximport {

static void ifOp(NodeImporter &n) {
  std::optional<int64_t> condition;
  if (const KnownValue *known = n.known(n.in(0));
      known && known->elements.size() == 1)
    condition = known->elements[0].constant();
  if (!condition) {
    n.error("a condition that depends on data or on unknown dims is not "
            "supported: expected a constant, or dims fixed with --dim");
    return;
  }
  const auto *branch = n.attr(*condition ? "then_branch" : "else_branch");
  if (!branch) {
    n.error("the branch is missing");
    return;
  }
  SmallVector<Value> results;
  std::string message;
  if (!n.state.inlineGraph(branch->g(), {}, results, message)) {
    n.error(message.empty() ? "the branch cannot be imported" : message);
    return;
  }
  for (unsigned i = 0; i < n.numOutputs() && i < results.size(); ++i)
    n.out(i, results[i]);
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
