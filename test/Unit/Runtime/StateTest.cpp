//===- StateTest.cpp - pasts in the caller's memory -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "ToyModel.h"
#include "tenon/tenon.hpp"
#include <functional>
#include <gtest/gtest.h>

using namespace toy;

namespace {

constexpr int64_t kSize = 4;

/// Called by a run, in its midst.
std::function<void()> duringRun;

/// present[b] = past[b], fresh[b]; rows of `present` have room for dims[2]. Of
/// old rows there are as many as the table in dims[4] says, if it is one.
int32_t append(void *const *bufs, const int64_t *dims, int64_t begin,
               int64_t end, tenon_task *) {
  if (duringRun)
    duringRun();
  const auto *past = static_cast<const float *>(bufs[0]);
  const auto *fresh = static_cast<const float *>(bufs[1]);
  auto *present = static_cast<float *>(bufs[2]);
  int64_t old = dims[0] * kSize, added = dims[1] * kSize,
          room = dims[2] * kSize, carried = dims[3];
  const auto *lengths = reinterpret_cast<const int32_t *>(dims[4]);
  for (int64_t b = begin; b < end; ++b) {
    if (lengths)
      old = lengths[b] * kSize;
    for (int64_t i = 0; i < old * carried; ++i)
      present[b * room + i] = past[b * old + i];
    for (int64_t i = 0; i < added; ++i)
      present[b * room + old + i] = fresh[b * added + i];
  }
  return TENON_KERNEL_OK;
}

/// last[b] = the sum of all rows' first elements.
int32_t total(void *const *bufs, const int64_t *dims, int64_t begin,
              int64_t end, tenon_task *) {
  const auto *present = static_cast<const float *>(bufs[0]);
  auto *out = static_cast<float *>(bufs[1]);
  for (int64_t b = begin; b < end; ++b) {
    out[b] = 0;
    for (int64_t r = 0; r < dims[0]; ++r)
      out[b] += present[(b * dims[1] + r) * kSize];
  }
  return TENON_KERNEL_OK;
}

struct Decoder : Builder {
  tenon_state_pair pair = {0, 1, 1, 1, 0, 0, nullptr, 0, 0, 0};
  explicit Decoder(bool withState = true, bool ownLengths = false) {
    int32_t batch = inputDim(0, 0), past = inputDim(0, 1), size = constant(4),
            added = inputDim(1, 1), none = constant(0);
    int32_t length = expr(TENON_EXPR_ADD, past, added);
    int32_t carried = expr(TENON_EXPR_STATE_CARRIED, 0, 0);
    int32_t room = expr(TENON_EXPR_STATE_CAPACITY, length, 0);
    int32_t cells = expr(TENON_EXPR_MUL, batch, room);
    int32_t elements = expr(TENON_EXPR_MUL, cells, size);
    inputs = {
        port("past", TENON_ABI_F32, {batch, past, size}, {"b", "p", "4"}),
        port("fresh", TENON_ABI_F32, {batch, added, size}, {"b", "s", "4"})};
    outputs = {port("sum", TENON_ABI_F32, {batch}, {"b"}),
               port("present", TENON_ABI_F32, {batch, length, size},
                    {"b", "p + s", "4"})};
    buffers = {{TENON_BUFFER_INPUT, TENON_ABI_F32, 0, elements, 0, 2, 0},
               {TENON_BUFFER_INPUT, TENON_ABI_F32, 1, elements, 0, 2, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 0, batch, 0, 2, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 1, elements, 0, 2, 0}};
    int32_t lengths = ownLengths ? expr(TENON_EXPR_STATE_LENGTHS, 0, 0) : none;
    step("append", "/append", {0, 1, 3}, {past, added, room, carried, lengths},
         batch, none, none, append);
    step("total", "/total", {3, 2}, {length, room}, batch, none, none, total);
    finish();
    program.states = &pair;
    program.num_states = withState;
  }
};

struct Loop {
  explicit Loop(const Decoder &decoder)
      : context(tenon::Context::create(decoder.model, {.threads = 1}).take()) {}
  /// Adds `rows` rows of `value` to both sequences.
  tenon::Status step(int64_t rows, float value) {
    std::vector<float> fresh(size_t(2 * rows * kSize), value);
    tenon::Dims dims = {2, rows, kSize};
    if (auto status = context.bindInput("fresh", dims, std::span(fresh));
        !status)
      return status;
    if (auto status = context.bindOutput("sum", std::span(sums)); !status)
      return status;
    return context.run();
  }
  tenon::Context context;
  std::vector<float> sums = std::vector<float>(2);
};

TEST(State, growsRollsBackAndIsShared) {
  Decoder decoder;
  tenon::Model model(decoder.model);
  auto pairs = model.states();
  ASSERT_TRUE(pairs);
  ASSERT_EQ(pairs->size(), 1u);
  EXPECT_TRUE((*pairs)[0].grows);
  auto inputs = model.inputs().take(), outputs = model.outputs().take();
  EXPECT_EQ(inputs[0].kind, TENON_PORT_STATE); // past
  EXPECT_EQ(inputs[0].state, 0);
  EXPECT_EQ(inputs[1].kind, TENON_PORT_INPUT);
  EXPECT_EQ(outputs[0].kind, TENON_PORT_OUTPUT);
  EXPECT_EQ(outputs[1].kind, TENON_PORT_STATE); // present
  auto made = tenon::State::create(model, 2, 5);
  ASSERT_TRUE(made) << made.message();
  tenon::State state = made.take();
  Loop loop(decoder);
  EXPECT_EQ(loop.step(1, 1).code(), TENON_NOT_BOUND);
  ASSERT_TRUE(loop.context.bindState(state));
  ASSERT_TRUE(loop.step(2, 1));
  ASSERT_TRUE(loop.step(1, 10));
  EXPECT_EQ(loop.sums, (std::vector<float>{12, 12}));
  EXPECT_EQ(*state.length(1), 3);

  tenon::State other = tenon::State::create(model, 2, 9).take();
  for (int64_t row : {0, 1})
    ASSERT_TRUE(other.copy(row, state, 1 - row, 2));
  ASSERT_TRUE(state.setLength(2));
  ASSERT_TRUE(loop.step(1, 100));
  EXPECT_EQ(loop.sums, (std::vector<float>{102, 102}));
  ASSERT_TRUE(loop.context.bindState(other));
  ASSERT_TRUE(loop.step(3, 1000));
  EXPECT_EQ(loop.sums, (std::vector<float>{3002, 3002}));
  EXPECT_EQ(*other.length(), 5);
}

TEST(State, takesSequencesOfUnequalLengths) {
  Decoder decoder(/*withState=*/true, /*ownLengths=*/true);
  tenon::Model model(decoder.model);
  tenon::State state = tenon::State::create(model, 2, 5).take();
  Loop loop(decoder);
  ASSERT_TRUE(loop.context.bindState(state));
  ASSERT_TRUE(loop.step(3, 1));
  ASSERT_TRUE(state.setLength(1, 1));
  ASSERT_TRUE(loop.step(1, 10));
  EXPECT_EQ(*state.length(0), 4);
  EXPECT_EQ(*state.length(1), 2);
  EXPECT_EQ(loop.sums[0], 13);
  // The longest is what there must be room for.
  tenon::Status full = loop.step(2, 1);
  EXPECT_EQ(full.code(), TENON_STATE_FULL);
  EXPECT_EQ(*state.length(0), 4);
  EXPECT_EQ(*state.length(1), 2);
  ASSERT_TRUE(state.setLength(0, 0));
  ASSERT_TRUE(loop.step(3, 100));
  EXPECT_EQ(*state.length(0), 3);
  EXPECT_EQ(*state.length(1), 5);
}

TEST(State, refusesAndStaysAsItIs) {
  Decoder decoder;
  tenon::Model model(decoder.model);
  tenon::State state = tenon::State::create(model, 2, 4).take();
  Loop loop(decoder);
  ASSERT_TRUE(loop.context.bindState(state));
  ASSERT_TRUE(loop.step(3, 1));
  tenon::Status full = loop.step(2, 1);
  EXPECT_EQ(full.code(), TENON_STATE_FULL);
  EXPECT_EQ(full.message(), "output 'present' would have 5 rows for each "
                            "sequence, the state has room for 4");
  EXPECT_EQ(*state.length(), 3);
  EXPECT_EQ(state.setLength(4, 1).code(), TENON_INVALID_STATE);
  EXPECT_EQ(state.setLength(0, 2).code(), TENON_INVALID_ARGUMENT);
  ASSERT_TRUE(state.setLength(1, 1));
  EXPECT_EQ(loop.step(1, 1).code(), TENON_INVALID_STATE);
  ASSERT_TRUE(state.setLength(1, 0));
  ASSERT_TRUE(loop.step(3, 2));
  EXPECT_EQ(loop.sums, (std::vector<float>{7, 7}));

  // Tensors in the state's memory, and what it holds itself.
  tenon::Dims dims = {2, 1, kSize};
  std::vector<float> fresh(2 * kSize);
  EXPECT_EQ(loop.context.bindInput("past", dims, std::span(fresh)).code(),
            TENON_INVALID_ARGUMENT);
  ASSERT_TRUE(state.setLength(0));
  auto *memory = reinterpret_cast<float *>(state.get());
  ASSERT_TRUE(loop.context.bindInput("fresh", dims, std::span(memory, 8)));
  EXPECT_EQ(loop.context.run().code(), TENON_INVALID_TENSOR);
  ASSERT_TRUE(loop.context.unbindState());
  EXPECT_EQ(loop.context.run().code(), TENON_NOT_BOUND);

  EXPECT_FALSE(tenon::State::create(model, 0, 4));
  EXPECT_FALSE(tenon::State::create(model, 2, 0));
  Decoder none(/*withState=*/false);
  auto refused = tenon::State::create(none.model, 2, 4);
  EXPECT_EQ(refused.message(),
            "the model has no state: 'tenon inspect' says why");
  EXPECT_EQ(Loop(none).context.bindState(state).code(), TENON_INVALID_STATE);
}

TEST(State, isOneRunsAlone) {
  Decoder decoder;
  tenon::Model model(decoder.model);
  tenon::State state = tenon::State::create(model, 2, 8).take();
  tenon::State other = tenon::State::create(model, 2, 8).take();
  Loop one(decoder), two(decoder);
  ASSERT_TRUE(one.context.bindState(state));
  ASSERT_TRUE(two.context.bindState(state));
  ASSERT_TRUE(one.step(2, 1));
  std::vector<tenon_status> codes;
  duringRun = [&] {
    if (!codes.empty())
      return; // another task of the same run
    codes = {two.step(1, 1).code(), state.setLength(0).code(),
             state.copy(0, other, 0, 0).code(),
             other.copy(0, state, 0, 1).code()};
  };
  EXPECT_TRUE(one.step(1, 10));
  duringRun = nullptr;
  EXPECT_EQ(codes, std::vector(4, TENON_BUSY));
  EXPECT_EQ(*state.length(), 3);
  EXPECT_EQ(one.sums, (std::vector<float>{12, 12}));
  EXPECT_TRUE(two.step(1, 100));
  EXPECT_EQ(two.sums, (std::vector<float>{112, 112}));
}

TEST(State, overlapsNoneThatARunUses) {
  Decoder decoder;
  const tenon_model *model = &decoder.model;
  size_t bytes = 0;
  tenon_error error;
  ASSERT_FALSE(tenon_state_size(model, 2, 8, &bytes, &error));
  // The second begins in rows that the first has room for.
  alignas(64) static char memory[1024];
  ASSERT_LE(2 * bytes, sizeof memory);
  size_t distance = bytes - 64;
  tenon_state *first = nullptr, *second = nullptr;
  ASSERT_FALSE(tenon_init_state(model, memory, bytes, 2, 8, &first, &error));
  ASSERT_FALSE(
      tenon_init_state(model, memory + distance, bytes, 2, 8, &second, &error));
  Loop one(decoder), two(decoder);
  ASSERT_FALSE(tenon_bind_state(one.context.get(), first, &error));
  ASSERT_FALSE(tenon_bind_state(two.context.get(), second, &error));
  bool called = false;
  duringRun = [&] {
    if (called)
      return;
    called = true;
    tenon::Status overlaps = two.step(1, 1);
    EXPECT_EQ(overlaps.code(), TENON_BUSY);
    EXPECT_EQ(overlaps.message(), "the state's " + std::to_string(bytes) +
                                      " bytes overlap a state that a run uses, "
                                      "which begins " +
                                      std::to_string(distance) +
                                      " bytes before");
    tenon_state *third = nullptr;
    EXPECT_EQ(tenon_init_state(model, memory + 64, bytes, 2, 8, &third, &error),
              TENON_BUSY);
  };
  EXPECT_TRUE(one.step(1, 1));
  duringRun = nullptr;
  EXPECT_TRUE(called);
  EXPECT_TRUE(two.step(1, 1));
  EXPECT_TRUE(one.step(1, 1));
}

TEST(State, takesNoRunWithoutTokens) {
  Decoder decoder;
  tenon::State state =
      tenon::State::create(tenon::Model(decoder.model), 2, 8).take();
  Loop loop(decoder);
  ASSERT_TRUE(loop.context.bindState(state));
  ASSERT_TRUE(loop.step(2, 1));
  tenon::Status empty = loop.step(0, 1);
  EXPECT_EQ(empty.code(), TENON_INVALID_STATE);
  EXPECT_EQ(empty.message(), "output 'present' would have no new rows for each "
                             "sequence, expected 1 or more");
  EXPECT_EQ(*state.length(), 2);
}

} // namespace
