//===- ShapeTest.cpp - joining dims, checks, creation ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonFoldDims.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace tenon;

namespace {

SymExpr dim(std::string_view text) {
  return SymExpr::parse(text).value_or(SymExpr(-1));
}

/// "result; kind lhs, rhs" or "never".
std::string text(const std::optional<JoinedDim> &joined) {
  if (!joined)
    return "never";
  std::string out = joined->dim.str();
  if (joined->check)
    out += "; " + stringifyCheckKind(joined->check->kind).str() + " " +
           joined->check->lhs.str() + ", " + joined->check->rhs.str();
  return out;
}
std::string broadcast(std::string_view a, std::string_view b) {
  return text(broadcastDims(dim(a), dim(b)));
}
std::string equal(std::string_view a, std::string_view b) {
  return text(equalDims(dim(a), dim(b)));
}

TEST(JoinDims, Broadcast) {
  EXPECT_EQ(broadcast("seq", "seq"), "seq");
  EXPECT_EQ(broadcast("1", "seq"), "seq");
  EXPECT_EQ(broadcast("seq", "1"), "seq");
  EXPECT_EQ(broadcast("2", "3"), "never");
  EXPECT_EQ(broadcast("0", "3"), "never");
  EXPECT_EQ(broadcast("0", "1"), "0");
  EXPECT_EQ(broadcast("7", "x"), "7; bcast x, 7");
  EXPECT_EQ(broadcast("x", "7"), "7; bcast x, 7");
  EXPECT_EQ(broadcast("min(seq,512)", "seq"), "seq; le seq, 512");
  EXPECT_EQ(broadcast("seq", "min(seq,512)"), "seq; le seq, 512");
  EXPECT_EQ(broadcast("a", "b"), "bcast(a,b); bcast a, b");
  // Once joined, the parts join without another check.
  EXPECT_EQ(broadcast("bcast(a,b)", "b"), "bcast(a,b)");
  EXPECT_EQ(broadcast("a", "bcast(a,b)"), "bcast(a,b)");
}

TEST(JoinDims, Equal) {
  EXPECT_EQ(equal("seq", "seq"), "seq");
  EXPECT_EQ(equal("2", "3"), "never");
  EXPECT_EQ(equal("1", "3"), "never");
  EXPECT_EQ(equal("x", "x + 1"), "never");
  EXPECT_EQ(equal("7", "x"), "7; eq 7, x");
  EXPECT_EQ(equal("x", "7"), "7; eq x, 7");
  EXPECT_EQ(equal("min(seq,512)", "seq"), "seq; le seq, 512");
  EXPECT_EQ(equal("2*a", "b"), "b; eq 2*a, b");
  EXPECT_EQ(equal("a", "2*b"), "a; eq a, 2*b");
}

TEST(JoinDims, WholeShapes) {
  SmallVector<SmallVector<SymExpr>> shapes = {
      {dim("batch"), dim("1"), dim("4")}, {dim("seq"), dim("4")}, {}};
  auto joined = broadcastShapes(shapes);
  ASSERT_TRUE(joined);
  EXPECT_EQ((*joined)[0].str(), "batch");
  EXPECT_EQ((*joined)[1].str(), "seq");
  shapes[1][1] = dim("5");
  unsigned bad = 99;
  EXPECT_FALSE(broadcastShapes(shapes, &bad));
  EXPECT_EQ(bad, 0u);
}

class IRTest : public ::testing::Test {
protected:
  IRTest()
      : builder(&context), module(ModuleOp::create(UnknownLoc::get(&context))) {
    context.loadDialect<TenonDialect>();
    builder.setInsertionPointToEnd(module->getBody());
    context.getDiagEngine().registerHandler(
        [this](Diagnostic &diag) { errors.push_back(diag.str()); });
  }

  /// A value of the given dims, as an f32 (or i64) tensor.
  Value value(ArrayRef<std::string_view> dims, Type element = {}) {
    SmallVector<SymExpr> exprs;
    for (std::string_view d : dims)
      exprs.push_back(dim(d));
    auto type = getTensorType(exprs, element ? element : builder.getF32Type());
    return module->getBody()->addArgument(type, builder.getUnknownLoc());
  }
  NamedAttribute attr(StringRef name, Attribute value) {
    return builder.getNamedAttr(name, value);
  }
  Attribute ints(ArrayRef<int64_t> values) {
    return builder.getDenseI64ArrayAttr(values);
  }
  /// The error of a creation that must fail; none may be left behind.
  template <typename OpTy>
  std::string failing(ValueRange operands,
                      ArrayRef<NamedAttribute> attrs = {}) {
    errors.clear();
    size_t before = module->getBody()->getOperations().size();
    bool failed = mlir::failed(
        tryCreate<OpTy>(builder, builder.getUnknownLoc(), operands, attrs));
    EXPECT_TRUE(failed);
    EXPECT_EQ(module->getBody()->getOperations().size(), before);
    EXPECT_EQ(errors.size(), 1u);
    return errors.empty() ? "" : errors.front();
  }
  SmallVector<std::string> checks() {
    SmallVector<std::string> out;
    for (CheckOp op : module->getOps<CheckOp>())
      out.push_back(stringifyCheckKind(op.getKind()).str() + " " +
                    op.getLhs().str() + ", " + op.getRhs().str());
    return out;
  }

  MLIRContext context;
  OpBuilder builder;
  OwningOpRef<ModuleOp> module;
  std::vector<std::string> errors;
};

TEST_F(IRTest, TypesKeepNames) {
  SmallVector<SymExpr> dims = {dim("batch"), dim("4"), dim("2*seq")};
  RankedTensorType type = getTensorType(dims, builder.getF32Type());
  EXPECT_EQ(type.getShape()[1], 4);
  EXPECT_TRUE(type.isDynamicDim(0));
  EXPECT_EQ(getDims(type), dims);
  SmallVector<SymExpr> fixed = {dim("2"), dim("4")};
  EXPECT_FALSE(getTensorType(fixed, builder.getF32Type()).getEncoding());
  EXPECT_EQ(productOf(dims).str(), "8*batch*seq");
}

TEST_F(IRTest, CreatesWithInferredTypes) {
  auto op = tryCreate<AddOp>(builder, builder.getUnknownLoc(),
                             {value({"batch", "1"}), value({"8"})});
  ASSERT_TRUE(succeeded(op));
  EXPECT_EQ(getDims(op->getType()),
            (SmallVector<SymExpr>{dim("batch"), dim("8")}));
  auto norm = tryCreate(builder, builder.getUnknownLoc(), "tenon.layer_norm",
                        {value({"n", "8"}), value({"8"})},
                        {attr("epsilon", builder.getF64FloatAttr(1e-5)),
                         attr("dims", builder.getI64IntegerAttr(1))});
  ASSERT_TRUE(succeeded(norm));
  auto segments = (*norm)->getAttrOfType<mlir::DenseI32ArrayAttr>(
      "operandSegmentSizes"); // input, scale, bias
  ASSERT_TRUE(segments);
  EXPECT_EQ(segments.asArrayRef(), (ArrayRef<int32_t>{1, 1, 0}));
}

TEST_F(IRTest, CreationReportsGarbage) {
  Value x = value({"2", "3"});
  auto i64 = [&](int64_t v) { return builder.getI64IntegerAttr(v); };
  EXPECT_EQ(failing<AddOp>({x, value({"2", "4"})}),
            "'tenon.add' op expected dims that broadcast, found [2, 3] and "
            "[2, 4] (they clash in dim 0 from the last)");
  EXPECT_EQ(failing<AddOp>({x, value({"2", "3"}, builder.getI64Type())}),
            "'tenon.add' op failed to verify that operands have one element "
            "type");
  EXPECT_EQ(failing<TransposeOp>({x}),
            "'tenon.transpose' op expected 2 numbers "
            "in perm, found 0");
  EXPECT_EQ(failing<TransposeOp>({x}, {attr("perm", ints({0, -7}))}),
            "'tenon.transpose' op expected a permutation of 0 to 1, found "
            "array<i64: 0, -7>");
  EXPECT_EQ(failing<ConcatOp>({x}, {attr("axis", i64(INT64_MIN))}),
            "'tenon.concat' op expected an axis in [0, 2), found "
            "-9223372036854775808");
  EXPECT_EQ(failing<ConcatOp>({x}), "'tenon.concat' op expected an axis, found "
                                    "none");
  EXPECT_EQ(failing<ReshapeOp>({x}),
            "'tenon.reshape' op expected dims, found none");
  EXPECT_NE(failing<GatherOp>({x, x}, {attr("axis", i64(0))})
                .find("operand #1 must be"),
            std::string::npos);
  EXPECT_NE(failing<ArgReduceOp>({x}, {attr("axis", ints({1}))})
                .find("attribute 'axis' failed to satisfy constraint"),
            std::string::npos);
  EXPECT_NE(failing<ExpOp>({value({"4"}, builder.getI64Type())})
                .find("operand #0 must be"),
            std::string::npos);
}

TEST_F(IRTest, InsertsEachCheckOnce) {
  Value x = value({"seq", "8"}), table = value({"min(seq,512)", "8"});
  for (int i = 0; i < 2; ++i) {
    auto op = tryCreate<AddOp>(builder, builder.getUnknownLoc(), {x, table});
    ASSERT_TRUE(succeeded(op));
    insertShapeChecks(builder, *op);
  }
  EXPECT_EQ(checks(), (SmallVector<std::string>{"le seq, 512"}));
  // The check comes before the op that relies on it.
  EXPECT_TRUE(isa<CheckOp>(module->getBody()->front()));
}

TEST_F(IRTest, ChecksWhatEachOpReliesOn) {
  auto create = [&](auto op) {
    ASSERT_TRUE(succeeded(op));
    insertShapeChecks(builder, *op);
  };
  Location loc = builder.getUnknownLoc();
  create(tryCreate<MatMulOp>(builder, loc,
                             {value({"m", "k"}), value({"384", "n"})}));
  create(tryCreate<ReshapeOp>(
      builder, loc, {value({"a", "b"})},
      {attr("dims", DimsAttr::get(&context, {dim("c")}))}));
  create(tryCreate<BroadcastToOp>(
      builder, loc, {value({"p"})},
      {attr("dims", DimsAttr::get(&context, {dim("q")}))}));
  create(tryCreate<BroadcastToOp>(
      builder, loc, {value({"r"})},
      {attr("dims", DimsAttr::get(&context, {dim("9")}))}));
  create(tryCreate<ConcatOp>(builder, loc,
                             {value({"1", "s"}), value({"1", "t"})},
                             {attr("axis", builder.getI64IntegerAttr(0))}));
  create(tryCreate<NonMaxSuppressionOp>(
      builder, loc,
      {value({"u", "9", "4"}), value({"v", "2", "9"}), value({}), value({})},
      {attr("most", builder.getStringAttr("5"))}));
  EXPECT_EQ(checks(), (SmallVector<std::string>{
                          "eq k, 384", "eq a*b, c", "eq bcast(p,q), q",
                          "bcast r, 9", "eq s, t", "eq u, v"}));
}

TEST_F(IRTest, FollowsArithmeticOfDims) {
  Location loc = builder.getUnknownLoc();
  Value dims = DimsValueOp::create(
      builder, loc, DimsAttr::get(&context, {dim("batch"), dim("seq")}),
      TypeAttr::get(builder.getI64Type()), UnitAttr());
  auto doubled = tryCreate<AddOp>(builder, loc, {dims, dims});
  ASSERT_TRUE(succeeded(doubled));
  EXPECT_EQ(evaluateDims(*doubled),
            (SmallVector<SymExpr>{dim("2*batch"), dim("2*seq")}));
  Value folded = foldToDims(builder, *doubled);
  ASSERT_TRUE(folded);
  EXPECT_TRUE(folded.getDefiningOp<DimsValueOp>());
  EXPECT_EQ(folded.getType(), doubled->getType());
  // Data has no expressions.
  EXPECT_FALSE(evaluateInts(value({"4"}, builder.getI64Type())));
}

TEST_F(IRTest, GivesUpOnExplodingArithmetic) {
  Location loc = builder.getUnknownLoc();
  Value x = DimsValueOp::create(
      builder, loc, DimsAttr::get(&context, {dim("a + b + c + d")}),
      TypeAttr::get(builder.getI64Type()), UnitAttr());
  // (a + b + c + d)^(2^40) by squaring.
  for (int i = 0; i < 40; ++i) {
    auto square = tryCreate<MulOp>(builder, loc, {x, x});
    ASSERT_TRUE(succeeded(square));
    Value folded = foldToDims(builder, *square);
    x = folded ? folded : Value(*square);
  }
  EXPECT_FALSE(evaluateInts(x));
}

TEST(DecideComparison, ForAllDims) {
  auto decide = [](CompareKind kind, const char *a, const char *b) {
    return decideComparison(kind, dim(a), dim(b));
  };
  EXPECT_EQ(decide(CompareKind::eq, "seq", "-1"), false);
  EXPECT_EQ(decide(CompareKind::eq, "seq", "seq"), true);
  EXPECT_EQ(decide(CompareKind::eq, "seq", "1"), std::nullopt);
  EXPECT_EQ(decide(CompareKind::ge, "seq", "0"), true);
  EXPECT_EQ(decide(CompareKind::gt, "seq", "0"), std::nullopt);
  EXPECT_EQ(decide(CompareKind::lt, "seq", "past + seq + 1"), true);
  EXPECT_EQ(decide(CompareKind::lt, "past + seq", "seq"), false);
  EXPECT_EQ(decide(CompareKind::ne, "seq", "seq + 2"), true);
}

} // namespace
