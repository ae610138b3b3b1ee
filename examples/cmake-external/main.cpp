//===- main.cpp - one model, many threads ---------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Draws what the network of ../c-minimal takes for the unit circle. Each
// thread has a context of its own; they share the model, which never changes.
//===----------------------------------------------------------------------===//

#define TENON_NO_LOADER // the model is on the link line
#include <tenon/tenon.h>

#include <array>
#include <cstdio>
#include <thread>
#include <vector>

TENON_DECLARE_MODEL(circle);

static constexpr int rows = 24, columns = 60, numThreads = 4;

/// One thread's rows of the map; false after an error.
static bool draw(int firstRow, int lastRow, std::vector<float> &inside,
                 tenon_error &error) {
  std::vector<std::array<float, 2>> points;
  for (int row = firstRow; row < lastRow; ++row)
    for (int column = 0; column < columns; ++column)
      points.push_back({3.0f * column / (columns - 1) - 1.5f,
                        1.5f - 3.0f * row / (rows - 1)});
  inside.resize(points.size());

  tenon_context_options options;
  TENON_INIT(options);
  options.threads = 1;
  tenon_context *context = nullptr;
  const int64_t dims[] = {static_cast<int64_t>(points.size()), 2};
  const int64_t *inputDims[] = {dims};
  const bool failed =
      tenon_context_create(&tenon_model_circle, &options, &context, &error) ||
      tenon_reserve(context, inputDims, &error) ||
      tenon_bind_input_named(context, "point", TENON_F32, 2, dims,
                             points.data(), points.size() * sizeof points[0],
                             &error) ||
      tenon_bind_output_named(context, "inside", TENON_F32, 2, nullptr,
                              inside.data(), inside.size() * sizeof(float),
                              &error) ||
      tenon_run(context, &error);
  tenon_context_destroy(context);
  return !failed;
}

int main() {
  struct Part {
    std::vector<float> inside;
    tenon_error error;
    bool ok = false;
  };
  std::array<Part, numThreads> parts;
  std::vector<std::thread> threads;
  for (int i = 0; i < numThreads; ++i)
    threads.emplace_back([&part = parts[i], i] {
      part.ok = draw(rows * i / numThreads, rows * (i + 1) / numThreads,
                     part.inside, part.error);
    });
  for (std::thread &thread : threads)
    thread.join();

  for (const Part &part : parts) {
    if (!part.ok)
      return std::fprintf(stderr, "circle-map: error: %s\n",
                          part.error.message),
             1;
    for (size_t i = 0; i < part.inside.size(); ++i) {
      std::putchar(part.inside[i] > 0.5f ? '#' : '.');
      if ((i + 1) % columns == 0)
        std::putchar('\n');
    }
  }
}
