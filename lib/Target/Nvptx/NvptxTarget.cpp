//===- NvptxTarget.cpp - which GPUs there are -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Target/Gpu.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace tenon {

static constexpr StringLiteral kPrefix = "nvptx:";

namespace {

struct Architecture {
  StringLiteral name;
  unsigned sm;
  /// The oldest version of PTX that Tenon writes for it: drivers read that of
  /// their own release and before. From 8.0 on it has all that kernels use.
  unsigned ptx;
};

/// From sm_80 on there are asynchronous copies and tensor cores for all types.
/// Those with a letter have instructions that no other GPU has.
constexpr Architecture kArchitectures[] = {
    {"sm_80", 80, 80},    {"sm_86", 86, 80},    {"sm_87", 87, 80},
    {"sm_89", 89, 80},    {"sm_90", 90, 80},    {"sm_90a", 90, 80},
    {"sm_100", 100, 86},  {"sm_100a", 100, 86}, {"sm_103", 103, 88},
    {"sm_103a", 103, 88}, {"sm_120", 120, 87},  {"sm_120a", 120, 87},
    {"sm_121", 121, 88},  {"sm_121a", 121, 88}};

} // namespace

bool isGpuTarget(StringRef name) { return name.starts_with(kPrefix); }

bool hasWarpgroups(const TargetInfo &target) { return target.cpu == "sm_90a"; }

Expected<TargetInfo> resolveGpuTarget(StringRef name) {
  StringRef architecture = name;
  architecture.consume_front(kPrefix);
  const auto *found = find_if(kArchitectures, [&](const Architecture &a) {
    return a.name == architecture;
  });
  if (found == std::end(kArchitectures))
    return createStringError("unknown target '" + name + "'; valid GPUs are " +
                             join(map_range(kArchitectures,
                                            [](const Architecture &a) {
                                              return (kPrefix + a.name).str();
                                            }),
                                  ", "));
  TargetInfo target;
  target.name = name.str();
  target.cpu = found->name.str();
  target.features = "+ptx" + std::to_string(found->ptx);
  target.sm = found->sm;
  target.vectorBits = 128;
  target.hasFma = true;
  return target;
}

} // namespace tenon
