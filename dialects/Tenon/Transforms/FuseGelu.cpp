//===- FuseGelu.cpp - recover GELU ----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For each product:
//   1. find a factor 1 + erf(a) or 1 + tanh(a) (the *bell*) in its tree;
//   2. for each other value of the tree as x, see whether `a` is the right
//      polynomial in x;
//   3. see whether the product is x * bell * constants = x * bell / 2.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Pow.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Patterns.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include <array>
#include <cmath>

namespace tenon {
#define GEN_PASS_DEF_FUSEGELUPASS
#include "dialects/Tenon/Transforms/FuseGelu.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;
using namespace tenon::match;

namespace {

// Spellings nest a few products; deeper trees are something else.
constexpr int maxDepth = 6;

/// c * f(argument) + c, f = erf or tanh.
struct Bell {
  Value value;
  Operation *function;
  double factor;
};

std::optional<Bell> matchBell(Value value) {
  auto add = value.getDefiningOp<AddOp>();
  if (!add)
    return std::nullopt;
  for (auto [curve, constant] : {std::pair(add.getLhs(), add.getRhs()),
                                 std::pair(add.getRhs(), add.getLhs())}) {
    std::optional<double> c = scalarOf(constant);
    if (!c)
      continue;
    double factor = 1;
    Value f = curve;
    if (auto mul = f.getDefiningOp<MulOp>())
      for (auto [a, b] : {std::pair(mul.getLhs(), mul.getRhs()),
                          std::pair(mul.getRhs(), mul.getLhs())})
        if (std::optional<double> scale = scalarOf(b)) {
          factor = *scale;
          f = a;
          break;
        }
    Operation *function = f.getDefiningOp();
    if (function && isa<ErfOp, TanhOp>(function) &&
        isNear(*c, factor, getElementTypeOrSelf(value)))
      return Bell{value, function, factor};
  }
  return std::nullopt;
}

/// Coefficients of a polynomial in x up to x^3.
using Polynomial = std::array<double, 4>;

std::optional<Polynomial> product(const Polynomial &a, const Polynomial &b) {
  Polynomial c{};
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < b.size(); ++j) {
      if (a[i] == 0 || b[j] == 0)
        continue;
      if (i + j >= c.size())
        return std::nullopt;
      c[i + j] += a[i] * b[j];
    }
  return c;
}

/// `value` read as a polynomial in `x`.
std::optional<Polynomial> polynomialOf(Value value, Value x, int depth = 0) {
  if (value == x)
    return Polynomial{0, 1, 0, 0};
  if (std::optional<double> c = scalarOf(value))
    return Polynomial{*c, 0, 0, 0};
  Operation *op = value.getDefiningOp();
  if (!op || depth >= maxDepth || !isa<AddOp, SubOp, MulOp, DivOp, PowOp>(op))
    return std::nullopt;
  auto a = polynomialOf(op->getOperand(0), x, depth + 1);
  auto b = polynomialOf(op->getOperand(1), x, depth + 1);
  if (!a || !b)
    return std::nullopt;
  if (isa<MulOp>(op))
    return product(*a, *b);
  bool constant = (*b)[1] == 0 && (*b)[2] == 0 && (*b)[3] == 0;
  double c = (*b)[0];
  if (isa<DivOp>(op)) {
    if (!constant || c == 0)
      return std::nullopt;
    for (double &coefficient : *a)
      coefficient /= c;
    return a;
  }
  if (isa<PowOp>(op)) {
    if (!constant || (c != 1 && c != 2 && c != 3))
      return std::nullopt;
    std::optional<Polynomial> power = a;
    for (int i = 1; i < int(c) && power; ++i)
      power = product(*power, *a);
    return power;
  }
  for (size_t i = 0; i < a->size(); ++i)
    (*a)[i] += isa<SubOp>(op) ? -(*b)[i] : (*b)[i];
  return a;
}

bool isGeluArgument(Operation *function, Value x) {
  std::optional<Polynomial> p = polynomialOf(function->getOperand(0), x);
  if (!p)
    return false;
  double linear = isa<ErfOp>(function) ? std::sqrt(0.5) : std::sqrt(2 / M_PI);
  double cubic = isa<ErfOp>(function) ? 0 : linear * 0.044715;
  Type type = getElementTypeOrSelf(x);
  return (*p)[0] == 0 && (*p)[2] == 0 && isNear((*p)[1], linear, type) &&
         isNear((*p)[3], cubic, type);
}

/// Values of the product's tree, itself excluded.
void collectTree(Value value, SmallVectorImpl<Value> &values, int depth = 0) {
  Operation *op = value.getDefiningOp();
  if (!op || depth >= maxDepth || !isa<MulOp, DivOp>(op))
    return;
  for (Value operand : op->getOperands()) {
    values.push_back(operand);
    collectTree(operand, values, depth + 1);
  }
}

struct Factors {
  double constant = 1;
  int x = 0, bell = 0;
  SmallVector<Operation *> ops;
};

/// Splits the product into x, bell and constants; false for anything else.
bool collectFactors(Value value, Value x, const Bell &bell, Factors &factors,
                    int depth = 0) {
  if (value == x)
    return ++factors.x == 1;
  if (value == bell.value) {
    factors.constant *= bell.factor;
    return ++factors.bell == 1;
  }
  if (std::optional<double> c = scalarOf(value)) {
    factors.constant *= *c;
    return true;
  }
  Operation *op = value.getDefiningOp();
  if (!op || depth >= maxDepth)
    return false;
  factors.ops.push_back(op);
  if (auto mul = dyn_cast<MulOp>(op))
    return collectFactors(mul.getLhs(), x, bell, factors, depth + 1) &&
           collectFactors(mul.getRhs(), x, bell, factors, depth + 1);
  if (auto div = dyn_cast<DivOp>(op)) {
    std::optional<double> c = scalarOf(div.getRhs());
    if (!c || *c == 0)
      return false;
    factors.constant /= *c;
    return collectFactors(div.getLhs(), x, bell, factors, depth + 1);
  }
  return false;
}

template <typename OpTy>
struct FuseGelu : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;

  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    if (!isa<FloatType>(op.getType().getElementType()))
      return rewriter.notifyMatchFailure(op, "is no float product");
    SmallVector<Value> tree;
    collectTree(op.getResult(), tree);
    for (Value value : tree) {
      std::optional<Bell> bell = matchBell(value);
      if (!bell)
        continue;
      for (Value x : tree) {
        if (x == value || x.getType() != op.getType())
          continue;
        Factors factors;
        if (!isGeluArgument(bell->function, x) ||
            !collectFactors(op.getResult(), x, *bell, factors) ||
            factors.x != 1 || factors.bell != 1 ||
            !isNear(factors.constant, 0.5, op.getType().getElementType()))
          continue;
        factors.ops.push_back(bell->function);
        factors.ops.push_back(bell->value.getDefiningOp());
        auto gelu = GeluOp::create(
            rewriter, fuseLocations(op.getContext(), factors.ops), op.getType(),
            x, isa<TanhOp>(bell->function));
        rewriter.replaceOp(op, gelu);
        return success();
      }
    }
    return rewriter.notifyMatchFailure(op, "is no product of x and 1 + erf");
  }
};

struct FuseGeluPass : tenon::impl::FuseGeluPassBase<FuseGeluPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateFuseGeluPatterns(patterns);
    if (failed(applyPatterns(*this, getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace

void tenon::populateFuseGeluPatterns(RewritePatternSet &patterns) {
  patterns.add<FuseGelu<MulOp>, FuseGelu<DivOp>>(patterns.getContext());
}
