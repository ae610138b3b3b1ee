//===- Native.h - kernels that are not emitted ------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The compiler knows these names and the order of their arguments
// (lib/Codegen/Emit/NativeKernel.cpp). Each is a tenon_kernel of one task.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_NATIVE_H
#define TENON_RUNTIME_NATIVE_H

#include "tenon/abi.h"

extern "C" {

/// flags[n] -> positions of the nonzero ones in order, and in element n how
/// many there are. Dims: n.
int32_t tenon_native_compact(void *const *bufs, const int64_t *dims,
                             int64_t begin, int64_t end, tenon_task *task);
/// items[n][width] -> for each distinct item the position of its first one
/// (n elements) and how many there are (n); for each item the number of its
/// distinct one (n); and how many distinct ones there are. Dims: n, width,
/// dtype, whether they are sorted (else in order of appearance). Scratch: 16 n.
int32_t tenon_native_unique(void *const *bufs, const int64_t *dims,
                            int64_t begin, int64_t end, tenon_task *task);
/// boxes[batches][n][4], scores[batches][classes][n], overlap threshold, score
/// threshold -> (batch, class, box) of those kept, and in the element after the
/// last how many there are. Dims: batches, classes, n, most per class,
/// elements of the result, whether boxes are (center, size). Scratch: 16 n.
int32_t tenon_native_nms(void *const *bufs, const int64_t *dims, int64_t begin,
                         int64_t end, tenon_task *task);
}

#endif // TENON_RUNTIME_NATIVE_H
