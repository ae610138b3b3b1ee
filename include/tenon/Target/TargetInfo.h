//===- TargetInfo.h - what the machine that runs a model can do -*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_TARGET_TARGETINFO_H
#define TENON_TARGET_TARGETINFO_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>

namespace llvm {
class Function;
} // namespace llvm

namespace tenon {

/// One resolved instruction set level. What a kernel keeps in registers is
/// decided by it, kernels are compiled for it, and the runtime refuses a CPU
/// that lacks one of its feature bits.
struct TargetInfo {
  /// As the user said it: "x86-64-v3", "native", "znver4".
  std::string name;
  /// LLVM's name, for scheduling and tuning only: `features` decides what is
  /// used, since a hypervisor may mask what the CPU's name promises.
  std::string cpu;
  /// The whole list, "+avx2,-avx512f,...", negatives included.
  std::string features;
  /// TENON_FEATURE_* bits of what the kernels may use.
  uint64_t featureBits = 0;
  /// Width of a vector register to program for: 128, 256 or 512.
  unsigned vectorBits = 128;
  unsigned numVectorRegs = 16;
  bool hasFma = false;
  /// AVX512-BF16, in vectors of 512 bits. Products of bf16 are f32
  /// multiply-adds at other levels.
  bool multipliesBF16 = false;
  /// Of a GPU: its compute capability times ten, 80 or 90.
  unsigned sm = 0;

  bool has(uint64_t bits) const { return (featureBits & bits) == bits; }
};

/// Resolves `x86-64-v2|v3|v4|native|<LLVM CPU name>`, with features added by
/// `+<name>` (x86-64-v4+avx512vnni). `native` is what this CPU has, but for
/// avx512bf16 where its products are slower than those of f32. The error for
/// any other name lists the valid ones.
llvm::Expected<TargetInfo> resolveTarget(llvm::StringRef name);

/// "+avx,+avx2,..." of the machine that runs the compiler, for --version.
std::string hostFeaturesText();

/// Sets target-cpu, target-features and the vector width attributes of a
/// kernel. Whatever has none of them is compiled for baseline x86-64.
void setTargetAttributes(llvm::Function &function, const TargetInfo &target);

} // namespace tenon

#endif // TENON_TARGET_TARGETINFO_H
