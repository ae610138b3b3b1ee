//===- TargetInfo.cpp - instruction set levels ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels use exactly what the runtime checks before it runs them: a target is
// a set of TENON_FEATURE_* bits over baseline x86-64, and LLVM is told to use
// those instructions and no others. A CPU's name chooses the tuning, and what
// it promises is only the starting point: for `native` the bits are those that
// CPUID shows, since hypervisors mask them and keep the name, but for one whose
// instruction is slower than what does without.
//
//===----------------------------------------------------------------------===//

#include "tenon/Target/TargetInfo.h"
#include "tenon/abi.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/IR/Function.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/X86TargetParser.h"
#include <cpuid.h>

using namespace llvm;
using namespace tenon;

namespace {

struct Feature {
  uint64_t bit;
  /// LLVM's names of the CPUID bits that this stands for.
  std::initializer_list<StringLiteral> names;
  /// Bits without which LLVM could not enable it alone.
  uint64_t needs;
  /// Bits that come with it on every CPU: kernels use them together.
  uint64_t with = 0;
};

constexpr uint64_t kAvx2Level = TENON_FEATURE_SSE42 | TENON_FEATURE_AVX |
                                TENON_FEATURE_AVX2 | TENON_FEATURE_FMA |
                                TENON_FEATURE_F16C | TENON_FEATURE_BMI2;
constexpr uint64_t kAvx512Level =
    kAvx2Level | TENON_FEATURE_AVX512F | TENON_FEATURE_AVX512BW |
    TENON_FEATURE_AVX512CD | TENON_FEATURE_AVX512DQ | TENON_FEATURE_AVX512VL;

/// In an order that names what a feature needs before it.
const Feature kFeatures[] = {
    {TENON_FEATURE_SSE42,
     {"cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"},
     0},
    {TENON_FEATURE_AVX, {"avx"}, TENON_FEATURE_SSE42},
    {TENON_FEATURE_AVX2, {"avx2"}, TENON_FEATURE_AVX},
    {TENON_FEATURE_FMA, {"fma"}, TENON_FEATURE_AVX},
    {TENON_FEATURE_F16C, {"f16c"}, TENON_FEATURE_AVX},
    {TENON_FEATURE_BMI2,
     {"bmi", "bmi2", "lzcnt", "movbe"},
     TENON_FEATURE_SSE42},
    {TENON_FEATURE_AVX512F, {"avx512f"}, kAvx2Level},
    {TENON_FEATURE_AVX512BW, {"avx512bw"}, TENON_FEATURE_AVX512F},
    {TENON_FEATURE_AVX512CD, {"avx512cd"}, TENON_FEATURE_AVX512F},
    {TENON_FEATURE_AVX512DQ, {"avx512dq"}, TENON_FEATURE_AVX512F},
    {TENON_FEATURE_AVX512VL, {"avx512vl"}, TENON_FEATURE_AVX512F},
    {TENON_FEATURE_AVX512VNNI, {"avx512vnni"}, kAvx512Level},
    {TENON_FEATURE_AVX512BF16, {"avx512bf16"}, kAvx512Level},
    {TENON_FEATURE_AVX512FP16, {"avx512fp16"}, kAvx512Level},
    {TENON_FEATURE_AVXVNNI, {"avxvnni"}, kAvx2Level},
    {TENON_FEATURE_AMX_INT8,
     {"amx-int8"},
     kAvx512Level,
     TENON_FEATURE_AVX512VNNI},
    {TENON_FEATURE_AMX_BF16,
     {"amx-bf16"},
     kAvx512Level,
     TENON_FEATURE_AVX512BF16},
};

template <typename Has>
uint64_t bitsOf(Has has) {
  uint64_t bits = 0;
  for (const Feature &feature : kFeatures)
    if (uint64_t needs = feature.needs | feature.with;
        (bits & needs) == needs && all_of(feature.names, has))
      bits |= feature.bit;
  return bits;
}

std::string featuresText(uint64_t bits) {
  std::string text;
  for (const Feature &feature : kFeatures)
    for (StringRef name : feature.names) {
      text += text.empty() ? "" : ",";
      text += bits & feature.bit ? '+' : '-';
      text += name;
    }
  return text;
}

uint64_t hostBits() {
  StringMap<bool> host = sys::getHostCPUFeatures();
  return bitsOf([&](StringRef name) { return host.lookup(name); });
}

/// Intel's cores since Sapphire Rapids, which AVX512-FP16 tells from Cooper
/// Lake, take two cycles for vdpbf16ps where f32 has four multiply-adds: half
/// the products in the same time. Tiles are for bf16 there; where a hypervisor
/// hides them, multiply-adds are faster.
uint64_t slowBits(uint64_t host) {
  constexpr uint64_t fp16 = TENON_FEATURE_AVX512FP16,
                     tiles = TENON_FEATURE_AMX_BF16;
  unsigned most, name[3]; // in the order EBX, ECX, EDX
  if (!__get_cpuid(0, &most, &name[0], &name[1], &name[2]))
    return 0;
  bool isIntel = name[0] == signature_INTEL_ebx &&
                 name[1] == signature_INTEL_ecx &&
                 name[2] == signature_INTEL_edx;
  return isIntel && (host & (fp16 | tiles)) == fp16 ? TENON_FEATURE_AVX512BF16
                                                    : 0;
}

/// What a CPU's name stands for, with all that its features imply.
uint64_t cpuBits(StringRef cpu) {
  SmallVector<StringRef> names;
  X86::getFeaturesForCPU(cpu, names);
  StringMap<bool> all;
  for (StringRef name : names) {
    all[name] = true;
    X86::updateImpliedFeatures(name, /*Enabled=*/true, all);
  }
  return bitsOf([&](StringRef name) { return all.lookup(name); });
}

std::string validNames() {
  SmallVector<StringRef> cpus;
  X86::fillValidCPUArchList(cpus, /*Only64Bit=*/true);
  std::string text = "native, x86-64-v2, x86-64-v3, x86-64-v4";
  for (StringRef cpu : cpus) {
    if (cpu.starts_with("x86-64"))
      continue;
    if (cpuBits(cpu) & TENON_FEATURE_SSE42)
      text += (", " + cpu).str();
  }
  return text;
}

/// Adds features by name, "+avx512vnni+avx512bf16", to those of a level.
Error addFeatures(TargetInfo &target, StringRef text) {
  SmallVector<StringRef> names;
  text.split(names, '+', -1, /*KeepEmpty=*/false);
  for (StringRef name : names) {
    const Feature *feature = find_if(kFeatures, [&](const Feature &f) {
      return f.names.size() == 1 && *f.names.begin() == name;
    });
    if (feature == std::end(kFeatures)) {
      std::string valid;
      for (const Feature &f : kFeatures)
        if (f.names.size() == 1)
          valid += (valid.empty() ? "" : ", ") + f.names.begin()->str();
      return createStringError("unknown feature '" + name + "' of target '" +
                               target.name + "'; valid features are " + valid);
    }
    if (!target.has(feature->needs))
      return createStringError("feature '" + name + "' of target '" +
                               target.name + "' needs a higher level");
    target.featureBits |= feature->bit | feature->with;
  }
  return Error::success();
}

} // namespace

Expected<TargetInfo> tenon::resolveTarget(StringRef text) {
  TargetInfo target;
  target.name = text.str();
  auto [name, added] = text.split('+');
  if (name == "native") {
    target.cpu = sys::getHostCPUName().str();
    target.featureBits = hostBits();
    target.featureBits &= ~slowBits(target.featureBits);
    if (X86::parseTuneCPU(target.cpu, /*Only64Bit=*/true) == X86::CK_None)
      target.cpu = "generic";
  } else {
    if (X86::parseArchX86(name, /*Only64Bit=*/true) == X86::CK_None)
      return createStringError("unknown target '" + name +
                               "'; valid targets are " + validNames());
    target.featureBits = cpuBits(name);
    target.cpu = name.starts_with("x86-64") ? "generic" : name.str();
  }
  if (!target.has(TENON_FEATURE_SSE42))
    return createStringError("target '" + name +
                             "' lacks SSE4.2; the least is x86-64-v2");

  if (Error error = addFeatures(target, added))
    return std::move(error);
  target.features = featuresText(target.featureBits);
  target.hasFma = target.has(TENON_FEATURE_FMA);
  if (target.has(kAvx512Level)) {
    target.multipliesBF16 = target.has(TENON_FEATURE_AVX512BF16);
    target.vectorBits = 512;
    target.numVectorRegs = 32;
  } else if (target.has(TENON_FEATURE_AVX2)) {
    target.vectorBits = 256;
  }
  return target;
}

std::string tenon::hostFeaturesText() {
  uint64_t bits = hostBits();
  std::string text;
  for (const Feature &feature : kFeatures)
    if (bits & feature.bit)
      for (StringRef name : feature.names)
        text += ((text.empty() ? "+" : ",+") + name).str();
  return text;
}

void tenon::setTargetAttributes(Function &function, const TargetInfo &target) {
  // LLVM's CPU is the baseline, so that nothing comes from a name.
  function.addFnAttr("target-cpu", "x86-64");
  function.addFnAttr("tune-cpu", target.cpu);
  function.addFnAttr("target-features", target.features);
  // 512-bit vectors stay whole on CPUs whose tuning prefers 256 bits.
  std::string width = std::to_string(target.vectorBits);
  function.addFnAttr("prefer-vector-width", width);
  function.addFnAttr("min-legal-vector-width", width);
}
