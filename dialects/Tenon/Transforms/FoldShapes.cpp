//===- FoldShapes.cpp - fold integer arithmetic on dims -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One walk in order, since a folded operand gives its users better types:
//   1. infer the op's type from its operands as they are now;
//   2. fold its value, where it is an expression of dims;
// then the checks are tidied and the function's result types follow.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/TenonFoldDims.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "llvm/ADT/StringSet.h"

namespace tenon {
#define GEN_PASS_DEF_FOLDSHAPESPASS
#include "dialects/Tenon/Transforms/FoldShapes.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {

/// The op's result types from its operands; an error where they clash.
LogicalResult inferAgain(Operation *op) {
  auto inference = dyn_cast<InferTypeOpInterface>(op);
  if (!inference || !isa<TenonDialect>(op->getDialect()))
    return success();
  SmallVector<Type> types;
  if (failed(inference.inferReturnTypes(
          op->getContext(), op->getLoc(), op->getOperands(),
          op->getDiscardableAttrDictionary(), op->getPropertiesStorage(),
          op->getRegions(), types)))
    return failure();
  if (!areCompatibleTypes(types, op->getResultTypes()))
    return op->emitOpError() << "expected a result of type " << types.front()
                             << ", found " << op->getResult(0).getType();
  for (auto [result, type] : llvm::zip(op->getResults(), types))
    result.setType(type);
  return success();
}

/// What a check is certain to give: true, false, or unknown before a run.
std::optional<bool> decide(CheckKind kind, const SymExpr &a, const SymExpr &b) {
  std::optional<bool> equal = decideComparison(CompareKind::eq, a, b);
  switch (kind) {
  case CheckKind::eq:
    return equal;
  case CheckKind::le:
    return decideComparison(CompareKind::le, a, b);
  case CheckKind::bcast: {
    std::optional<bool> one = decideComparison(CompareKind::eq, a, SymExpr(1));
    std::optional<bool> other =
        decideComparison(CompareKind::eq, b, SymExpr(1));
    if (equal == true || one == true || other == true)
      return true;
    if (equal == false && one == false && other == false)
      return false;
    return std::nullopt;
  }
  }
  return std::nullopt;
}

/// Drops checks that are certain or repeat an earlier one.
LogicalResult tidyChecks(Block &block) {
  llvm::StringSet<> stated;
  for (CheckOp check : llvm::make_early_inc_range(block.getOps<CheckOp>())) {
    std::optional<SymExpr> a = SymExpr::parse(check.getLhs());
    std::optional<SymExpr> b = SymExpr::parse(check.getRhs());
    if (!a || !b)
      continue; // the verifier's to report
    std::optional<bool> certain = decide(check.getKind(), *a, *b);
    if (certain == false && !check.getWhen())
      return check.emitOpError() << "can never hold";
    std::string text =
        (stringifyCheckKind(check.getKind()) + " " + check.getLhs() + "\n" +
         check.getRhs() + "\n" + check.getWhen().value_or(""))
            .str();
    if (certain == true || !stated.insert(text).second)
      check.erase();
  }
  return success();
}

struct FoldShapesPass : tenon::impl::FoldShapesPassBase<FoldShapesPass> {
  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isExternal())
      return;
    OpBuilder builder(&getContext());
    for (Block &block : func.getBody()) {
      if (failed(foldBlock(block, builder)) || failed(tidyChecks(block)))
        return signalPassFailure();
    }
    updateSignature(func);
  }

  LogicalResult foldBlock(Block &block, OpBuilder &builder) {
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (failed(inferAgain(&op)))
        return failure();
      Value folded = foldToDims(builder, &op);
      if (!folded)
        continue;
      noteApplied(getArgument(), &op, "folded");
      op.getResult(0).replaceAllUsesWith(folded);
      op.erase();
    }
    return success();
  }

  void updateSignature(func::FuncOp func) {
    for (Block &block : func.getBody())
      if (auto ret = dyn_cast<func::ReturnOp>(block.getTerminator()))
        func.setFunctionType(FunctionType::get(
            &getContext(), func.getArgumentTypes(), ret.getOperandTypes()));
  }
};

} // namespace
