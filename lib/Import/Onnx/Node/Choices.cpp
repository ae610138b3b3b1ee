//===- Choices.cpp - ranks that a condition on dims decides ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/Choices.h"
#include "llvm/ADT/STLExtras.h"

namespace tenon::onnximport {

std::optional<bool> Choices::of(const SymExpr &condition) const {
  for (const Choice &choice : all)
    if (choice.condition == condition)
      return choice.value;
  return std::nullopt;
}

bool Choices::next(bool onlyUnique) {
  while (!all.empty()) {
    Choice &last = all.back();
    if (!last.isSecond && (last.mustBeUnique || !onlyUnique)) {
      last.value = !last.value;
      last.isSecond = true;
      return true;
    }
    all.pop_back();
  }
  return false;
}

namespace {
/// More attempts than this are not made.
constexpr unsigned kMostAttempts = 64;

/// The attempts after one that asked for choices.
class Search {
public:
  Search(const ImportOptions &options,
         llvm::function_ref<Attempt(const ImportOptions &, Choices &)> attempt,
         Choices choices, std::string &error)
      : options(options), attempt(attempt), choices(std::move(choices)),
        error(error) {}

  mlir::OwningOpRef<mlir::ModuleOp> run();

private:
  void note(Attempt made);
  mlir::OwningOpRef<mlir::ModuleOp> refuse(const Choice &choice,
                                           const std::string &reason);

  const ImportOptions &options;
  llvm::function_ref<Attempt(const ImportOptions &, Choices &)> attempt;
  Choices choices;
  std::string &error;

  /// The first that fits best, and the first that failed.
  std::optional<Attempt> best, failed;
  Choices ofBest, ofFailed;
  /// Where another fits as well, what they differ in.
  std::optional<Choice> ambiguous;
};
} // namespace

void Search::note(Attempt made) {
  if (!made.module) {
    if (!failed) {
      failed = std::move(made);
      ofFailed = choices;
    }
    return;
  }
  if (!best || (made.agrees && !best->agrees)) {
    best = std::move(made);
    ofBest = choices;
    ambiguous.reset();
    return;
  }
  if (made.agrees != best->agrees || ambiguous)
    return;
  for (auto [choice, other] : llvm::zip(choices.list(), ofBest.list()))
    if (choice.value != other.value) {
      if (choice.mustBeUnique)
        ambiguous = choice;
      return;
    }
}

/// An error that names the node which needs the choice.
mlir::OwningOpRef<mlir::ModuleOp> Search::refuse(const Choice &choice,
                                                 const std::string &reason) {
  UnsupportedNode node = choice.node;
  node.reason = reason + optionsThatSettle(choice.condition, true);
  error = describe(node);
  if (options.unsupported)
    options.unsupported->push_back(std::move(node));
  return {};
}

mlir::OwningOpRef<mlir::ModuleOp> Search::run() {
  ImportOptions quiet = options;
  quiet.unsupported = nullptr;
  for (unsigned count = 0;; ++count) {
    if (count == kMostAttempts)
      return refuse(choices.list().front(),
                    "the ranks of too many values depend on dims: fix some "
                    "with ");
    Attempt made = attempt(quiet, choices);
    if (made.lacksChoice)
      continue;
    note(std::move(made));
    bool found = best && best->agrees;
    if ((found && ambiguous) || !choices.next(/*onlyUnique=*/found))
      break;
  }
  if (ambiguous)
    return refuse(*ambiguous, "its branches differ in rank, and the rest of "
                              "the graph works with either: choose one with ");
  if (best)
    return std::move(best->module);
  // What was tried first is the likeliest; of that, all that is wrong.
  if (options.unsupported)
    (void)attempt(options, ofFailed);
  error = failed->error;
  return {};
}

mlir::OwningOpRef<mlir::ModuleOp> importByChoices(
    const ImportOptions &options,
    llvm::function_ref<Attempt(const ImportOptions &, Choices &)> attempt,
    std::string &error) {
  size_t listed = options.unsupported ? options.unsupported->size() : 0;
  Choices choices;
  Attempt first = attempt(options, choices);
  if (choices.list().empty() || first.isHopeless ||
      (first.module && first.agrees)) {
    error = first.error;
    return std::move(first.module);
  }
  if (options.unsupported) { // went on with values that stand for others
    options.unsupported->resize(listed);
    choices = {};
  }
  return Search(options, attempt, std::move(choices), error).run();
}

std::string optionsThatSettle(const SymExpr &condition, bool holds) {
  std::vector<std::string> symbols;
  condition.collectSymbols(symbols);
  // "eq(batch,1)" says which number it takes.
  std::optional<SymExpr::Call> call = condition.asCall();
  std::string number = "N";
  if (call && call->fn == (holds ? SymExpr::Fn::Eq : SymExpr::Fn::Ne) &&
      call->a.asSymbol() && call->b.isConstant())
    number = call->b.str();
  std::string text;
  for (const std::string &symbol : symbols) {
    bool element = SymExpr::isElement(symbol);
    std::string option = (element ? "--value " : "--dim ") +
                         symbol.substr(0, symbol.find('[')) + "=" + number;
    if (text.find(option) == std::string::npos)
      text += (text.empty() ? "" : " ") + option;
  }
  return text;
}

} // namespace tenon::onnximport
