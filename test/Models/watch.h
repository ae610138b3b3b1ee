//===- watch.h - counts what allocates ----------------------------*- C++
//-*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Replaces malloc and its kin and mmap for the whole process, artifacts
// included, and counts the calls while `watching`. For one source of a program,
// which exports its symbols.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_MODELS_WATCH_H
#define TENON_TEST_MODELS_WATCH_H

#include "artifact.h"
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace tenon::test {

inline std::atomic<bool> watching{false};
inline std::atomic<long> calls{0};
inline std::atomic<const char *> culprit{nullptr};

inline void count(const char *name) {
  if (!watching.load(std::memory_order_relaxed))
    return;
  ++calls;
  culprit = name;
}

} // namespace tenon::test

// The executable's definitions win over libc's for every library in the
// process. __libc_* are glibc's own, so that no dlsym is needed (it allocates).
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

void *malloc(size_t bytes) {
  tenon::test::count("malloc");
  return __libc_malloc(bytes);
}
void *calloc(size_t n, size_t bytes) {
  tenon::test::count("calloc");
  return __libc_calloc(n, bytes);
}
void *realloc(void *old, size_t bytes) {
  tenon::test::count("realloc");
  return __libc_realloc(old, bytes);
}
void *memalign(size_t alignment, size_t bytes) {
  tenon::test::count("memalign");
  return __libc_memalign(alignment, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes) {
  tenon::test::count("aligned_alloc");
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  tenon::test::count("posix_memalign");
  *memory = __libc_memalign(alignment, bytes);
  return *memory ? 0 : 12; // ENOMEM
}
void *mmap(void *address, size_t bytes, int protection, int flags, int file,
           off_t offset) {
  tenon::test::count("mmap");
  return reinterpret_cast<void *>(
      syscall(9, address, bytes, protection, flags, file, offset));
}
void *mmap64(void *address, size_t bytes, int protection, int flags, int file,
             off64_t offset) {
  tenon::test::count("mmap64");
  return reinterpret_cast<void *>(
      syscall(9, address, bytes, protection, flags, file, offset));
}
} // extern "C"

namespace tenon::test {

/// Pages of address space: whatever maps memory without our hooks shows here.
inline long addressSpace() {
  long pages = 0;
  if (FILE *file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%ld", &pages) != 1)
      pages = -1;
    std::fclose(file);
  }
  return pages;
}

/// The hooks must see what they are there for.
inline void checkHooks() {
  watching = true;
  void *volatile probe = std::malloc(1);
  std::free(probe);
  watching = false;
  if (calls == 0)
    fail("the hooks are not in place");
}

} // namespace tenon::test

#endif // TENON_TEST_MODELS_WATCH_H
