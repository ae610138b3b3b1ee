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
// The zero point has to be known for an integer of 16 bits. Of a scale that the
// model computes the inverse is taken once, where it lies in a tenon.quotient's
// range: all mantissas of scales by the floats that lie next to where a code
// ends, 1.3 * 10^10 of them, have the division's codes.
//
// Where what follows saturates (ProductEpilogue.cpp) the lowest code needs no
// comparison: quotients far below, and NaN, become the least i32.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Quotient.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Emit/KernelEmitter.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/bit.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

struct Quantization {
  Value ratio;
  double low, zero = 0;
  Value zeroPoint = {}; ///< an integer of at most 16 bits, in place of `zero`
};

bool isCode(Type type) {
  auto integer = dyn_cast<IntegerType>(type);
  return integer && integer.getWidth() == 8;
}

std::optional<Quantization>
matchQuantization(CastOp op, function_ref<bool(Value)> isComputed) {
  double low = op.getTo().isUnsignedInteger() ? 0 : -128;
  auto least = op.getInput().getDefiningOp<MinOp>();
  auto most = least ? least.getLhs().getDefiningOp<MaxOp>() : nullptr;
  auto isNumber = [](Value v, double number) {
    return isOneElement(v) && match::scalarOf(v) == number;
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
    if (!isOneElement(zero))
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
  if (!round || !getElementTypeOrSelf(v.getType()).isF32())
    return std::nullopt;
  found.ratio = round.getInput();
  SmallVector<SymExpr> dims = getDims(op.getResult());
  SmallVector<Value> steps{op.getResult(), least.getResult(), most.getResult(),
                           v};
  if (sum)
    steps.push_back(sum.getResult());
  if (llvm::any_of(steps, [&](Value step) {
        return getDims(step) != dims || !isComputed(step);
      }))
    return std::nullopt;
  return found;
}

/// The integers nearest to q, which are small, and `up` more, as i32; where
/// `lowByte` the low byte alone counts.
Value roundToCodes(LaneBuilder &L, Value q, Value up, bool lowByte) {
  constexpr float unit = 0x1.8p23f; // of this and what is near it the last bit
  OpBuilder &b = L.b;
  Value sum = arith::AddFOp::create(b, L.loc, q, L.constant(q.getType(), unit));
  Value code = arith::BitcastOp::create(b, L.loc, L.vec(b.getI32Type()), sum);
  if (!lowByte) // which `unit` leaves alone
    up = L.sub(up, llvm::bit_cast<int32_t>(unit));
  return L.add(code, L.widen(up));
}

/// The integers nearest to q, ties to even; what i32 has no room for, and NaN,
/// is the least one. Of vectors of 512 bits.
Value roundToEven(LaneBuilder &L, Value q) {
  OpBuilder &b = L.b;
  Type type = L.vec(b.getI32Type());
  Value all = L.constantInt(b.getI16Type(), -1),
        asSet = L.constantInt(b.getI32Type(), 4); // by MXCSR
  return LLVM::CallIntrinsicOp::create(
             b, L.loc, type,
             b.getStringAttr("llvm.x86.avx512.mask.cvtps2dq.512"),
             ValueRange{q, L.constantInt(type, 0), all, asSet})
      .getResults();
}

} // namespace

/// x / scale, between its ends. What scales are moderate is tenon.quotient's.
Value KernelEmitter::quotientByNumber(Value x, Value scale,
                                      function_ref<Value(Value, Value)> clamp) {
  constexpr double least = 0x1p-60, most = 0x1p60;
  Value wide = L.widen(scale);
  Value inverse = arith::DivFOp::create(b, L.loc, L.constLike(scale, 1), scale);
  Value isModerate = L.both(L.ole(L.constLike(scale, least), scale),
                            L.ole(scale, L.constLike(scale, most)));
  return ifElse(
      isModerate, x.getType(),
      [&] { return emitQuotient(L, clamp(x, scale), wide, L.widen(inverse)); },
      [&] { return clamp(arith::DivFOp::create(b, L.loc, x, wide), {}); });
}

bool KernelEmitter::saturates(Value v) {
  constexpr double most = 255;
  auto op = v.getDefiningOp<CastOp>();
  auto codes =
      op ? matchQuantization(op, [&](Value v) { return !bound.count(v); })
         : std::nullopt;
  return codes && codes->low == 0 && std::abs(codes->zero) <= most;
}

Value KernelEmitter::emitQuantized(CastOp op, ArrayRef<Idx> idx,
                                   Value *zeroPoint, bool lowByte) {
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
  auto numberOf = [&](Value v) {
    return emit(v, SmallVector<Idx>(getDims(v).size(), L.uniform(0)));
  };
  // How far codes lie above the integers nearest to quotients.
  Value up = L.constantInt(i32, int64_t(codes->zero));
  if (codes->zeroPoint)
    up = L.extend(
        numberOf(codes->zeroPoint), i32,
        getElementTypeOrSelf(codes->zeroPoint.getType()).isUnsignedInteger());
  Value zero =
      codes->zeroPoint ? L.toFloat(up, f32) : L.constant(f32, codes->zero);
  // Between the ends of the quotients, times `factor`; NaN is the lowest.
  auto clamp = [&](Value x, Value factor) {
    auto end = [&](double code) -> Value {
      Value at = arith::SubFOp::create(b, L.loc, L.constant(f32, code), zero);
      return L.widen(factor ? arith::MulFOp::create(b, L.loc, at, factor) : at);
    };
    Value lowest = end(codes->low), highest = end(codes->low + 255);
    if (zeroPoint)
      return L.select(L.ogt(x, highest), highest, x);
    x = L.select(L.ogt(x, lowest), x, lowest);
    return L.select(L.ogt(highest, x), x, highest);
  };
  // By one number, for which NaN is where x is one, or 0 as well.
  Operation *ratio = codes->ratio.getDefiningOp();
  bool hasInverse = isa_and_nonnull<QuotientOp>(ratio);
  bool inverts =
      isa_and_nonnull<DivOp>(ratio) && correctsQuotients() && codes->low == 0;
  bool isByNumber = (hasInverse || inverts) && isComputed(codes->ratio) &&
                    llvm::all_of(ratio->getOperands().drop_front(),
                                 [](Value v) { return isOneElement(v); });
  SmallVector<SymExpr> dims = getDims(op.getResult());
  Value from = isByNumber ? ratio->getOperand(0) : codes->ratio;
  Value x = L.widen(emit(from, broadcastIndex(idx, getDims(from), dims))), q;
  if (!isByNumber) {
    q = clamp(x, {});
  } else if (hasInverse) {
    Value scale = numberOf(ratio->getOperand(1));
    Value inside = clamp(x, scale);
    if (correctsQuotients()) {
      Value inverse = numberOf(ratio->getOperand(2));
      Value rest = emitRestOfInverse(L, scale, inverse);
      q = emitKnownQuotient(L, inside, L.widen(inverse), L.widen(rest),
                            /*isFinite=*/true);
    } else {
      q = arith::DivFOp::create(b, L.loc, inside, L.widen(scale));
    }
  } else {
    Value scale = numberOf(ratio->getOperand(1));
    q = quotientByNumber(x, scale, clamp);
  }
  if (zeroPoint) {
    *zeroPoint = L.truncate(up, b.getI16Type());
    return roundToEven(L, q);
  }
  Value code = roundToCodes(L, q, up, lowByte);
  if (codes->low != 0) // a NaN's is 0
    code = L.select(L.isNan(x), L.constantInt(code.getType(), 0), code);
  if (lowByte)
    return code;
  if (to.isF32())
    return L.toFloat(code, f32);
  return to.isSignlessInteger(32) ? code : L.truncate(code, b.getI8Type());
}

} // namespace tenon
