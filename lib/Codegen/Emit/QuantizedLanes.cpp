//===- QuantizedLanes.cpp - codes of numbers on lanes ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   cast(min(max(round(x / scale) + zero, low), high))
//
// where low and high are the ends of the codes' type is what a product of codes
// ends with, often several times. x is clamped first, by the numbers that low
// and high stand for: rounded, they are still far nearer to their codes than to
// others. Then the quotient is finite, and so small that f32 rounds it to an
// integer where 1.5 * 2^23 is added, which is the low half of the sum's bits.
// Half of the operations are left, and the code is an i32, as what makes a
// number of it again wants it.
//
// The zero point has to be known for an integer of 16 bits, and the scale for
// one number, which a tenon.quotient's is in [2^-60, 2^60].
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Quotient.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Emit/KernelEmitter.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"
#include "llvm/ADT/bit.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

struct Quantization {
  QuotientOp ratio;
  double low, zero = 0;
  Value zeroPoint = {}; ///< an integer of at most 16 bits, in place of `zero`
};

bool isCode(Type type) {
  auto integer = dyn_cast<IntegerType>(type);
  return integer && integer.getWidth() == 8;
}

bool isOne(Value v) { return productOf(getDims(v)) == SymExpr(1); }

std::optional<Quantization>
matchQuantization(CastOp op, function_ref<bool(Value)> isComputed) {
  double low = op.getTo().isUnsignedInteger() ? 0 : -128;
  auto least = op.getInput().getDefiningOp<MinOp>();
  auto most = least ? least.getLhs().getDefiningOp<MaxOp>() : nullptr;
  auto isNumber = [](Value v, double number) {
    return isOne(v) && match::scalarOf(v) == number;
  };
  if (!isCode(op.getTo()) || !most || !isNumber(most.getRhs(), low) ||
      !isNumber(least.getRhs(), low + 255))
    return std::nullopt;
  Quantization found{{}, low};
  Value v = most.getLhs();
  auto sum = v.getDefiningOp<AddOp>();
  if (sum) {
    Value zero = sum.getRhs();
    auto cast = zero.getDefiningOp<CastOp>();
    auto type = cast ? dyn_cast<IntegerType>(
                           getElementTypeOrSelf(cast.getInput().getType()))
                     : IntegerType();
    constexpr unsigned mostBits = 16;
    if (!isOne(zero))
      return std::nullopt;
    if (std::optional<double> number = match::scalarOf(zero)) {
      found.zero = *number;
      if (*number != std::trunc(*number) || std::abs(*number) > 1 << 15)
        return std::nullopt;
    } else if (type && type.getWidth() >= 8 && type.getWidth() <= mostBits) {
      found.zeroPoint = cast.getInput();
    } else {
      return std::nullopt;
    }
    v = sum.getLhs();
  }
  auto round = v.getDefiningOp<RoundOp>();
  found.ratio = round ? round.getInput().getDefiningOp<QuotientOp>() : nullptr;
  if (!found.ratio || !isOne(found.ratio.getRhs()) ||
      !isOne(found.ratio.getInverse()))
    return std::nullopt;
  SmallVector<SymExpr> dims = getDims(op.getResult());
  SmallVector<Value> steps{op.getResult(), least.getResult(), most.getResult(),
                           v, found.ratio.getResult()};
  if (sum)
    steps.push_back(sum.getResult());
  if (llvm::any_of(steps, [&](Value step) {
        return getDims(step) != dims || !isComputed(step);
      }))
    return std::nullopt;
  return found;
}

} // namespace

Value KernelEmitter::emitQuantized(CastOp op, ArrayRef<Idx> idx) {
  if (L.lanes == 1 ||
      llvm::all_of(idx, [](const Idx &i) { return i.isUniform(); }))
    return {};
  Type to = op.getTo(), i32 = b.getI32Type(), f32 = b.getF32Type();
  CastOp made = op;
  if (to.isSignlessInteger(32) || to.isF32())
    made = op.getInput().getDefiningOp<CastOp>();
  auto isComputed = [&](Value v) { return !bound.count(v); };
  std::optional<Quantization> codes =
      made ? matchQuantization(made, isComputed) : std::nullopt;
  if (!codes)
    return {};
  SmallVector<SymExpr> dims = getDims(op.getResult());
  Value numbers = codes->ratio.getLhs();
  Value x = L.widen(emit(numbers, broadcastIndex(idx, getDims(numbers), dims)));
  auto numberOf = [&](Value v) {
    return emit(v, SmallVector<Idx>(getDims(v).size(), L.uniform(0)));
  };
  Value scale = numberOf(codes->ratio.getRhs());
  Value inverse = L.widen(numberOf(codes->ratio.getInverse()));
  // How far codes lie above the integers nearest to quotients.
  Value up = L.constantInt(i32, int64_t(codes->zero));
  if (codes->zeroPoint)
    up = L.extend(
        numberOf(codes->zeroPoint), i32,
        getElementTypeOrSelf(codes->zeroPoint.getType()).isUnsignedInteger());
  Value zero =
      codes->zeroPoint ? L.toFloat(up, f32) : L.constant(f32, codes->zero);
  auto numberAt = [&](double code) -> Value {
    Value steps = arith::SubFOp::create(b, L.loc, L.constant(f32, code), zero);
    return L.widen(arith::MulFOp::create(b, L.loc, steps, scale));
  };
  Value lowest = numberAt(codes->low), highest = numberAt(codes->low + 255);
  Value inside = L.select(L.ogt(x, lowest), x, lowest); // NaN is lowest
  inside = L.select(L.ogt(highest, inside), inside, highest);
  Value q = emitQuotient(L, inside, L.widen(scale), inverse,
                         correctsQuotients(), /*isFinite=*/true);
  constexpr float unit = 0x1.8p23f; // of this and what is near it the last bit
  Value sum = arith::AddFOp::create(b, L.loc, q, L.constant(q.getType(), unit));
  Value code = arith::BitcastOp::create(b, L.loc, L.vec(i32), sum);
  up = L.sub(up, llvm::bit_cast<int32_t>(unit));
  code = L.add(code, L.widen(up));
  if (codes->low != 0) // a NaN's is 0
    code = L.select(L.isNan(x), L.constantInt(code.getType(), 0), code);
  if (to.isF32())
    return L.toFloat(code, f32);
  return to.isSignlessInteger(32) ? code : L.truncate(code, b.getI8Type());
}

} // namespace tenon
