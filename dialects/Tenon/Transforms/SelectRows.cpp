//===- SelectRows.cpp - outputs of some rows alone ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A gather of the output's rows goes up through what is computed row by row, as
// long as nothing else reads it.
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

struct Selector {
  explicit Selector(func::FuncOp main) : main(main) {}

  func::FuncOp main;
  func::ReturnOp ret =
      cast<func::ReturnOp>(main.getBody().front().getTerminator());
  OpBuilder b{main.getContext()};
  SymExpr all, few; // the rows' numbers, before and after
  Value rows;       // which

  bool hasAll(Value v) {
    SmallVector<SymExpr> dims = getDims(v);
    return !dims.empty() && dims.front() == all;
  }
  bool mentionsAll(ArrayRef<SymExpr> dims);
  OpOperand *rowOperand(Operation *op);
  Value select(Value v);
  void run();
};

bool Selector::mentionsAll(ArrayRef<SymExpr> dims) {
  return llvm::any_of(dims, [&](const SymExpr &dim) {
    std::vector<std::string> names;
    dim.collectSymbols(names);
    return llvm::is_contained(names, all.str());
  });
}

/// The operand whose rows those of the result are made of, one by one; null
/// where there is none, or not one alone.
OpOperand *Selector::rowOperand(Operation *op) {
  if (op->getNumResults() != 1 || !hasAll(op->getResult(0)) ||
      mentionsAll(ArrayRef(getDims(op->getResult(0))).drop_front()))
    return nullptr;
  size_t rank = getDims(op->getResult(0)).size();
  OpOperand *found = nullptr;
  for (OpOperand &operand : op->getOpOperands()) {
    SmallVector<SymExpr> dims = getDims(operand.get());
    if (!mentionsAll(dims))
      continue;
    bool aligned = dims.size() == rank || isReshape(op);
    if (found || !aligned || dims.front() != all ||
        mentionsAll(ArrayRef(dims).drop_front()))
      return nullptr;
    found = &operand;
  }
  bool first = found && found->getOperandNumber() == 0 && rank > 1;
  bool byRows = op->hasTrait<tenon::OpTrait::Elementwise>() ||
                (first && (isReshape(op) || isa<LayerNormOp, RmsNormOp>(op))) ||
                (first && rank > 2 && isa<MatMulOp>(op));
  if (isTranspose(op))
    byRows = permOf(op)[0] == 0;
  if (auto slice = dyn_cast<SliceOp>(op))
    byRows = slice.getStarts().getSymExprs()[0] == SymExpr(0) &&
             slice.getSteps()[0] == 1;
  return byRows ? found : nullptr;
}

Value Selector::select(Value v) {
  Operation *op = v.getDefiningOp();
  OpOperand *operand = op && v.hasOneUse() ? rowOperand(op) : nullptr;
  if (!operand) {
    b.setInsertionPointAfterValue(v);
    return GatherOp::create(b, v.getLoc(), v, rows, uint64_t(0));
  }
  operand->set(select(operand->get()));
  SmallVector<SymExpr> dims = getDims(v);
  dims.front() = few;
  v.setType(getTensorType(dims, getElementTypeOrSelf(v.getType())));
  if (isReshape(op) || isa<SliceOp>(op))
    op->setAttr("dims", DimsAttr::get(b.getContext(), dims));
  noteApplied("tenon-select-rows", op, "Selected rows");
  return v;
}

void Selector::run() {
  std::set<unsigned> presents;
  std::vector<std::string> names, symbols;
  bool any = false;
  for (BlockArgument arg : main.getArguments()) {
    unsigned number = arg.getArgNumber();
    for (const SymExpr &dim : getDims(arg))
      dim.collectSymbols(symbols);
    if (auto name = main.getArgAttrOfType<StringAttr>(number, "tenon.name"))
      names.push_back(name.str());
    auto state = main.getArgAttrOfType<DictionaryAttr>(number, "tenon.state");
    if (!state)
      continue;
    if (auto output = state.getAs<IntegerAttr>("output"))
      presents.insert(unsigned(output.getInt()));
    if (!state.get("capacity"))
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
  SmallVector<OpOperand *> outputs;
  for (OpOperand &output : ret->getOpOperands())
    if (!presents.count(output.getOperandNumber()) && hasAll(output.get()))
      outputs.push_back(&output);
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
  for (OpOperand *output : outputs)
    output->set(select(output->get()));
  main.setFunctionType(
      b.getFunctionType(main.getArgumentTypes(), ret.getOperandTypes()));
}

struct SelectRowsPass : tenon::impl::SelectRowsPassBase<SelectRowsPass> {
  void runOnOperation() override {
    func::FuncOp main = getOperation();
    if (main.getName() == "main" && !main.isExternal())
      Selector(main).run();
  }
};

} // namespace
