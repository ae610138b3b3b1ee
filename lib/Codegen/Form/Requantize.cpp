//===- Requantize.cpp - codes that become codes again ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// QuantizeLinear of DequantizeLinear, as the importer writes them out:
//
//   cast(min(max(round(x / scale) + zero, low), high))   x = cast(code - zero)
//   * scale
//
// x / scale is off by less than two roundings, far less than a half for numbers
// below 2^9: the code comes back, where the scale leaves x a normal number. The
// largest of several such numbers is that of the largest code.
//
// Codes with a sign become codes without one first, 128 higher, as products
// take them: what else reads them would keep a second form of each.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/Requantize.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Depthwise.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Quotient.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "lib/Codegen/Form/StoredCodes.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/bit.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace tenon {

namespace {

/// The one number that a constant has.
std::optional<double> numberOf(Value v) {
  return isOneElement(v) ? match::scalarOf(v) : std::nullopt;
}

bool isCode(Type type) {
  auto integer = dyn_cast<IntegerType>(type);
  return integer && integer.getWidth() == 8;
}

struct Quantization {
  Value of; ///< codes, or numbers
  double scale, zero;
  DivOp ratio = {}; ///< of numbers, by the scale
};

/// What codes `v` stands for.
std::optional<Quantization> matchDequantized(Value v) {
  auto product = v.getDefiningOp<MulOp>();
  auto scale = product ? numberOf(product.getRhs()) : std::nullopt;
  auto cast = product ? product.getLhs().getDefiningOp<CastOp>() : nullptr;
  if (!scale || !cast || !cast.getTo().isF32())
    return std::nullopt;
  Quantization found{cast.getInput(), *scale, 0};
  if (auto less = found.of.getDefiningOp<SubOp>()) {
    auto zero = numberOf(less.getRhs());
    if (!zero || !getElementTypeOrSelf(less.getType()).isSignlessInteger(32))
      return std::nullopt;
    found.zero = *zero;
    found.of = less.getLhs();
  }
  if (auto wide = found.of.getDefiningOp<CastOp>();
      wide && wide.getTo().isSignlessInteger(32))
    found.of = wide.getInput();
  if (!isCode(getElementTypeOrSelf(found.of.getType())) ||
      getDims(found.of) != getDims(v))
    return std::nullopt;
  return found;
}

/// The numbers that become codes.
std::optional<Quantization> matchQuantized(CastOp op) {
  auto least = op.getInput().getDefiningOp<MinOp>();
  auto most = least ? least.getLhs().getDefiningOp<MaxOp>() : nullptr;
  if (!isCode(op.getTo()) || !most)
    return std::nullopt;
  double low = op.getTo().isUnsignedInteger() ? 0 : -128;
  if (numberOf(most.getRhs()) != low || numberOf(least.getRhs()) != low + 255)
    return std::nullopt;
  Quantization found{most.getLhs(), 0, 0};
  if (auto sum = found.of.getDefiningOp<AddOp>()) {
    auto zero = numberOf(sum.getRhs());
    if (!zero)
      return std::nullopt;
    found.zero = *zero;
    found.of = sum.getLhs();
  }
  auto round = found.of.getDefiningOp<RoundOp>();
  auto ratio = round ? round.getInput().getDefiningOp<DivOp>() : nullptr;
  auto scale = ratio ? numberOf(ratio.getRhs()) : std::nullopt;
  if (!scale || !getElementTypeOrSelf(ratio.getType()).isF32())
    return std::nullopt;
  found.scale = *scale;
  found.of = ratio.getLhs();
  found.ratio = ratio;
  return found;
}

/// Numbers that stand for codes of one scale and zero point, moved, joined and
/// compared, as these codes.
class Numbers {
public:
  Numbers(Quantization form, Type type) : form(form), type(type) {}
  /// Null where `v` is other numbers.
  Value codesOf(Value v) {
    auto [it, fresh] = known.try_emplace(v);
    if (!fresh)
      return it->second;
    Value codes = find(v);
    return known[v] = codes;
  }
  /// Removes what was made on the way to none.
  void forget() {
    for (Operation *op : llvm::reverse(made))
      op->erase();
  }

private:
  Value find(Value v);
  Value outside(PadOp op);

  Quantization form;
  Type type;
  DenseMap<Value, Value> known;
  SmallVector<Operation *> made;
};

/// What stands for a pad's number; null where no code does.
Value Numbers::outside(PadOp op) {
  std::optional<double> number = numberOf(op.getValue());
  double low = type.isUnsignedInteger() ? 0 : -128;
  if (!number || (*number != 0 && *number != -HUGE_VAL))
    return nullptr;
  double code = *number == 0 ? form.zero : low;
  if (code < low || code > low + 255 || code != std::trunc(code))
    return nullptr;
  OpBuilder b(op);
  auto one = RankedTensorType::get(
      cast<RankedTensorType>(op.getValue().getType()).getShape(), type);
  auto constant = ConstantOp::create(
      b, op.getLoc(), one,
      DenseElementsAttr::get(one, APInt(8, uint64_t(int64_t(code)) & 255)));
  made.push_back(constant);
  return constant;
}

Value Numbers::find(Value v) {
  if (std::optional<Quantization> from = matchDequantized(v)) {
    bool same = from->scale == form.scale && from->zero == form.zero &&
                getElementTypeOrSelf(from->of.getType()) == type;
    return same ? from->of : Value();
  }
  Operation *op = v.getDefiningOp();
  if (!op || op->hasAttr("tenon.value"))
    return nullptr;
  bool moves = isReshape(op) || isTranspose(op) || isSlice(op) ||
               isa<BroadcastToOp, GatherOp, PadOp>(op);
  if (!moves && !isa<MaxOp, MinOp, ConcatOp>(op))
    return nullptr;
  IRMapping map;
  for (Value operand :
       moves ? op->getOperands().take_front() : ValueRange(op->getOperands())) {
    Value codes = codesOf(operand);
    if (!codes)
      return nullptr;
    map.map(operand, codes);
  }
  if (auto pad = dyn_cast<PadOp>(op); pad && pad.getValue()) {
    Value code = outside(pad);
    if (!code)
      return nullptr;
    map.map(pad.getValue(), code);
  }
  OpBuilder b(op);
  made.push_back(b.clone(*op, map));
  Value codes = made.back()->getResult(0);
  codes.setType(getTensorType(getDims(v), type));
  return codes;
}

/// The codes that `op` gives back, moved; null where it makes others.
Value codesOf(CastOp op) {
  std::optional<Quantization> made = matchQuantized(op);
  if (!made || getDims(made->of) != getDims(op.getResult()) ||
      !(made->scale > 0x1p-100 && made->scale < 0x1p100))
    return nullptr;
  Numbers numbers(*made, op.getTo());
  Value codes = numbers.codesOf(made->of);
  if (!codes)
    numbers.forget();
  return codes;
}

/// Rounded numbers that become codes with a sign, read as integers alone.
std::optional<Quantization> matchSigned(CastOp op) {
  auto least = op.getInput().getDefiningOp<MinOp>();
  auto most = least ? least.getLhs().getDefiningOp<MaxOp>() : nullptr;
  if (!isCode(op.getTo()) || op.getTo().isUnsignedInteger() || !most ||
      numberOf(most.getRhs()) != -128 || numberOf(least.getRhs()) != 127 ||
      !getElementTypeOrSelf(most.getType()).isF32() ||
      op->hasAttr("tenon.value") ||
      llvm::any_of(op->getUsers(), [](Operation *user) {
        auto wide = dyn_cast<CastOp>(user);
        return !wide || !wide.getTo().isSignlessInteger(32) ||
               wide->hasAttr("tenon.value");
      }))
    return std::nullopt;
  Quantization found{most.getLhs(), 0, 0};
  if (auto sum = found.of.getDefiningOp<AddOp>()) {
    auto zero = numberOf(sum.getRhs());
    if (!zero || *zero != std::trunc(*zero))
      return std::nullopt;
    found.zero = *zero;
    found.of = sum.getLhs();
  }
  if (!found.of.getDefiningOp<RoundOp>() ||
      getDims(found.of) != getDims(op.getResult()))
    return std::nullopt;
  return found;
}

/// `v` and a number, of its type.
template <typename OpTy>
Value withNumber(OpBuilder &b, Value v, double number) {
  auto type = RankedTensorType::get({}, getElementTypeOrSelf(v.getType()));
  Attribute value =
      isa<FloatType>(type.getElementType())
          ? Attribute(b.getFloatAttr(type.getElementType(), number))
          : Attribute(b.getIntegerAttr(type.getElementType(), number));
  Value constant = ConstantOp::create(b, v.getLoc(), type,
                                      DenseElementsAttr::get(type, value));
  return OpTy::create(b, v.getLoc(), v, constant);
}

void makeUnsigned(CastOp op, const Quantization &found) {
  constexpr double up = 128;
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value v = found.of;
  if (found.zero != -up)
    v = withNumber<AddOp>(b, v, found.zero + up);
  v = withNumber<MaxOp>(b, v, 0);
  v = withNumber<MinOp>(b, v, 255);
  auto castTo = [&](Value x, Type type) -> Value {
    return CastOp::create(b, loc, x, TypeAttr::get(type), UnitAttr(),
                          RoundModeAttr());
  };
  Value wide = castTo(castTo(v, b.getIntegerType(8, /*isSigned=*/false)),
                      b.getI32Type());
  for (Operation *user : llvm::make_early_inc_range(op->getUsers())) {
    Value old = user->getResult(0);
    for (Operation *reader : llvm::make_early_inc_range(old.getUsers())) {
      auto less = dyn_cast<SubOp>(reader);
      auto zero =
          less && less.getLhs() == old ? numberOf(less.getRhs()) : std::nullopt;
      if (!zero || less->hasAttr("tenon.value"))
        continue;
      b.setInsertionPoint(less);
      double point = *zero + up;
      less.getResult().replaceAllUsesWith(
          point == 0 ? wide : withNumber<SubOp>(b, wide, point));
      less.erase();
    }
    b.setInsertionPoint(user);
    if (!old.use_empty())
      old.replaceAllUsesWith(withNumber<SubOp>(b, wide, up));
    user->erase();
  }
  // What nothing uses any more would hide that a quotient is rounded alone.
  Operation *dead = op.getInput().getDefiningOp();
  op.erase();
  while (dead && dead->use_empty()) {
    Operation *next = dead->getOperand(0).getDefiningOp();
    dead->erase();
    dead = next;
  }
}

/// The numbers of an image of channels alone are made of a view of codes, not
/// viewed themselves: the convolution makes them where it reads them.
void widenImage(DepthwiseOp op) {
  auto view = op.getInput().getDefiningOp<ReshapeOp>();
  Value codes = view ? codesBehind(view.getInput()) : Value();
  if (!codes || view->hasAttr("tenon.value"))
    return;
  OpBuilder b(op);
  SmallVector<Operation *> chain;
  for (Value v = view.getInput(); v != codes; v = chain.back()->getOperand(0))
    chain.push_back(v.getDefiningOp());
  SmallVector<SymExpr> dims = getDims(view.getResult());
  Value v = createReshape(b, op.getLoc(), codes, dims);
  for (Operation *step : llvm::reverse(chain)) {
    IRMapping map;
    map.map(step->getOperand(0), v);
    v = b.clone(*step, map)->getResult(0);
    v.setType(getTensorType(dims, getElementTypeOrSelf(v)));
  }
  op.getInputMutable().assign(v);
}

} // namespace

double boundRow(Value codes, Value zero) {
  constexpr double none = std::numeric_limits<double>::infinity();
  std::optional<double> point = zero ? numberOf(zero) : 0.0;
  double times = 1; // what the numbers behind the codes add up to
  for (;;) {
    auto op = codes.getDefiningOp<CastOp>();
    std::optional<Quantization> made = op ? matchQuantized(op) : std::nullopt;
    if (!made || !(made->scale > 0) || made->zero != point)
      return none;
    // A quotient below a half becomes 0, any other at most twice itself.
    times *= 2 / made->scale;
    Value v = made->of;
    while (auto select = v.getDefiningOp<SelectOp>()) { // some become 0
      if (numberOf(select.getLhs()) == 0.0)
        v = select.getRhs();
      else if (numberOf(select.getRhs()) == 0.0)
        v = select.getLhs();
      else
        return none;
    }
    if (auto softmax = v.getDefiningOp<SoftmaxOp>())
      return softmax.getLog() ? none : 2 * times; // 1 and all roundings
    std::optional<Quantization> from = matchDequantized(v);
    if (!from)
      return none;
    times *= std::abs(from->scale);
    codes = from->of;
    point = from->zero;
  }
}

void dropRequantized(Operation *root) {
  SmallVector<CastOp> casts;
  root->walk([&](CastOp op) {
    if (isCode(op.getTo()))
      casts.push_back(op);
  });
  for (CastOp &op : casts)
    if (std::optional<Quantization> found = matchSigned(op)) {
      makeUnsigned(op, *found);
      op = {};
    }
  casts.clear();
  root->walk([&](CastOp op) { casts.push_back(op); });
  for (CastOp op : casts)
    if (!op->hasAttr("tenon.value"))
      if (Value codes = codesOf(op)) {
        noteApplied("tenon-pack-matmul", op, "DropRequantized");
        op.getResult().replaceAllUsesWith(codes);
        op.erase();
      }
  root->walk([](DepthwiseOp op) { widenImage(op); });
}

/// A number of which, once it is rounded, a few low bits and infinities count.
static bool isRoundedAlone(DivOp ratio) {
  return ratio->hasOneUse() && ratio->getUsers().begin()->hasOneUse();
}

/// Is fma(x, inverse, x * rest) the quotient of all x by y, with the number
/// nearest to 1 / y and what it lacks? The sum is off by less than 2^-43 of it.
/// Only of quotients so near to the middle between two floats may it be
/// another: of x = X / 2^23 and y = S / 2^23 these are X * 2^e = O * S + r for
/// an odd O of 25 bits and a small r, which few X solve.
static bool givesQuotients(float scale) {
  constexpr int64_t most = 64;
  constexpr uint64_t least = 1 << 23; // of 24 bits
  int exponent;
  float y = 2 * std::frexp(scale, &exponent); // in [1, 2)
  float inverse = 1 / y, rest = std::fma(-inverse, y, 1.0f) * inverse;
  auto gives = [&](uint64_t of) {
    float x = float(of);
    return std::fma(x, inverse, x * rest) == x / y;
  };
  uint64_t S = uint64_t(std::ldexp(y, 23));
  unsigned zeros = llvm::countr_zero(S);
  uint64_t odd = S >> zeros, ofOdd = odd; // its inverse modulo 2^64
  for (int i = 0; i < 5; ++i)
    ofOdd *= 2 - odd * ofOdd;
  for (unsigned e : {24, 25}) // X is at least S, or below
    for (int64_t r = -most; r <= most; ++r) {
      if (r == 0 || r & ((int64_t(1) << zeros) - 1))
        continue;
      uint64_t step = uint64_t(1) << (e - zeros);
      for (uint64_t O = (-uint64_t(r >> zeros) * ofOdd) & (step - 1);
           O < 4 * least; O += step) {
        uint64_t X = (O * S + r) >> e;
        bool isCase = O > 2 * least && O & 1 && X >= least && X < 2 * least &&
                      (X >= S) == (e == 24);
        if (isCase && !gives(X))
          return false;
      }
    }
  return true;
}

void divideByInverses(Operation *root) {
  constexpr double least = 0x1p-60, most = 0x1p60;
  root->walk([&](CastOp op) {
    std::optional<Quantization> made = matchQuantized(op);
    if (!made || !isRoundedAlone(made->ratio) || !(made->scale >= least) ||
        !(made->scale <= most) || made->of.getDefiningOp<ConstantOp>() ||
        !givesQuotients(float(made->scale)))
      return;
    DivOp ratio = made->ratio;
    OpBuilder b(ratio);
    auto type = cast<RankedTensorType>(ratio.getRhs().getType());
    Value inverse = ConstantOp::create(
        b, ratio.getLoc(), type,
        DenseElementsAttr::get(type, 1.0f / float(made->scale)));
    Value quotient = QuotientOp::create(b, ratio.getLoc(), ratio.getLhs(),
                                        ratio.getRhs(), inverse);
    if (Attribute name = ratio->getAttr("tenon.value"))
      quotient.getDefiningOp()->setAttr("tenon.value", name);
    ratio.getResult().replaceAllUsesWith(quotient);
    ratio.erase();
  });
}

} // namespace tenon
