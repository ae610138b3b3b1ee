/*===- sentence.h - what every program computes -----------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/
#include <stdint.h>

enum { LENGTH = 8, WIDTH = 384 };
static int64_t ids[LENGTH] = {101, 1996, 4937, 25126, 2006, 1996, 10682, 102};
static int64_t mask[LENGTH] = {1, 1, 1, 1, 1, 1, 1, 1}, types[LENGTH];
