//===- ReplacedState.cpp - states that each run makes anew ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/Transforms/ReplacedState.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace tenon {

bool looksLikePast(StringRef name) {
  std::string low = name.lower();
  // What an encoder has made of its input is called states, too.
  if (StringRef(low).contains("hidden_states"))
    return false;
  return llvm::any_of(
      ArrayRef<StringRef>{"past", "cache", "state"},
      [&](StringRef part) { return StringRef(low).contains(part); });
}

/// A name without what says that it is before or behind a run, in lower case:
/// "past_key_values.0.conv" and "present.0.conv", "state" and "stateN",
/// "cached_key_1" and "new_cached_key_1".
static std::string kernelOf(StringRef name) {
  std::string spaced;
  for (size_t i = 0; i < name.size(); ++i) {
    if (i && llvm::isUpper(name[i]) && llvm::isLower(name[i - 1]))
      spaced += '_';
    spaced += llvm::isAlnum(name[i]) ? llvm::toLower(name[i]) : '_';
  }
  StringRef text(spaced);
  // optimum's name for all that a layer keeps.
  size_t at = text.find("past_key_values");
  std::string kept =
      at == StringRef::npos
          ? spaced
          : (text.take_front(at) + text.drop_front(at + 15)).str();
  SmallVector<StringRef> words;
  StringRef(kept).split(words, '_', -1, /*KeepEmpty=*/false);
  llvm::erase_if(words, [](StringRef word) {
    return llvm::is_contained(
        ArrayRef<StringRef>{"past", "present", "in", "out", "input", "output",
                            "new", "next", "old", "prev", "previous", "last",
                            "current", "updated", "n"},
        word);
  });
  return llvm::join(words, "_");
}

static StringRef nameOfArgument(func::FuncOp main, unsigned number) {
  auto name = main.getArgAttrOfType<StringAttr>(number, "tenon.name");
  return name ? name.getValue() : StringRef();
}

static StringRef nameOfResult(func::FuncOp main, unsigned number) {
  auto name = main.getResultAttrOfType<StringAttr>(number, "tenon.name");
  return name ? name.getValue() : StringRef();
}

/// What a layer that goes from step to step began with, of which the slice is
/// the last; null where it is something else.
static Value firstState(SliceOp slice) {
  SmallVector<SymExpr> starts(slice.getStarts().getSymExprs());
  if (auto layer = slice.getInput().getDefiningOp<RecurrentOp>()) {
    // Its rows are the last h, of an lstm the last c, and then each step's h.
    std::optional<int64_t> row = starts[0].constant();
    if (row == 0)
      return layer.getHidden();
    return row == 1 && layer.getKind() == CellKind::lstm ? layer.getCell()
                                                         : nullptr;
  }
  auto layer = slice.getInput().getDefiningOp<LinearAttentionOp>();
  return layer && starts[2].constant() == 0 ? layer.getState() : nullptr;
}

/// Is the value made of `past` by moving elements and joining others to them,
/// or is it the last state of a layer that began with it? `named`: it has a
/// past's name, and may be either of what a mask chooses from.
static bool continues(Value value, BlockArgument past, bool named) {
  std::set<std::pair<Operation *, bool>> seen;
  SmallVector<std::pair<Value, bool>> worklist{{value, false}};
  while (!worklist.empty()) {
    auto [v, joined] = worklist.pop_back_val();
    if (v == past && joined)
      return true;
    Operation *op = v.getDefiningOp();
    if (!op || !seen.insert({op, joined}).second)
      continue;
    if (auto slice = dyn_cast<SliceOp>(op)) {
      if (Value first = firstState(slice))
        worklist.push_back({first, true});
      else
        worklist.push_back({slice.getInput(), joined});
    } else if (isa<ConcatOp, AppendOp, ScatterNDOp, ScatterElementsOp>(op)) {
      worklist.push_back({op->getOperand(0), true}); // new rows come behind
    } else if (isa<SelectOp>(op) && named) {
      worklist.push_back({op->getOperand(1), joined});
      worklist.push_back({op->getOperand(2), joined});
    } else if (isReshape(op) || isTranspose(op) ||
               isa<CastOp, GatherOp, GatherElementsOp>(op)) {
      worklist.push_back({op->getOperand(0), joined});
    }
  }
  return false;
}

/// The largest that a dim can be, where that is a number: of
/// "n - max(n - 4,0)" 4.
static std::optional<int64_t> mostOf(const SymExpr &dim, unsigned depth = 0) {
  using Fn = SymExpr::Fn;
  if (auto number = dim.constant())
    return number;
  if (depth > 4)
    return std::nullopt;
  std::optional<int64_t> most;
  if (std::vector<SymExpr> all = SymExpr::operandsOf(Fn::Max, dim);
      all.size() > 1) {
    for (const SymExpr &operand : all) {
      std::optional<int64_t> one = mostOf(operand, depth + 1);
      if (!one)
        return std::nullopt;
      most = std::max(most.value_or(*one), *one);
    }
    return most;
  }
  auto take = [&](const SymExpr &bound) {
    if (auto one = mostOf(bound, depth + 1))
      most = std::min(most.value_or(*one), *one);
  };
  if (std::vector<SymExpr> all = SymExpr::operandsOf(Fn::Min, dim);
      all.size() > 1)
    llvm::for_each(all, take);
  // -max(a,b) is at most -a.
  for (const SymExpr &summand : dim.summands()) {
    SymExpr opposite = SymExpr(0) - summand;
    std::vector<SymExpr> all = SymExpr::operandsOf(Fn::Max, opposite);
    for (const SymExpr &operand : all)
      if (all.size() > 1)
        take(dim - summand - operand);
  }
  return most;
}

/// Is there at most one dim beside the axis, that of sequences, which is no
/// number?
static bool hasOneSymbol(ArrayRef<SymExpr> dims, int64_t axis) {
  unsigned symbols = 0;
  for (auto [i, dim] : llvm::enumerate(dims))
    symbols += int64_t(i) != axis && !dim.isConstant();
  return symbols <= 1;
}

/// Why `result` cannot lie where `past` has room; empty where it can.
static std::string whyOther(func::FuncOp main, BlockArgument past, Value result,
                            ReplacedState &state) {
  SmallVector<SymExpr> from = getDims(past), to = getDims(result);
  std::string name =
      ("output '" + nameOfResult(main, state.output) + "'").str();
  if (getElementTypeOrSelf(past) != getElementTypeOrSelf(result) ||
      from.size() != to.size())
    return name + " has its name, but another type";
  state.axis = -1;
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == to[i])
      continue;
    std::optional<int64_t> most = mostOf(to[i]);
    bool fills = from[i].asSymbol() && !to[i].isConstant();
    if (state.axis >= 0 || !fills || !most || *most < 1)
      return "its dim " + std::to_string(i) + " is " + from[i].str() + ", in " +
             name + " " + to[i].str() +
             ", expected the same, or a window of "
             "at most so many rows";
    state.axis = i;
    state.most = *most;
  }
  if (!hasOneSymbol(from, state.axis))
    return "several of its dims are symbols, and " + name +
           " is made anew by each run";
  return "";
}

std::optional<ReplacedState> findReplaced(func::FuncOp main, BlockArgument past,
                                          const std::set<unsigned> &taken,
                                          std::string &why) {
  auto ret = cast<func::ReturnOp>(main.getBody().front().getTerminator());
  StringRef name = nameOfArgument(main, past.getArgNumber());
  std::string kernel = kernelOf(name);
  std::optional<ReplacedState> moved;
  bool several = false;
  for (auto [i, result] : llvm::enumerate(ret.getOperands())) {
    if (taken.count(i) || result == past)
      continue;
    StringRef other = nameOfResult(main, i);
    bool named = kernel.empty() ? other.contains_insensitive("present")
                                : kernelOf(other) == kernel;
    bool moves = continues(result, past, looksLikePast(name));
    if (!moves && !(named && looksLikePast(name)))
      continue;
    ReplacedState state;
    state.output = i;
    std::string problem = whyOther(main, past, result, state);
    if (named && !problem.empty())
      why = problem;
    if (!problem.empty())
      continue;
    if (named)
      return state;
    several |= moved.has_value();
    moved = state;
  }
  if (several)
    why = "several outputs could be its next value";
  return several ? std::nullopt : moved;
}

} // namespace tenon
