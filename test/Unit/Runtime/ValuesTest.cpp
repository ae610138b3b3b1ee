//===- ValuesTest.cpp - dims that depend on inputs' values ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Program.h"
#include "ToyModel.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace tenon::rt;

namespace {

int32_t copy(void *const *bufs, const int64_t *dims, int64_t, int64_t,
             tenon_task *) {
  std::memcpy(bufs[1], bufs[0], size_t(dims[0]) * sizeof(float));
  return TENON_KERNEL_OK;
}

/// y = Reshape(x, shape): x f32 [n], shape i64 [2], through an arena buffer.
struct Reshape : toy::Builder {
  Reshape() {
    int32_t n = inputDim(0, 0), two = constant(2), zero = constant(0);
    int32_t rows = expr(TENON_EXPR_INPUT_VALUE, 1, 0, 0);
    int32_t columns = expr(TENON_EXPR_INPUT_VALUE, 1, 0, 1);
    int32_t count = expr(TENON_EXPR_MUL, rows, columns);
    int32_t one = constant(1);
    inputs = {port("x", TENON_ABI_F32, {n}, {"n"}),
              port("shape", TENON_ABI_I64, {two}, {"2"})};
    outputs = {
        port("y", TENON_ABI_F32, {rows, columns}, {"shape[0]", "shape[1]"})};
    outputs[0].from_values = 1;
    checks = {
        {TENON_CHECK_LE, zero, rows, 0, "0", "shape[0]", "node 'view'"},
        {TENON_CHECK_EQ, count, n, 0, "shape[0]*shape[1]", "n", "node 'view'"}};
    buffers = {{TENON_BUFFER_INPUT, TENON_ABI_F32, 0, n, 0, 0, 0},
               {TENON_BUFFER_INPUT, TENON_ABI_I64, 1, two, 0, 0, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 0, count, 0, 0, 0}};
    int32_t inner = arena(count, 0, 1);
    step("k_in", "in", {0, inner}, {count}, one, one, zero, copy);
    step("k_out", "out", {inner, 2}, {count}, one, one, zero, copy);
    finish();
  }
};

struct Call {
  Reshape model;
  toy::Scoped context{&model.model};
  std::vector<float> x, y;
  int64_t xDims[1], shapeDims[1] = {2}, shape[2];
  const int64_t *inputDims[2] = {xDims, shapeDims};
  tenon_error error = {};

  explicit Call(int64_t n) : x(size_t(n), 1.5f), y(size_t(n)), xDims{n} {}
  tenon_status bindShape(int64_t rows, int64_t columns) {
    shape[0] = rows, shape[1] = columns;
    return tenon_bind_input(context, 1, TENON_I64, 1, shapeDims, shape,
                            sizeof shape, &error);
  }
  tenon_status bindRest() {
    if (tenon_status status =
            tenon_bind_input(context, 0, TENON_F32, 1, xDims, x.data(),
                             x.size() * sizeof(float), &error))
      return status;
    return tenon_bind_output(context, 0, TENON_F32, 2, nullptr, y.data(),
                             y.size() * sizeof(float), &error);
  }
};

TEST(Values, elementsOfEveryType) {
  int8_t i8 = -3;
  uint8_t u8 = 250, yes = 7;
  int16_t i16[] = {1, -300};
  uint16_t u16 = 65000;
  int32_t i32 = -70000;
  uint32_t u32 = 4000000000u;
  int64_t i64 = INT64_MIN;
  uint64_t u64 = UINT64_MAX;
  EXPECT_EQ(elementOf(&i8, TENON_ABI_I8, 0), -3);
  EXPECT_EQ(elementOf(&u8, TENON_ABI_U8, 0), 250);
  EXPECT_EQ(elementOf(&yes, TENON_ABI_BOOL, 0), 1);
  EXPECT_EQ(elementOf(i16, TENON_ABI_I16, 1), -300);
  EXPECT_EQ(elementOf(&u16, TENON_ABI_U16, 0), 65000);
  EXPECT_EQ(elementOf(&i32, TENON_ABI_I32, 0), -70000);
  EXPECT_EQ(elementOf(&u32, TENON_ABI_U32, 0), 4000000000);
  EXPECT_EQ(elementOf(&i64, TENON_ABI_I64, 0), INT64_MIN);
  EXPECT_EQ(elementOf(&u64, TENON_ABI_U64, 0), INT64_MAX);
}

double elementOfFloats(const void *data, int32_t dtype, int64_t index) {
  int64_t bits = elementOf(data, dtype, index);
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TEST(Values, elementsOfFloatsAreTheBitsOfADouble) {
  float f32[] = {0.5f, -3.25f};
  double f64 = 1e300;
  uint16_t f16[] = {0x3c00, 0xc500, 0x0001, 0x7c00}, bf16 = 0xc0a0;
  EXPECT_EQ(elementOfFloats(f32, TENON_ABI_F32, 1), -3.25);
  EXPECT_EQ(elementOfFloats(&f64, TENON_ABI_F64, 0), 1e300);
  EXPECT_EQ(elementOfFloats(f16, TENON_ABI_F16, 0), 1);
  EXPECT_EQ(elementOfFloats(f16, TENON_ABI_F16, 1), -5);
  EXPECT_EQ(elementOfFloats(f16, TENON_ABI_F16, 2), 0x1p-24);
  EXPECT_EQ(elementOfFloats(f16, TENON_ABI_F16, 3), HUGE_VAL);
  EXPECT_EQ(elementOfFloats(&bf16, TENON_ABI_BF16, 0), -5);
}

TEST(Values, floatsBecomeSizes) {
  toy::Builder b;
  int32_t n = b.inputDim(0, 0), dim = b.expr(TENON_EXPR_FLOAT, n, n);
  int32_t one = b.constant(1);
  int32_t scale = b.expr(TENON_EXPR_INPUT_VALUE, 1, 0, 0);
  int32_t product = b.expr(TENON_EXPR_FMUL, dim, scale);
  int32_t down = b.expr(TENON_EXPR_FLOOR, product, n);
  int32_t up = b.expr(TENON_EXPR_CEIL, product, n);
  int32_t cut = b.expr(TENON_EXPR_TRUNC, product, n);
  int32_t quotient =
      b.expr(TENON_EXPR_CEIL,
             b.expr(TENON_EXPR_FDIV, b.expr(TENON_EXPR_FSUB, dim, product),
                    b.expr(TENON_EXPR_FADD, scale, scale)),
             n);
  b.inputs = {b.port("x", TENON_ABI_F32, {n}, {"n"}),
              b.port("scale", TENON_ABI_F32, {one}, {"1"})};
  b.finish();
  std::vector<int64_t> slots(b.exprs.size());
  int64_t size = 5, single = 1;
  const int64_t *dims[] = {&size, &single};
  auto at = [&](float value) {
    const void *data[] = {&value, &value};
    return evaluateDims(b.program, dims, slots.data(), nullptr, data);
  };
  ASSERT_EQ(at(1.5f), TENON_OK);
  EXPECT_EQ(slots[down], 7);
  EXPECT_EQ(slots[up], 8);
  EXPECT_EQ(slots[quotient], 0); // ceil(-2.5 / 3)
  ASSERT_EQ(at(-1.5f), TENON_OK);
  EXPECT_EQ(slots[down], -8);
  EXPECT_EQ(slots[up], -7);
  EXPECT_EQ(slots[cut], -7);
  ASSERT_EQ(at(HUGE_VALF), TENON_OK);
  EXPECT_EQ(slots[down], INT64_MAX);
  ASSERT_EQ(at(NAN), TENON_OK);
  EXPECT_EQ(slots[up], INT64_MIN);
}

TEST(Values, selectTakesOneOfTwoSlots) {
  toy::Builder b;
  int32_t n = b.inputDim(0, 0), five = b.constant(5);
  int32_t isFive = b.expr(TENON_EXPR_EQ, n, five);
  int32_t result = b.expr(TENON_EXPR_SELECT, isFive, n, b.constant(-1));
  b.inputs = {b.port("x", TENON_ABI_F32, {n}, {"n"})};
  b.finish();
  std::vector<int64_t> slots(b.exprs.size());
  for (int64_t size : {5, 6}) {
    const int64_t *dims[] = {&size};
    ASSERT_EQ(evaluateDims(b.program, dims, slots.data(), nullptr), TENON_OK);
    EXPECT_EQ(slots[result], size == 5 ? 5 : -1);
  }
}

TEST(Values, decideTheOutputsDims) {
  Call call(6);
  tenon_port_info info;
  TENON_INIT(info);
  ASSERT_EQ(tenon_get_output_info(&call.model.model, 0, &info, nullptr), 0);
  EXPECT_EQ(info.dims_kind, TENON_DIMS_FROM_DATA);
  ASSERT_EQ(call.bindShape(2, 3), TENON_OK);
  int64_t dims[2];
  ASSERT_EQ(
      tenon_output_dims(call.context, call.inputDims, 0, dims, &call.error),
      TENON_OK)
      << call.error.message;
  EXPECT_EQ(dims[0], 2);
  EXPECT_EQ(dims[1], 3);
  ASSERT_EQ(tenon_reserve(call.context, call.inputDims, &call.error), TENON_OK);
  ASSERT_EQ(call.bindRest(), TENON_OK) << call.error.message;
  ASSERT_EQ(tenon_run(call.context, &call.error), TENON_OK)
      << call.error.message;
  EXPECT_EQ(call.y, call.x);
}

TEST(Values, questionsNameTheInputToBind) {
  Call call(6);
  int64_t dims[2];
  size_t bytes;
  EXPECT_EQ(
      tenon_output_dims(call.context, call.inputDims, 0, dims, &call.error),
      TENON_NOT_BOUND);
  EXPECT_STREQ(call.error.message,
               "output 'y': dim 0 (shape[0]) depends on the values of input "
               "'shape': bind it first");
  EXPECT_EQ(
      tenon_workspace_size(call.context, call.inputDims, &bytes, &call.error),
      TENON_NOT_BOUND);
  EXPECT_STREQ(call.error.message, "the workspace depends on the values of "
                                   "input 'shape': bind it first");
  EXPECT_EQ(tenon_reserve(call.context, call.inputDims, &call.error),
            TENON_NOT_BOUND);
}

TEST(Values, areReadAgainInEachRun) {
  Call call(6);
  ASSERT_EQ(call.bindShape(2, 3), TENON_OK);
  ASSERT_EQ(tenon_reserve(call.context, call.inputDims, &call.error), TENON_OK);
  ASSERT_EQ(call.bindRest(), TENON_OK);
  ASSERT_EQ(tenon_run(call.context, &call.error), TENON_OK);
  // The same memory with other values, without another bind.
  call.shape[0] = 4;
  EXPECT_EQ(tenon_run(call.context, &call.error), TENON_CHECK_FAILED);
  EXPECT_STREQ(call.error.message,
               "shape[0]*shape[1] is 12, expected 6 (n), because of node "
               "'view'");
  call.shape[0] = -2, call.shape[1] = -3;
  EXPECT_EQ(tenon_run(call.context, &call.error), TENON_CHECK_FAILED);
  EXPECT_STREQ(call.error.message,
               "input 'shape': element 0 (shape[0]) is -2, expected >= 0, "
               "because of node 'view'");
  call.shape[0] = 6, call.shape[1] = 1;
  EXPECT_EQ(tenon_run(call.context, &call.error), TENON_OK)
      << call.error.message;
}

TEST(Values, plansAreKeptPerValue) {
  // No check ties the values to the dims here: each value has its own plan.
  Call call(6000);
  call.model.checks.clear();
  call.model.finish();
  size_t small, large, again;
  ASSERT_EQ(call.bindShape(2, 3), TENON_OK);
  ASSERT_EQ(tenon_workspace_size(call.context, call.inputDims, &small, nullptr),
            TENON_OK);
  call.shape[1] = 3000;
  ASSERT_EQ(tenon_workspace_size(call.context, call.inputDims, &large, nullptr),
            TENON_OK);
  call.shape[1] = 3;
  ASSERT_EQ(tenon_workspace_size(call.context, call.inputDims, &again, nullptr),
            TENON_OK);
  EXPECT_GE(large, 6000 * sizeof(float));
  EXPECT_LT(small, large);
  EXPECT_EQ(small, again);
  ASSERT_EQ(tenon_reserve(call.context, call.inputDims, &call.error), TENON_OK);
  call.shape[1] = 3000;
  ASSERT_EQ(call.bindRest(), TENON_OK);
  EXPECT_EQ(tenon_run(call.context, &call.error), TENON_WORKSPACE_TOO_SMALL);
}

} // namespace
