/*===- peak.c - the peaks of this machine, measured -------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * usage: peak THREADS
 * Prints JSON: GFLOP/s that THREADS threads reach together with independent
 * f32 FMAs on 256-bit and (where the CPU has it) 512-bit registers, and with
 * dot products of bytes (vpdpbusd) and of bf16 (vdpbf16ps) on the widest
 * registers that have them, 0 for none; best of several short rounds.
 *===----------------------------------------------------------------------===*/
#include "../tools/tenon/FmaLoop.h"
#include <cpuid.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ITERATIONS = 1500000, ROUNDS = 24, MAX_THREADS = 64 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static pthread_barrier_t barrier;
static void (*loop)(long);

static void *work(void *elapsed) {
  for (int round = 0; round < ROUNDS; ++round) {
    pthread_barrier_wait(&barrier);
    double start = now();
    loop(ITERATIONS);
    ((double *)elapsed)[round] = now() - start;
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

/* Giga operations a second of a loop whose instructions do so many each. */
static double measure(int threads, void (*of)(long), int operations) {
  static double elapsed[MAX_THREADS][ROUNDS];
  pthread_t ids[MAX_THREADS];
  loop = of;
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  for (int i = 0; i < threads; ++i)
    if (pthread_create(&ids[i], NULL, work, elapsed[i])) {
      fprintf(stderr, "peak: cannot start thread %d\n", i);
      exit(1);
    }
  for (int i = 0; i < threads; ++i)
    pthread_join(ids[i], NULL);
  pthread_barrier_destroy(&barrier);
  double best = 0;
  for (int round = 0; round < ROUNDS; ++round) {
    double sum = 0;
    for (int i = 0; i < threads; ++i)
      sum += (double)operations * FMA_ACCUMULATORS * ITERATIONS /
             elapsed[i][round];
    best = sum > best ? sum : best;
  }
  return best / 1e9;
}

/* Compilers know no name of it before GCC 14. */
static int hasAvxVnni(void) {
  unsigned a, b, c, d;
  return __builtin_cpu_supports("avx2") &&
         __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  if (threads < 1 || threads > MAX_THREADS) {
    fprintf(stderr, "usage: peak THREADS (1 to %d)\n", MAX_THREADS);
    return 1;
  }
  double avx2 = 0, avx512 = 0, i8 = 0, bf16 = 0;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    avx2 = measure(threads, fma_loop_256, 16);
  if (__builtin_cpu_supports("avx512f"))
    avx512 = measure(threads, fma_loop_512, 32);
  if (__builtin_cpu_supports("avx512vnni"))
    i8 = measure(threads, dot_i8_loop_512, 128);
  else if (hasAvxVnni())
    i8 = measure(threads, dot_i8_loop_256, 64);
  if (__builtin_cpu_supports("avx512bf16"))
    bf16 = measure(threads, dot_bf16_loop_512, 64);
  printf("{\"threads\": %d, \"avx2_gflops\": %.1f, \"avx512_gflops\": %.1f, "
         "\"int8_gops\": %.1f, \"bf16_gflops\": %.1f}\n",
         threads, avx2, avx512, i8, bf16);
  return 0;
}
