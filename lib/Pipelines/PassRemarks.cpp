//===- PassRemarks.cpp - what passes did, and did not and why -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Pipelines/PassRemarks.h"
#include "mlir/IR/Location.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <mutex>

using namespace mlir;

namespace tenon {

namespace {
class Streamer : public remark::detail::MLIRRemarkStreamerBase {
public:
  explicit Streamer(PassRemarkFn sink) : sink(std::move(sink)) {}

  void streamOptimizationRemark(const remark::detail::Remark &remark) override {
    PassRemark result;
    result.applied = remark.getRemarkType() == llvm::remarks::Type::Passed;
    result.pass = remark.getCategoryName().str();
    result.pattern = remark.getRemarkName().str();
    for (const auto &arg : remark.getArgs())
      (arg.key == "Op" ? result.op : result.reason) = arg.val;
    llvm::SetVector<StringRef> names;
    remark.getLocation()->walk([&](Location part) {
      if (auto name = dyn_cast<NameLoc>(part))
        names.insert(name.getName().getValue());
      return WalkResult::advance();
    });
    result.nodes = llvm::join(names, ", ");
    std::lock_guard<std::mutex> lock(mutex);
    sink(result);
  }

private:
  PassRemarkFn sink;
  std::mutex mutex;
};
} // namespace

void collectPassRemarks(MLIRContext &context, PassRemarkFn sink) {
  remark::RemarkCategories every;
  every.passed = every.missed = ".*";
  // It fails for want of a file to write alone.
  (void)remark::enableOptimizationRemarks(
      context, std::make_unique<Streamer>(std::move(sink)),
      std::make_unique<remark::RemarkEmittingPolicyAll>(), every);
}

void PassStatistics::add(const PassRemark &remark) {
  if (!remark.applied)
    return;
  auto it = llvm::find_if(
      passes, [&](const Counts &own) { return own.pass == remark.pass; });
  if (it == passes.end())
    it = passes.insert(it, Counts{remark.pass, {}});
  ++it->patterns[remark.pattern];
}

void PassStatistics::print(llvm::raw_ostream &out) const {
  for (const auto &[pass, patterns] : passes) {
    out << pass << "\n";
    for (const auto &[pattern, count] : patterns)
      out << llvm::format("  (S) %6zu ", count) << pattern << "\n";
  }
}

} // namespace tenon
