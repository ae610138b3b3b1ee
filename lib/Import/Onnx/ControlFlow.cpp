//===- ControlFlow.cpp - branches that are decided at import --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exporters write If around shape questions ("is this dim 1?"). Where the
// condition is known at import, the branch taken is imported in its place.
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
  if (!n.state.inlineGraph(branch->g(), results, message)) {
    n.error(message.empty() ? "the branch cannot be imported" : message);
    return;
  }
  for (unsigned i = 0; i < n.numOutputs() && i < results.size(); ++i)
    n.out(i, results[i]);
}

void registerControlFlow(Registry &r) { r.add("If", ifOp); }

} // namespace tenon::onnximport
