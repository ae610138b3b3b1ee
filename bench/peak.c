/*===- peak.c - the FMA peak of this machine, measured ----------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * usage: peak THREADS
 * Prints JSON: GFLOP/s that THREADS threads reach together with independent
 * f32 FMAs on 256-bit and (where the CPU has it) 512-bit registers, best of
 * several short rounds.
 *===----------------------------------------------------------------------===*/
#include "../tools/tenon/FmaLoop.h"
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
static int wide;

static void *work(void *elapsed) {
  for (int round = 0; round < ROUNDS; ++round) {
    pthread_barrier_wait(&barrier);
    double start = now();
    if (wide)
      fma_loop_512(ITERATIONS);
    else
      fma_loop_256(ITERATIONS);
    ((double *)elapsed)[round] = now() - start;
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

static double measure(int threads, int lanes) {
  static double elapsed[MAX_THREADS][ROUNDS];
  pthread_t ids[MAX_THREADS];
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
      sum += 2.0 * lanes * FMA_ACCUMULATORS * (double)ITERATIONS /
             elapsed[i][round];
    best = sum > best ? sum : best;
  }
  return best / 1e9;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  if (threads < 1 || threads > MAX_THREADS) {
    fprintf(stderr, "usage: peak THREADS (1 to %d)\n", MAX_THREADS);
    return 1;
  }
  double avx2 = 0, avx512 = 0;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    avx2 = measure(threads, 8);
  wide = 1;
  if (__builtin_cpu_supports("avx512f"))
    avx512 = measure(threads, 16);
  printf("{\"threads\": %d, \"avx2_gflops\": %.1f, \"avx512_gflops\": %.1f}\n",
         threads, avx2, avx512);
  return 0;
}
