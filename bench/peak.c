/*===- peak.c - the FMA peak of this machine, measured ----------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * usage: peak THREADS
 * Prints JSON: GFLOP/s that THREADS threads reach together with independent
 * f32 FMAs on 256-bit and (where the CPU has it) 512-bit registers, best of
 * several short rounds. Sixteen accumulators hide the latency of four cycles
 * on two ports with room to spare.
 *===----------------------------------------------------------------------===*/
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ITERATIONS = 1500000, ACCUMULATORS = 16, ROUNDS = 24, MAX_THREADS = 64 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

/* Whole loops in assembly: a compiler that keeps the accumulators in memory
 * would measure its stores instead. */
#define FMA(REG, K) "vfmadd231ps %%" REG #K ", %%" REG #K ", %%" REG #K "\n"
#define FMA16(REG)                                                             \
  FMA(REG, 0) FMA(REG, 1) FMA(REG, 2) FMA(REG, 3) FMA(REG, 4) FMA(REG, 5)      \
  FMA(REG, 6) FMA(REG, 7) FMA(REG, 8) FMA(REG, 9) FMA(REG, 10) FMA(REG, 11)    \
  FMA(REG, 12) FMA(REG, 13) FMA(REG, 14) FMA(REG, 15)
#define LOOP(REG) "1:\n" FMA16(REG) "dec %0\n jnz 1b\n"
#define CLOBBERS                                                               \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",      \
      "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc"

/* vzeroall first: whatever the registers held might be denormal. */
static void burn256(void) {
  long count = ITERATIONS;
  __asm__ volatile("vzeroall\n" LOOP("ymm") "vzeroupper\n"
                   : "+r"(count)::CLOBBERS);
}

static void burn512(void) {
  long count = ITERATIONS;
  __asm__ volatile("vzeroall\n" LOOP("zmm") "vzeroupper\n"
                   : "+r"(count)::CLOBBERS);
}

static pthread_barrier_t barrier;
static int wide;

static void *work(void *elapsed) {
  for (int round = 0; round < ROUNDS; ++round) {
    pthread_barrier_wait(&barrier);
    double start = now();
    if (wide)
      burn512();
    else
      burn256();
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
      sum += 2.0 * lanes * ACCUMULATORS * (double)ITERATIONS / elapsed[i][round];
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
