//===- WrapperTest.cpp - tenon.hpp, the loader, the C header --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "ToyModel.h"
#include "tenon/tenon.hpp"
#include <fstream>
#include <gtest/gtest.h>
#include <new>
#include <unistd.h>

using namespace toy;

namespace {

TEST(Wrapper, runsAModel) {
  Toy toy;
  tenon::Model model(toy.model);
  auto inputs = model.inputs();
  ASSERT_TRUE(inputs);
  EXPECT_EQ((*inputs)[1].name, "mask");
  auto created = tenon::Context::create(model, {.threads = 1});
  ASSERT_TRUE(created) << created.message();
  tenon::Context context = created.take();
  Tensors x(2, 6);
  tenon::Dims dims = {2, 6};
  auto bytes = context.workspaceSize({dims, dims});
  ASSERT_TRUE(bytes);
  EXPECT_GT(*bytes, 0u);
  auto outDims = context.outputDims({dims, dims}, 0);
  ASSERT_TRUE(outDims);
  EXPECT_EQ(*outDims, (tenon::Dims{2, 4}));
  ASSERT_TRUE(context.reserve({dims, dims}));
  ASSERT_TRUE(context.bindInput("ids", dims, std::span(x.ids)));
  ASSERT_TRUE(context.bindInput("mask", dims, std::span(x.mask)));
  ASSERT_TRUE(context.bindOutput("out", std::span(x.out)));
  ASSERT_TRUE(context.run());
  EXPECT_EQ(x.out, toy.expected(x.ids, x.mask, 2, 6));
}

/// Memory that counts itself.
struct Counted {
  size_t blocks = 0;
  static void *allocate(void *user, size_t bytes, size_t alignment) {
    ++static_cast<Counted *>(user)->blocks;
    return ::operator new(bytes, std::align_val_t(alignment));
  }
  static void release(void *user, void *memory, size_t) {
    --static_cast<Counted *>(user)->blocks;
    ::operator delete(memory, std::align_val_t(64));
  }
};

TEST(Wrapper, tellsWhatARunDidAndTakesAnAllocator) {
  Toy toy;
  Counted counted;
  {
    auto context =
        tenon::Context::create(toy.model, {.threads = 1,
                                           .flags = TENON_CONTEXT_PROFILE,
                                           .allocate = Counted::allocate,
                                           .release = Counted::release,
                                           .allocatorUser = &counted});
    ASSERT_TRUE(context) << context.message();
    Tensors x(2, 6);
    tenon::Dims dims = {2, 6};
    ASSERT_TRUE(context->reserve({dims, dims}));
    EXPECT_EQ(counted.blocks, 2u); // the context, its workspace
    ASSERT_TRUE(context->bindInput("ids", dims, std::span(x.ids)));
    ASSERT_TRUE(context->bindInput("mask", dims, std::span(x.mask)));
    ASSERT_TRUE(context->bindOutput("out", std::span(x.out)));
    EXPECT_FALSE(context->lastOutputDims(0)); // there was none
    ASSERT_TRUE(context->run());
    EXPECT_EQ(*context->lastOutputDims(0), (tenon::Dims{2, 4}));
    EXPECT_EQ(*context->lastOutputDims("out"), (tenon::Dims{2, 4}));
    EXPECT_FALSE(context->lastOutputDims(1));
    auto steps = context->steps();
    ASSERT_TRUE(steps) << steps.message();
    ASSERT_EQ(steps->size(), 3u);
    EXPECT_EQ((*steps)[0].kernel, "k_gather");
    EXPECT_EQ((*steps)[2].nodes, "/ReduceSum,/Identity");
    EXPECT_EQ((*steps)[0].tasks, 12);
    EXPECT_GT((*steps)[2].startNanoseconds, 0u);
  }
  EXPECT_EQ(counted.blocks, 0u);
}

TEST(Wrapper, failuresCarryTheirMessage) {
  Toy toy;
  auto context = tenon::Context::create(toy.model, {.level = "none"});
  EXPECT_FALSE(context);
  EXPECT_EQ(context.status().code(), TENON_INVALID_ARGUMENT);
  EXPECT_EQ(context.message(),
            "the artifact has no level 'none'; it holds baseline");
  auto good = tenon::Context::create(toy.model);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->reserve({{1, 2}}).message(),
            "dims are given for 1 inputs, the model has 2");
  EXPECT_EQ(good->reserve({{1, 2}, {1}}).message(),
            "input 'mask': the rank is not 2");
  std::vector<float> wrong(4);
  EXPECT_EQ(good->bindOutput("ouch", std::span(wrong)).message(),
            "the model has no output 'ouch'; it has 'out'");
}

TEST(Loader, refusesWhatIsNotAnArtifact) {
  std::string path =
      testing::TempDir() + "tenon-artifact-" + std::to_string(getpid());
  auto failure = [&] {
    auto library = tenon::Library::open(path);
    EXPECT_FALSE(library);
    return library.message();
  };
  EXPECT_EQ(failure(), "cannot open '" + path + "': No such file or directory");
  std::ofstream(path) << "hello";
  EXPECT_EQ(failure(), "cannot load '" + path + "': not a shared library");
  // A whole library, then a truncated one.
  std::string whole;
  {
    std::ifstream in("/proc/self/exe", std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(in), {});
  }
  ASSERT_GT(whole.size(), 10000u);
  std::ofstream(path, std::ios::binary) << whole.substr(0, 5000);
  EXPECT_EQ(failure(), "cannot load '" + path + "': the file is truncated");
  std::remove(path.c_str());

  path = "/proc/self/exe";
  EXPECT_NE(failure(), ""); // an executable is no library
  auto library = tenon::Library::open("libc.so.6.nowhere");
  EXPECT_EQ(library.message(),
            "cannot open 'libc.so.6.nowhere': No such file or directory");
}

TEST(Loader, refusesALibraryWithoutAModel) {
  // Some library that this process has mapped.
  std::ifstream maps("/proc/self/maps");
  std::string line, path;
  while (std::getline(maps, line))
    if (line.find("/libc.so.6") != std::string::npos)
      path = line.substr(line.find('/'));
  if (path.empty())
    GTEST_SKIP() << "libc is not a shared library here";
  auto library = tenon::Library::open(path);
  EXPECT_FALSE(library);
  EXPECT_EQ(library.message(), "'" + path +
                                   "' is not a model compiled by Tenon: it has "
                                   "no symbol tenon_model");
}

} // namespace
