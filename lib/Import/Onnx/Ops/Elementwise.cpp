//===- Elementwise.cpp - ONNX's elementwise operators ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
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
#include "dialects/Tenon/IR/Ops/Sign.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Registry.h"

using namespace mlir;

namespace tenon::onnximport {

template <typename OpTy>
static void unary(NodeImporter &n) {
  n.out(0, n.make<OpTy>({n.in(0)}));
}

/// The right operand. Before opset 7 `axis` says which dim of the left one its
/// first dim meets; without it operands align at their last dims, as today.
static Value rightOperand(NodeImporter &n) {
  Value rhs = n.in(1);
  if (n.opset >= 7 || !n.hasAttr("axis") || !n.getInt("broadcast", 0))
    return rhs;
  int64_t rank = n.rank(n.in(0)), own = n.rank(rhs);
  int64_t axis = n.getInt("axis", 0);
  axis = axis < 0 ? axis + rank : axis;
  if (axis < 0 || axis + own > rank)
    return n.error("the axis of an operand of rank " + Twine(own) +
                   " must be from 0 to " + Twine(rank - own) + ", found " +
                   Twine(n.getInt("axis", 0)));
  Dims dims = n.dims(rhs);
  dims.append(rank - axis - own, SymExpr(1));
  return n.reshape(rhs, dims);
}

template <typename OpTy>
static void binary(NodeImporter &n) {
  n.out(0, n.make<OpTy>({n.in(0), rightOperand(n)}));
}

/// Max, Min, Sum: one or more operands, joined from the left.
template <typename OpTy>
static void variadic(NodeImporter &n) {
  Value result = n.in(0);
  for (unsigned i = 1; i < n.numInputs(); ++i)
    result = n.make<OpTy>({result, n.in(i)});
  n.out(0, result);
}

static void mean(NodeImporter &n) {
  variadic<AddOp>(n);
  n.out(0, n.mulScalar(n.result(0), 1.0 / n.numInputs()));
}

template <CompareKind kind>
static void compare(NodeImporter &n) {
  n.out(0, n.compare(kind, n.in(0), rightOperand(n)));
}

static void identity(NodeImporter &n) { n.out(0, n.in(0)); }

static void mod(NodeImporter &n) {
  if (n.getInt("fmod", 0))
    n.out(0, n.make<FModOp>({n.in(0), n.in(1)}));
  else
    n.out(0, n.make<ModOp>({n.in(0), n.in(1)}));
}

/// ONNX lets the exponent have its own type; the result has the base's.
static void pow(NodeImporter &n) {
  Value x = n.in(0), y = rightOperand(n);
  Type result = NodeImporter::elem(x);
  if (!NodeImporter::isFloat(x) && NodeImporter::isFloat(y))
    x = n.cast(x, NodeImporter::elem(y));
  y = n.cast(y, NodeImporter::elem(x));
  n.out(0, n.cast(n.make<PowOp>({x, y}), result));
}

static void bitShift(NodeImporter &n) {
  std::string direction = n.getString("direction", "");
  if (direction == "LEFT")
    n.out(0, n.make<ShlOp>({n.in(0), n.in(1)}));
  else if (direction == "RIGHT")
    n.out(0, n.make<ShrOp>({n.in(0), n.in(1)}));
  else
    n.error("direction must be LEFT or RIGHT, found '" + direction + "'");
}

static void castTo(NodeImporter &n, Type to) {
  std::string mode = n.getString("round_mode", "up");
  std::optional<RoundMode> round = symbolizeRoundMode(mode);
  if (!round) {
    n.error("round_mode must be up, down or nearest, found '" + mode + "'");
    return;
  }
  n.out(0, n.cast(n.in(0), to, n.getInt("saturate", 1) != 0, *round));
}

static void cast(NodeImporter &n) {
  // Before opset 6 the type is spelled out.
  std::string spelled = n.getString("to", "");
  castTo(n, spelled.empty() ? n.elementType(n.getInt("to", 0))
                            : n.elementType(StringRef(spelled)));
}

static void castLike(NodeImporter &n) {
  castTo(n, NodeImporter::elem(n.in(1)));
}

static void bitCast(NodeImporter &n) {
  Type to = n.elementType(n.getInt("to", 0));
  if (to)
    n.out(0, n.make<BitCastOp>({n.in(0)}, {n.named("to", TypeAttr::get(to))}));
}

static void where(NodeImporter &n) {
  n.out(0, n.select(n.in(0), n.in(1), n.in(2)));
}

static void isInf(NodeImporter &n) {
  bool positive = n.getInt("detect_positive", 1);
  bool negative = n.getInt("detect_negative", 1);
  Value x = n.in(0), inf = n.make<IsInfOp>({x});
  if (!positive && !negative)
    inf = n.broadcast(n.scalar(0, n.builder.getI1Type()), n.dims(x));
  else if (!positive)
    inf = n.andOp(inf, n.compareScalar(CompareKind::lt, x, 0));
  else if (!negative)
    inf = n.andOp(inf, n.compareScalar(CompareKind::gt, x, 0));
  n.out(0, inf);
}

/// min(max(x, low), high); bounds by attribute before opset 11.
static void clip(NodeImporter &n) {
  Value x = n.in(0), low = n.in(1), high = n.in(2);
  if (n.hasAttr("min"))
    low = n.scalarLike(n.getFloat("min", 0), x);
  if (n.hasAttr("max"))
    high = n.scalarLike(n.getFloat("max", 0), x);
  if (low)
    x = n.max(x, low);
  if (high)
    x = n.min(x, high);
  n.out(0, x);
}

void registerElementwise(Registry &r) {
  r.add("Neg", unary<NegOp>);
  r.add("Abs", unary<AbsOp>);
  r.add("Sign", unary<SignOp>);
  r.add("Exp", unary<ExpOp>);
  r.add("Log", unary<LogOp>);
  r.add("Sqrt", unary<SqrtOp>);
  r.add("Reciprocal", unary<ReciprocalOp>);
  r.add("Erf", unary<ErfOp>);
  r.add("Sin", unary<SinOp>);
  r.add("Cos", unary<CosOp>);
  r.add("Tan", unary<TanOp>);
  r.add("Asin", unary<AsinOp>);
  r.add("Acos", unary<AcosOp>);
  r.add("Atan", unary<AtanOp>);
  r.add("Sinh", unary<SinhOp>);
  r.add("Cosh", unary<CoshOp>);
  r.add("Asinh", unary<AsinhOp>);
  r.add("Acosh", unary<AcoshOp>);
  r.add("Atanh", unary<AtanhOp>);
  r.add("Floor", unary<FloorOp>);
  r.add("Ceil", unary<CeilOp>);
  r.add("Round", unary<RoundOp>);
  r.add("Not", unary<NotOp>);
  r.add("BitwiseNot", unary<BitNotOp>);
  r.add("IsNaN", unary<IsNanOp>);
  r.add("IsInf", isInf);

  r.add("Add", binary<AddOp>);
  r.add("Sub", binary<SubOp>);
  r.add("Mul", binary<MulOp>);
  r.add("Div", binary<DivOp>);
  r.add("And", binary<AndOp>);
  r.add("Or", binary<OrOp>);
  r.add("Xor", binary<XorOp>);
  r.add("BitwiseAnd", binary<BitAndOp>);
  r.add("BitwiseOr", binary<BitOrOp>);
  r.add("BitwiseXor", binary<BitXorOp>);
  r.add("BitShift", bitShift);
  r.add("Mod", mod);
  r.add("Pow", pow);
  r.add("Equal", compare<CompareKind::eq>);
  r.add("Less", compare<CompareKind::lt>);
  r.add("LessOrEqual", compare<CompareKind::le>);
  r.add("Greater", compare<CompareKind::gt>);
  r.add("GreaterOrEqual", compare<CompareKind::ge>);

  r.add("Max", variadic<MaxOp>);
  r.add("Min", variadic<MinOp>);
  r.add("Sum", variadic<AddOp>);
  r.add("Mean", mean);
  r.add("Clip", clip);
  r.add("Where", where);
  r.add("Cast", cast);
  r.add("CastLike", castLike);
  r.add("BitCast", 26, bitCast);
  r.addOfSequences("Identity", 1, identity);
}

} // namespace tenon::onnximport
