/*===- FmaLoop.h - multiply-adds on registers alone -------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * The peaks of a core, of FMAs and of dot products of integers and bf16, for
 * `tenon bench --profile` and the programs of bench/; C and C++. Whole loops in assembly: a compiler that keeps the
 * accumulators in memory would measure its stores instead. Sixteen accumulators
 * hide the latency of four cycles on two ports with room to spare. vzeroall
 * first: whatever the registers held might be denormal.
 *
 * fma_load_loop_* makes seven loads from one cache line beside every ten
 * multiply-adds. A core that is left alone takes no longer for them. One whose
 * other hyperthread is busy, perhaps with another virtual machine, does: that
 * thread's loads meet these. So the two loops together tell whether a core is
 * left alone at this moment; the first alone does not.
 *===----------------------------------------------------------------------===*/
#ifndef TENON_TOOLS_FMALOOP_H
#define TENON_TOOLS_FMALOOP_H

#define FMA_ACCUMULATORS 16

#define FMA_LOOP_OF(OP, REG, K)                                                \
  OP " %%" REG #K ", %%" REG #K ", %%" REG #K "\n"
#define FMA_LOOP_1(REG, K) FMA_LOOP_OF("vfmadd231ps", REG, K)
#define FMA_LOOP_16(OP, REG)                                                   \
  FMA_LOOP_OF(OP, REG, 0)                                                      \
  FMA_LOOP_OF(OP, REG, 1)                                                      \
  FMA_LOOP_OF(OP, REG, 2)                                                      \
  FMA_LOOP_OF(OP, REG, 3)                                                      \
  FMA_LOOP_OF(OP, REG, 4)                                                      \
  FMA_LOOP_OF(OP, REG, 5)                                                      \
  FMA_LOOP_OF(OP, REG, 6)                                                      \
  FMA_LOOP_OF(OP, REG, 7)                                                      \
  FMA_LOOP_OF(OP, REG, 8)                                                      \
  FMA_LOOP_OF(OP, REG, 9)                                                      \
  FMA_LOOP_OF(OP, REG, 10)                                                     \
  FMA_LOOP_OF(OP, REG, 11)                                                     \
  FMA_LOOP_OF(OP, REG, 12)                                                     \
  FMA_LOOP_OF(OP, REG, 13)                                                     \
  FMA_LOOP_OF(OP, REG, 14)                                                     \
  FMA_LOOP_OF(OP, REG, 15)
#define FMA_LOAD_1(REG, K, L) FMA_LOOP_1(REG, K) "vmovups (%1), %%" REG #L "\n"
#define FMA_LOAD_10(REG)                                                       \
  FMA_LOAD_1(REG, 0, 10)                                                       \
  FMA_LOAD_1(REG, 1, 11)                                                       \
  FMA_LOOP_1(REG, 2)                                                           \
  FMA_LOAD_1(REG, 3, 12)                                                       \
  FMA_LOAD_1(REG, 4, 13)                                                       \
  FMA_LOOP_1(REG, 5)                                                           \
  FMA_LOAD_1(REG, 6, 14)                                                       \
  FMA_LOAD_1(REG, 7, 15)                                                       \
  FMA_LOOP_1(REG, 8)                                                           \
  FMA_LOAD_1(REG, 9, 10)
#define FMA_LOOP(BODY, ...)                                                    \
  __asm__ volatile("vzeroall\n1:\n" BODY "dec %0\n jnz 1b\n"                   \
                   "vzeroupper\n"                                              \
                   : "+r"(count)                                               \
                   : __VA_ARGS__                                               \
                   : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",   \
                     "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",        \
                     "xmm13", "xmm14", "xmm15", "cc", "memory")

/* FMA_ACCUMULATORS instructions of 8 or 16 lanes, `count` times; count > 0. */
static inline void fma_loop_256(long count) {
  FMA_LOOP(FMA_LOOP_16("vfmadd231ps", "ymm"));
}
static inline void fma_loop_512(long count) {
  FMA_LOOP(FMA_LOOP_16("vfmadd231ps", "zmm"));
}

/* Dot products of four bytes (AVX-VNNI, AVX512-VNNI), and of two bf16
 * (AVX512-BF16), in each lane of 32 bits. */
static inline void dot_i8_loop_256(long count) {
  FMA_LOOP(FMA_LOOP_16("%{vex%} vpdpbusd", "ymm"));
}
static inline void dot_i8_loop_512(long count) {
  FMA_LOOP(FMA_LOOP_16("vpdpbusd", "zmm"));
}
static inline void dot_bf16_loop_512(long count) {
  FMA_LOOP(FMA_LOOP_16("vdpbf16ps", "zmm"));
}

/* FMA_LOAD_ACCUMULATORS instructions and loads of a line of 64 bytes. */
#define FMA_LOAD_ACCUMULATORS 10
static inline void fma_load_loop_256(long count, const void *line) {
  FMA_LOOP(FMA_LOAD_10("ymm"), "r"(line));
}
static inline void fma_load_loop_512(long count, const void *line) {
  FMA_LOOP(FMA_LOAD_10("zmm"), "r"(line));
}

#undef FMA_LOOP
#undef FMA_LOAD_10
#undef FMA_LOAD_1
#undef FMA_LOOP_16
#undef FMA_LOOP_1
#undef FMA_LOOP_OF

#endif /* TENON_TOOLS_FMALOOP_H */
