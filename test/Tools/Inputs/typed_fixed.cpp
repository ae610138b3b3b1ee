//===- typed_fixed.cpp - a model whose dims are all known -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// The workspace is the program's own, exactly as large as the header says, and
// ends where a page begins that must not be touched.
//===----------------------------------------------------------------------===//
#include "fixed.h"
#include <array>
#include <cstdio>
#include <sys/mman.h>

int main() {
  constexpr size_t bytes = fixed::Model::workspaceSize(2);
  static_assert(bytes == FIXED_WORKSPACE_BYTES(2));
  static_assert(fixed::Model::y_elements() == 4 * 64 * 64);
  constexpr size_t page = 4096, whole = (bytes + page - 1) / page * page;
  auto *map = static_cast<char *>(mmap(nullptr, whole + 2 * page, PROT_NONE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (map == MAP_FAILED ||
      mprotect(map + page, whole, PROT_READ | PROT_WRITE) != 0)
    return std::puts("no memory"), 1;
  tenon_context_options options;
  TENON_INIT(options);
  options.threads = 2;
  options.flags = TENON_CONTEXT_OVERSUBSCRIBE;
  options.workspace = map + page + (whole - bytes);
  options.workspace_bytes = bytes;
  tenon_context *context = nullptr;
  tenon_error error;
  std::vector<float> x(4 * 64 * 64, 1.0f), y(x.size());
  if (fixed_create(&tenon_model_fixed, &options, &context, &error) ||
      fixed_run(context, x.data(), y.data(), &error))
    return std::printf("%s\n", error.message), 1;
  std::printf("%g in exactly %s bytes\n", y[0],
              bytes % 64 == 0 && bytes >= sizeof(float) * y.size() ? "enough"
                                                                    : "wrong");
  // One byte less is refused.
  if (tenon_set_workspace(context, options.workspace, bytes - 1, &error) ||
      fixed_run(context, x.data(), y.data(), &error) ==
          TENON_WORKSPACE_TOO_SMALL)
    std::puts("one byte less is too small");
  tenon_context_destroy(context);
}
