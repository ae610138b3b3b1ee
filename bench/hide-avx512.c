//===- hide-avx512.c - a CPU of AVX2 alone for a process --------*- C -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Peers pick their kernels by CPUID. Preloaded into a process, this answers it
// without AVX-512, VNNI, BF16 and AMX, so that they can be measured on a wider
// machine beside artifacts of --target=x86-64-v3:
//
//   cc -O2 -shared -fPIC bench/hide-avx512.c -o hide-avx512.so
//   LD_PRELOAD=$PWD/hide-avx512.so python bench/convnets.py --target x86-64-v3
//
// Linux lets a CPU that has CPUID faulting (cpuid_fault in /proc/cpuinfo) raise
// SIGSEGV for the instruction (arch_prctl(2), ARCH_SET_CPUID). /proc/cpuinfo
// says what it said.
//
//===----------------------------------------------------------------------===//
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

typedef int (*Sigaction)(int, const struct sigaction *, struct sigaction *);

static Sigaction realSigaction(void) {
  return (Sigaction)dlsym(RTLD_NEXT, "sigaction");
}

static void allowCpuid(int allow) {
  enum { setCpuid = 0x1012 }; // ARCH_SET_CPUID of <asm/prctl.h>
  syscall(SYS_arch_prctl, setCpuid, allow);
}

static void answer(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const uint8_t *code = (const uint8_t *)registers[REG_RIP];
  if (code[0] != 0x0f || code[1] != 0xa2) { // a fault of the process's own
    struct sigaction usual = {.sa_handler = SIG_DFL};
    realSigaction()(SIGSEGV, &usual, NULL);
    return;
  }
  uint32_t leaf = registers[REG_RAX], part = registers[REG_RCX], a, b, c, d;
  allowCpuid(1);
  __cpuid_count(leaf, part, a, b, c, d);
  allowCpuid(0);
  if (leaf == 7 && part == 0) {
    b &= ~0xdc230000u; // AVX512F, DQ, IFMA, PF, ER, CD, BW, VL
    c &= ~0x00005842u; // VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ
    d &= ~0x03c0010cu; // 4VNNIW, 4FMAPS, VP2INTERSECT, FP16, AMX
  } else if (leaf == 7 && part == 1) {
    a &= ~0x00200030u; // AVX-VNNI, AVX512-BF16, AMX-FP16
    d &= ~0x00080430u; // AVX-VNNI-INT8 and -INT16, AVX-NE-CONVERT, AVX10
  }
  registers[REG_RAX] = a, registers[REG_RBX] = b;
  registers[REG_RCX] = c, registers[REG_RDX] = d;
  registers[REG_RIP] += 2;
}

// Whoever else wants SIGSEGV would not know what a CPUID is.
int sigaction(int number, const struct sigaction *now, struct sigaction *old) {
  if (number != SIGSEGV || !now)
    return realSigaction()(number, now, old);
  if (old)
    memset(old, 0, sizeof(*old));
  return 0;
}

typedef void (*Handler)(int);

Handler signal(int number, Handler handler) {
  struct sigaction now = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
  return sigaction(number, &now, &old) ? SIG_ERR : old.sa_handler;
}

__attribute__((constructor)) static void begin(void) {
  struct sigaction mine = {.sa_sigaction = answer,
                           .sa_flags = SA_SIGINFO | SA_NODEFER};
  realSigaction()(SIGSEGV, &mine, NULL);
  allowCpuid(0);
}
