//===- typed_use.cpp - a model by its own header, in C++ ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Without MISTAKE it runs; each MISTAKE is one that must not compile.
//===----------------------------------------------------------------------===//
#include "typed.h"
#include <array>
#include <cstdio>

#ifndef MISTAKE
#define MISTAKE 0
#endif

static_assert(typed_2::Model::y_elements({.batch = 3, .seq = 5}) == 30);
// No number of another type, no output that cannot be written, no dim, input or
// output that is left out.
static_assert(!std::is_constructible_v<tenon::In<float>, double &>);
static_assert(!std::is_constructible_v<tenon::Out<int64_t>,
                                       const std::array<int64_t, 6> &>);
static_assert(!std::is_default_constructible_v<tenon::Dim>);
static_assert(!std::is_default_constructible_v<tenon::In<float>>);
static_assert(!std::is_default_constructible_v<tenon::Out<float>>);

static int run(tenon::Result<typed_2::Model> made) {
  if (!made)
    return std::printf("%s\n", made.message().c_str()), 1;
  typed_2::Model model = made.take();
  std::vector<int64_t> ids = {1, 0, 3};
  std::array<tenon::Float16, 3> half = {{{0x3800}, {0x3c00}, {0x4000}}};
  float y[6] = {};
  bool mask[3] = {};
  std::vector<int64_t> places(6);
  auto workspace = model.workspaceSize({.batch = 1, .seq = 3});
  if (!workspace || !model.reserve({.batch = 1, .seq = 3}))
    return std::puts("no workspace"), 1;
#if MISTAKE == 1 // the element type
  std::vector<int32_t> narrow = {1, 0, 3};
  typed_2::Inputs in = {.ids = narrow, .class_ = half, .batch_2 = 10.0f};
#elif MISTAKE == 2 // an input is missing
  typed_2::Inputs in = {.ids = ids, .batch_2 = 10.0f};
#else
  typed_2::Inputs in = {.ids = ids, .class_ = half, .batch_2 = 10.0f};
#endif
  typed_2::Outputs out = {.y = y, .mask = mask, .places = places};
  tenon::Status status = model.run({.batch = 1, .seq = 3}, in, out);
  std::array<float, 1> ten = {10};
  for (int turn = 0; turn < 2 && status; ++turn) {
    std::printf("%g %g %g %g, %d %d %d\n", y[0], y[1], y[2], y[5], mask[0],
                mask[1], mask[2]);
    in.scale = ten; // no longer the default
    status = model.run({.batch = 1, .seq = 3}, in, out);
  }
  auto dims = model.context().lastOutputDims("places");
  if (status && dims)
    std::printf("%d places: %d %d\n", int((*dims)[1]), int(places[2]),
                int(places[3]));
  else
    std::printf("%s\n", status.message().c_str());
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 1)
    return run(typed_2::Model::create({.threads = 1}));
  auto library = tenon::Library::open(argv[1]);
  if (!library)
    return std::printf("%s\n", library.message().c_str()), 1;
  return run(typed_2::Model::create(library->model()));
}
