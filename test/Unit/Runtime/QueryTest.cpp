//===- QueryTest.cpp - signatures, values, profiles, weights files --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "ToyModel.h"
#include "tenon/checksum.h"
#include <cstdio>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace toy;

namespace {

TEST(Query, signature) {
  Toy toy;
  toy.ranges.push_back({"seq", 1, 512, 1, 0});
  toy.finish();
  const tenon_model *model = &toy.model;
  tenon_model_info info;
  TENON_INIT(info);
  ASSERT_EQ(tenon_get_model_info(model, &info, nullptr), TENON_OK);
  EXPECT_STREQ(info.name, "toy");
  EXPECT_EQ(info.num_inputs, 2);
  EXPECT_EQ(info.num_outputs, 1);
  EXPECT_EQ(info.weights_bytes, 160u);
  EXPECT_EQ(info.weights_file, nullptr);
  EXPECT_EQ(info.size, sizeof info);

  tenon_port_info port;
  TENON_INIT(port);
  ASSERT_EQ(tenon_get_input_info(model, 0, &port, nullptr), TENON_OK);
  EXPECT_STREQ(port.name, "ids");
  EXPECT_EQ(port.dtype, TENON_I64);
  EXPECT_EQ(port.rank, 2);
  EXPECT_STREQ(port.dim_names[1], "seq");
  EXPECT_EQ(port.dim_values[1], -1);
  EXPECT_EQ(port.id_bound, kRows);
  EXPECT_EQ(port.dims_kind, TENON_DIMS_FROM_INPUTS);
  ASSERT_EQ(tenon_get_input_info(model, 1, &port, nullptr), TENON_OK);
  EXPECT_TRUE(port.is_mask);
  ASSERT_EQ(tenon_get_output_info(model, 0, &port, nullptr), TENON_OK);
  EXPECT_EQ(port.dim_values[1], 4);
  EXPECT_EQ(tenon_get_output_info(model, 1, &port, nullptr),
            TENON_INVALID_ARGUMENT);

  tenon_range_info range;
  TENON_INIT(range);
  ASSERT_EQ(tenon_get_range_info(model, 0, &range, nullptr), TENON_OK);
  EXPECT_EQ(range.hi, 512);
  tenon_check_info check;
  TENON_INIT(check);
  ASSERT_EQ(tenon_get_check_info(model, 0, &check, nullptr), TENON_OK);
  EXPECT_EQ(check.relation, TENON_RELATION_LESS_EQUAL);
  EXPECT_STREQ(check.lhs, "seq");
  int32_t index = -1;
  EXPECT_EQ(tenon_find_output(model, "out", &index, nullptr), TENON_OK);
  EXPECT_EQ(index, 0);
}

TEST(Query, anOlderCallersStructIsFilledAsFarAsItGoes) {
  Toy toy;
  struct Older {
    size_t size;
    const char *name;
    const char *guard;
  } older = {offsetof(Older, guard), nullptr, "untouched"};
  ASSERT_EQ(tenon_get_model_info(&toy.model,
                                 reinterpret_cast<tenon_model_info *>(&older),
                                 nullptr),
            TENON_OK);
  EXPECT_STREQ(older.name, "toy");
  EXPECT_STREQ(older.guard, "untouched");
}

TEST(Query, innerValuesAfterARun) {
  Toy toy;
  Scoped context(&toy.model);
  int32_t index = -1;
  tenon_error error;
  EXPECT_EQ(tenon_find_value(&toy.model, "/Nope", &index, &error),
            TENON_INVALID_ARGUMENT);
  ASSERT_EQ(tenon_find_value(&toy.model, "/Mul_output_0", &index, &error),
            TENON_OK);
  tenon_value_info info;
  TENON_INIT(info);
  ASSERT_EQ(tenon_get_value_info(&toy.model, index, &info, &error), TENON_OK);
  EXPECT_EQ(info.rank, 3);
  EXPECT_EQ(info.dtype, TENON_F32);
  int64_t dims[3];
  const void *data;
  EXPECT_EQ(tenon_value_data(context, index, dims, &data, &error),
            TENON_NOT_BOUND);
  Tensors x(2, 5);
  tenon_reserve(context, x.inputDims, &error);
  x.bind(context, &error);
  ASSERT_EQ(tenon_run(context, &error), TENON_OK) << error.message;
  ASSERT_EQ(tenon_value_data(context, index, dims, &data, &error), TENON_OK);
  EXPECT_EQ(dims[0], 2);
  EXPECT_EQ(dims[1], 5);
  EXPECT_EQ(dims[2], 4);
  int64_t id = x.ids[0] < 0 ? x.ids[0] + kRows : x.ids[0];
  EXPECT_EQ(static_cast<const float *>(data)[0],
            toy.table[id * kWidth] * float(x.mask[0]));
}

TEST(Query, innerValuesKeepTheirMemory) {
  Toy toy;
  toy.values.push_back({"rows", 4, 3, toy.values[0].dims, 0, 0});
  // A later buffer that would take the place of `rows`.
  toy.buffers.push_back(toy.buffers[4]);
  toy.buffers.back().first = toy.buffers.back().last = 2;
  toy.finish();
  Scoped context(&toy.model);
  Tensors x(4, 100);
  size_t bytes;
  ASSERT_EQ(tenon_workspace_size(context, x.inputDims, &bytes, nullptr), 0);
  EXPECT_GE(bytes, 3u * 4 * 100 * 4 * 4);
}

TEST(Query, buffersOfTheLastRun) {
  Toy toy;
  Scoped context(&toy.model);
  tenon_model_info model;
  TENON_INIT(model);
  ASSERT_EQ(tenon_get_model_info(&toy.model, &model, nullptr), TENON_OK);
  Tensors x(2, 16);
  ASSERT_EQ(tenon_reserve(context, x.inputDims, nullptr), TENON_OK);
  ASSERT_EQ(x.bind(context, nullptr), TENON_OK);
  ASSERT_EQ(tenon_run(context, nullptr), TENON_OK);
  tenon_context_info whole;
  TENON_INIT(whole);
  ASSERT_EQ(tenon_get_context_info(context, &whole, nullptr), TENON_OK);
  std::vector<tenon_buffer_info> placed;
  int weights = 0;
  for (int32_t i = 0; i < model.num_buffers; ++i) {
    tenon_buffer_info info;
    TENON_INIT(info);
    ASSERT_EQ(tenon_get_buffer_info(context, i, &info, nullptr), TENON_OK);
    EXPECT_LE(info.first_step, info.last_step);
    weights += info.memory == TENON_MEMORY_WEIGHTS;
    if (info.memory != TENON_MEMORY_WORKSPACE)
      continue;
    EXPECT_EQ(info.bytes, 2u * 16 * kWidth * sizeof(float));
    EXPECT_LE(info.offset + info.bytes, whole.workspace_bytes);
    for (const tenon_buffer_info &other : placed)
      EXPECT_TRUE(info.offset >= other.offset + other.bytes ||
                  other.offset >= info.offset + info.bytes ||
                  info.first_step > other.last_step ||
                  other.first_step > info.last_step);
    placed.push_back(info);
  }
  EXPECT_EQ(placed.size(), 2u);
  EXPECT_EQ(weights, 1);
  tenon_buffer_info info;
  TENON_INIT(info);
  EXPECT_EQ(tenon_get_buffer_info(context, model.num_buffers, &info, nullptr),
            TENON_INVALID_ARGUMENT);
}

TEST(Query, profileOfTheLastRun) {
  Toy toy;
  for (int threads : {1, 2}) {
    auto options = threadOptions(threads);
    options.flags |= TENON_CONTEXT_PROFILE;
    Scoped context(&toy.model, &options);
    Tensors x(8, 128);
    tenon_reserve(context, x.inputDims, nullptr);
    x.bind(context, nullptr);
    ASSERT_EQ(tenon_run(context, nullptr), TENON_OK);
    uint64_t end = 0;
    for (int32_t s = 0; s < 3; ++s) {
      tenon_step_info step;
      TENON_INIT(step);
      ASSERT_EQ(tenon_get_step_info(context, s, &step, nullptr), TENON_OK);
      EXPECT_GE(step.start_ns, end);
      end = step.start_ns + step.time_ns;
      EXPECT_EQ(step.tasks, s == 2 ? 8 : 1024);
      EXPECT_EQ(step.threads, threads);
    }
    EXPECT_GT(end, 0u);
    tenon_context_info whole;
    TENON_INIT(whole);
    ASSERT_EQ(tenon_get_context_info(context, &whole, nullptr), TENON_OK);
    // Each of the three steps is shared out.
    EXPECT_EQ(whole.barriers, threads > 1 ? 3 : 0);
    EXPECT_EQ(whole.wait_ns > 0, threads > 1);
    EXPECT_LE(whole.wait_ns, whole.run_ns * uint64_t(threads));
  }
}

//===----------------------------------------------------------------------===//
// Weights files
//===----------------------------------------------------------------------===//

struct WeightsFile : testing::Test {
  Toy toy{100, false};
  std::string path =
      testing::TempDir() + "tenon-weights-" + std::to_string(getpid());
  tenon_weights_header header = {};
  tenon_context_options options;

  WeightsFile() {
    std::memcpy(header.magic, TENON_WEIGHTS_MAGIC, 8);
    header.version = TENON_WEIGHTS_VERSION;
    header.bytes = toy.program.weights_bytes;
    for (int i = 0; i < 32; ++i)
      header.hash[i] = toy.program.weights_hash[i] = uint8_t(i * 5 + 1);
    toy.program.weights_file = "toy.weights";
    TENON_INIT(options);
    options.weights_path = path.c_str();
  }
  ~WeightsFile() override { std::remove(path.c_str()); }
  void write(size_t length) {
    std::string text(TENON_WEIGHTS_BLOB_OFFSET + header.bytes, '\0');
    std::memcpy(text.data(), &header, sizeof header);
    std::memcpy(text.data() + TENON_WEIGHTS_BLOB_OFFSET, toy.table.data(),
                toy.table.size() * sizeof(float));
    text.resize(length);
    std::ofstream(path, std::ios::binary) << text;
  }
  std::string failure() {
    Scoped context(&toy.model, &options);
    EXPECT_EQ(context.context, nullptr);
    return context.error.message;
  }
};

TEST_F(WeightsFile, isMappedAndShared) {
  write(TENON_WEIGHTS_BLOB_OFFSET + 160);
  Scoped first(&toy.model, &options), second(&toy.model, &options);
  ASSERT_EQ(first.status, TENON_OK) << first.error.message;
  ASSERT_EQ(second.status, TENON_OK) << second.error.message;
  Tensors x(2, 6);
  tenon_reserve(second, x.inputDims, nullptr);
  x.bind(second, nullptr);
  ASSERT_EQ(tenon_run(second, nullptr), TENON_OK);
  EXPECT_EQ(x.out, toy.expected(x.ids, x.mask, 2, 6));
  tenon_context_info info;
  TENON_INIT(info);
  ASSERT_EQ(tenon_get_context_info(first, &info, nullptr), TENON_OK);
  EXPECT_EQ(info.weights_path, path);
}

TEST_F(WeightsFile, lackingIsAnError) {
  EXPECT_EQ(failure(),
            "weights file '" + path + "': cannot open it: no such file");
  options.weights_path = nullptr;
  EXPECT_EQ(failure(), "the artifact's folder is unknown: give the path of "
                       "'toy.weights' in the options' weights_path");
  // A program in a file's data, as in an artifact: its folder is known.
  static struct {
    tenon_program program;
    int nonzero; // keeps it out of .bss, which no file backs
  } inFile = {{}, 1};
  inFile.program = toy.program;
  toy.model.program = &inFile.program;
  EXPECT_NE(failure().find("/toy.weights': cannot open it: no such file"),
            std::string::npos);
}

/// A context verifies what it is going to read, wherever that is.
TEST_F(WeightsFile, isComparedWithItsChecksum) {
  auto hash = [](const std::vector<float> &table, uint8_t *out) {
    tenon_blake3 state;
    tenon_blake3_init(&state);
    tenon_blake3_update(&state, table.data(), table.size() * sizeof(float));
    tenon_blake3_final(&state, out);
  };
  hash(toy.table, toy.program.weights_hash);
  std::memcpy(header.hash, toy.program.weights_hash, 32);
  write(TENON_WEIGHTS_BLOB_OFFSET + 160);
  options.flags = TENON_CONTEXT_VERIFY;
  EXPECT_EQ(Scoped(&toy.model, &options).status, TENON_OK);
  options.flags |= TENON_CONTEXT_QUERY_ONLY;
  EXPECT_EQ(Scoped(&toy.model, &options).status, TENON_OK);
  toy.table[39] = -toy.table[39];
  write(TENON_WEIGHTS_BLOB_OFFSET + 160);
  EXPECT_EQ(failure(), "the weights of model 'toy' in '" + path +
                           "' are damaged: their checksum is not the one that "
                           "was compiled");
  options.flags = 0;
  EXPECT_EQ(Scoped(&toy.model, &options).status, TENON_OK);

  Toy embedded;
  hash(embedded.table, embedded.program.weights_hash);
  options.flags = TENON_CONTEXT_VERIFY;
  EXPECT_EQ(Scoped(&embedded.model, &options).status, TENON_OK);
  embedded.table[3] += 1;
  Scoped context(&embedded.model, &options);
  EXPECT_EQ(context.status, TENON_IO_ERROR);
  EXPECT_EQ(std::string(context.error.message),
            "the weights of model 'toy' are damaged: their checksum is not the "
            "one that was compiled");
}

TEST_F(WeightsFile, ofWrongContentIsAnError) {
  write(20);
  EXPECT_EQ(failure(), "'" + path + "' is not a weights file written by Tenon");
  write(TENON_WEIGHTS_BLOB_OFFSET + 100);
  EXPECT_EQ(failure(),
            "weights file '" + path + "' has 4196 bytes, expected 4256");
  header.hash[3] ^= 1;
  write(TENON_WEIGHTS_BLOB_OFFSET + 160);
  EXPECT_EQ(failure(), "weights file '" + path +
                           "' belongs to another compilation: its hash is not "
                           "the one that model 'toy' expects");
  header.version = 8;
  write(TENON_WEIGHTS_BLOB_OFFSET + 160);
  EXPECT_EQ(failure(),
            "weights file '" + path + "': its version is 8, expected 1");
  header.magic[0] = 'X';
  write(TENON_WEIGHTS_BLOB_OFFSET + 160);
  EXPECT_EQ(failure(), "'" + path + "' is not a weights file written by Tenon");
}

} // namespace
