//===- Allocations.cpp - counts what the process allocates ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The executable's definitions come before libc's, for the runtime linked into
// it as for libc's own callers.
//
//===----------------------------------------------------------------------===//
#include "Allocations.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TENON_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TENON_SANITIZED
#endif

#ifdef TENON_SANITIZED

long allocationCount() { return -1; }

#else

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static std::atomic<long> gCount{0};

long allocationCount() { return gCount; }

extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

void *malloc(size_t bytes) {
  ++gCount;
  return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
  ++gCount;
  return __libc_calloc(count, bytes);
}
void *realloc(void *memory, size_t bytes) {
  ++gCount;
  return __libc_realloc(memory, bytes);
}
void *memalign(size_t alignment, size_t bytes) {
  ++gCount;
  return __libc_memalign(alignment, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes) {
  ++gCount;
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void **result, size_t alignment, size_t bytes) {
  ++gCount;
  *result = __libc_memalign(alignment, bytes);
  return *result ? 0 : ENOMEM;
}
void free(void *memory) { __libc_free(memory); }
void *mmap(void *address, size_t bytes, int protection, int flags, int file,
           off_t offset) {
  ++gCount;
  return reinterpret_cast<void *>(
      syscall(SYS_mmap, address, bytes, protection, flags, file, offset));
}
}

#endif
