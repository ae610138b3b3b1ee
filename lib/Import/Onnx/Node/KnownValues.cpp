//===- KnownValues.cpp - integers computed from dims, at import -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/KnownValues.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/ReadDims.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/TypeUtilities.h"

#include "dialects/Tenon/IR/TenonSmallTensor.h"

using namespace mlir;

namespace tenon::onnximport {

// Shapes have few elements; what is larger is computed by the graph passes.
constexpr int64_t maxElements = 16;

/// What an op on small constants computes: a shape may come from floats, as in
/// a table's side from the square root of its length.
static Value foldConstants(OpBuilder &builder, Operation *op) {
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (op->getNumResults() != 1 || !type || !type.hasStaticShape() ||
      type.getNumElements() > maxElements)
    return {};
  SmallVector<SmallTensor> operands;
  for (Value operand : op->getOperands()) {
    auto constant = operand.getDefiningOp<ConstantOp>();
    auto dense = constant ? dyn_cast<DenseElementsAttr>(constant.getValue())
                          : DenseElementsAttr();
    if (!dense || dense.getNumElements() > maxElements)
      return {};
    std::optional<SmallTensor> tensor = SmallTensor::unpack(dense);
    if (!tensor)
      return {};
    operands.push_back(std::move(*tensor));
  }
  std::optional<SmallTensor> result = evaluateOp(op, operands);
  if (!result)
    return {};
  return ConstantOp::create(builder, op->getLoc(), result->pack());
}

Value KnownValues::simplify(OpBuilder &builder, Operation *op) {
  Value result = op->getResult(0);
  Value folded = evaluator.fold(builder, op);
  if (!folded)
    folded = foldConstants(builder, op);
  if (!folded)
    return result;
  evaluator.forget(result);
  demanded.forget(result);
  op->erase();
  return folded;
}

const KnownValue *KnownValues::demand(Value value) {
  if (!isa<IntegerType>(getElementTypeOrSelf(value)))
    return nullptr;
  if (const KnownValue *known = evaluator.lookup(value))
    return known;
  return demanded.lookup(value);
}

std::string KnownValues::freshName(StringRef base) {
  std::string name = base.str();
  auto taken = [&](auto &pair) { return pair.second == name; };
  for (int i = 2; llvm::any_of(names, taken); ++i)
    name = base.str() + "." + std::to_string(i);
  return name;
}

void KnownValues::define(Value value, const std::string &name) {
  names[value] = name;
}

/// The function that has the value as an argument.
static func::FuncOp functionWithArgument(Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  return argument ? dyn_cast_or_null<func::FuncOp>(
                        argument.getOwner()->getParentOp())
                  : func::FuncOp();
}

bool KnownValues::isOfInputs(const SymExpr &e) const {
  std::vector<std::string> symbols;
  e.collectSymbols(symbols);
  return llvm::all_of(symbols, [&](const std::string &symbol) {
    if (!SymExpr::isElement(symbol))
      return true;
    StringRef name = StringRef(symbol).split('[').first;
    return llvm::any_of(names, [&](auto &pair) {
      return pair.second == name && functionWithArgument(pair.first);
    });
  });
}

const KnownValue *KnownValues::demandFloats(Value value) {
  return isa<FloatType>(getElementTypeOrSelf(value)) ? demanded.lookup(value)
                                                     : nullptr;
}

void KnownValues::forget(Region &region) {
  auto forgetAll = [&](ValueRange values) {
    for (Value value : values) {
      evaluator.forget(value);
      demanded.forget(value);
      names.erase(value);
    }
  };
  region.walk([&](Block *block) {
    forgetAll(block->getArguments());
    for (Operation &op : *block)
      forgetAll(op.getResults());
  });
}

std::optional<KnownValue> KnownValues::read(Value value) {
  return read(value, "");
}

std::optional<KnownValue> KnownValues::read(Value value, StringRef bound) {
  auto argument = dyn_cast<BlockArgument>(value);
  func::FuncOp main = functionWithArgument(value);
  if (!hasReadableElements(value.getType()))
    return std::nullopt;
  auto type = cast<RankedTensorType>(value.getType());
  auto element = dyn_cast<IntegerType>(type.getElementType());
  if (!main && !element)
    return std::nullopt; // floats are read of inputs alone
  std::string name = names.lookup(value);
  if (name.empty()) {
    // What stands in for an unsupported node's result is no input.
    bool input =
        main && argument.getArgNumber() < main.getFunctionType().getNumInputs();
    auto given = input ? main.getArgAttrOfType<StringAttr>(
                             argument.getArgNumber(), "tenon.name")
                       : StringAttr();
    bool isBool = !main && element.getWidth() == 1;
    bool isCount = !main && (isBool || !bound.empty());
    StringRef made = main ? "input" : isCount ? "#run" : "run";
    name = freshName(given ? SymExpr::sanitizeSymbol(given.getValue())
                           : made.str());
    names[value] = name;
    OpBuilder builder(value.getContext());
    builder.setInsertionPointAfterValue(value);
    auto read = ReadDimsOp::create(builder, value.getLoc(), value,
                                   builder.getStringAttr(name));
    if (!bound.empty())
      read.setBound(bound);
    else if (isBool)
      read.setBound("1");
  }
  KnownValue result;
  result.shape.assign(type.getShape().begin(), type.getShape().end());
  for (int64_t i = 0; i < type.getNumElements(); ++i)
    result.elements.push_back(SymExpr::element(name, i));
  return result;
}

} // namespace tenon::onnximport
