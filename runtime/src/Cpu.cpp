//===- Cpu.cpp - what the CPU and the process offer -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Features come from CPUID's bits and never from model numbers: hypervisors
// mask features of the model that they show. AVX and AVX-512 also need the OS
// to save their registers, which XGETBV tells; the tiles of AMX it saves for a
// process that has asked for them.
//
//===----------------------------------------------------------------------===//
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "Cpu.h"

#include <cpuid.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace tenon::rt;

namespace {

struct FeatureName {
  uint64_t bit;
  const char *name;
};

const FeatureName kFeatureNames[] = {
    {TENON_FEATURE_SSE42, "sse4.2"},
    {TENON_FEATURE_AVX, "avx"},
    {TENON_FEATURE_AVX2, "avx2"},
    {TENON_FEATURE_FMA, "fma"},
    {TENON_FEATURE_F16C, "f16c"},
    {TENON_FEATURE_BMI2, "bmi2"},
    {TENON_FEATURE_AVX512F, "avx512f"},
    {TENON_FEATURE_AVX512BW, "avx512bw"},
    {TENON_FEATURE_AVX512CD, "avx512cd"},
    {TENON_FEATURE_AVX512DQ, "avx512dq"},
    {TENON_FEATURE_AVX512VL, "avx512vl"},
    {TENON_FEATURE_AVX512VNNI, "avx512vnni"},
    {TENON_FEATURE_AVX512BF16, "avx512bf16"},
    {TENON_FEATURE_AVX512FP16, "avx512fp16"},
    {TENON_FEATURE_AVXVNNI, "avxvnni"},
    {TENON_FEATURE_AMX_INT8, "amx-int8"},
    {TENON_FEATURE_AMX_BF16, "amx-bf16"},
};

uint64_t enabledStates() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

constexpr bool bit(uint64_t word, int number) { return word >> number & 1; }

} // namespace

uint64_t tenon::rt::cpuFeatures() {
  uint32_t a, b, c, d;
  uint32_t c1, b7 = 0, c7 = 0, d7 = 0, a71 = 0, cExtended = 0;
  if (!__get_cpuid(1, &a, &b, &c1, &d))
    return 0;
  if (__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) && a >= 1)
    __get_cpuid_count(7, 1, &a71, &b, &c, &d);
  if (__get_cpuid(0x80000001, &a, &b, &cExtended, &d) == 0)
    cExtended = 0;

  uint64_t states = bit(c1, 27) ? enabledStates() : 0;
  bool ymm = (states & 0x6) == 0x6, zmm = (states & 0xe6) == 0xe6;
  bool tiles = zmm && bit(states, 17) && bit(states, 18) && bit(d7, 24);
  uint64_t features = 0;
  auto set = [&](uint64_t feature, bool has) {
    if (has)
      features |= feature;
  };
  // x86-64-v2: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT, LAHF.
  set(TENON_FEATURE_SSE42, bit(c1, 0) && bit(c1, 9) && bit(c1, 13) &&
                               bit(c1, 19) && bit(c1, 20) && bit(c1, 23) &&
                               bit(cExtended, 0));
  set(TENON_FEATURE_AVX, ymm && bit(c1, 28));
  set(TENON_FEATURE_AVX2, ymm && bit(b7, 5));
  set(TENON_FEATURE_FMA, ymm && bit(c1, 12));
  set(TENON_FEATURE_F16C, ymm && bit(c1, 29));
  set(TENON_FEATURE_BMI2,
      bit(b7, 3) && bit(b7, 8) && bit(cExtended, 5) && bit(c1, 22));
  set(TENON_FEATURE_AVX512F, zmm && bit(b7, 16));
  set(TENON_FEATURE_AVX512DQ, zmm && bit(b7, 17));
  set(TENON_FEATURE_AVX512CD, zmm && bit(b7, 28));
  set(TENON_FEATURE_AVX512BW, zmm && bit(b7, 30));
  set(TENON_FEATURE_AVX512VL, zmm && bit(b7, 31));
  set(TENON_FEATURE_AVX512VNNI, zmm && bit(c7, 11));
  set(TENON_FEATURE_AVX512FP16, zmm && bit(d7, 23));
  set(TENON_FEATURE_AVX512BF16, zmm && bit(a71, 5));
  set(TENON_FEATURE_AVXVNNI, ymm && bit(a71, 4));
  set(TENON_FEATURE_AMX_INT8, tiles && bit(d7, 25));
  set(TENON_FEATURE_AMX_BF16, tiles && bit(d7, 22));
  return features;
}

uint64_t tenon::rt::slowFeatures() {
  constexpr uint64_t fp16 = TENON_FEATURE_AVX512FP16,
                     tiles = TENON_FEATURE_AMX_BF16;
  uint32_t a, b, c, d;
  bool isIntel = __get_cpuid(0, &a, &b, &c, &d) && b == signature_INTEL_ebx &&
                 c == signature_INTEL_ecx && d == signature_INTEL_edx;
  return isIntel && (cpuFeatures() & (fp16 | tiles)) == fp16
             ? TENON_FEATURE_AVX512BF16
             : 0;
}

uint64_t tenon::rt::usableFeatures(uint64_t wanted) {
  constexpr uint64_t tiles = TENON_FEATURE_AMX_INT8 | TENON_FEATURE_AMX_BF16;
  // Of <asm/prctl.h>, which old systems have without them.
  constexpr long requestPermission = 0x1023, tileData = 18;
  uint64_t features = cpuFeatures();
  // Not before a model needs them: it makes every signal's frame larger.
  if ((wanted & tiles) && (wanted & ~features) == 0 &&
      syscall(SYS_arch_prctl, requestPermission, tileData) != 0)
    features &= ~tiles;
  return features;
}

void tenon::rt::addFeatureNames(Text &text, uint64_t features) {
  const char *separator = "";
  for (const FeatureName &feature : kFeatureNames)
    if (features & feature.bit) {
      text.add(separator).add(feature.name);
      features &= ~feature.bit;
      separator = ", ";
    }
  // A newer compiler's bit: its number is all that is known of it.
  for (int i = 0; i < 64; ++i)
    if (features >> i & 1) {
      text.add(separator).add("feature ").add(i);
      separator = ", ";
    }
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

namespace {

/// Reads a small file; false where there is none.
bool readText(const char *path, char *out, size_t capacity) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return false;
  size_t length = 0;
  while (length + 1 < capacity) {
    ssize_t got = read(file, out + length, capacity - 1 - length);
    if (got <= 0)
      break;
    length += size_t(got);
  }
  out[length] = 0;
  close(file);
  return length > 0;
}

int64_t readNumber(const char *&text) {
  while (*text == ' ')
    ++text;
  if (*text < '0' || *text > '9')
    return -1;
  int64_t value = 0;
  for (; *text >= '0' && *text <= '9'; ++text)
    if (value < int64_t(1) << 50)
      value = value * 10 + (*text - '0');
  return value;
}

int32_t threadsOf(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0)
    return INT32_MAX;
  int64_t threads = (quota + period - 1) / period;
  return threads < INT32_MAX ? int32_t(threads) : INT32_MAX;
}

/// The smallest quota from the cgroup `path` up to the root of its hierarchy.
int32_t quotaAbove(const char *root, const char *path, bool unified) {
  char folder[1024], file[1200], text[64];
  Text(folder, sizeof folder).add(path);
  int32_t threads = INT32_MAX;
  for (;;) {
    size_t length = strlen(folder);
    while (length && folder[length - 1] == '/')
      folder[--length] = 0;
    int32_t here = INT32_MAX;
    Text name(file, sizeof file);
    if (unified) {
      name.add(root).add(folder).add("/cpu.max");
      if (readText(file, text, sizeof text))
        here = threadsOfQuota(text);
    } else {
      name.add(root).add(folder).add("/cpu.cfs_quota_us");
      if (readText(file, text, sizeof text)) {
        const char *at = text;
        int64_t quota = readNumber(at);
        Text(file, sizeof file).add(root).add(folder).add("/cpu.cfs_period_us");
        if (quota > 0 && readText(file, text, sizeof text)) {
          at = text;
          here = threadsOf(quota, readNumber(at));
        }
      }
    }
    if (here < threads)
      threads = here;
    char *slash = length ? strrchr(folder, '/') : nullptr;
    if (!slash)
      return threads;
    *slash = 0;
  }
}

/// Whether "cpu" is one of the comma-separated names in [begin, end).
bool namesCpu(const char *begin, const char *end) {
  for (const char *name = begin; name < end;) {
    const char *stop = name;
    while (stop < end && *stop != ',')
      ++stop;
    if (stop - name == 3 && memcmp(name, "cpu", 3) == 0)
      return true;
    name = stop + 1;
  }
  return false;
}

int32_t cgroupThreads() {
  char groups[4096];
  if (!readText("/proc/self/cgroup", groups, sizeof groups))
    return INT32_MAX;
  int32_t threads = INT32_MAX;
  for (char *line = groups; *line;) {
    char *end = strchr(line, '\n');
    if (end)
      *end = 0;
    // "0::/path" (v2) or "4:cpu,cpuacct:/path" (v1).
    char *names = strchr(line, ':');
    char *path = names ? strchr(names + 1, ':') : nullptr;
    if (path) {
      int32_t here = INT32_MAX;
      if (path == names + 1)
        here = quotaAbove("/sys/fs/cgroup", path + 1, true);
      else if (namesCpu(names + 1, path))
        here = quotaAbove("/sys/fs/cgroup/cpu", path + 1, false);
      if (here < threads)
        threads = here;
    }
    if (!end)
      break;
    line = end + 1;
  }
  return threads;
}

} // namespace

int32_t tenon::rt::threadsOfQuota(const char *text) {
  int64_t quota = readNumber(text);
  return threadsOf(quota, readNumber(text));
}

int32_t tenon::rt::usableThreads() {
  // The kernel refuses a mask smaller than its own: 8192 CPUs is its limit.
  uint64_t mask[128];
  memset(mask, 0, sizeof mask);
  int32_t threads = 0;
  if (sched_getaffinity(0, sizeof mask, reinterpret_cast<cpu_set_t *>(mask)) ==
      0)
    for (uint64_t word : mask)
      for (; word; word &= word - 1) // popcount would call libgcc
        ++threads;
  if (threads < 1)
    threads = 1;
  int32_t quota = cgroupThreads();
  return quota < threads ? quota : threads;
}
