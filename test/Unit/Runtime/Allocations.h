//===- Allocations.h - counts what the process allocates --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_ALLOCATIONS_H
#define TENON_TEST_ALLOCATIONS_H

/// Calls of malloc, calloc, realloc, aligned variants, mmap and brk's wrapper
/// so far, in all threads; -1 where a sanitizer owns those functions.
long allocationCount();

#endif // TENON_TEST_ALLOCATIONS_H
