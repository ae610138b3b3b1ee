//===- AttentionMask.cpp - which keys a query may look at -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionMask.h"
#include "dialects/Tenon/IR/TenonIndexValue.h"
#include "dialects/Tenon/IR/TenonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cstdlib>

using namespace mlir;

namespace tenon {

namespace {

struct FindKeyBounds {
  SmallVector<SymExpr> dims; // of the scores
  Value products;
  IndexEvaluator values;
  SmallVector<KeyBound> bounds;

  void visit(Value v);
  void visitCondition(Value condition, bool maskedWhen);
  void addPredicate(CompareKind kind, const IndexValue &value);
  bool isAligned(Value v);
};

std::optional<double> splatOf(Value v) {
  while (auto view = v.getDefiningOp<BroadcastToOp>())
    v = view.getInput();
  auto c = v.getDefiningOp<ConstantOp>();
  auto splat = c ? dyn_cast<SplatElementsAttr>(c.getValue()) : nullptr;
  if (!splat || !isa<FloatType>(splat.getElementType()))
    return std::nullopt;
  return splat.getSplatValue<APFloat>().convertToDouble();
}

bool isLow(Value v) {
  std::optional<double> splat = splatOf(v);
  return splat && *splat <= kMasked;
}

/// Do the last two dims lie along those of the scores, or are 1?
bool FindKeyBounds::isAligned(Value v) {
  SmallVector<SymExpr> own = getDims(v);
  return own.size() >= 2 && own.size() <= dims.size() &&
         isBroadcastOf(ArrayRef(own).take_back(2), dims);
}

/// `v` is added to the products, or made from them.
void FindKeyBounds::visit(Value v) {
  Operation *op = v.getDefiningOp();
  if (v == products || !op || !isAligned(v))
    return;
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](AddOp add) {
        visit(add.getLhs());
        visit(add.getRhs());
      })
      .Case([&](SelectOp select) {
        bool maskedWhen = isLow(select.getLhs());
        if (maskedWhen || isLow(select.getRhs())) {
          visitCondition(select.getCondition(), maskedWhen);
          visit(maskedWhen ? select.getRhs() : select.getLhs());
        }
      })
      .Case([&](MulOp mul) {
        // A bool times a low number.
        for (unsigned i : {0, 1}) {
          Value factor = mul->getOperand(1 - i);
          if (!isLow(mul->getOperand(i)))
            continue;
          bool maskedWhen = true;
          auto sub = factor.getDefiningOp<SubOp>();
          if (sub && splatOf(sub.getLhs()) == 1.0) {
            maskedWhen = false;
            factor = sub.getRhs();
          }
          auto cast = factor.getDefiningOp<CastOp>();
          if (cast && getElementTypeOrSelf(cast.getInput()).isInteger(1))
            visitCondition(cast.getInput(), maskedWhen);
        }
      })
      .Case<BroadcastToOp, ReshapeOp>(
          [&](Operation *view) { visit(view->getOperand(0)); });
}

void FindKeyBounds::visitCondition(Value condition, bool maskedWhen) {
  if (!isAligned(condition))
    return;
  if (std::optional<IndexValue> value = values.lookup(condition)) {
    if (value->predicate)
      addPredicate(maskedWhen ? *value->predicate : negate(*value->predicate),
                   *value);
    return;
  }
  Operation *op = condition.getDefiningOp();
  if (isa_and_nonnull<NotOp>(op))
    visitCondition(op->getOperand(0), !maskedWhen);
  else if (isa_and_nonnull<BroadcastToOp>(op))
    visitCondition(op->getOperand(0), maskedWhen);
  else if (maskedWhen ? isa_and_nonnull<OrOp>(op) : isa_and_nonnull<AndOp>(op))
    for (Value v : op->getOperands())
      visitCondition(v, maskedWhen);
}

/// Masked where `value` is so to 0.
void FindKeyBounds::addPredicate(CompareKind kind, const IndexValue &value) {
  // As positive: masked where offset + row*i + key*j > 0.
  int64_t sign = kind == CompareKind::lt || kind == CompareKind::le ? -1 : 1;
  if (kind == CompareKind::eq || kind == CompareKind::ne)
    return;
  SymExpr offset = value.offset * SymExpr(sign);
  if (kind == CompareKind::le || kind == CompareKind::ge)
    offset = offset + SymExpr(1);
  ArrayRef<SymExpr> all(value.coefficients);
  std::optional<int64_t> row = all[all.size() - 2].constant(),
                         key = all.back().constant();
  if (!row || !key || std::abs(*key) != 1 || std::abs(*row) > INT32_MAX ||
      llvm::any_of(all.drop_back(2),
                   [](const SymExpr &c) { return c != SymExpr(0); }))
    return;
  int64_t slope = sign * *row;
  if (sign * *key > 0)
    bounds.push_back({true, SymExpr(0) - offset, -slope});
  else
    bounds.push_back({false, offset, slope});
}

} // namespace

SmallVector<KeyBound> findKeyBounds(Value scores, Value products) {
  FindKeyBounds find{getDims(scores), products, {}, {}};
  find.visit(scores);
  return find.bounds;
}

} // namespace tenon
