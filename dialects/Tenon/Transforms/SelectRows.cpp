//===- SelectRows.cpp - outputs of some rows alone ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A gather of the output's rows, or a slice of the last one, goes up through
// what is computed row by row, as long as nothing else reads it.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Passes.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include <set>

namespace tenon {
#define GEN_PASS_DEF_SELECTROWSPASS
#include "dialects/Tenon/Transforms/SelectRows.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {

constexpr StringLiteral kPass = "tenon-select-rows";

struct Selector {
  explicit Selector(func::FuncOp main) : main(main) {}

  func::FuncOp main;
  func::ReturnOp ret =
      cast<func::ReturnOp>(main.getBody().front().getTerminator());
  OpBuilder b{main.getContext()};
  SymExpr all, few; // the rows' numbers, before and after
  Value rows;       // which; null: the last one

  bool mentionsAll(const SymExpr &dim);
  int64_t axisOf(Value v);
  struct Rows {
    OpOperand *operand = nullptr;
    std::string whyNot = "its rows are not made of another's, one by one";
  };
  Rows rowsOf(Value v);
  Value narrow(Value v);
  Value select(Value v);
  std::set<unsigned> findPresents();
  SmallVector<OpOperand *> findOutputs(function_ref<bool(int64_t axis)> fits);
  void take(ArrayRef<OpOperand *> outputs);
  std::set<std::string> countsOfTokens();
  void selectNamed();
  LogicalResult selectLast();
};

bool Selector::mentionsAll(const SymExpr &dim) {
  std::vector<std::string> names;
  dim.collectSymbols(names);
  return llvm::is_contained(names, all.str());
}

/// The one dim that counts the rows; none: -1.
int64_t Selector::axisOf(Value v) {
  int64_t axis = -1;
  for (auto [i, dim] : llvm::enumerate(getDims(v))) {
    if (!mentionsAll(dim))
      continue;
    if (axis >= 0 || dim != all)
      return -1;
    axis = int64_t(i);
  }
  return axis;
}

/// The operand whose rows those of `v` are made of, one by one; null where
/// there is none, or not one alone.
Selector::Rows Selector::rowsOf(Value v) {
  Rows found;
  Operation *op = v.getDefiningOp();
  int64_t axis = axisOf(v);
  if (!op || op->getNumResults() != 1 || axis < 0)
    return found;
  if (!v.hasOneUse()) {
    found.whyNot = "several nodes read it";
    return found;
  }
  OpOperand *from = nullptr;
  for (OpOperand &operand : op->getOpOperands())
    if (llvm::any_of(getDims(operand.get()),
                     [&](const SymExpr &dim) { return mentionsAll(dim); })) {
      if (from) {
        found.whyNot = "it makes them of several tensors";
        return found;
      }
      from = &operand;
    }
  int64_t own = from ? axisOf(from->get()) : -1;
  if (own < 0)
    return found;
  SmallVector<SymExpr> dims = getDims(v), fromDims = getDims(from->get());
  int64_t behind = dims.size() - axis; // dims from the rows on
  bool first = from->getOperandNumber() == 0,
       aligned = int64_t(fromDims.size()) - own == behind, byRows = false;
  if (isReshape(op))
    byRows = productOf(ArrayRef(fromDims).take_front(own)) ==
             productOf(ArrayRef(dims).take_front(axis));
  else if (isTranspose(op))
    byRows = permOf(op)[axis] == own;
  else if (auto slice = dyn_cast<SliceOp>(op))
    byRows = slice.getStarts().getSymExprs()[axis] == SymExpr(0) &&
             slice.getSteps()[axis] == 1;
  else if (auto product = dyn_cast<MatMulOp>(op))
    byRows = first && aligned &&
             behind > (product.getTransposeA() ? 2 : 1); // not a column
  else if (auto norm = dyn_cast<LayerNormOp>(op))
    byRows = first && behind > int64_t(norm.getDims());
  else if (auto norm = dyn_cast<RmsNormOp>(op))
    byRows = first && behind > int64_t(norm.getDims());
  else
    byRows = aligned && op->hasTrait<tenon::OpTrait::Elementwise>();
  if (byRows)
    found.operand = from;
  return found;
}

/// The rows that are asked for of all that `v` has.
Value Selector::narrow(Value v) {
  b.setInsertionPointAfterValue(v);
  int64_t axis = axisOf(v);
  if (rows)
    return GatherOp::create(b, v.getLoc(), v, rows, uint64_t(axis));
  SmallVector<SymExpr> dims = getDims(v);
  SmallVector<SymExpr> starts(dims.size(), SymExpr(0));
  starts[axis] = all - few;
  dims[axis] = few;
  return createSlice(b, v.getLoc(), v, starts,
                     SmallVector<int64_t>(dims.size(), 1), dims);
}

Value Selector::select(Value v) {
  Rows found = rowsOf(v);
  if (!found.operand) {
    if (Operation *op = v.getDefiningOp())
      noteMissed(kPass, op, "Selected rows", found.whyNot);
    return narrow(v);
  }
  Operation *op = v.getDefiningOp();
  SmallVector<SymExpr> dims = getDims(v);
  dims[axisOf(v)] = few;
  found.operand->set(select(found.operand->get()));
  v.setType(getTensorType(dims, getElementTypeOrSelf(v.getType())));
  if (isReshape(op) || isa<SliceOp>(op))
    op->setAttr("dims", DimsAttr::get(b.getContext(), dims));
  noteApplied(kPass, op, "Selected rows");
  return v;
}

/// Results that are a past's present.
std::set<unsigned> Selector::findPresents() {
  std::set<unsigned> presents;
  for (BlockArgument arg : main.getArguments())
    if (auto state = main.getArgAttrOfType<DictionaryAttr>(arg.getArgNumber(),
                                                           "tenon.state"))
      if (auto output = state.getAs<IntegerAttr>("output"))
        presents.insert(unsigned(output.getInt()));
  return presents;
}

/// Outputs but presents that have the rows along such an axis.
SmallVector<OpOperand *>
Selector::findOutputs(function_ref<bool(int64_t axis)> fits) {
  std::set<unsigned> presents = findPresents();
  SmallVector<OpOperand *> outputs;
  for (OpOperand &output : ret->getOpOperands())
    if (!presents.count(output.getOperandNumber()) &&
        fits(axisOf(output.get())))
      outputs.push_back(&output);
  return outputs;
}

void Selector::take(ArrayRef<OpOperand *> outputs) {
  for (OpOperand *output : outputs)
    output->set(select(output->get()));
  main.setFunctionType(
      b.getFunctionType(main.getArgumentTypes(), ret.getOperandTypes()));
}

/// Those that an input names, of a run whose sequences are tokens.
void Selector::selectNamed() {
  std::vector<std::string> names, symbols;
  bool any = false;
  for (BlockArgument arg : main.getArguments()) {
    unsigned number = arg.getArgNumber();
    for (const SymExpr &dim : getDims(arg))
      dim.collectSymbols(symbols);
    if (auto name = main.getArgAttrOfType<StringAttr>(number, "tenon.name"))
      names.push_back(name.str());
    auto state = main.getArgAttrOfType<DictionaryAttr>(number, "tenon.state");
    if (!state || !state.get("capacity"))
      continue;
    all = getDims(arg).front();
    any = true;
  }
  if (!any || !all.asSymbol())
    return;
  auto unused = [](std::string name, ArrayRef<std::string> taken) {
    while (llvm::is_contained(taken, name))
      name += "_";
    return name;
  };
  std::string name = unused("output_rows", names);
  few = SymExpr::symbol(unused("output_rows", symbols));
  SmallVector<OpOperand *> outputs =
      findOutputs([](int64_t axis) { return axis == 0; });
  if (outputs.empty())
    return;
  Type type = getTensorType({few}, b.getI64Type());
  unsigned number = main.getNumArguments();
  if (failed(main.insertArgument(number, type,
                                 b.getDictionaryAttr(b.getNamedAttr(
                                     "tenon.name", b.getStringAttr(name))),
                                 main.getLoc())))
    return;
  rows = main.getArgument(number);
  take(outputs);
}

/// The dims that say how many tokens a run adds to pasts: of what is written
/// into one, and not the past's own.
std::set<std::string> Selector::countsOfTokens() {
  std::set<std::string> counts;
  auto symbolsOf = [](Value v) {
    std::vector<std::string> symbols;
    for (const SymExpr &dim : getDims(v))
      dim.collectSymbols(symbols);
    return symbols;
  };
  for (BlockArgument past : main.getArguments()) {
    auto state = main.getArgAttrOfType<DictionaryAttr>(past.getArgNumber(),
                                                       "tenon.state");
    if (!state || !state.get("carried"))
      continue;
    std::vector<std::string> own = symbolsOf(past);
    for (Value written : (*past.user_begin())->getOperands().drop_front())
      for (std::string &symbol : symbolsOf(written))
        if (!llvm::is_contained(own, symbol))
          counts.insert(std::move(symbol));
  }
  return counts;
}

/// The last one of each sequence, of a run that adds several.
LogicalResult Selector::selectLast() {
  std::set<std::string> counts = countsOfTokens();
  bool any = false;
  for (const std::string &count : counts) {
    all = SymExpr::symbol(count);
    // Of none there is no last one.
    few = SymExpr::apply(SymExpr::Fn::Min, all, 1);
    SmallVector<OpOperand *> outputs =
        findOutputs([](int64_t axis) { return axis >= 0; });
    take(outputs);
    any |= !outputs.empty();
  }
  if (any)
    return success();
  return emitError(main.getLoc(), "outputs of the last token alone: ")
         << (counts.empty() ? "the model has no past that tokens are added to"
                            : "no output but presents has a row for each");
}

struct SelectRowsPass : tenon::impl::SelectRowsPassBase<SelectRowsPass> {
  using SelectRowsPassBase::SelectRowsPassBase;
  void runOnOperation() override {
    func::FuncOp main = getOperation();
    if (main.getName() != "main" || main.isExternal())
      return;
    Selector selector(main);
    if (!last)
      selector.selectNamed();
    else if (failed(selector.selectLast()))
      signalPassFailure();
  }
};

} // namespace
