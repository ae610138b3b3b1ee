//===- Owners.cpp - whose bytes a kernel touches --------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Buffers lie side by side in one allocation. So a caller may tell how many
// bytes each pointer of a launch has, and an access has to lie in those of the
// pointer that its address was computed from. Which one that is, is found when
// a kernel is decoded: a register comes of the parameters that registers come
// of which it is computed from. What was loaded from memory comes of none, and
// may be anywhere in what the launch was given.
//
//===----------------------------------------------------------------------===//
#include "Decoder.h"
#include "Rules.h"
#include <algorithm>

using namespace emu;

namespace {

/// Parameters from this one on share a bit.
constexpr size_t kLastBit = 62;

uint64_t bitOf(size_t parameter) {
  return 1ull << std::min(parameter, kLastBit);
}

bool holds(const Owner &owner, uint64_t at, uint64_t bytes) {
  return at >= owner.base && bytes <= owner.bytes &&
         at - owner.base <= owner.bytes - bytes;
}

/// Those parameters of an instruction that are pointers.
uint64_t pointersOf(const Launch &launch, const Instruction &i) {
  size_t count = launch.owners.size();
  return count > kLastBit ? i.owners : i.owners & ((1ull << count) - 1);
}

} // namespace

void Decoder::traceOwners() {
  // By a register's place; 0 is none.
  std::vector<uint64_t> from(kernel.image.size() / 32 + 1);
  auto loaded = [&](int64_t offset) -> uint64_t {
    for (size_t p = 0; p < kernel.parameters.size(); ++p)
      if (kernel.parameters[p].offset == offset)
        return bitOf(p);
    return 0;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t at = 0; at < kernel.code.size(); ++at) {
      const Instruction &i = kernel.code[at];
      const Flow &flow = flows[at];
      const uint32_t *sources = kernel.lists.data() + i.registers;
      uint64_t bits = 0;
      for (uint32_t s = 0; flow.passes && s < i.sources; ++s)
        bits |= from[sources[s] / 32];
      for (uint32_t d = 0; d < i.dests; ++d) {
        uint32_t place = sources[i.sources + d] / 32;
        if (flow.parameter >= 0)
          bits = loaded(flow.parameter + 8 * d);
        if (!wide[place] || !(bits & ~from[place]))
          continue;
        from[place] |= bits;
        changed = true;
      }
    }
  }
  for (size_t at = 0; at < kernel.code.size(); ++at)
    for (uint32_t address : flows[at].addresses)
      kernel.code[at].owners |= from[address / 32];
}

bool emu::isOwned(const Launch &launch, const Instruction &i,
                  const Allocation &memory, uint64_t at, uint64_t bytes) {
  if (launch.owners.empty() || i.owners == kAnyOwner)
    return true;
  uint64_t own = pointersOf(launch, i);
  for (size_t p = 0; p < launch.owners.size(); ++p)
    if ((!own || (own & bitOf(p))) && holds(launch.owners[p], at, bytes))
      return true;
  // A variable, or what an address in numbers points to, has no buffer.
  auto isIn = [&](const std::vector<uint64_t> &bases) {
    return std::find(bases.begin(), bases.end(), memory.base) != bases.end();
  };
  return !own && (isIn(launch.module->allocations) || isIn(launch.inNumbers));
}

std::string emu::describeStray(const Launch &launch, const Instruction &i,
                               uint64_t at, uint64_t bytes) {
  uint64_t own = pointersOf(launch, i);
  for (size_t p = 0; p < std::min(launch.owners.size(), kLastBit); ++p)
    if (own == bitOf(p))
      return format("%llu bytes at offset %lld lie outside the %llu bytes of "
                    "parameter %zu",
                    (unsigned long long)bytes,
                    (long long)(at - launch.owners[p].base),
                    (unsigned long long)launch.owners[p].bytes, p);
  return format("%llu bytes at %#llx lie outside every buffer of the launch",
                (unsigned long long)bytes, (unsigned long long)at);
}

uint64_t emu::ownersAt(const Launch &launch, uint64_t at) {
  uint64_t bits = 0;
  for (size_t p = 0; p < launch.owners.size(); ++p)
    if (holds(launch.owners[p], at, 1))
      bits |= bitOf(p);
  return bits ? bits : kAnyOwner;
}

void emu::beginOwners(Launch &launch) {
  for (size_t p = 0; p < launch.owners.size(); ++p) {
    const Owner &owner = launch.owners[p];
    if (!owner.fresh || !owner.bytes)
      continue;
    for (size_t q = 0; q < launch.owners.size(); ++q) {
      const Owner &other = launch.owners[q];
      if (q == p || !other.bytes || other.base >= owner.base + owner.bytes ||
          owner.base >= other.base + other.bytes)
        continue;
      report(*launch.device,
             format("parameter %zu, whose bytes are nobody's yet, overlaps "
                    "parameter %zu [%s]",
                    p, q, launch.kernel->name.c_str()));
      launch.aborted = true;
      return;
    }
    if (Allocation *memory =
            launch.device->memory.find(owner.base, owner.bytes))
      memory->defined.set(owner.base - memory->base, owner.bytes, false);
  }
}
