//===- PagesTest.cpp - sequences that share a pool of pages ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// What the runtime does of it; test/Models/pages.py looks at the rows.
//===----------------------------------------------------------------------===//
#include "ToyModel.h"
#include "tenon/tenon.hpp"
#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <random>

using namespace toy;

namespace {

constexpr int64_t kSize = 4, kMost = 2048;

int32_t nothing(void *const *, const int64_t *, int64_t, int64_t,
                tenon_task *) {
  return TENON_KERNEL_OK;
}

/// Of each row of a run: its sequence, and what comes before it there.
std::vector<std::pair<int32_t, int32_t>> seen;

/// Looks at the tables at dims[1] and dims[2].
int32_t look(void *const *, const int64_t *dims, int64_t begin, int64_t end,
             tenon_task *) {
  const auto *pages = reinterpret_cast<const int32_t *>(dims[1]);
  const auto *lengths = reinterpret_cast<const int32_t *>(dims[2]);
  for (int64_t b = begin; b < end; ++b)
    seen.push_back({pages[-1 - b], lengths[b]});
  return TENON_KERNEL_OK;
}

/// present[b] = past[b], fresh[b], of rows that nobody reads.
struct Decoder : Builder {
  tenon_state_pair pair = {0, 0, 1, 1, 1, TENON_ABI_I8, nullptr, 0, 0, 0};
  explicit Decoder(bool grows = true, bool scratch = false,
                   bool ragged = false) {
    int32_t batch = inputDim(0, 0), past = inputDim(0, 1), size = constant(4),
            added = inputDim(1, 1), none = constant(0);
    int32_t length = expr(TENON_EXPR_ADD, past, added);
    int32_t room = expr(TENON_EXPR_STATE_CAPACITY, length, 0);
    int32_t cells = expr(TENON_EXPR_MUL, batch, room);
    int32_t elements = expr(TENON_EXPR_MUL, cells, size);
    inputs = {
        port("past", TENON_ABI_F32, {batch, past, size}, {"b", "p", "4"}),
        port("fresh", TENON_ABI_F32, {batch, added, size}, {"b", "s", "4"})};
    outputs = {port("present", TENON_ABI_F32, {batch, length, size},
                    {"b", "p + s", "4"}),
               port("sum", TENON_ABI_F32, {batch}, {"b"})};
    buffers = {{TENON_BUFFER_INPUT, TENON_ABI_F32, 0, elements, 0, 1, 0},
               {TENON_BUFFER_INPUT, TENON_ABI_F32, 1, elements, 0, 1, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 0, elements, 0, 1, 0},
               {TENON_BUFFER_OUTPUT, TENON_ABI_F32, 1, batch, 0, 1, 0}};
    int32_t pages = expr(TENON_EXPR_STATE_PAGES, 0, 0);
    if (ragged)
      step("look", "/look", {0},
           {past, pages, expr(TENON_EXPR_STATE_LENGTHS, 0, 0)}, batch, none,
           none, look);
    else
      step("append", "/append", {0, 1, 2, 3}, {past}, batch, none,
           scratch ? room : none, nothing);
    finish();
    pair.grows = grows;
    program.states = &pair;
    program.num_states = 1;
  }
};

struct Loop {
  explicit Loop(const Decoder &decoder)
      : context(tenon::Context::create(decoder.model, {.threads = 1}).take()) {}
  /// Adds rows to each of the sequences.
  tenon::Status step(tenon::State &state, std::vector<int64_t> which,
                     int64_t rows) {
    sequences = std::move(which);
    if (auto status = context.bindSequences(state, sequences); !status)
      return status;
    fresh.resize(sequences.size() * size_t(rows * kSize));
    tenon::Dims dims = {int64_t(sequences.size()), rows, kSize};
    if (auto status = context.bindInput("fresh", dims, std::span(fresh));
        !status)
      return status;
    sums.resize(sequences.size());
    if (auto status = context.bindOutput("sum", std::span(sums)); !status)
      return status;
    return context.run();
  }
  tenon::Context context;
  std::vector<int64_t> sequences;
  std::vector<float> fresh, sums;
};

TEST(Pages, areTakenSharedAndGivenBack) {
  Decoder decoder;
  tenon::Model model(decoder.model);
  auto made = tenon::State::createPaged(model, 4, 100, 5);
  ASSERT_TRUE(made) << made.message();
  tenon::State state = made.take();
  auto pool = state.pool();
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->sequences, 4);
  EXPECT_EQ(pool->capacity, 128);
  EXPECT_EQ(pool->pages, 5);
  EXPECT_EQ(pool->page_rows, 32);
  EXPECT_EQ(pool->page_bytes, 32 * (4 + 4));
  Loop loop(decoder);
  ASSERT_TRUE(loop.step(state, {2}, 40));
  ASSERT_TRUE(loop.step(state, {1}, 1));
  EXPECT_EQ(state.pool()->free_pages, 2);
  EXPECT_EQ(*state.length(2), 40);
  ASSERT_TRUE(state.share(3, 2, 40));
  EXPECT_EQ(*state.pages(3), *state.pages(2));
  EXPECT_EQ(state.pool()->free_pages, 2);
  // Both go on, one of them in a page of its own.
  ASSERT_TRUE(loop.step(state, {3, 2}, 1));
  EXPECT_EQ(state.pages(3)->front(), state.pages(2)->front());
  EXPECT_NE(state.pages(3)->back(), state.pages(2)->back());
  EXPECT_EQ(state.pool()->free_pages, 1);
  // Two are wanted, for the other's sake.
  tenon::Status full = loop.step(state, {2, 3}, 30);
  EXPECT_EQ(full.code(), TENON_STATE_FULL);
  EXPECT_EQ(full.message(), "sequence 3: 71 rows need 1 more pages, the pool "
                            "of 5 has 0 free");
  EXPECT_EQ(*state.length(2), 41);
  EXPECT_EQ(state.pool()->free_pages, 1);
  ASSERT_TRUE(state.setLength(0, 2));
  EXPECT_EQ(state.pool()->free_pages, 2);
  EXPECT_EQ(*state.length(3), 41);
  ASSERT_TRUE(state.share(3, 3, 32));
  EXPECT_EQ(state.pool()->free_pages, 3);
  ASSERT_TRUE(state.setLength(0));
  EXPECT_EQ(state.pool()->free_pages, 5);
}

TEST(Pages, areRefused) {
  Decoder decoder, buffer(/*grows=*/false);
  tenon::Model model(decoder.model);
  EXPECT_EQ(tenon::State::createPaged(model, 4, 100, 0).message(),
            "a pool of 0 pages, expected 1..2147483647");
  EXPECT_EQ(tenon::State::createPaged(model, 0, 100, 1).status().code(),
            TENON_INVALID_ARGUMENT);
  EXPECT_EQ(tenon::State::createPaged(buffer.model, 4, 100, 4).message(),
            "input 'past' is a buffer, other inputs say what of it is in use: "
            "its sequences share no pages");
  EXPECT_EQ(tenon::State::createPaged(model, 1 << 24, INT32_MAX - 64, 1)
                .status()
                .code(),
            TENON_INVALID_ARGUMENT);
  tenon::State state = tenon::State::createPaged(model, 3, 64, 2).take();
  std::vector<int32_t> pages = {1, 0};
  ASSERT_TRUE(state.setPages(1, pages));
  EXPECT_EQ(*state.pages(1), pages);
  Loop loop(decoder);
  ASSERT_TRUE(loop.step(state, {1}, 33));
  EXPECT_EQ(*state.pages(1), pages);
  EXPECT_EQ(state.setPages(1, std::span(pages).first(1)).message(),
            "sequence 1: 1 pages, expected 2..2 for its rows and its capacity");
  EXPECT_EQ(state.setPages(0, std::span(pages).first(1)).message(),
            "sequence 0: page 1 at 0 is another sequence's: "
            "tenon_share_state shares them");
  EXPECT_EQ(loop.step(state, {0}, 1).code(), TENON_STATE_FULL);
  EXPECT_EQ(loop.step(state, {1, 1}, 1).code(), TENON_INVALID_ARGUMENT);
  EXPECT_EQ(loop.step(state, {-1}, 1).code(), TENON_INVALID_ARGUMENT);
  EXPECT_EQ(loop.step(state, {1, 2}, 1).code(), TENON_INVALID_STATE);
  EXPECT_EQ(loop.step(state, {1}, 32).code(), TENON_STATE_FULL);
  EXPECT_EQ(*state.length(1), 33);
}

TEST(Pages, takeTokensOfManySequencesAsRows) {
  Decoder decoder(/*grows=*/true, /*scratch=*/false, /*ragged=*/true);
  tenon::Model model(decoder.model);
  tenon::State state = tenon::State::createPaged(model, 3, 64, 3).take();
  Loop loop(decoder);
  seen.clear();
  ASSERT_TRUE(loop.step(state, {2, 2, 2, 0}, 1));
  using Rows = std::vector<std::pair<int32_t, int32_t>>;
  EXPECT_EQ(seen, (Rows{{2, 0}, {2, 1}, {2, 2}, {0, 0}}));
  EXPECT_EQ(*state.length(2), 3);
  EXPECT_EQ(*state.length(0), 1);
  EXPECT_EQ(state.pool()->free_pages, 1);
  // More rows than there are sequences, over the end of a page.
  std::vector<int64_t> many(31, 2);
  many.push_back(0);
  seen.clear();
  ASSERT_TRUE(loop.step(state, many, 1));
  EXPECT_EQ(seen.front(), (std::pair<int32_t, int32_t>{2, 3}));
  EXPECT_EQ(seen[30], (std::pair<int32_t, int32_t>{2, 33}));
  EXPECT_EQ(seen.back(), (std::pair<int32_t, int32_t>{0, 1}));
  EXPECT_EQ(state.pool()->free_pages, 0);
  // What is refused changes nothing.
  tenon::Status apart = loop.step(state, {2, 0, 2}, 1);
  EXPECT_EQ(apart.code(), TENON_INVALID_ARGUMENT);
  EXPECT_EQ(apart.message(), "sequence 2 is given twice");
  EXPECT_EQ(loop.step(state, {2, 2}, 2).message(),
            "sequence 2 has 2 rows in a run that adds 2 to each, expected 1");
  EXPECT_EQ(loop.step(state, {0, 1}, 1).message(),
            "sequence 1: 1 rows need 1 more pages, the pool of 3 has 0 free");
  EXPECT_EQ(loop.step(state, std::vector<int64_t>(97, 2), 1).message(),
            "97 sequences, expected 1..96, as the state has them");
  EXPECT_EQ(loop.step(state, std::vector<int64_t>(40, 2), 1).code(),
            TENON_STATE_FULL);
  EXPECT_EQ(*state.length(2), 34);
  EXPECT_EQ(*state.length(0), 2);
}

TEST(Pages, behindAWindowAreGivenBack) {
  Decoder decoder;
  decoder.pair.most = 40; // how far back a row looks
  tenon::Model model(decoder.model);
  tenon::State state = tenon::State::createPaged(model, 3, 2048, 6).take();
  Loop loop(decoder);
  for (int64_t at = 0; at < 500; ++at) {
    ASSERT_TRUE(loop.step(state, {0}, 1));
    ASSERT_GE(state.pool()->free_pages, 3);
  }
  auto held = [&](int64_t sequence) {
    std::vector<int32_t> pages = *state.pages(sequence);
    EXPECT_EQ(std::count(pages.begin(), pages.begin() + 14, -1), 14);
    return std::vector<int32_t>(pages.begin() + 14, pages.end());
  };
  EXPECT_EQ(held(0).size(), 2u);
  EXPECT_EQ(state.pool()->free_pages, 4);
  // Back to where the next row still finds what it looks at.
  EXPECT_EQ(state.setLength(486, 0).message(),
            "sequence 0: 486 rows, expected 0 or at least 487: pages of those "
            "before that no row looks back at are given back");
  EXPECT_EQ(state.share(1, 0, 480).code(), TENON_INVALID_STATE);
  ASSERT_TRUE(state.setLength(487, 0));
  ASSERT_TRUE(state.share(1, 0, 487));
  EXPECT_EQ(held(1), held(0));
  ASSERT_TRUE(state.copy(2, state, 0, 487));
  EXPECT_EQ(held(2).size(), 2u);
  EXPECT_EQ(state.pool()->free_pages, 2);
  ASSERT_TRUE(loop.step(state, {0, 1}, 1)); // one of them in a page of its own
  EXPECT_EQ(state.pool()->free_pages, 1);
  tenon::State own = tenon::State::create(model, 1, 2048).take();
  EXPECT_EQ(own.copy(0, state, 2, 487).message(),
            "sequence 2 has given back its first 14 pages: it is copied to a "
            "state with a pool");
  // A caller that places pages names those that there are.
  std::vector<int32_t> pages = *state.pages(2);
  ASSERT_TRUE(state.setPages(2, pages));
  EXPECT_EQ(*state.pages(2), pages);
  ASSERT_TRUE(state.setLength(0));
  EXPECT_EQ(state.pool()->free_pages, 6);
  ASSERT_TRUE(loop.step(state, {0}, 100));
  EXPECT_GE(state.pages(0)->front(), 0);
}

TEST(Pages, endWhereTheirFormatEnds) {
  // Other tensors may lie right behind a state, which is smaller than its dims.
  Decoder decoder;
  Loop loop(decoder);
  std::vector<float> memory(4096);
  size_t bytes = 0, room = memory.size() * sizeof(float);
  tenon_error error;
  ASSERT_EQ(tenon_state_size(&decoder.model, 1, 64, &bytes, &error), TENON_OK);
  void *place = memory.data();
  ASSERT_TRUE(std::align(64, bytes + 64, place, room));
  tenon_state *state = nullptr;
  ASSERT_EQ(
      tenon_init_state(&decoder.model, place, bytes, 1, 64, &state, &error),
      TENON_OK);
  ASSERT_EQ(tenon_bind_state(loop.context.get(), state, &error), TENON_OK);
  float *behind = reinterpret_cast<float *>(static_cast<char *>(place) + bytes);
  ASSERT_TRUE(loop.context.bindInput("fresh", tenon::Dims{1, 40, kSize},
                                     std::span(behind + 16, 160)));
  ASSERT_TRUE(loop.context.bindOutput("sum", std::span(behind, 1)));
  EXPECT_TRUE(loop.context.run());
  ASSERT_TRUE(loop.context.bindInput("fresh", tenon::Dims{1, 1, kSize},
                                     std::span(behind + 16, kSize)));
  EXPECT_TRUE(loop.context.run());
  ASSERT_TRUE(loop.context.bindOutput("sum", std::span(behind - 1, 1)));
  EXPECT_EQ(loop.context.run().code(), TENON_INVALID_TENSOR);
}

TEST(Pages, planForTheCapacity) {
  Decoder decoder(/*grows=*/true, /*scratch=*/true);
  tenon::Model model(decoder.model);
  Loop loop(decoder);
  tenon::State few = tenon::State::create(model, 1, 64).take(),
               many = tenon::State::create(model, 1, 4096).take();
  const int64_t fresh[] = {1, 2, kSize};
  const int64_t *dims[] = {nullptr, fresh};
  auto needed = [&](tenon::State &state) {
    size_t bytes = 0;
    EXPECT_TRUE(loop.context.bindState(state));
    EXPECT_EQ(tenon_workspace_size(loop.context.get(), dims, &bytes, nullptr),
              TENON_OK);
    return bytes;
  };
  size_t first = needed(few);
  EXPECT_GE(needed(many), first + 4096 - 64);
  EXPECT_EQ(needed(few), first);
}

TEST(Pages, holdLittleBesideRows) {
  // 1,000 requests of mixed lengths, 16 at a time: a prompt, then its answer.
  Decoder decoder;
  tenon::State state =
      tenon::State::createPaged(tenon::Model(decoder.model), 16, kMost, 1024)
          .take();
  Loop loop(decoder);
  std::mt19937 draw(1);
  auto between = [&](int64_t least, int64_t most) {
    return least + int64_t(draw() % uint64_t(most - least));
  };
  int64_t rows = 0, held = 0;
  for (int64_t request = 0; request < 1000; ++request) {
    int64_t sequence = request % 16;
    ASSERT_TRUE(state.setLength(0, sequence));
    ASSERT_TRUE(loop.step(state, {sequence}, between(32, 768)));
    for (int64_t left = between(16, 768), part; left > 0; left -= part) {
      part = std::min(left, between(1, 128));
      ASSERT_TRUE(loop.step(state, {sequence}, part));
    }
    for (int64_t s = 0; s < 16; ++s)
      rows += *state.length(s);
    auto pool = state.pool();
    held += (pool->pages - pool->free_pages) * pool->page_rows;
  }
  EXPECT_GE(held, rows);
  EXPECT_LT(double(held - rows), 0.04 * double(held));
  ASSERT_TRUE(state.setLength(0));
  EXPECT_EQ(state.pool()->free_pages, 1024);
}

} // namespace
