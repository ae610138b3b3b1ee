//===- Cpu.h - what the CPU and the process offer ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_CPU_H
#define TENON_RUNTIME_CPU_H

#include "Text.h"
#include "tenon/abi.h"

namespace tenon::rt {

/// TENON_FEATURE_* of this CPU, as far as the OS saves the registers.
uint64_t cpuFeatures();

/// Of features, those whose instructions are slower than what does without:
/// AVX512-BF16 on Intel's cores since Sapphire Rapids where tiles are hidden.
uint64_t slowFeatures();

/// The same as cpuFeatures, once the OS was asked for what it gives on request
/// alone, if a level wants such features and has all others.
uint64_t usableFeatures(uint64_t wanted);

/// Adds "avx2, fma" for a set of bits.
void addFeatureNames(Text &text, uint64_t features);

/// How many threads the process may run at once: its affinity, limited by the
/// CPU quota of its cgroup and of the cgroups above.
int32_t usableThreads();

/// The quota in the text of cgroup v2's cpu.max ("150000 100000", "max
/// 100000"), rounded up to threads; INT32_MAX for none.
int32_t threadsOfQuota(const char *text);

} // namespace tenon::rt

#endif // TENON_RUNTIME_CPU_H
