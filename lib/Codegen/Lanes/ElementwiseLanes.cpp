//===- ElementwiseLanes.cpp - elementwise ops on lanes --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Lanes/ElementwiseLanes.h"
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/FMod.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mod.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/Ops/Pow.h"
#include "dialects/Tenon/IR/Ops/Quotient.h"
#include "dialects/Tenon/IR/Ops/Sign.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Codegen/Lanes/CastLanes.h"
#include "lib/Codegen/Math/ExpandMathEmitter.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

/// Arithmetic on values of one tenon element type.
struct Ops {
  LaneBuilder &L;
  Type element;
  OpBuilder &b = L.b;
  Location loc = L.loc;
  bool isFloat = isa<FloatType>(element);
  bool isUnsigned = element.isUnsignedInteger();
  bool isBool = element.isInteger(1);

  template <typename F, typename... Args>
  Value make(Args... args) {
    return F::create(b, loc, args...);
  }
  Value c(Value like, double v) { return L.constLike(like, v); }
  static bool isF32(Value x) {
    return getElementTypeOrSelf(x.getType()).isF32();
  }
  Value compare(CompareKind kind, Value x, Value y) {
    if (isFloat) {
      static constexpr arith::CmpFPredicate preds[] = {
          arith::CmpFPredicate::OEQ, arith::CmpFPredicate::UNE,
          arith::CmpFPredicate::OLT, arith::CmpFPredicate::OLE,
          arith::CmpFPredicate::OGT, arith::CmpFPredicate::OGE};
      return arith::CmpFOp::create(b, loc, preds[(int)kind], x, y);
    }
    static constexpr arith::CmpIPredicate sp[] = {
        arith::CmpIPredicate::eq,  arith::CmpIPredicate::ne,
        arith::CmpIPredicate::slt, arith::CmpIPredicate::sle,
        arith::CmpIPredicate::sgt, arith::CmpIPredicate::sge};
    static constexpr arith::CmpIPredicate up[] = {
        arith::CmpIPredicate::eq,  arith::CmpIPredicate::ne,
        arith::CmpIPredicate::ult, arith::CmpIPredicate::ule,
        arith::CmpIPredicate::ugt, arith::CmpIPredicate::uge};
    bool u = isUnsigned || isBool;
    return arith::CmpIOp::create(b, loc, (u ? up : sp)[(int)kind], x, y);
  }
  Value select(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
  Value add(Value x, Value y) {
    return isFloat ? make<arith::AddFOp>(x, y) : make<arith::AddIOp>(x, y);
  }
  Value sub(Value x, Value y) {
    return isFloat ? make<arith::SubFOp>(x, y) : make<arith::SubIOp>(x, y);
  }
  Value mul(Value x, Value y) {
    return isFloat ? make<arith::MulFOp>(x, y) : make<arith::MulIOp>(x, y);
  }
  Value neg(Value x) {
    return isFloat ? make<arith::NegFOp>(x) : sub(c(x, 0), x);
  }
  /// Integer division that never traps: by 0 gives 0, INT_MIN / -1 wraps.
  Value divInt(Value x, Value y) {
    Value zero = compare(CompareKind::eq, y, c(y, 0));
    Value safe = select(zero, c(y, 1), y);
    if (isUnsigned)
      return select(zero, c(y, 0), make<arith::DivUIOp>(x, safe));
    Value minusOne = compare(CompareKind::eq, y, c(y, -1));
    Value q = make<arith::DivSIOp>(x, select(minusOne, c(y, 1), safe));
    q = select(minusOne, neg(x), q);
    return select(zero, c(y, 0), q);
  }
  Value remInt(Value x, Value y) { return sub(x, mul(divInt(x, y), y)); }
  /// A constant, in all lanes.
  static std::optional<APFloat> numberOf(Value v) {
    if (auto all = v.getDefiningOp<vector::BroadcastOp>())
      v = all.getSource();
    Attribute value;
    if (!matchPattern(v, m_Constant(&value)))
      return std::nullopt;
    if (auto splat = dyn_cast<SplatElementsAttr>(value))
      value = splat.getSplatValue<Attribute>();
    auto number = dyn_cast<FloatAttr>(value);
    return number ? std::optional(number.getValue()) : std::nullopt;
  }
  static bool isNumber(Value v) {
    std::optional<APFloat> number = numberOf(v);
    return number && !number->isNaN();
  }
  /// Larger or smaller; NaN wins.
  Value extreme(bool larger, Value x, Value y) {
    // One comparison, which NaN does not pass, is one instruction.
    if (isFloat && isNumber(x))
      std::swap(x, y);
    if (isFloat && isNumber(y))
      return select(compare(larger ? CompareKind::gt : CompareKind::lt, y, x),
                    y, x);
    // IEEE's maximum tells zeros apart, which takes twice as many instructions.
    if (isFloat)
      return select(
          L.isNan(y), y,
          select(compare(larger ? CompareKind::gt : CompareKind::lt, y, x), y,
                 x));
    Value less = compare(CompareKind::lt, x, y);
    return larger ? select(less, y, x) : select(less, x, y);
  }
  Value modulo(Value x, Value y, bool truncated) {
    if (isFloat) {
      Value r = make<arith::RemFOp>(x, y);
      if (truncated)
        return r;
      // The divisor's sign: move a remainder of the other sign by y.
      Value zero = c(r, 0);
      Value differs = make<arith::XOrIOp>(compare(CompareKind::lt, r, zero),
                                          compare(CompareKind::lt, y, zero));
      Value nonzero =
          arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ONE, r, zero);
      return select(make<arith::AndIOp>(differs, nonzero), add(r, y), r);
    }
    Value r = remInt(x, y);
    if (truncated || isUnsigned)
      return r;
    Value zero = c(r, 0);
    Value differs = make<arith::XOrIOp>(compare(CompareKind::lt, r, zero),
                                        compare(CompareKind::lt, y, zero));
    Value nonzero = compare(CompareKind::ne, r, zero);
    return select(make<arith::AndIOp>(differs, nonzero), add(r, y), r);
  }
  /// Squares, cubes, roots and reciprocals, as they are often spelt, are
  /// rounded once and cost a fifth.
  Value powFloat(Value x, Value y) {
    std::optional<APFloat> number = numberOf(y);
    double n = number ? number->convertToDouble() : 0;
    if (n == 1)
      return x;
    if (n == 2)
      return mul(x, x);
    if (n == 3 && element.isF32()) { // a square is a double, exactly
      Value wide = L.extend(x, b.getF64Type());
      return L.truncate(mul(mul(wide, wide), wide), element);
    }
    if (n == -1)
      return make<arith::DivFOp>(c(x, 1), x);
    if (n != 0.5)
      return make<math::PowFOp>(x, y);
    // Of -0 it is 0, of -inf inf.
    Value least = compare(CompareKind::eq, x, c(x, -HUGE_VAL));
    return select(least, c(x, HUGE_VAL), make<math::SqrtOp>(add(x, c(x, 0))));
  }
  /// The bits of the exponent from the seventh on: a loop, which nearly all
  /// exponents leave at once.
  Value powRest(Value r, Value base, Value rest, Value one) {
    SmallVector<Value> init = {r, base, rest};
    Value zero = c(rest, 0);
    auto loop = scf::WhileOp::create(
        b, loc, ValueRange(init).getTypes(), init,
        [&](OpBuilder &, Location, ValueRange args) {
          Value more = compare(CompareKind::ne, args[2], zero);
          scf::ConditionOp::create(b, loc, L.anyOf(more), args);
        },
        [&](OpBuilder &, Location, ValueRange args) {
          Value bit = make<arith::AndIOp>(args[2], one);
          Value next = select(compare(CompareKind::ne, bit, zero),
                              mul(args[0], args[1]), args[0]);
          SmallVector<Value> carried = {next, mul(args[1], args[1]),
                                        make<arith::ShRUIOp>(args[2], one)};
          scf::YieldOp::create(b, loc, carried);
        });
    return loop.getResult(0);
  }
  Value powInt(Value x, Value y) {
    // Square and multiply over the exponent's bits; negative exponents give 0
    // but for bases 1 and -1, as truncation of the real power does.
    unsigned bits = element.getIntOrFloatBitWidth();
    Value one = c(x, 1), zero = c(x, 0), r = one, base = x;
    for (unsigned i = 0; i + 1 < bits && i < 6; ++i) {
      Value bit = make<arith::AndIOp>(make<arith::ShRUIOp>(y, c(y, i)), one);
      r = select(compare(CompareKind::ne, bit, zero), mul(r, base), r);
      base = mul(base, base);
    }
    Value negative = isUnsigned ? Value() : compare(CompareKind::lt, y, zero);
    Value rest =
        make<arith::ShRUIOp>(negative ? select(negative, zero, y) : y, c(y, 6));
    r = powRest(r, base, rest, one);
    if (isUnsigned)
      return r;
    Value isOne = compare(CompareKind::eq, x, one);
    Value isMinus = compare(CompareKind::eq, x, c(x, -1));
    Value odd = compare(CompareKind::ne, make<arith::AndIOp>(y, one), zero);
    Value inverse =
        select(isOne, one, select(isMinus, select(odd, c(x, -1), one), zero));
    return select(negative, inverse, r);
  }
  Value gelu(Value x, bool approximate) {
    if (isF32(x))
      return approximate ? geluTanhF32(MathEmitter(b, loc, x.getType()), x)
                         : geluF32(MathEmitter(b, loc, x.getType()), x);
    if (!approximate) {
      Value erf = make<math::ErfOp>(mul(x, c(x, 0.70710678118654752440)));
      return mul(mul(x, c(x, 0.5)), add(erf, c(x, 1)));
    }
    Value x3 = mul(mul(x, x), x);
    Value inner = mul(c(x, 0.79788456080286535588),
                      math::FmaOp::create(b, loc, c(x, 0.044715), x3, x));
    return mul(mul(x, c(x, 0.5)), add(make<math::TanhOp>(inner), c(x, 1)));
  }
  Value silu(Value x) {
    return isF32(x) ? siluF32(MathEmitter(b, loc, x.getType()), x)
                    : mul(x, emitSigmoid(L, x));
  }
};

} // namespace

Value emitQuotient(LaneBuilder &L, Value x, Value y, Value inverse) {
  Ops o{L, getElementTypeOrSelf(x.getType())};
  Value first = o.mul(x, inverse);
  Value rest = L.multiplyAdd(o.neg(first), y, x, /*fused=*/true);
  return L.multiplyAdd(rest, inverse, first, /*fused=*/true);
}

Value emitRestOfInverse(LaneBuilder &L, Value y, Value inverse) {
  Ops o{L, getElementTypeOrSelf(y.getType())};
  Value error = L.multiplyAdd(o.neg(inverse), y, o.c(y, 1), /*fused=*/true);
  return o.mul(error, inverse);
}

Value emitKnownQuotient(LaneBuilder &L, Value x, Value inverse, Value rest,
                        bool isFinite) {
  Ops o{L, getElementTypeOrSelf(x.getType())};
  Value q = L.multiplyAdd(x, inverse, o.mul(x, rest), /*fused=*/true);
  // Of an infinity the two may be one of each sign.
  return isFinite ? q : L.select(L.isNan(q), o.mul(x, inverse), q);
}

Value emitSigmoid(LaneBuilder &L, Value x) {
  Value one = L.constLike(x, 1);
  Value e =
      math::ExpOp::create(L.b, L.loc, arith::NegFOp::create(L.b, L.loc, x));
  return arith::DivFOp::create(L.b, L.loc, one,
                               arith::AddFOp::create(L.b, L.loc, one, e));
}

/// Long: a table, an op and its formula a line.
Value emitElementwise(LaneBuilder &L, Operation *op, ArrayRef<Value> v,
                      bool corrects) {
  // Operations on mixed scalar and vector lanes widen first; select's
  // condition may stay scalar only when everything is.
  Type element = getElementTypeOrSelf(op->getOperand(0).getType());
  Ops o{L, element};
  Value x = v[0], y = v.size() > 1 ? v[1] : Value();
  return TypeSwitch<Operation *, Value>(op)
      .Case([&](NegOp) { return o.neg(x); })
      .Case([&](AbsOp) -> Value {
        if (o.isFloat)
          return o.make<math::AbsFOp>(x);
        if (o.isUnsigned)
          return x;
        return o.select(o.compare(CompareKind::lt, x, o.c(x, 0)), o.neg(x), x);
      })
      .Case([&](SignOp) -> Value {
        Value zero = o.c(x, 0);
        Value up = o.compare(CompareKind::gt, x, zero);
        if (!o.isFloat)
          return o.select(up, o.c(x, 1),
                          o.isUnsigned
                              ? zero
                              : o.select(o.compare(CompareKind::lt, x, zero),
                                         o.c(x, -1), zero));
        Value down = o.compare(CompareKind::lt, x, zero);
        // Neither: 0 stays 0 and NaN stays NaN.
        return o.select(up, o.c(x, 1), o.select(down, o.c(x, -1), x));
      })
      .Case([&](ExpOp) { return o.make<math::ExpOp>(x); })
      .Case([&](LogOp) { return o.make<math::LogOp>(x); })
      .Case([&](SqrtOp) { return o.make<math::SqrtOp>(x); })
      .Case([&](ReciprocalOp) { return o.make<arith::DivFOp>(o.c(x, 1), x); })
      .Case([&](ErfOp) { return o.make<math::ErfOp>(x); })
      .Case([&](TanhOp) { return o.make<math::TanhOp>(x); })
      .Case([&](SigmoidOp) { return emitSigmoid(L, x); })
      .Case([&](SiluOp) { return o.silu(x); })
      .Case([&](SinOp) { return o.make<math::SinOp>(x); })
      .Case([&](CosOp) { return o.make<math::CosOp>(x); })
      .Case([&](TanOp) { return o.make<math::TanOp>(x); })
      .Case([&](AsinOp) { return o.make<math::AsinOp>(x); })
      .Case([&](AcosOp) { return o.make<math::AcosOp>(x); })
      .Case([&](AtanOp) { return o.make<math::AtanOp>(x); })
      .Case([&](SinhOp) { return o.make<math::SinhOp>(x); })
      .Case([&](CoshOp) { return o.make<math::CoshOp>(x); })
      .Case([&](AsinhOp) { return o.make<math::AsinhOp>(x); })
      .Case([&](AcoshOp) { return o.make<math::AcoshOp>(x); })
      .Case([&](AtanhOp) { return o.make<math::AtanhOp>(x); })
      .Case([&](FloorOp) { return o.make<math::FloorOp>(x); })
      .Case([&](CeilOp) { return o.make<math::CeilOp>(x); })
      .Case([&](RoundOp) { return o.make<math::RoundEvenOp>(x); })
      .Case([&](NotOp) {
        return o.make<arith::XOrIOp>(x, L.constantInt(x.getType(), 1));
      })
      .Case([&](BitNotOp) {
        return o.make<arith::XOrIOp>(x, L.constantInt(x.getType(), -1));
      })
      .Case([&](GeluOp g) { return o.gelu(x, g.getApproximate()); })
      .Case([&](IsNanOp) -> Value { return L.isNan(x); })
      .Case([&](IsInfOp) -> Value {
        Value size = o.make<math::AbsFOp>(x);
        return L.oeq(size, o.c(x, HUGE_VAL));
      })
      .Case([&](AddOp) { return o.add(x, y); })
      .Case([&](SubOp) { return o.sub(x, y); })
      .Case([&](MulOp) { return o.mul(x, y); })
      .Case([&](DivOp) {
        return o.isFloat ? o.make<arith::DivFOp>(x, y) : o.divInt(x, y);
      })
      .Case([&](QuotientOp) -> Value {
        if (!corrects)
          return o.make<arith::DivFOp>(x, y);
        return emitKnownQuotient(L, x, v[2], emitRestOfInverse(L, y, v[2]),
                                 /*isFinite=*/false);
      })
      .Case([&](ModOp) { return o.modulo(x, y, false); })
      .Case([&](FModOp) { return o.modulo(x, y, true); })
      .Case(
          [&](PowOp) { return o.isFloat ? o.powFloat(x, y) : o.powInt(x, y); })
      .Case([&](MaxOp) { return o.extreme(true, x, y); })
      .Case([&](MinOp) { return o.extreme(false, x, y); })
      .Case<AndOp, BitAndOp>([&](auto) { return o.make<arith::AndIOp>(x, y); })
      .Case<OrOp, BitOrOp>([&](auto) { return o.make<arith::OrIOp>(x, y); })
      .Case<XorOp, BitXorOp>([&](auto) { return o.make<arith::XOrIOp>(x, y); })
      .Case<ShlOp, ShrOp>([&](auto s) -> Value {
        Value width = o.c(y, element.getIntOrFloatBitWidth());
        Value inside = L.ult(y, width);
        bool keepsSign = isa<ShrOp>(op) && !element.isUnsignedInteger();
        if (keepsSign) // and a shift by too much leaves nothing but the sign
          return o.make<arith::ShRSIOp>(
              x,
              o.select(inside, y, o.c(y, element.getIntOrFloatBitWidth() - 1)));
        Value n = o.select(inside, y, o.c(y, 0));
        Value r = isa<ShlOp>(op) ? o.make<arith::ShLIOp>(x, n)
                                 : o.make<arith::ShRUIOp>(x, n);
        return o.select(inside, r, o.c(x, 0));
      })
      .Case([&](CompareOp c) { return o.compare(c.getKind(), x, y); })
      .Case([&](SelectOp) { return o.select(x, y, v[2]); })
      .Case([&](CastOp c) { return emitCast(L, c, x, element); })
      .Case([&](RoundToOp r) { return emitRoundTo(L, x, r.getTo()); })
      .Case([&](BitCastOp c) { return emitBitCast(L, x, element, c.getTo()); })
      .Default([](Operation *) { return Value(); });
}

Value emitCombine(LaneBuilder &L, ReduceKind kind, Type element, Value x,
                  Value y) {
  Ops o{L, element};
  switch (kind) {
  case ReduceKind::sum:
  case ReduceKind::mean:
    return o.add(x, y);
  case ReduceKind::prod:
    return o.mul(x, y);
  case ReduceKind::max:
    return o.isBool ? o.make<arith::OrIOp>(x, y) : o.extreme(true, x, y);
  case ReduceKind::min:
    return o.isBool ? o.make<arith::AndIOp>(x, y) : o.extreme(false, x, y);
  case ReduceKind::all:
    return o.make<arith::AndIOp>(x, y);
  case ReduceKind::any:
    return o.make<arith::OrIOp>(x, y);
  }
  return {};
}

Value emitCompare(LaneBuilder &L, CompareKind kind, Type element, Value x,
                  Value y) {
  return Ops{L, element}.compare(kind, x, y);
}

Value emitNeutral(LaneBuilder &L, ReduceKind kind, Type element, Type type) {
  if (isa<FloatType>(element)) {
    double v = kind == ReduceKind::prod  ? 1
               : kind == ReduceKind::max ? -HUGE_VAL
               : kind == ReduceKind::min ? HUGE_VAL
                                         : 0;
    return L.constant(type, v);
  }
  unsigned bits = element.getIntOrFloatBitWidth();
  bool u = element.isUnsignedInteger() || bits == 1;
  APInt v(bits, 0);
  switch (kind) {
  case ReduceKind::prod:
  case ReduceKind::all:
    v = APInt(bits, 1);
    break;
  case ReduceKind::max:
    v = u ? APInt::getMinValue(bits) : APInt::getSignedMinValue(bits);
    break;
  case ReduceKind::min:
    v = u ? APInt::getMaxValue(bits) : APInt::getSignedMaxValue(bits);
    break;
  default:
    break;
  }
  TypedAttr attr = L.b.getIntegerAttr(getElementTypeOrSelf(type), v);
  if (auto vt = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vt, Attribute(attr));
  return arith::ConstantOp::create(L.b, L.loc, attr);
}

} // namespace tenon
