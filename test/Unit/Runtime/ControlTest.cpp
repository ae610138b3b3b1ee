//===- ControlTest.cpp - what the run itself decides ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Native.h"
#include "ToyModel.h"
#include <gtest/gtest.h>
#include <numeric>

namespace {

int32_t negate(void *const *bufs, const int64_t *, int64_t begin, int64_t end,
               tenon_task *) {
  for (int64_t i = begin; i < end; ++i)
    static_cast<float *>(bufs[1])[i] = -static_cast<float *>(bufs[0])[i];
  return TENON_KERNEL_OK;
}
int32_t twice(void *const *bufs, const int64_t *, int64_t begin, int64_t end,
              tenon_task *) {
  for (int64_t i = begin; i < end; ++i)
    static_cast<float *>(bufs[1])[i] = 2 * static_cast<float *>(bufs[0])[i];
  return TENON_KERNEL_OK;
}

struct Case {
  tenon_context_options options;
  toy::Scoped context;
  tenon_error error = {};
  std::vector<int64_t> dims[2];
  const int64_t *inputDims[2] = {};

  explicit Case(toy::Builder &builder, int32_t threads = 1, uint32_t flags = 0)
      : options(withFlags(toy::threadOptions(threads), flags)),
        context(&builder.model, &options) {}
  static tenon_context_options withFlags(tenon_context_options options,
                                         uint32_t flags) {
    options.flags |= flags;
    return options;
  }
  template <typename T>
  tenon_status bind(int32_t index, tenon_dtype dtype,
                    std::vector<int64_t> shape, const std::vector<T> &data) {
    dims[index] = shape;
    inputDims[index] = dims[index].data();
    return tenon_bind_input(context, index, dtype, int32_t(shape.size()),
                            inputDims[index], data.data(),
                            data.size() * sizeof(T), &error);
  }
  template <typename T>
  tenon_status room(int32_t index, tenon_dtype dtype, int32_t rank,
                    std::vector<T> &data) {
    return tenon_bind_output(context, index, dtype, rank, nullptr, data.data(),
                             data.size() * sizeof(T), &error);
  }
  tenon_status reserve() { return tenon_reserve(context, inputDims, &error); }
  tenon_status run() { return tenon_run(context, &error); }
  std::vector<int64_t> last(int32_t index, int32_t rank) {
    std::vector<int64_t> result(size_t(rank), -1);
    EXPECT_EQ(tenon_last_output_dims(context, index, result.data(), &error),
              TENON_OK)
        << error.message;
    return result;
  }
};

//===----------------------------------------------------------------------===//
// Branches
//===----------------------------------------------------------------------===//

/// y = c ? -x : 2 x, with a check in each branch.
struct Branch : toy::Builder {
  Branch() {
    int32_t n = inputDim(0, 0), one = constant(1), none = constant(0);
    int32_t c = expr(TENON_EXPR_INPUT_VALUE, 1, 0, 0);
    int32_t other = expr(TENON_EXPR_SUB, one, c);
    int32_t most = constant(4), large = constant(100000);
    inputs = {port("x", TENON_ABI_F32, {n}, {"n"}),
              port("c", TENON_ABI_BOOL, {one}, {"1"})};
    outputs = {port("y", TENON_ABI_F32, {n}, {"n"})};
    buffers = {{TENON_BUFFER_INPUT, TENON_ABI_F32, 0, n, 0, 0, 0},
               {TENON_BUFFER_INPUT, TENON_ABI_BOOL, 1, one, 0, 0, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 0, n, 0, 1, 0}};
    checks = {{TENON_CHECK_LE, n, most, 1 + c, "n", "4", "the first branch"},
              {TENON_CHECK_LE, most, n, 1 + other, "4", "n", "the second"}};
    step("k_not", "not", {0, 2}, {}, n, large, none, negate);
    step("k_two", "two", {0, 2}, {}, n, large, none, twice);
    steps[0].guard = 1 + c;
    steps[1].guard = 1 + other;
    finish();
  }
};

TEST(Control, onlyTheTakenBranchRuns) {
  Branch model;
  for (int32_t threads : {1, 3}) {
    Case call(model, threads);
    std::vector<float> x = {1, 2, 3, 4}, y(4);
    std::vector<uint8_t> yes = {1}, no = {0};
    ASSERT_EQ(call.bind(0, TENON_F32, {4}, x), TENON_OK);
    ASSERT_EQ(call.bind(1, TENON_BOOL, {1}, yes), TENON_OK);
    ASSERT_EQ(call.reserve(), TENON_OK);
    ASSERT_EQ(call.room(0, TENON_F32, 1, y), TENON_OK);
    ASSERT_EQ(call.run(), TENON_OK) << call.error.message;
    EXPECT_EQ(y, (std::vector<float>{-1, -2, -3, -4}));
    ASSERT_EQ(call.bind(1, TENON_BOOL, {1}, no), TENON_OK);
    ASSERT_EQ(call.run(), TENON_OK) << call.error.message;
    EXPECT_EQ(y, (std::vector<float>{2, 4, 6, 8}));
  }
}

TEST(Control, checksOfTheOtherBranchDoNotCount) {
  Branch model;
  Case call(model);
  std::vector<float> x(6, 1), y(6);
  std::vector<uint8_t> yes = {1}, no = {0};
  ASSERT_EQ(call.bind(0, TENON_F32, {6}, x), TENON_OK);
  ASSERT_EQ(call.bind(1, TENON_BOOL, {1}, no), TENON_OK);
  ASSERT_EQ(call.room(0, TENON_F32, 1, y), TENON_OK);
  EXPECT_EQ(call.run(), TENON_OK) << call.error.message;
  ASSERT_EQ(call.bind(1, TENON_BOOL, {1}, yes), TENON_OK);
  EXPECT_EQ(call.run(), TENON_CHECK_FAILED);
  EXPECT_NE(std::string(call.error.message).find("the first branch"),
            std::string::npos)
      << call.error.message;
}

//===----------------------------------------------------------------------===//
// Numbers from data
//===----------------------------------------------------------------------===//

int32_t positions(void *const *bufs, const int64_t *dims, int64_t, int64_t,
                  tenon_task *) {
  std::memcpy(bufs[1], bufs[0], size_t(dims[0]) * sizeof(int64_t));
  return TENON_KERNEL_OK;
}
int32_t last(void *const *bufs, const int64_t *dims, int64_t, int64_t,
             tenon_task *) {
  *static_cast<int64_t *>(bufs[1]) =
      static_cast<const int64_t *>(bufs[0])[dims[0]];
  return TENON_KERNEL_OK;
}
int32_t count(void *const *bufs, const int64_t *dims, int64_t, int64_t,
              tenon_task *) {
  auto *to = static_cast<int64_t *>(bufs[0]);
  std::iota(to, to + dims[0], int64_t(0));
  return TENON_KERNEL_OK;
}

/// at = positions of true flags.
struct Found : toy::Builder {
  Found() {
    int32_t n = inputDim(0, 0), one = constant(1), none = constant(0);
    int32_t room = expr(TENON_EXPR_ADD, n, one);
    int32_t k = expr(TENON_EXPR_RUN_VALUE, 1 + n, 0, 0);
    inputs = {port("flags", TENON_ABI_BOOL, {n}, {"n"})};
    outputs = {port("at", TENON_ABI_I64, {k}, {"k"})};
    outputs[0].from_values = 1;
    buffers = {{TENON_BUFFER_INPUT, TENON_ABI_BOOL, 0, n, 0, 0, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_I64, 0, k, 2, 2, 0}};
    int32_t list = arena(room, 0, 2, TENON_ABI_I64);
    int32_t number = arena(one, 1, 1, TENON_ABI_I64);
    step("k_find", "find", {0, list}, {n}, one, one, none,
         tenon_native_compact);
    step("k_last", "last", {list, number}, {n}, one, one, none, last);
    step("k_copy", "copy", {list, 1}, {k}, one, one, none, positions);
    controls = {{TENON_CONTROL_READ, 2, 0, number, 0, 1, -1, -1, 0, 0, nullptr,
                 nullptr, 0, 0}};
    program.num_run_values = 1;
    finish();
  }
};

TEST(Control, dimsAreKnownAfterTheRun) {
  Found model;
  Case call(model);
  std::vector<uint8_t> flags = {0, 1, 1, 0, 1};
  std::vector<int64_t> at(5), dims(1);
  ASSERT_EQ(call.bind(0, TENON_BOOL, {5}, flags), TENON_OK);
  ASSERT_EQ(call.reserve(), TENON_OK) << call.error.message;
  ASSERT_EQ(tenon_output_dims(call.context, call.inputDims, 0, dims.data(),
                              &call.error),
            TENON_OK);
  EXPECT_EQ(dims[0], 5); // the most that it can be
  EXPECT_EQ(tenon_last_output_dims(call.context, 0, dims.data(), &call.error),
            TENON_NOT_BOUND);
  ASSERT_EQ(call.room(0, TENON_I64, 1, at), TENON_OK);
  ASSERT_EQ(call.run(), TENON_OK) << call.error.message;
  EXPECT_EQ(call.last(0, 1)[0], 3);
  EXPECT_EQ(at[0], 1);
  EXPECT_EQ(at[2], 4);
  flags = {0, 0, 0, 0, 0};
  ASSERT_EQ(call.run(), TENON_OK) << call.error.message;
  EXPECT_EQ(call.last(0, 1)[0], 0);
}

TEST(Control, outputsMayBeTooSmall) {
  Found model;
  Case call(model);
  std::vector<uint8_t> flags = {1, 1, 1, 0, 1};
  std::vector<int64_t> at(2), more(4);
  ASSERT_EQ(call.bind(0, TENON_BOOL, {5}, flags), TENON_OK);
  ASSERT_EQ(call.reserve(), TENON_OK);
  ASSERT_EQ(call.room(0, TENON_I64, 1, at), TENON_OK);
  EXPECT_EQ(call.run(), TENON_OUTPUT_TOO_SMALL);
  EXPECT_EQ(call.last(0, 1)[0], 4);
  ASSERT_EQ(call.room(0, TENON_I64, 1, more), TENON_OK);
  ASSERT_EQ(call.run(), TENON_OK) << call.error.message;
  EXPECT_EQ(more, (std::vector<int64_t>{0, 1, 2, 4}));
}

/// y = 0 .. limit - 1, through an arena buffer that nothing bounds.
struct Counting : toy::Builder {
  Counting() {
    int32_t one = constant(1), none = constant(0);
    int32_t k = expr(TENON_EXPR_RUN_VALUE, 0, 0, 0);
    inputs = {port("limit", TENON_ABI_I64, {one}, {"1"})};
    outputs = {port("y", TENON_ABI_I64, {k}, {"k"})};
    outputs[0].from_values = 1;
    checks = {{TENON_CHECK_LE, none, k, 0, "0", "k", "node 'count'"}};
    buffers = {{TENON_BUFFER_INPUT, TENON_ABI_I64, 0, one, 0, 0, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_I64, 0, k, 2, 2, 0}};
    int32_t number = arena(one, 0, 0, TENON_ABI_I64);
    int32_t inner = arena(k, 1, 2, TENON_ABI_I64);
    step("k_limit", "limit", {0, number}, {one}, one, one, none, positions);
    step("k_count", "count", {inner}, {k}, one, one, none, count);
    step("k_copy", "copy", {inner, 1}, {k}, one, one, none, positions);
    controls = {{TENON_CONTROL_READ, 1, 0, number, 0, 1, -1, -1, 0, 0, nullptr,
                 nullptr, 0, 0}};
    program.num_run_values = 1;
    finish();
  }
};

TEST(Control, unboundedNumbersGrowTheWorkspace) {
  Counting model;
  Case call(model);
  std::vector<int64_t> limit = {1000}, y(2000);
  ASSERT_EQ(call.bind(0, TENON_I64, {1}, limit), TENON_OK);
  ASSERT_EQ(call.reserve(), TENON_OK);
  ASSERT_EQ(call.room(0, TENON_I64, 1, y), TENON_OK);
  EXPECT_EQ(call.run(), TENON_WORKSPACE_TOO_SMALL);
  ASSERT_EQ(call.reserve(), TENON_OK);
  ASSERT_EQ(call.run(), TENON_OK) << call.error.message;
  EXPECT_EQ(call.last(0, 1)[0], 1000);
  EXPECT_EQ(y[999], 999);
  // Less needs no more room; and what does, runs again by itself if there is.
  limit[0] = 7;
  ASSERT_EQ(call.run(), TENON_OK);
  EXPECT_EQ(call.last(0, 1)[0], 7);
  std::vector<uint64_t> memory(4096);
  ASSERT_EQ(tenon_set_workspace(call.context,
                                reinterpret_cast<void *>(
                                    (uintptr_t(memory.data()) + 63) & ~63ull),
                                16384, &call.error),
            TENON_OK);
  limit[0] = 1500;
  ASSERT_EQ(call.run(), TENON_OK) << call.error.message;
  EXPECT_EQ(y[1499], 1499);
}

TEST(Control, checksOfNumbersFromDataAreMade) {
  Counting model;
  Case call(model);
  std::vector<int64_t> limit = {-5}, y(1);
  ASSERT_EQ(call.bind(0, TENON_I64, {1}, limit), TENON_OK);
  ASSERT_EQ(call.reserve(), TENON_OK);
  ASSERT_EQ(call.room(0, TENON_I64, 1, y), TENON_OK);
  EXPECT_EQ(call.run(), TENON_CHECK_FAILED);
  EXPECT_STREQ(call.error.message,
               "k is -5, expected >= 0, because of node 'count'");
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

int32_t below(void *const *bufs, const int64_t *dims, int64_t, int64_t,
              tenon_task *) {
  *static_cast<uint8_t *>(bufs[1]) =
      static_cast<const float *>(bufs[0])[0] < float(dims[0]);
  return TENON_KERNEL_OK;
}
int32_t copyFloats(void *const *bufs, const int64_t *dims, int64_t, int64_t,
                   tenon_task *) {
  std::memcpy(bufs[1], bufs[0], size_t(dims[0]) * sizeof(float));
  return TENON_KERNEL_OK;
}

/// For at most trips iterations while a < 100: a = 2 a, a row each; a[1].
struct Doubling : toy::Builder {
  Doubling() {
    int32_t one = constant(1), none = constant(0), limit = constant(100);
    int32_t trips = expr(TENON_EXPR_INPUT_VALUE, 1, 0, 0);
    int32_t ended = expr(TENON_EXPR_RUN_VALUE, 1 + trips, 0, 0);
    int32_t large = constant(100000);
    inputs = {port("x", TENON_ABI_F32, {one}, {"1"}),
              port("trips", TENON_ABI_I64, {one}, {"1"})};
    outputs = {port("last", TENON_ABI_F32, {one}, {"1"}),
               port("all", TENON_ABI_F32, {ended}, {"loop[1]"})};
    outputs[1].from_values = 1;
    buffers = {{TENON_BUFFER_INPUT, TENON_ABI_F32, 0, one, 0, 0, 0},
               {TENON_BUFFER_INPUT, TENON_ABI_I64, 1, one, 0, 0, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 0, one, 2, 2, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 1, ended, 3, 3, 0}};
    int32_t number = arena(one, 0, 3, TENON_ABI_I64);
    int32_t going = arena(one, 0, 3, TENON_ABI_BOOL);
    int32_t a = arena(one, 0, 3), rows = arena(ended, 0, 3);
    int32_t next = arena(one, 0, 3), more = arena(one, 0, 3, TENON_ABI_BOOL);
    // The condition is true at first: any nonzero byte of x will do.
    copies = {{{0, a, one, 0}},
              {{more, going, one, 0}, {next, a, one, 0}, {next, rows, one, 1}}};
    step("k_two", "two", {a, next}, {}, one, large, none, twice);
    step("k_more", "more", {next, more}, {limit}, one, one, none, below);
    step("k_last", "last", {a, 2}, {one}, one, one, none, copyFloats);
    step("k_rows", "rows", {rows, 3}, {ended}, one, one, none, copyFloats);
    controls = {{TENON_CONTROL_LOOP, 0, 0, number, 1, 1, trips, -1, 1,
                 int32_t(copies[0].size()), copies[0].data(), nullptr, 0, 0},
                {TENON_CONTROL_NEXT, 2, 0, number, 1, 1, trips, going, 0,
                 int32_t(copies[1].size()), copies[1].data(), nullptr, 0, 0}};
    program.num_run_values = 2;
    finish();
  }
};

TEST(Control, loopsRunAsOftenAsDataSays) {
  Doubling model;
  for (int64_t trips : {0, 1, 5}) {
    Case call(model, 2, TENON_CONTEXT_PROFILE);
    std::vector<float> x = {3}, last(1), all(8);
    std::vector<int64_t> number = {trips};
    ASSERT_EQ(call.bind(0, TENON_F32, {1}, x), TENON_OK);
    ASSERT_EQ(call.bind(1, TENON_I64, {1}, number), TENON_OK);
    ASSERT_EQ(call.reserve(), TENON_OK) << call.error.message;
    ASSERT_EQ(call.room(0, TENON_F32, 1, last), TENON_OK);
    ASSERT_EQ(call.room(1, TENON_F32, 1, all), TENON_OK);
    ASSERT_EQ(call.run(), TENON_OK) << call.error.message;
    EXPECT_EQ(last[0], float(3 << trips));
    EXPECT_EQ(call.last(1, 1)[0], trips);
    for (int64_t i = 0; i < trips; ++i)
      EXPECT_EQ(all[size_t(i)], float(6 << i));

    // A profile counts each iteration, and what is left of the run's time.
    tenon_context_info whole;
    TENON_INIT(whole);
    ASSERT_EQ(tenon_get_context_info(call.context, &whole, nullptr), TENON_OK);
    uint64_t told = whole.prepare_ns + whole.control_ns;
    for (int32_t s = 0; s < 4; ++s) {
      tenon_step_info step;
      TENON_INIT(step);
      ASSERT_EQ(tenon_get_step_info(call.context, s, &step, nullptr), TENON_OK);
      EXPECT_EQ(step.calls, s < 2 ? trips : 1);
      EXPECT_LE(step.last_ns, step.time_ns);
      told += step.time_ns;
    }
    EXPECT_GT(whole.control_ns, 0u);
    EXPECT_LE(told, whole.run_ns);
  }
}

int32_t append(void *const *bufs, const int64_t *dims, int64_t, int64_t,
               tenon_task *) {
  auto *to = static_cast<float *>(bufs[1]);
  std::memcpy(to, bufs[0], size_t(dims[0]) * sizeof(float));
  to[dims[0]] = float(dims[0]);
  return TENON_KERNEL_OK;
}

/// x with its length appended `trips` times; `bounded`: that is known before.
struct Growing : toy::Builder {
  explicit Growing(bool bounded) {
    int32_t one = constant(1), none = constant(0), n = inputDim(0, 0);
    int32_t trips = expr(TENON_EXPR_INPUT_VALUE, 1, 0, 0);
    int32_t bound = bounded ? 1 + expr(TENON_EXPR_ADD, n, trips) : 0;
    int32_t behind = expr(TENON_EXPR_RUN_VALUE, bound, 1 + n, 0);
    int32_t now = expr(TENON_EXPR_RUN_VALUE, bound, 1 + n, 3);
    int32_t more = expr(TENON_EXPR_ADD, now, one);
    inputs = {port("x", TENON_ABI_F32, {n}, {"n"}),
              port("trips", TENON_ABI_I64, {one}, {"1"})};
    outputs = {port("y", TENON_ABI_F32, {behind}, {"loop[3]"})};
    outputs[0].from_values = 1;
    buffers = {{TENON_BUFFER_INPUT, TENON_ABI_F32, 0, n, 0, 0, 0},
               {TENON_BUFFER_INPUT, TENON_ABI_I64, 1, one, 0, 0, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 0, behind, 1, 1, 0}};
    int32_t number = arena(one, 0, 1, TENON_ABI_I64);
    int32_t value = arena(now, 0, 1), next = arena(more, 0, 0);
    copies = {{{0, value, n, 0}}, {{next, value, more, 0}}};
    step("k_append", "append", {value, next}, {now}, one, one, none, append);
    step("k_last", "last", {value, 2}, {behind}, one, one, none, copyFloats);
    controls = {{TENON_CONTROL_LOOP, 0, 0, number, 2, 2, trips, -1, 1, 1,
                 copies[0].data(), list({n}), 1, 0},
                {TENON_CONTROL_NEXT, 1, 0, number, 2, 2, trips, -1, 0, 1,
                 copies[1].data(), list({more}), 1, 0}};
    program.num_run_values = 4;
    finish();
  }
};

TEST(Control, handedValuesMayGrow) {
  for (bool bounded : {true, false}) {
    Growing model(bounded);
    Case call(model, 2);
    for (int64_t trips : {3, 40, 0, 500, 7}) {
      std::vector<float> x = {3, 4}, y(size_t(trips) + 2);
      std::vector<int64_t> number = {trips};
      ASSERT_EQ(call.bind(0, TENON_F32, {2}, x), TENON_OK);
      ASSERT_EQ(call.bind(1, TENON_I64, {1}, number), TENON_OK);
      ASSERT_EQ(call.room(0, TENON_F32, 1, y), TENON_OK);
      int tries = 0;
      tenon_status status;
      do {
        ASSERT_EQ(call.reserve(), TENON_OK) << call.error.message;
        status = call.run();
        ++tries;
      } while (status == TENON_WORKSPACE_TOO_SMALL && tries < 16);
      ASSERT_EQ(status, TENON_OK) << call.error.message;
      // Memory that a bound does not give doubles until it suffices.
      EXPECT_LE(tries, bounded ? 1 : 10);
      ASSERT_EQ(call.last(0, 1)[0], trips + 2);
      EXPECT_EQ(y[0], 3);
      for (size_t i = 2; i < y.size(); ++i)
        EXPECT_EQ(y[i], float(i));
    }
  }
}

TEST(Control, outputsThatGrowMayBeTooSmall) {
  Growing model(true);
  Case call(model);
  std::vector<float> x = {3, 4}, y(5), more(9);
  std::vector<int64_t> number = {7};
  ASSERT_EQ(call.bind(0, TENON_F32, {2}, x), TENON_OK);
  ASSERT_EQ(call.bind(1, TENON_I64, {1}, number), TENON_OK);
  ASSERT_EQ(call.reserve(), TENON_OK);
  std::vector<int64_t> most(1);
  ASSERT_EQ(tenon_output_dims(call.context, call.inputDims, 0, most.data(),
                              &call.error),
            TENON_OK);
  EXPECT_EQ(most[0], 9);
  ASSERT_EQ(call.room(0, TENON_F32, 1, y), TENON_OK);
  EXPECT_EQ(call.run(), TENON_OUTPUT_TOO_SMALL);
  EXPECT_EQ(call.last(0, 1)[0], 9);
  ASSERT_EQ(call.room(0, TENON_F32, 1, more), TENON_OK);
  ASSERT_EQ(call.run(), TENON_OK) << call.error.message;
  EXPECT_EQ(more, (std::vector<float>{3, 4, 2, 3, 4, 5, 6, 7, 8}));
}

//===----------------------------------------------------------------------===//
// Native kernels
//===----------------------------------------------------------------------===//

std::vector<int64_t> uniqueOf(std::vector<float> items, int64_t width,
                              bool sorted) {
  int64_t n = int64_t(items.size()) / width;
  std::vector<int64_t> result(size_t(3 * n + 1)), scratch(size_t(2 * n));
  void *bufs[] = {items.data(), result.data()};
  int64_t dims[] = {n, width, TENON_ABI_F32, sorted};
  tenon_task task = {scratch.data(), 0, 0};
  EXPECT_EQ(tenon_native_unique(bufs, dims, 0, 1, &task), 0);
  return result;
}

TEST(Native, uniqueSortsAndCounts) {
  using List = std::vector<int64_t>;
  EXPECT_EQ(uniqueOf({2, 1, 1, 3, 4, 3}, 1, true),
            (List{1, 0, 3, 4, 0, 0, 2, 1, 2, 1, 0, 0, 1, 0, 0, 2, 3, 2, 4}));
  EXPECT_EQ(uniqueOf({2, 1, 1, 3, 4, 3}, 1, false),
            (List{0, 1, 3, 4, 0, 0, 1, 2, 2, 1, 0, 0, 0, 1, 1, 2, 3, 2, 4}));
  EXPECT_EQ(uniqueOf({1, 0, 1, 0, 0, 5}, 2, true),
            (List{2, 0, 0, 1, 2, 0, 1, 1, 0, 2}));
  EXPECT_EQ(uniqueOf({}, 1, true), (List{0}));
}

} // namespace
