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
// below 2^9: the code comes back, where the scale leaves x a normal number.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/Requantize.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Quotient.h"
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

/// The codes that `op` gives back, moved; null where it makes others.
Value codesOf(CastOp op) {
  std::optional<Quantization> made = matchQuantized(op);
  if (!made || getDims(made->of) != getDims(op.getResult()))
    return nullptr;
  SmallVector<Operation *> moves;
  Value v = made->of;
  while (Operation *move = v.getDefiningOp()) {
    bool moved = isReshape(move) || isTranspose(move) || isSlice(move) ||
                 isa<BroadcastToOp, GatherOp>(move);
    if (!moved || move->hasAttr("tenon.value"))
      break;
    moves.push_back(move);
    v = move->getOperand(0);
  }
  std::optional<Quantization> from = matchDequantized(v);
  if (!from || from->scale != made->scale || from->zero != made->zero ||
      !(made->scale > 0x1p-100 && made->scale < 0x1p100))
    return nullptr;
  Type type = getElementTypeOrSelf(from->of.getType());
  if (type != op.getTo())
    return nullptr;
  OpBuilder b(op);
  Value codes = from->of;
  for (Operation *move : llvm::reverse(moves)) {
    IRMapping map;
    map.map(move->getOperand(0), codes);
    Operation *moved = b.clone(*move, map);
    codes = moved->getResult(0);
    codes.setType(getTensorType(getDims(move->getResult(0)), type));
  }
  return codes;
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
  root->walk([&](CastOp op) { casts.push_back(op); });
  for (CastOp op : casts)
    if (!op->hasAttr("tenon.value"))
      if (Value codes = codesOf(op)) {
        noteApplied("tenon-pack-matmul", op, "DropRequantized");
        op.getResult().replaceAllUsesWith(codes);
        op.erase();
      }
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
