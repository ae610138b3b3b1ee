//===- Remarks.cpp - what passes say of themselves ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/Transforms/Remarks.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;

namespace tenon {

/// "(anonymous namespace)::FuseNorm<tenon::MulOp>" without the namespaces.
static std::string nameOf(const Pattern &pattern) {
  StringRef name = pattern.getDebugName();
  std::string result;
  while (!name.empty()) {
    if (name.consume_front("(anonymous namespace)::") ||
        name.consume_front("{anonymous}::"))
      continue;
    size_t word =
        name.find_if_not([](char c) { return llvm::isAlnum(c) || c == '_'; });
    if (word != StringRef::npos && name.substr(word).starts_with("::")) {
      name = name.substr(word + 2);
      continue;
    }
    size_t end = word == StringRef::npos ? name.size() : word + 1;
    result += name.take_front(end).str();
    name = name.drop_front(end);
  }
  return result;
}

static remark::RemarkOpts optionsOf(StringRef pass, StringRef name) {
  return remark::RemarkOpts::name(name).category(pass);
}

namespace {
class Listener : public RewriterBase::Listener {
public:
  explicit Listener(StringRef pass) : pass(pass) {}

  void notifyPatternBegin(const Pattern &, Operation *op) override {
    // The op may be gone when the pattern ends.
    current = op;
    name = op->getName().getStringRef();
    loc = op->getLoc();
    reason.clear();
  }
  void notifyMatchFailure(Location,
                          function_ref<void(Diagnostic &)> say) override {
    Diagnostic diagnostic(*loc, DiagnosticSeverity::Remark);
    say(diagnostic);
    reason = diagnostic.str();
  }
  void notifyPatternEnd(const Pattern &pattern, LogicalResult status) override {
    if (succeeded(status))
      remark::passed(*loc, optionsOf(pass, nameOf(pattern)))
          << remark::detail::Remark::Arg("Op", name);
    else if (!reason.empty())
      missed[current][&pattern] = reason;
    else if (auto it = missed.find(current); it != missed.end())
      it->second.erase(&pattern);
  }
  void notifyOperationErased(Operation *op) override { missed.erase(op); }

  /// What did not happen, in the order of the ops.
  void finish(Operation *root) {
    root->walk([&](Operation *op) {
      auto it = missed.find(op);
      if (it == missed.end())
        return;
      for (auto &[pattern, why] : it->second)
        noteMissed(pass, op, nameOf(*pattern), why);
    });
  }

private:
  StringRef pass;
  Operation *current = nullptr;
  StringRef name;
  std::optional<Location> loc;
  std::string reason;
  llvm::DenseMap<Operation *, llvm::MapVector<const Pattern *, std::string>>
      missed;
};
} // namespace

LogicalResult applyPatterns(Pass &pass, Operation *op,
                            RewritePatternSet &&patterns,
                            GreedyRewriteConfig config) {
  if (!op->getContext()->getRemarkEngine())
    return applyPatternsGreedily(op, std::move(patterns), config);
  // The listener's remarks at the end name patterns, which live as long.
  FrozenRewritePatternSet frozen(std::move(patterns));
  Listener listener(pass.getArgument());
  config.setListener(&listener);
  LogicalResult result = applyPatternsGreedily(op, frozen, config);
  listener.finish(op);
  return result;
}

void noteApplied(StringRef pass, Operation *op, StringRef what) {
  if (op->getContext()->getRemarkEngine())
    remark::passed(op->getLoc(), optionsOf(pass, what))
        << remark::detail::Remark::Arg("Op", op->getName().getStringRef());
}

void noteMissed(StringRef pass, Operation *op, StringRef what,
                StringRef reason) {
  if (op->getContext()->getRemarkEngine())
    remark::missed(op->getLoc(), optionsOf(pass, what))
        << remark::detail::Remark::Arg("Op", op->getName().getStringRef())
        << remark::detail::Remark::Arg("Reason", reason);
}

std::string nodeOf(Operation *op) {
  std::string name;
  op->getLoc()->walk([&](Location part) {
    if (auto own = dyn_cast<NameLoc>(part); own && name.empty())
      name = own.getName().str();
    return WalkResult::advance();
  });
  return ("node '" + Twine(name) + "' (" + op->getName().getStringRef() + ")")
      .str();
}

} // namespace tenon
