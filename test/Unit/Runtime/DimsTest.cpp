//===- DimsTest.cpp - the dims program and the entry checks ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Program.h"
#include "ToyModel.h"
#include <gtest/gtest.h>

using namespace tenon::rt;

namespace {

struct OneInput : toy::Builder {
  int32_t dim;
  std::vector<int64_t> slots;
  tenon_error error = {};

  OneInput() {
    dim = inputDim(0, 0);
    inputs = {port("x", TENON_ABI_F32, {dim}, {"n"})};
  }
  tenon_status evaluate(int64_t value) {
    finish();
    slots.assign(exprs.size(), -1);
    const int64_t *inputDims[] = {&value};
    return evaluateDims(program, inputDims, slots.data(), &error);
  }
};

TEST(Dims, evaluatesEveryOperation) {
  OneInput p;
  int32_t three = p.constant(3), zero = p.constant(0), minus = p.constant(-3);
  int32_t negative = p.expr(TENON_EXPR_SUB, zero, p.dim); // -7
  struct {
    int32_t op, a, b;
    int64_t expected;
  } cases[] = {
      {TENON_EXPR_ADD, p.dim, three, 10},
      {TENON_EXPR_SUB, three, p.dim, -4},
      {TENON_EXPR_MUL, p.dim, three, 21},
      {TENON_EXPR_FLOORDIV, p.dim, three, 2},
      {TENON_EXPR_FLOORDIV, negative, three, -3},
      {TENON_EXPR_FLOORDIV, p.dim, minus, -3},
      {TENON_EXPR_FLOORDIV, p.dim, zero, 0},
      {TENON_EXPR_CEILDIV, p.dim, three, 3},
      {TENON_EXPR_CEILDIV, negative, three, -2},
      {TENON_EXPR_CEILDIV, p.dim, zero, 0},
      {TENON_EXPR_QUOT, p.dim, three, 2},
      {TENON_EXPR_QUOT, negative, three, -2},
      {TENON_EXPR_QUOT, negative, minus, 2},
      {TENON_EXPR_QUOT, p.dim, zero, 0},
      {TENON_EXPR_MOD, p.dim, three, 1},
      {TENON_EXPR_MOD, negative, three, 2},
      {TENON_EXPR_MOD, p.dim, minus, -2},
      {TENON_EXPR_MOD, p.dim, zero, 0},
      {TENON_EXPR_MIN, p.dim, three, 3},
      {TENON_EXPR_MAX, p.dim, three, 7},
      {TENON_EXPR_BCAST, p.dim, three, 7},
      {TENON_EXPR_EQ, p.dim, three, 0},
      {TENON_EXPR_EQ, three, three, 1},
      {TENON_EXPR_NE, p.dim, three, 1},
      {TENON_EXPR_LT, negative, three, 1},
      {TENON_EXPR_LT, three, three, 0},
      {TENON_EXPR_LE, three, three, 1},
      {TENON_EXPR_BCAST, p.expr(TENON_EXPR_CONST, 0, 0, 1), p.dim, 7},
  };
  std::vector<int32_t> results;
  for (auto &c : cases)
    results.push_back(p.expr(c.op, c.a, c.b));
  ASSERT_EQ(p.evaluate(7), TENON_OK) << p.error.message;
  for (size_t i = 0; i < results.size(); ++i)
    EXPECT_EQ(p.slots[results[i]], cases[i].expected) << "case " << i;
}

TEST(Dims, overflowIsAnError) {
  OneInput p;
  int32_t square = p.expr(TENON_EXPR_MUL, p.dim, p.dim);
  p.expr(TENON_EXPR_MUL, square, square);
  EXPECT_EQ(p.evaluate(1 << 15), TENON_OK);
  EXPECT_EQ(p.evaluate(1 << 16), TENON_INVALID_TENSOR);
  EXPECT_STREQ(p.error.message, "the inputs' dims are too large: a size "
                                "overflows 64 bits");
}

TEST(Dims, dividingTheSmallestNumberDoesNotTrap) {
  OneInput p;
  int32_t smallest = p.constant(INT64_MIN), minusOne = p.constant(-1);
  p.expr(TENON_EXPR_FLOORDIV, smallest, minusOne);
  p.expr(TENON_EXPR_CEILDIV, smallest, minusOne);
  p.expr(TENON_EXPR_QUOT, smallest, minusOne);
  p.expr(TENON_EXPR_MOD, smallest, minusOne);
  EXPECT_EQ(p.evaluate(1), TENON_INVALID_TENSOR);
}

TEST(Dims, negativeDimIsAnError) {
  OneInput p;
  EXPECT_EQ(p.evaluate(-1), TENON_INVALID_TENSOR);
  EXPECT_STREQ(p.error.message,
               "input 'x': dim 0 (n) is -1, expected 0 or more");
}

TEST(Checks, boundNamesInputDimAndReason) {
  toy::Toy t;
  toy::Scoped context(t.finish());
  ASSERT_EQ(context.status, TENON_OK) << context.error.message;
  toy::Tensors x(1, 600);
  size_t bytes;
  EXPECT_EQ(tenon_workspace_size(context, x.inputDims, &bytes, &context.error),
            TENON_CHECK_FAILED);
  EXPECT_STREQ(context.error.message,
               "input 'ids': dim 1 (seq) is 600, expected <= 512, because of "
               "the position table of node '/embeddings/Slice'");
}

TEST(Checks, equalSymbolNamesBothInputs) {
  toy::Toy t;
  toy::Scoped context(t.finish());
  int64_t a[] = {2, 8}, b[] = {2, 7}, out[2];
  const int64_t *dims[] = {a, b};
  EXPECT_EQ(tenon_output_dims(context, dims, 0, out, &context.error),
            TENON_CHECK_FAILED);
  EXPECT_STREQ(context.error.message,
               "input 'mask': dim 1 (seq) is 7, expected 8, as in dim 1 of "
               "input 'ids' (if they may differ: tenon compile "
               "--dim='mask.d1=7')");
}

TEST(Checks, equalityAndBroadcastOfExpressions) {
  OneInput p;
  int32_t two = p.constant(2), five = p.constant(5);
  int32_t twice = p.expr(TENON_EXPR_MUL, p.dim, two);
  p.checks.push_back(
      {TENON_CHECK_BCAST, twice, five, 0, "2*n", "5", "node 'Add_1'"});
  EXPECT_EQ(p.evaluate(3), TENON_CHECK_FAILED);
  EXPECT_STREQ(p.error.message, "2*n is 6, expected 5, or 1 on either side, "
                                "because of node 'Add_1'");
  p.checks[0] = {TENON_CHECK_EQ, five, twice, 0, "5", "2*n", "node 'Add_1'"};
  EXPECT_EQ(p.evaluate(3), TENON_CHECK_FAILED);
  EXPECT_STREQ(p.error.message,
               "2*n is 6, expected 5, because of node 'Add_1'");
  p.checks[0] = {TENON_CHECK_EQ, p.dim, twice, 0, "n", "2*n", nullptr};
  EXPECT_EQ(p.evaluate(3), TENON_CHECK_FAILED);
  EXPECT_STREQ(p.error.message, "input 'x': dim 0 (n) is 3, expected 6 (2*n)");
  EXPECT_EQ(p.evaluate(0), TENON_OK);
}

TEST(Checks, declaredRange) {
  OneInput p;
  p.ranges.push_back({"n", 2, 16, p.dim, 0});
  EXPECT_EQ(p.evaluate(2), TENON_OK);
  EXPECT_EQ(p.evaluate(16), TENON_OK);
  EXPECT_EQ(p.evaluate(17), TENON_CHECK_FAILED);
  EXPECT_STREQ(p.error.message, "input 'x': dim 0 (n) is 17, expected 2..16 "
                                "(declared when the model was compiled)");
  p.ranges[0].hi = INT64_MAX;
  EXPECT_EQ(p.evaluate(1), TENON_CHECK_FAILED);
  EXPECT_STREQ(p.error.message, "input 'x': dim 0 (n) is 1, expected 2 or more "
                                "(declared when the model was compiled)");
}

TEST(Checks, staticDim) {
  toy::Builder p;
  int32_t three = p.constant(3);
  p.inputs = {p.port("x", TENON_ABI_F32, {three}, {"3"})};
  toy::Scoped context(p.finish());
  int64_t four = 4;
  const int64_t *dims[] = {&four};
  size_t bytes;
  EXPECT_EQ(tenon_workspace_size(context, dims, &bytes, &context.error),
            TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message, "input 'x': dim 0 is 4, expected 3");
}

TEST(Checks, aNullErrorIsFine) {
  OneInput p;
  int32_t big = p.constant(1000);
  p.checks.push_back({TENON_CHECK_LE, big, p.dim, 0, "1000", "n", nullptr});
  p.ranges.push_back({"n", 0, 5, p.dim, 0});
  p.finish();
  std::vector<int64_t> slots(p.exprs.size());
  for (int64_t n : {-1, 2, 6}) {
    const int64_t *dims[] = {&n};
    EXPECT_NE(evaluateDims(p.program, dims, slots.data(), nullptr), TENON_OK);
  }
  EXPECT_NE(evaluateDims(p.program, nullptr, slots.data(), nullptr), TENON_OK);
}

} // namespace
