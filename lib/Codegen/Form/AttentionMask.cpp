//===- AttentionMask.cpp - which keys a query may look at -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/AttentionMask.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/LoadPages.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Quotient.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonIndexValue.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/IR/Matchers.h"
#include "tenon/Codegen/Program.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/SaveAndRestore.h"
#include <cmath>
#include <cstdlib>

using namespace mlir;

namespace tenon {

namespace {

struct FindKeyMask {
  FindKeyMask(SmallVector<SymExpr> dims, Value products)
      : dims(std::move(dims)), products(products) {}

  SmallVector<SymExpr> dims; // of the scores
  Value products;
  IndexEvaluator values;
  KeyMask mask;
  SmallVector<KeyPadding> numbers;  // that vary from row to row
  DenseMap<Value, bool> varying[3]; // for each Axis
  /// What is visited is broadcast to the scores, with all its dims.
  bool isBroadcast = true;

  void visit(Value v);
  void visitCondition(Value condition, bool maskedWhen);
  bool visitComparison(CompareOp compare, bool maskedWhen);
  bool addPadding(Value v, KeyPadding::When when);
  bool addTerms(Value v, bool negative, ArrayRef<SymExpr> to, IndexValue &sum,
                SmallVectorImpl<KeyBound::Term> &terms);
  bool addPredicate(CompareKind kind, const IndexValue &value,
                    ArrayRef<KeyBound::Term> terms = {});
  bool isAligned(Value v);
  bool isElementOfScore(Value v);
  enum Axis { rows, keys, queries };
  bool varies(Value v, Axis axis);
};

std::optional<double> splatOf(Value v) {
  while (auto view = v.getDefiningOp<BroadcastToOp>())
    v = view.getInput();
  SplatElementsAttr splat;
  if (!matchPattern(v, m_Constant(&splat)) ||
      !isa<FloatType>(splat.getElementType()))
    return std::nullopt;
  return splat.getSplatValue<APFloat>().convertToDouble();
}

bool isLow(Value v) {
  std::optional<double> splat = splatOf(v);
  return splat && *splat <= kMasked;
}

/// Do the last two dims lie along those of the scores, or are 1?
bool FindKeyMask::isAligned(Value v) {
  SmallVector<SymExpr> own = getDims(v);
  return isBroadcastOf(ArrayRef(own).take_back(std::min<size_t>(own.size(), 2)),
                       dims);
}

/// Is the element for a score the one at its position in all dims?
bool FindKeyMask::isElementOfScore(Value v) {
  return isBroadcast && isBroadcastOf(getDims(v), dims);
}

/// May an element of `v`, which is aligned, depend on its row or on its key,
/// or at all on what the queries are?
bool FindKeyMask::varies(Value v, Axis axis) {
  if (v == products)
    return true;
  Operation *op = v.getDefiningOp();
  // Only pointwise ops lead to the products.
  if (!op ||
      !(isa<BroadcastToOp>(op) || op->hasTrait<OpTrait::Elementwise>())) {
    SmallVector<SymExpr> own = getDims(v);
    size_t fromEnd = axis == rows ? 2 : 1;
    return axis != queries && own.size() >= fromEnd &&
           own[own.size() - fromEnd].constant() != 1 && !splatOf(v);
  }
  auto known = varying[axis].find(v);
  if (known != varying[axis].end())
    return known->second;
  bool result =
      llvm::any_of(op->getOperands(), [&](Value o) { return varies(o, axis); });
  varying[axis][v] = result;
  return result;
}

/// Notes what has a value of its own for each key, or even for each score.
bool FindKeyMask::addPadding(Value v, KeyPadding::When when) {
  if (!isElementOfScore(v) || !varies(v, keys) || varies(v, queries))
    return false;
  bool varying = varies(v, rows);
  if (varying && when == KeyPadding::isLow) {
    numbers.push_back({v, when});
    return true;
  }
  mask.padding.push_back({v, when});
  mask.paddingVaries |= varying;
  return true;
}

/// `v` is added to the products, or made from them.
void FindKeyMask::visit(Value v) {
  Operation *op = v.getDefiningOp();
  if (v == products || !isAligned(v))
    return;
  bool isNumber = getElementTypeOrSelf(v.getType()).isF32();
  if (!op || !varies(v, rows)) {
    if (isNumber)
      addPadding(v, KeyPadding::isLow);
    return;
  }
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](AddOp add) {
        visit(add.getLhs());
        visit(add.getRhs());
      })
      .Case([&](MaxOp max) {
        // Keeps sums of several masks finite.
        for (unsigned i : {0, 1})
          if (isLow(max->getOperand(i)))
            visit(max->getOperand(1 - i));
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
      .Case([&](BroadcastToOp view) { visit(view.getInput()); })
      .Case([&](ReshapeOp view) {
        // Regroups the outer dims.
        SmallVector<SymExpr> from = getDims(view.getInput()), to = getDims(v);
        if (from.size() < 2 || to.size() < 2 ||
            ArrayRef(from).take_back(2) != ArrayRef(to).take_back(2))
          return;
        llvm::SaveAndRestore outer(isBroadcast, false);
        visit(view.getInput());
      })
      .Default([&](Operation *) {
        if (isNumber)
          addPadding(v, KeyPadding::isLow);
      });
}

void FindKeyMask::visitCondition(Value condition, bool maskedWhen) {
  if (!isAligned(condition))
    return;
  if (std::optional<IndexValue> value = values.lookup(condition)) {
    if (value->predicate)
      addPredicate(maskedWhen ? *value->predicate : negate(*value->predicate),
                   *value);
    return;
  }
  KeyPadding::When when = maskedWhen ? KeyPadding::isTrue : KeyPadding::isFalse;
  if (!varies(condition, rows)) {
    addPadding(condition, when);
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
  else if (auto compare = dyn_cast_or_null<CompareOp>(op);
           !compare || !visitComparison(compare, maskedWhen))
    addPadding(condition, when);
}

/// A comparison of the key's position with numbers that are data.
bool FindKeyMask::visitComparison(CompareOp compare, bool maskedWhen) {
  SmallVector<SymExpr> to = getDims(compare.getResult());
  IndexValue sum{0, SmallVector<SymExpr>(to.size(), SymExpr(0)), {}};
  SmallVector<KeyBound::Term> terms;
  return addTerms(compare.getLhs(), false, to, sum, terms) &&
         addTerms(compare.getRhs(), true, to, sum, terms) &&
         addPredicate(maskedWhen ? compare.getKind()
                                 : negate(compare.getKind()),
                      sum, terms);
}

/// Adds `v`, or what it is the sum of: affine parts to `sum`, data to `terms`.
bool FindKeyMask::addTerms(Value v, bool negative, ArrayRef<SymExpr> to,
                           IndexValue &sum,
                           SmallVectorImpl<KeyBound::Term> &terms) {
  // More terms than these, as large as they may be, could leave an i32.
  constexpr size_t kMostTerms = 2;
  Type element = getElementTypeOrSelf(v.getType());
  if (!element.isSignlessInteger(32) && !element.isSignlessInteger(64))
    return false;
  if (auto value = values.lookup(v); value && !value->predicate) {
    auto here = broadcastIndexValue(*value, getDims(v), to);
    if (!here)
      return false;
    SymExpr sign(negative ? -1 : 1);
    sum.offset = sum.offset + sign * here->offset;
    for (auto [own, c] : llvm::zip_equal(sum.coefficients, here->coefficients))
      own = own + sign * c;
    return true;
  }
  if (!varies(v, keys)) {
    terms.push_back({v, negative});
    return isElementOfScore(v) && terms.size() <= kMostTerms;
  }
  Operation *op = v.getDefiningOp();
  if (isa_and_nonnull<BroadcastToOp>(op))
    return addTerms(op->getOperand(0), negative, to, sum, terms);
  return isa_and_nonnull<AddOp, SubOp>(op) &&
         addTerms(op->getOperand(0), negative, to, sum, terms) &&
         addTerms(op->getOperand(1), negative != isa<SubOp>(op), to, sum,
                  terms);
}

/// Masked where `value` with the terms is so to 0.
bool FindKeyMask::addPredicate(CompareKind kind, const IndexValue &value,
                               ArrayRef<KeyBound::Term> terms) {
  // As positive: masked where offset + row*i + key*j + terms > 0.
  int64_t sign = kind == CompareKind::lt || kind == CompareKind::le ? -1 : 1;
  if (kind == CompareKind::eq || kind == CompareKind::ne)
    return false;
  SymExpr offset = value.offset * SymExpr(sign);
  if (kind == CompareKind::le || kind == CompareKind::ge)
    offset = offset + SymExpr(1);
  SmallVector<SymExpr> all(2, SymExpr(0)); // at least two dims
  llvm::append_range(all, value.coefficients);
  std::optional<int64_t> row = all[all.size() - 2].constant(),
                         key = all.back().constant();
  if (!row || !key || std::abs(*key) != 1 || std::abs(*row) > INT32_MAX ||
      llvm::any_of(ArrayRef(all).drop_back(2),
                   [](const SymExpr &c) { return c != SymExpr(0); }))
    return false;
  // Positive key: above -(offset + row*i + terms); else below that sum.
  bool upper = sign * *key > 0;
  int64_t side = upper ? -1 : 1;
  KeyBound bound{upper, SymExpr(side) * offset, side * sign * *row};
  for (const KeyBound::Term &term : terms) {
    bound.terms.push_back({term.value, term.negative != (side * sign < 0)});
    bound.termsVary |= varies(term.value, rows);
  }
  mask.bounds.push_back(std::move(bound));
  return true;
}

} // namespace

KeyMask findKeyMask(Value scores, Value products) {
  FindKeyMask find{getDims(scores), products};
  find.visit(scores);
  // Numbers for each score may all be a bias: not worth a look beside a mask.
  if (find.mask.empty() && !find.numbers.empty()) {
    find.mask.padding = std::move(find.numbers);
    find.mask.paddingVaries = true;
  }
  return std::move(find.mask);
}

namespace {

/// What elements are where those of one tensor are 0, whatever others are.
struct AtZero {
  explicit AtZero(Value zero) : zero(zero) {}

  Value zero;
  DenseMap<Value, std::optional<double>> known;

  std::optional<double> find(Value v);
  std::optional<double> compute(Value v);
};

std::optional<double> AtZero::find(Value v) {
  if (v == zero)
    return 0;
  if (auto it = known.find(v); it != known.end())
    return it->second;
  std::optional<double> result = compute(v);
  known[v] = result;
  return result;
}

std::optional<double> AtZero::compute(Value v) {
  Operation *op = v.getDefiningOp();
  if (auto constant = dyn_cast_or_null<ConstantOp>(op)) {
    auto splat = dyn_cast<SplatElementsAttr>(constant.getValue());
    if (!splat)
      return std::nullopt;
    if (auto integer = dyn_cast<IntegerType>(splat.getElementType())) {
      APInt value = splat.getSplatValue<APInt>();
      return integer.isUnsigned() ? value.roundToDouble()
                                  : value.signedRoundToDouble();
    }
    return splatOf(v);
  }
  if (!op || !(isa<BroadcastToOp>(op) || op->hasTrait<OpTrait::Elementwise>()))
    return std::nullopt;
  SmallVector<std::optional<double>> of;
  for (Value operand : op->getOperands())
    of.push_back(find(operand));
  bool both = of.size() == 2 && of[0] && of[1];
  double x = of[0].value_or(1), y = of.size() == 2 ? of[1].value_or(1) : 1;
  using Result = std::optional<double>;
  auto ofBoth = [&](double number) { return both ? Result(number) : Result(); };
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case<BroadcastToOp, RoundOp>(
          [&](auto) { return of[0] && x == std::trunc(x) ? of[0] : Result(); })
      .Case([&](CastOp cast) -> Result {
        // Small integers, which all of these types have.
        Type to = cast.getTo();
        unsigned least = isa<FloatType>(to) ? 16 : 8;
        double lowest = to.isUnsignedInteger() ? 0 : -128;
        return of[0] && x == std::trunc(x) && x >= lowest && x <= 127 &&
                       to.getIntOrFloatBitWidth() >= least
                   ? of[0]
                   : Result();
      })
      .Case([&](MulOp) { return x == 0 || y == 0 ? Result(0) : ofBoth(x * y); })
      .Case<DivOp, QuotientOp>(
          [&](auto) { return x == 0 ? Result(0) : Result(); })
      .Case([&](AddOp) { return ofBoth(x + y); })
      .Case([&](SubOp) { return ofBoth(x - y); })
      .Case([&](MaxOp) { return ofBoth(std::max(x, y)); })
      .Case([&](MinOp) { return ofBoth(std::min(x, y)); })
      .Case([&](SelectOp) { return of[1] == of[2] ? of[1] : Result(); })
      .Default([](Operation *) { return Result(); });
}

} // namespace

bool keepsZero(Value probabilities, Value weights) {
  return AtZero(probabilities).find(weights) == 0.0;
}

/// Of one attention. The last query stands at the last key.
static int64_t windowOf(PackedMatMulOp products, SoftmaxOp softmax,
                        PackedMatMulOp output) {
  if (!keepsZero(softmax.getResult(), output.getLhs()))
    return 0;
  SmallVector<SymExpr> dims = getDims(products.getResult());
  SymExpr before = dims.back() - dims.end()[-2];
  int64_t window = 0;
  for (const KeyBound &bound :
       findKeyMask(softmax.getInput(), products.getResult()).bounds) {
    auto own = (before - bound.offset + SymExpr(1)).constant();
    if (!bound.upper && bound.terms.empty() && bound.slope == 1 && own &&
        *own >= 1 && (!window || *own < window))
      window = *own;
  }
  return window;
}

int64_t findWindow(ModuleOp graph) {
  int64_t window = 0;
  WalkResult all = graph.walk([&](KernelOp kernel) {
    Block &body = kernel.getBody().front();
    if (body.getOps<LoadPagesOp>().empty())
      return WalkResult::advance();
    auto products = body.getOps<PackedMatMulOp>();
    auto softmaxes = body.getOps<SoftmaxOp>();
    if (kernel.getKind() != KernelKind::attention || products.empty() ||
        softmaxes.empty())
      return WalkResult::interrupt();
    int64_t own = windowOf(*products.begin(), *softmaxes.begin(),
                           *std::next(products.begin()));
    window = std::max(window, own);
    return own ? WalkResult::advance() : WalkResult::interrupt();
  });
  return all.wasInterrupted() ? 0 : window;
}

} // namespace tenon
