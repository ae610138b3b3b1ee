//===- ContextTest.cpp - binding, reserving and running -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Allocations.h"
#include "ToyModel.h"
#include <atomic>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <xmmintrin.h>

using namespace toy;

namespace {

#define EXPECT_OK(CALL) EXPECT_EQ(CALL, TENON_OK) << context.error.message
#define ASSERT_OK(CALL) ASSERT_EQ(CALL, TENON_OK) << context.error.message

void runAndCompare(const Toy &toy, Scoped &context, int64_t batch,
                   int64_t seq) {
  Tensors x(batch, seq);
  ASSERT_OK(tenon_reserve(context, x.inputDims, &context.error));
  ASSERT_OK(x.bind(context, &context.error));
  ASSERT_OK(tenon_run(context, &context.error));
  EXPECT_EQ(x.out, toy.expected(x.ids, x.mask, batch, seq));
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

class Threads : public testing::TestWithParam<std::tuple<int, int64_t>> {};

TEST_P(Threads, giveTheSameBits) {
  auto [threads, cost] = GetParam();
  Toy toy(cost);
  auto options = threadOptions(threads);
  Scoped context(&toy.model, &options);
  ASSERT_EQ(context.status, TENON_OK) << context.error.message;
  tenon_context_info info;
  TENON_INIT(info);
  ASSERT_OK(tenon_get_context_info(context, &info, &context.error));
  EXPECT_EQ(info.threads, threads);
  EXPECT_STREQ(info.level, "baseline");
  for (int round = 0; round < 10; ++round)
    for (auto [batch, seq] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {3, 17}, {8, 128}, {2, 512}, {0, 5}, {4, 0}, {1, 2}})
      runAndCompare(toy, context, batch, seq);
}

INSTANTIATE_TEST_SUITE_P(Context, Threads,
                         testing::Combine(testing::Values(1, 2, 3, 8),
                                          testing::Values(int64_t(0),
                                                          int64_t(300),
                                                          int64_t(100000))));

TEST(Context, usesNoMoreThreadsThanTheProcessMay) {
  Toy toy;
  auto options = threadOptions(512);
  options.flags = 0;
  Scoped context(&toy.model, &options);
  ASSERT_EQ(context.status, TENON_OK) << context.error.message;
  tenon_context_info info;
  TENON_INIT(info);
  ASSERT_OK(tenon_get_context_info(context, &info, &context.error));
  EXPECT_LE(info.threads, int32_t(std::thread::hardware_concurrency()));
}

struct Executor {
  std::atomic<int> calls{0};
  bool backwards;
  static void run(void *user, int32_t count, tenon_body body, void *argument) {
    auto &self = *static_cast<Executor *>(user);
    ++self.calls;
    if (self.backwards) {
      for (int32_t i = count - 1; i >= 0; --i)
        body(argument, i);
      return;
    }
    std::vector<std::thread> threads;
    for (int32_t i = 0; i < count; ++i)
      threads.emplace_back(body, argument, i);
    for (std::thread &thread : threads)
      thread.join();
  }
};

TEST(Context, runsOnTheCallersExecutor) {
  for (bool backwards : {false, true}) {
    Toy toy;
    Executor executor;
    executor.backwards = backwards;
    auto options = threadOptions(5);
    options.executor = Executor::run;
    options.executor_user = &executor;
    Scoped context(&toy.model, &options);
    ASSERT_EQ(context.status, TENON_OK) << context.error.message;
    runAndCompare(toy, context, 4, 100);
    EXPECT_EQ(executor.calls, 3);
    runAndCompare(toy, context, 1, 1); // one task each: not worth a call
    EXPECT_EQ(executor.calls, 3);
  }
}

/// Calls of the first step, and tasks that these have done: of 40 in 32 slices.
std::atomic<int64_t> calls, done;
int32_t countedGather(void *const *bufs, const int64_t *dims, int64_t begin,
                      int64_t end, tenon_task *task) {
  ++calls;
  done += end - begin;
  return gather(bufs, dims, begin, end, task);
}

TEST(Context, partsHaveEqualShares) {
  static std::vector<int64_t> shares;
  calls = 0, shares.clear();
  Toy toy;
  toy.kernels[0] = countedGather;
  auto options = threadOptions(2);
  options.executor = [](void *, int32_t count, tenon_body body,
                        void *argument) {
    for (int32_t i = 0; i < count; ++i) {
      done = 0;
      body(argument, i);
      if (done)
        shares.push_back(done);
    }
  };
  Scoped context(&toy.model, &options);
  ASSERT_EQ(context.status, TENON_OK) << context.error.message;
  runAndCompare(toy, context, 4, 10);
  EXPECT_EQ(shares, (std::vector<int64_t>{20, 20}));
  EXPECT_EQ(calls, 2); // an executor's share is one call
}

TEST(Context, threadsTakeManySlicesAtATime) {
  Toy toy;
  toy.kernels[0] = countedGather;
  auto options = threadOptions(2);
  Scoped context(&toy.model, &options);
  ASSERT_EQ(context.status, TENON_OK) << context.error.message;
  for (int round = 0; round < 50; ++round) {
    calls = done = 0;
    runAndCompare(toy, context, 4, 10);
    EXPECT_EQ(done, 40);
    // Of 32 slices: whoever comes first takes 8 of its own 16.
    EXPECT_LE(calls, 25);
  }
}

TEST(Context, keepsTheCallersFloatModes) {
  Toy toy;
  auto options = threadOptions(1);
  Scoped context(&toy.model, &options);
  unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040); // flush subnormals
  runAndCompare(toy, context, 2, 9);
  EXPECT_EQ(_mm_getcsr() & ~0x3fu, (before | 0x8040) & ~0x3fu);
  _mm_setcsr(before);
}

TEST(Context, manyContextsShareAModel) {
  Toy toy;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      auto options = threadOptions(2);
      Scoped context(&toy.model, &options);
      ASSERT_EQ(context.status, TENON_OK) << context.error.message;
      for (int round = 0; round < 20; ++round)
        runAndCompare(toy, context, 1 + t, 16 * (1 + round % 3));
    });
  for (std::thread &thread : threads)
    thread.join();
}

TEST(Context, cancelEndsTheRun) {
  Toy toy;
  struct Caller {
    tenon_context *context = nullptr;
    int calls = 0, cancelAt = 0;
  } caller;
  auto options = threadOptions(3);
  options.executor_user = &caller;
  options.executor = [](void *user, int32_t count, tenon_body body,
                        void *argument) {
    auto *caller = static_cast<Caller *>(user);
    if (++caller->calls == caller->cancelAt)
      std::thread([&] {
        EXPECT_EQ(tenon_cancel(caller->context, nullptr), TENON_OK);
      }).join();
    for (int32_t i = 0; i < count; ++i)
      body(argument, i);
  };
  Scoped context(&toy.model, &options);
  caller.context = context;
  runAndCompare(toy, context, 4, 64);
  int all = caller.calls;
  ASSERT_GT(all, 1);
  Tensors x(4, 64);
  ASSERT_OK(x.bind(context, &context.error));
  for (int at : {1, all}) {
    caller.calls = 0;
    caller.cancelAt = at;
    EXPECT_EQ(tenon_run(context, &context.error), TENON_CANCELLED);
    EXPECT_EQ(caller.calls, at);
    EXPECT_TRUE(std::string(context.error.message)
                    .starts_with("the run was cancelled at node '"))
        << context.error.message;
  }
  // It is over with that run; so is one that comes when nothing runs.
  caller.cancelAt = 0;
  EXPECT_OK(tenon_cancel(context, &context.error));
  runAndCompare(toy, context, 4, 64);
  EXPECT_EQ(tenon_cancel(nullptr, nullptr), TENON_INVALID_ARGUMENT);
}

TEST(Context, runsInAForkedChild) {
  Toy toy;
  auto options = threadOptions(3);
  Scoped context(&toy.model, &options);
  runAndCompare(toy, context, 4, 64);
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Tensors x(4, 64);
    bool good = x.bind(context, nullptr) == TENON_OK &&
                tenon_run(context, nullptr) == TENON_OK &&
                x.out == toy.expected(x.ids, x.mask, 4, 64);
    tenon_context_destroy(context);
    _exit(good ? 0 : 1);
  }
  int status;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  runAndCompare(toy, context, 4, 64);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

TEST(Context, runAllocatesNothing) {
  if (allocationCount() < 0)
    GTEST_SKIP() << "a sanitizer owns malloc";
  Toy toy;
  for (int threads : {1, 3}) {
    auto options = threadOptions(threads);
    Scoped context(&toy.model, &options);
    ASSERT_EQ(context.status, TENON_OK) << context.error.message;
    Tensors large(8, 128), small(3, 50), tiny(1, 1);
    ASSERT_OK(tenon_reserve(context, large.inputDims, &context.error));
    usleep(20000); // threads finish starting
    long before = allocationCount();
    for (Tensors *x : {&large, &small, &tiny, &small, &large}) {
      ASSERT_OK(x->bind(context, &context.error));
      ASSERT_OK(tenon_run(context, &context.error));
      ASSERT_OK(tenon_run(context, &context.error));
    }
    EXPECT_EQ(allocationCount(), before);
    EXPECT_EQ(small.out, toy.expected(small.ids, small.mask, 3, 50));
  }
}

TEST(Context, tooSmallAWorkspaceIsAnError) {
  Toy toy;
  auto options = threadOptions(2);
  Scoped context(&toy.model, &options);
  Tensors x(4, 100);
  size_t bytes = 0;
  ASSERT_OK(tenon_workspace_size(context, x.inputDims, &bytes, &context.error));
  // Two buffers of 4*100*4 floats and two threads' 64 bytes of scratch.
  EXPECT_EQ(bytes, 2u * 4 * 100 * 4 * 4 + 2 * 64);
  ASSERT_OK(x.bind(context, &context.error));
  EXPECT_EQ(tenon_run(context, &context.error), TENON_WORKSPACE_TOO_SMALL);
  EXPECT_STREQ(context.error.message,
               ("the workspace has 0 bytes, these dims need " +
                std::to_string(bytes) +
                ": call tenon_reserve or hand in a larger one")
                   .c_str());

  std::vector<char> memory(bytes + 128);
  char *aligned = memory.data() + (64 - uintptr_t(memory.data()) % 64);
  EXPECT_EQ(tenon_set_workspace(context, aligned + 8, bytes, &context.error),
            TENON_INVALID_ARGUMENT);
  ASSERT_OK(tenon_set_workspace(context, aligned, bytes - 1, &context.error));
  EXPECT_EQ(tenon_run(context, nullptr), TENON_WORKSPACE_TOO_SMALL);
  EXPECT_EQ(tenon_reserve(context, x.inputDims, &context.error),
            TENON_WORKSPACE_TOO_SMALL);
  aligned[bytes] = 77;
  ASSERT_OK(tenon_set_workspace(context, aligned, bytes, &context.error));
  ASSERT_OK(tenon_reserve(context, x.inputDims, &context.error));
  ASSERT_OK(tenon_run(context, &context.error));
  EXPECT_EQ(x.out, toy.expected(x.ids, x.mask, 4, 100));
  EXPECT_EQ(aligned[bytes], 77);
}

struct Heap {
  int live = 0;
  bool empty = false;
  static void *allocate(void *user, size_t bytes, size_t alignment) {
    auto &heap = *static_cast<Heap *>(user);
    if (heap.empty)
      return nullptr;
    ++heap.live;
    return aligned_alloc(alignment,
                         (bytes + alignment - 1) / alignment * alignment);
  }
  static void release(void *user, void *memory, size_t) {
    --static_cast<Heap *>(user)->live;
    free(memory);
  }
};

TEST(Context, usesTheCallersAllocator) {
  Toy toy;
  Heap heap;
  auto options = threadOptions(2);
  options.allocate = Heap::allocate;
  options.allocator_user = &heap;
  {
    Scoped half(&toy.model, &options);
    EXPECT_EQ(half.status, TENON_INVALID_ARGUMENT);
  }
  options.release = Heap::release;
  {
    Scoped context(&toy.model, &options);
    runAndCompare(toy, context, 2, 8);
    runAndCompare(toy, context, 4, 80);
    EXPECT_EQ(heap.live, 2);
    heap.empty = true;
    int64_t dims[] = {8, 500};
    const int64_t *inputDims[] = {dims, dims};
    EXPECT_EQ(tenon_reserve(context, inputDims, &context.error),
              TENON_OUT_OF_MEMORY);
    heap.empty = false;
    runAndCompare(toy, context, 8, 500);
  }
  EXPECT_EQ(heap.live, 0);
  heap.empty = true;
  Scoped none(&toy.model, &options);
  EXPECT_EQ(none.status, TENON_OUT_OF_MEMORY);
  EXPECT_EQ(none.context, nullptr);
}

TEST(Context, reboundPointersAreUsed) {
  Toy toy;
  Scoped context(&toy.model);
  Tensors a(2, 30), b(2, 30);
  for (int64_t &m : b.mask)
    m = 2;
  ASSERT_OK(tenon_reserve(context, a.inputDims, &context.error));
  for (Tensors *x : {&a, &b, &a}) {
    ASSERT_OK(x->bind(context, &context.error));
    ASSERT_OK(tenon_run(context, &context.error));
    EXPECT_EQ(x->out, toy.expected(x->ids, x->mask, 2, 30));
  }
}

//===----------------------------------------------------------------------===//
// Misuse
//===----------------------------------------------------------------------===//

TEST(Errors, indexOutOfRangeNamesNodeValueAndLimit) {
  Toy toy;
  for (int threads : {1, 2, 3, 8}) {
    auto options = threadOptions(threads);
    Scoped context(&toy.model, &options);
    Tensors x(8, 100);
    x.ids[311] = 999999;
    x.ids[790] = -11; // a later slice fails, too: the first one is reported
    ASSERT_OK(tenon_reserve(context, x.inputDims, &context.error));
    ASSERT_OK(x.bind(context, &context.error));
    for (int round = 0; round < 20; ++round) {
      EXPECT_EQ(tenon_run(context, &context.error), TENON_INDEX_OUT_OF_RANGE);
      EXPECT_STREQ(context.error.message,
                   "node '/embeddings/Gather': index 999999 is out of range, "
                   "expected -10 <= index < 10");
    }
    x.ids[311] = -10; // wraps
    x.ids[790] = 9;
    ASSERT_OK(tenon_run(context, &context.error));
    EXPECT_EQ(x.out, toy.expected(x.ids, x.mask, 8, 100));
  }
}

TEST(Errors, bindingNamesWhatIsExpectedAndFound) {
  Toy toy;
  Scoped context(&toy.model);
  Tensors x(2, 8);
  auto bind = [&](int32_t index, tenon_dtype dtype, int32_t rank,
                  const int64_t *dims, const void *data, size_t bytes) {
    return tenon_bind_input(context, index, dtype, rank, dims, data, bytes,
                            &context.error);
  };
  const void *ids = x.ids.data();
  EXPECT_EQ(bind(2, TENON_I64, 2, x.dims, ids, 128), TENON_INVALID_ARGUMENT);
  EXPECT_STREQ(context.error.message,
               "input 2 does not exist: the model has 2");
  EXPECT_EQ(bind(-1, TENON_I64, 2, x.dims, ids, 128), TENON_INVALID_ARGUMENT);
  EXPECT_EQ(bind(0, TENON_I32, 2, x.dims, ids, 128), TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message,
               "input 'ids': its dtype is i32, expected i64");
  EXPECT_EQ(bind(0, TENON_I64, 3, x.dims, ids, 128), TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message, "input 'ids': its rank is 3, expected 2");
  EXPECT_EQ(bind(0, TENON_I64, 2, nullptr, ids, 128), TENON_INVALID_ARGUMENT);
  EXPECT_EQ(bind(0, TENON_I64, 2, x.dims, nullptr, 128), TENON_INVALID_TENSOR);
  EXPECT_EQ(bind(0, TENON_I64, 2, x.dims, ids, 127), TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message,
               "input 'ids' has 127 bytes, expected 128");
  EXPECT_EQ(bind(0, TENON_I64, 2, x.dims, (const char *)ids + 1, 128),
            TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message,
               "input 'ids': its data is not aligned to 8 bytes");
  int64_t negative[] = {2, -8}, huge[] = {INT64_MAX, 4};
  EXPECT_EQ(bind(0, TENON_I64, 2, negative, ids, 128), TENON_INVALID_TENSOR);
  EXPECT_EQ(bind(0, TENON_I64, 2, huge, ids, SIZE_MAX), TENON_INVALID_TENSOR);
  EXPECT_EQ(tenon_run(context, &context.error), TENON_NOT_BOUND);
  EXPECT_STREQ(context.error.message, "input 'ids' is not bound");
  EXPECT_EQ(tenon_bind_input_named(context, "idz", TENON_I64, 2, x.dims, ids,
                                   128, &context.error),
            TENON_INVALID_ARGUMENT);
  EXPECT_STREQ(context.error.message,
               "the model has no input 'idz'; it has 'ids', 'mask'");
}

TEST(Errors, packedTensorsAreCountedInBits) {
  Toy toy;
  toy.inputs[1].dtype = TENON_ABI_I4;
  Scoped context(&toy.model);
  int64_t dims[] = {3, 5}, none[] = {0, 5};
  char data[9] = {};
  auto bind = [&](tenon_dtype dtype, const int64_t *dims, size_t bytes) {
    return tenon_bind_input(context, 1, dtype, 2, dims, data + 1, bytes,
                            &context.error);
  };
  EXPECT_EQ(bind(TENON_I4, dims, 7), TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message, "input 'mask' has 7 bytes, expected 8");
  EXPECT_EQ(bind(TENON_I4, dims, 8), TENON_OK);
  EXPECT_EQ(bind(TENON_I4, none, 0), TENON_OK);
  EXPECT_EQ(bind(TENON_U4, dims, 8), TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message,
               "input 'mask': its dtype is u4, expected i4");
  EXPECT_EQ(tenon_tensor_bytes(TENON_U2, 15), 4u);
  EXPECT_EQ(tenon_tensor_bytes(TENON_F8E8M0, 15), 15u);
  EXPECT_EQ(tenon_tensor_bytes(TENON_F4E2M1, SIZE_MAX), SIZE_MAX / 2 + 1);
  EXPECT_EQ(tenon_tensor_bytes(TENON_F64, 3), 24u);
}

TEST(Errors, outputsAreChecked) {
  Toy toy;
  Scoped context(&toy.model);
  Tensors x(2, 8);
  ASSERT_OK(tenon_reserve(context, x.inputDims, &context.error));
  ASSERT_OK(x.bind(context, &context.error));
  int64_t wrong[] = {3, 4};
  std::vector<float> out(12);
  ASSERT_OK(tenon_bind_output(context, 0, TENON_F32, 2, wrong, out.data(), 48,
                              &context.error));
  EXPECT_EQ(tenon_run(context, &context.error), TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message,
               "output 'out': dim 0 (batch) is 3, expected 2");
  ASSERT_OK(tenon_bind_output(context, 0, TENON_F32, 2, nullptr, out.data(), 31,
                              &context.error));
  EXPECT_EQ(tenon_run(context, &context.error), TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message, "output 'out' has 31 bytes, expected 32");
  ASSERT_OK(tenon_bind_output(context, 0, TENON_F32, 2, nullptr, x.ids.data(),
                              32, &context.error));
  EXPECT_EQ(tenon_run(context, &context.error), TENON_INVALID_TENSOR);
  EXPECT_STREQ(context.error.message,
               "output 'out' shares memory with input 'ids'");
  ASSERT_OK(tenon_bind_output_named(context, "out", TENON_F32, 2, nullptr,
                                    out.data(), 48, &context.error));
  EXPECT_OK(tenon_run(context, &context.error));
}

TEST(Errors, dimsThatBreakAnAssumptionStopTheRun) {
  Toy toy;
  Scoped context(&toy.model);
  Tensors x(1, 600), good(1, 8);
  ASSERT_OK(tenon_reserve(context, good.inputDims, &context.error));
  ASSERT_OK(x.bind(context, &context.error));
  EXPECT_EQ(tenon_run(context, &context.error), TENON_CHECK_FAILED);
  EXPECT_EQ(tenon_run(context, &context.error), TENON_CHECK_FAILED);
  EXPECT_EQ(x.out[0], -77.0f);
  ASSERT_OK(good.bind(context, &context.error));
  EXPECT_OK(tenon_run(context, &context.error));
}

TEST(Errors, levelsAndFeatures) {
  Toy toy;
  toy.levels = {{"future", 1ull << 63 | TENON_FEATURE_SSE42, nullptr},
                {"x86-64-v2", TENON_FEATURE_SSE42, nullptr}};
  toy.finish();
  Scoped best(&toy.model);
  ASSERT_EQ(best.status, TENON_OK) << best.error.message;
  tenon_context_info info;
  TENON_INIT(info);
  ASSERT_EQ(tenon_get_context_info(best, &info, nullptr), TENON_OK);
  EXPECT_STREQ(info.level, "x86-64-v2");

  tenon_context_options options;
  TENON_INIT(options);
  options.level = "future";
  Scoped forced(&toy.model, &options);
  EXPECT_EQ(forced.status, TENON_UNSUPPORTED_CPU);
  EXPECT_STREQ(forced.error.message, "this CPU lacks feature 63, needed by the "
                                     "artifact's level 'future'");
  options.level = "x86-64-v9";
  Scoped unknown(&toy.model, &options);
  EXPECT_EQ(unknown.status, TENON_INVALID_ARGUMENT);
  EXPECT_STREQ(unknown.error.message, "the artifact has no level 'x86-64-v9'; "
                                      "it holds future, x86-64-v2");

  toy.levels = {{"future", 1ull << 63, nullptr}};
  toy.finish();
  Scoped none(&toy.model);
  EXPECT_EQ(none.status, TENON_UNSUPPORTED_CPU);
  tenon_level_info level;
  TENON_INIT(level);
  ASSERT_EQ(tenon_get_level_info(&toy.model, 0, &level, nullptr), TENON_OK);
  EXPECT_FALSE(level.supported);
  EXPECT_STREQ(level.missing, "feature 63");
  // Questions about dims need no code.
  TENON_INIT(options);
  options.flags = TENON_CONTEXT_QUERY_ONLY;
  Scoped query(&toy.model, &options);
  ASSERT_EQ(query.status, TENON_OK) << query.error.message;
  Tensors x(2, 8);
  size_t bytes;
  EXPECT_EQ(tenon_workspace_size(query, x.inputDims, &bytes, nullptr), 0);
  EXPECT_EQ(tenon_run(query, nullptr), TENON_INVALID_ARGUMENT);
}

TEST(Errors, versions) {
  Toy toy;
  tenon_error error;
  tenon_context *context = nullptr;
  tenon_model other = toy.model;
  other.api_version = 77;
  EXPECT_EQ(tenon_context_create(&other, nullptr, &context, &error),
            TENON_VERSION_MISMATCH);
  EXPECT_STREQ(error.message, "the artifact has API version 77, this program "
                              "expects 1: compile the model again");
  other.magic = 1;
  EXPECT_EQ(tenon_context_create(&other, nullptr, &context, &error),
            TENON_VERSION_MISMATCH);
  toy.program.abi_version = 77;
  EXPECT_EQ(tenon_context_create(&toy.model, nullptr, &context, &error),
            TENON_VERSION_MISMATCH);
  EXPECT_STREQ(
      error.message,
      ("the artifact's program has ABI version 77, its runtime expects " +
       std::to_string(TENON_ABI_VERSION) + ": compile the model again")
          .c_str());
  tenon_model_info info;
  TENON_INIT(info);
  EXPECT_EQ(tenon_get_model_info(&toy.model, &info, &error),
            TENON_VERSION_MISMATCH);
}

TEST(Errors, nullsAreRefused) {
  Toy toy;
  tenon_context *none = nullptr;
  const tenon_model *model = &toy.model;
  tenon_context_destroy(none);
  EXPECT_EQ(tenon_run(none, nullptr), TENON_INVALID_ARGUMENT);
  EXPECT_EQ(tenon_reserve(none, nullptr, nullptr), TENON_INVALID_ARGUMENT);
  EXPECT_EQ(tenon_context_create(nullptr, nullptr, &none, nullptr),
            TENON_INVALID_ARGUMENT);
  EXPECT_EQ(tenon_context_create(model, nullptr, nullptr, nullptr),
            TENON_INVALID_ARGUMENT);
  EXPECT_EQ(tenon_get_model_info(model, nullptr, nullptr),
            TENON_INVALID_ARGUMENT);
  tenon_port_info unset = {};
  EXPECT_EQ(tenon_get_input_info(model, 0, &unset, nullptr),
            TENON_INVALID_ARGUMENT);
  int32_t index;
  EXPECT_EQ(tenon_find_input(model, nullptr, &index, nullptr),
            TENON_INVALID_ARGUMENT);
  EXPECT_EQ(tenon_find_input(model, "ids", nullptr, nullptr),
            TENON_INVALID_ARGUMENT);
  Scoped context(model);
  EXPECT_EQ(tenon_reserve(context, nullptr, nullptr), TENON_INVALID_ARGUMENT);
  const int64_t *holes[] = {nullptr, nullptr};
  EXPECT_EQ(tenon_reserve(context, holes, nullptr), TENON_INVALID_ARGUMENT);
  Tensors x(1, 1);
  EXPECT_EQ(tenon_workspace_size(context, x.inputDims, nullptr, nullptr),
            TENON_INVALID_ARGUMENT);
  EXPECT_EQ(tenon_output_dims(context, x.inputDims, 0, nullptr, nullptr),
            TENON_INVALID_ARGUMENT);
  EXPECT_EQ(tenon_output_dims(context, x.inputDims, 1, x.outDims, nullptr),
            TENON_INVALID_ARGUMENT);
  EXPECT_EQ(tenon_get_step_info(context, 3, nullptr, nullptr),
            TENON_INVALID_ARGUMENT);
  tenon_context_options options = {};
  Scoped unsized_(model, &options);
  EXPECT_EQ(unsized_.status, TENON_INVALID_ARGUMENT);
}

TEST(Errors, aContextServesOneCallAtATime) {
  Toy toy;
  auto options = threadOptions(2);
  // An executor that calls back into its own context.
  struct State {
    tenon_context *context;
    tenon_status seen = TENON_OK;
  } state;
  options.executor = [](void *user, int32_t count, tenon_body body,
                        void *argument) {
    auto &state = *static_cast<State *>(user);
    state.seen = tenon_run(state.context, nullptr);
    for (int32_t i = 0; i < count; ++i)
      body(argument, i);
  };
  options.executor_user = &state;
  Scoped context(&toy.model, &options);
  state.context = context;
  runAndCompare(toy, context, 4, 64);
  EXPECT_EQ(state.seen, TENON_BUSY);
}

} // namespace
