//===- Registry.cpp - which ONNX operators are imported, and how ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Library/OnnxLibrary.h"
#include "llvm/ADT/STLExtras.h"

namespace tenon::onnximport {

static std::string keyOf(llvm::StringRef domain, llvm::StringRef op) {
  return (domain + "::" + op).str();
}

void Registry::add(llvm::StringRef domain, llvm::StringRef op, int64_t since,
                   ImportFn fn) {
  rows[keyOf(domain, op)].push_back({since, fn});
}

ImportFn Registry::lookup(llvm::StringRef domain, llvm::StringRef op,
                          int64_t opset) const {
  auto it = rows.find(keyOf(domain, op));
  if (it == rows.end())
    return nullptr;
  const Row *best = nullptr;
  for (const Row &row : it->second)
    if (row.since <= opset && (!best || row.since > best->since))
      best = &row;
  return best ? best->fn : nullptr;
}

std::optional<int64_t> Registry::firstOpset(llvm::StringRef domain,
                                            llvm::StringRef op) const {
  auto it = rows.find(keyOf(domain, op));
  if (it == rows.end())
    return std::nullopt;
  int64_t first = it->second.front().since;
  for (const Row &row : it->second)
    first = std::min(first, row.since);
  return first;
}

mlir::Value importAs(NodeImporter &n, llvm::StringRef op,
                     llvm::ArrayRef<mlir::Value> operands) {
  ImportFn fn = Registry::get().lookup("ai.onnx", op, maxOpset);
  if (!fn)
    return n.error("it needs " + op + ", which is not supported");
  NodeImporter inner(n.state, n.proto, maxOpset, n.loc, operands);
  fn(inner);
  if (inner.failed())
    return n.error(inner.errorMessage());
  return inner.result(0);
}

std::vector<OperatorVersions> Registry::list() const {
  std::vector<OperatorVersions> result;
  for (const auto &entry : rows) {
    auto [domain, op] = entry.first().split("::");
    result.push_back({domain.str(), op.str(), {}});
    for (const Row &row : entry.second)
      result.back().since.push_back(row.since);
    llvm::sort(result.back().since);
  }
  llvm::sort(result, [](const OperatorVersions &a, const OperatorVersions &b) {
    return std::tie(a.domain, a.op) < std::tie(b.domain, b.op);
  });
  return result;
}

const Registry &Registry::get() {
  static const Registry registry = [] {
    Registry r;
    registerElementwise(r);
    registerActivations(r);
    registerMatMul(r);
    registerEinsum(r);
    registerNorm(r);
    registerShape(r);
    registerSlice(r);
    registerSequence(r);
    registerRandom(r);
    registerGather(r);
    registerReduce(r);
    registerSignal(r);
    registerLinearAttention(r);
    registerConv(r);
    registerConvTranspose(r);
    registerResize(r);
    registerPool(r);
    registerAttention(r);
    registerQuant(r);
    registerControlFlow(r);
    registerDataDims(r);
    registerLoops(r);
    registerGridSample(r);
    registerRecurrent(r);
    registerDropout(r);
    registerDet(r);
    registerRegions(r);
    registerFeatures(r);
    registerWindows(r);
    registerContrib(r);
    registerContribAttention(r);
    registerGroupQuery(r);
    registerContribNorm(r);
    registerContribQuant(r);
    registerPackedWeights(r);
    registerMoe(r);
    return r;
  }();
  return registry;
}

} // namespace tenon::onnximport

std::vector<tenon::OperatorVersions> tenon::listOperators() {
  return onnximport::Registry::get().list();
}

int64_t tenon::newestOpset() { return onnximport::maxOpset; }
