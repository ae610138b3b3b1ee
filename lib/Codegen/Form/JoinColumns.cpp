//===- JoinColumns.cpp - what ends several products, side by side ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Products of integers end with sums of columns, zero points and scales:
//
//   cast(packed_matmul - sums * zero) * (scale * factor) + bias
//
// `sums`, `factor` and `bias` are the weight's, constants of one number or of
// one for each column; whatever else there is must be the same for all
// products. Each number meets the same ones in the same order as before.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/JoinColumns.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "mlir/IR/OperationSupport.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace tenon {

namespace {

/// Constants of more columns stay in the model's file.
constexpr int64_t kMostColumns = 1 << 16;
/// Ops of a product that are looked at, and of what meets it.
constexpr size_t kMostSteps = 16, kMostDeep = 8;

/// Ops whose operands' columns are the result's.
bool keepsColumns(Operation *op) {
  return isa_and_nonnull<AddOp, SubOp, MulOp, CastOp>(op);
}

/// Is there one number for all columns?
bool isOfAllColumns(Value v) {
  SmallVector<SymExpr> dims = getDims(v);
  return dims.empty() || dims.back() == SymExpr(1);
}

/// One value, or computed alike of such.
bool isSame(Value x, Value y, size_t deep = kMostDeep) {
  if (x == y)
    return true;
  Operation *a = x.getDefiningOp(), *b = y.getDefiningOp();
  return deep > 0 && a && b && isPure(a) && isPure(b) &&
         OperationEquivalence::isEquivalentTo(
             a, b,
             [&](Value x, Value y) -> LogicalResult {
               return success(isSame(x, y, deep - 1));
             },
             /*markEquivalent=*/nullptr, OperationEquivalence::IgnoreLocations);
}

Value rebuild(OpBuilder &b, Operation *op, ArrayRef<Value> operands) {
  Location loc = op->getLoc();
  if (auto cast = dyn_cast<CastOp>(op))
    return CastOp::create(b, loc, operands[0], cast.getToAttr(),
                          cast.getUnsaturatedAttr(), cast.getRoundAttr());
  if (isa<AddOp>(op))
    return AddOp::create(b, loc, operands[0], operands[1]);
  if (isa<SubOp>(op))
    return SubOp::create(b, loc, operands[0], operands[1]);
  return MulOp::create(b, loc, operands[0], operands[1]);
}

/// One number, or one for each of so many columns and nothing else.
DenseElementsAttr numbersOf(Value v, int64_t columns) {
  auto type = cast<RankedTensorType>(v.getType());
  if (!type.hasStaticShape() ||
      (type.getNumElements() != 1 &&
       (type.getNumElements() != columns || type.getShape().back() != columns)))
    return {};
  return match::smallConstant(v, kMostColumns);
}

} // namespace

ColumnJoiner::ColumnJoiner(ArrayRef<PackedMatMulOp> products) {
  for (PackedMatMulOp product : products) {
    current.push_back(product.getResult());
    columns.push_back(*getDims(product.getResult()).back().constant());
  }
  while (steps.size() < kMostSteps) {
    std::optional<Step> step = next();
    if (!step)
      break;
    for (auto [value, op] : llvm::zip_equal(current, step->ops))
      if (op)
        value = op->getResult(0);
    steps.push_back(*step);
  }
}

/// The op that reads `value` alone and leaves its columns where they are.
static OpOperand *soleUse(Value value) {
  if (!value.hasOneUse())
    return nullptr;
  OpOperand &use = *value.use_begin();
  Operation *op = use.getOwner();
  return keepsColumns(op) && op->getBlock() == value.getParentBlock() &&
                 !op->hasAttr("tenon.value") &&
                 getDims(op->getResult(0)) == getDims(value)
             ? &use
             : nullptr;
}

std::optional<ColumnJoiner::Step> ColumnJoiner::next() const {
  Step step;
  Operation *first = nullptr;
  bool all = true;
  for (Value value : current) {
    OpOperand *use = soleUse(value);
    Operation *op = use ? use->getOwner() : nullptr;
    if (op && !first) {
      first = op;
      step.operand = use->getOperandNumber();
    }
    if (op && (use->getOperandNumber() != step.operand ||
               op->getName() != first->getName() ||
               op->getAttrDictionary() != first->getAttrDictionary() ||
               getElementTypeOrSelf(op->getResult(0).getType()) !=
                   getElementTypeOrSelf(first->getResult(0).getType())))
      return std::nullopt;
    all &= op != nullptr;
    step.ops.push_back(op);
    if (!op || op->getNumOperands() == 2)
      step.others.push_back(op ? op->getOperand(1 - step.operand) : Value());
  }
  if (!first ||
      (all && !step.others.empty() && !canJoin(step.others, kMostDeep)))
    return std::nullopt;
  // Some weights have no bias.
  auto isBias = [](auto pair) {
    auto [op, other, n] = pair;
    return !op ||
           (isa<AddOp>(op) && getElementTypeOrSelf(other.getType()).isF32() &&
            numbersOf(other, n));
  };
  if (!all &&
      (step.others.size() != step.ops.size() ||
       !llvm::all_of(llvm::zip_equal(step.ops, step.others, columns), isBias)))
    return std::nullopt;
  return step;
}

bool ColumnJoiner::canJoin(ValueRange values, size_t deep) const {
  Value first = values.front();
  Operation *op = first.getDefiningOp();
  if (isOfAllColumns(first) &&
      llvm::all_of(values, [&](Value v) { return isSame(first, v); }))
    return true;
  auto alike = [&](Value v) {
    Operation *other = v.getDefiningOp();
    return op && other && op->getName() == other->getName() &&
           getElementTypeOrSelf(v.getType()) ==
               getElementTypeOrSelf(first.getType());
  };
  if (!llvm::all_of(values, alike))
    return false;
  if (isa<ConstantOp>(op))
    return llvm::all_of(llvm::zip_equal(values, columns), [](auto pair) {
      return bool(numbersOf(std::get<0>(pair), std::get<1>(pair)));
    });
  // A row that is repeated, or what is computed of rows.
  if (deep == 0 || (!keepsColumns(op) && !isa<BroadcastToOp>(op)))
    return false;
  for (unsigned i = 0; i < op->getNumOperands(); ++i) {
    Values operands;
    for (Value v : values)
      operands.push_back(v.getDefiningOp()->getOperand(i));
    if (!canJoin(operands, deep - 1))
      return false;
  }
  return isa<BroadcastToOp>(op) || llvm::all_of(values, [&](Value v) {
           return v.getDefiningOp()->getAttrDictionary() ==
                  op->getAttrDictionary();
         });
}

Value ColumnJoiner::join(OpBuilder &b, ValueRange values,
                         size_t reference) const {
  Value own = values[reference];
  if (!own) // another's numbers, and zeros
    own = *llvm::find_if(values, [](Value v) { return bool(v); });
  if (isOfAllColumns(own) &&
      llvm::all_of(values, [&](Value v) { return v && isSame(own, v); }))
    return own;
  Operation *op = own.getDefiningOp();
  Location loc = op->getLoc();
  int64_t all = 0;
  for (int64_t n : columns)
    all += n;
  if (isa<ConstantOp>(op)) {
    SmallVector<Attribute> numbers;
    for (auto [value, n] : llvm::zip_equal(values, columns)) {
      if (!value) {
        numbers.append(n, b.getF32FloatAttr(0));
        continue;
      }
      DenseElementsAttr known = numbersOf(value, n);
      if (known.getNumElements() == 1)
        numbers.append(n, *known.getValues<Attribute>().begin());
      else
        llvm::append_range(numbers, known.getValues<Attribute>());
    }
    auto type =
        RankedTensorType::get({all}, getElementTypeOrSelf(own.getType()));
    return ConstantOp::create(b, loc, type,
                              DenseElementsAttr::get(type, numbers));
  }
  Values operands;
  for (unsigned i = 0; i < op->getNumOperands(); ++i) {
    Values parts;
    for (Value v : values)
      parts.push_back(v.getDefiningOp()->getOperand(i));
    operands.push_back(join(b, parts, reference));
  }
  if (isa<BroadcastToOp>(op)) {
    SmallVector<SymExpr> dims = getDims(own);
    dims.back() = SymExpr(all);
    return BroadcastToOp::create(b, loc, operands.front(),
                                 DimsAttr::get(b.getContext(), dims));
  }
  return rebuild(b, op, operands);
}

Value ColumnJoiner::apply(OpBuilder &b, Value product, size_t reference) {
  for (const Step &step : steps) {
    Values operands{product};
    if (!step.others.empty())
      operands.insert(operands.begin() + (1 - step.operand),
                      join(b, step.others, reference));
    Operation *op = step.ops[reference];
    if (!op)
      op = *llvm::find_if(step.ops, [](Operation *op) { return op; });
    product = rebuild(b, op, operands);
  }
  return product;
}

void ColumnJoiner::erase() {
  llvm::SetVector<Operation *> unread;
  for (Value v : current)
    unread.insert(v.getDefiningOp());
  while (!unread.empty()) {
    Operation *op = unread.pop_back_val();
    if (!isOpTriviallyDead(op))
      continue;
    for (Value operand : op->getOperands())
      if (Operation *def = operand.getDefiningOp())
        unread.insert(def);
    op->erase();
  }
}

} // namespace tenon
