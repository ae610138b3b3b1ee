//===- Locate.cpp - the checks of every access ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <algorithm>

using namespace emu;

namespace {

bool isWrite(Access access) {
  return access == Access::Write || access == Access::Atomic;
}

const char *nameOf(Access access) {
  return access == Access::Write    ? "written"
         : access == Access::Atomic ? "changed by an atomic"
                                    : "read";
}

std::string describe(const Conflict &conflict, const Stamp &by) {
  if (conflict.manyBlocks)
    return "several blocks read it";
  const char *verb = conflict.wrote ? "wrote" : "read";
  if (conflict.block != by.block)
    return format("block %u %s it", conflict.block, verb);
  if (conflict.lane == kWholeWarp)
    return format("other threads of warp %u %s it", conflict.warp, verb);
  return format("thread %u %s it", conflict.warp * kLanes + conflict.lane,
                verb);
}

void reportRace(Warp &w, const Instruction &i, const Stamp &stamp,
                const char *space, uint64_t at, uint32_t bytes, Access access,
                const Conflict &conflict) {
  report(w, i, conflict.byLane % kLanes,
         format("race on %s memory: %u bytes at %#llx are %s, %s, and nothing "
                "orders the two",
                space, bytes, (unsigned long long)at, nameOf(access),
                describe(conflict, stamp).c_str()));
}

/// LLVM fills gaps between loads: a vector may have elements that nobody wrote
/// and nobody looks at. They are noted, for whoever looks. False: none of it
/// was written.
bool partlyDefined(Warp &w, const Defined &defined, const Run &run,
                   uint64_t offset) {
  if (!run.element || run.element == run.bytes)
    return false;
  uint32_t gaps = defined.gaps(offset, run.bytes, run.element);
  if (gaps == (1u << run.bytes / run.element) - 1)
    return false;
  w.gaps = gaps;
  return true;
}

/// Null, and no word of it, where a run of several lanes has to be looked at
/// lane by lane.
uint8_t *locateGlobal(Warp &w, const Instruction &i, const Run &run,
                      uint64_t at, Access access, const void *data,
                      const Stamp &stamp) {
  Launch &launch = *w.launch;
  uint32_t bytes = run.total(), lane = run.lanes[0] % kLanes;
  bool several = run.count > 1;
  Allocation *memory = launch.device->memory.find(at, bytes);
  if (!memory) {
    if (!several)
      report(w, i, lane,
             format("%u bytes at %#llx lie outside every allocation", bytes,
                    (unsigned long long)at),
             /*stops=*/true);
    return nullptr;
  }
  auto &given = launch.arguments;
  if (memory->base != launch.lastArgument &&
      std::find(given.begin(), given.end(), memory->base) == given.end()) {
    report(w, i, lane,
           format("%u bytes at %#llx lie in an allocation that is no argument "
                  "of the kernel",
                  bytes, (unsigned long long)at));
    given.push_back(memory->base);
  }
  launch.lastArgument = memory->base;
  if (!isOwned(launch, i, *memory, at, bytes)) {
    if (!several)
      report(w, i, lane, describeStray(launch, i, at, bytes), /*stops=*/true);
    return nullptr;
  }
  uint64_t offset = at - memory->base;
  if (memory->constant && isWrite(access))
    report(w, i, lane, "a write to constant memory", /*stops=*/true);
  if (access != Access::Write && !memory->defined.all(offset, bytes)) {
    if (several)
      return nullptr;
    if (!partlyDefined(w, memory->defined, run, offset)) {
      report(w, i, lane,
             format("%u bytes at offset %llu of an allocation are read and "
                    "were never written",
                    bytes, (unsigned long long)offset));
      memory->defined.set(offset, bytes);
    }
  }
  uint8_t *found = memory->data + offset;
  if (memory->constant)
    return found;
  Conflict conflict;
  if (!memory->shadow.touch(stamp, run, offset, access, found, data, conflict))
    reportRace(w, i, stamp, "global", offset, run.bytes, access, conflict);
  if (isWrite(access))
    memory->defined.set(offset, bytes);
  return found;
}

uint8_t *locateSharedRun(Warp &w, const Instruction &i, const Run &run,
                         uint64_t at, Access access, const void *data,
                         const Stamp &stamp) {
  SharedMemory &shared = w.block->shared;
  uint64_t offset = at - kSharedBase;
  uint32_t bytes = run.total(), lane = run.lanes[0] % kLanes;
  bool several = run.count > 1;
  bool outside = at < kSharedBase || offset + bytes > shared.bytes;
  if (several &&
      (outside || shared.inFlight ||
       (access != Access::Write && !shared.defined.all(offset, bytes))))
    return nullptr;
  if (outside) {
    report(w, i, lane,
           format("%u bytes at offset %lld lie outside the block's %u bytes of "
                  "shared memory",
                  bytes, (long long)offset, shared.bytes),
           /*stops=*/true);
    return nullptr;
  }
  if (shared.inFlight)
    for (uint64_t word = offset / 4; word <= (offset + bytes - 1) / 4; ++word)
      if (shared.incoming[word])
        report(w, i, lane,
               format("shared memory at offset %llu is %s while an "
                      "asynchronous copy of thread %u to it has not been "
                      "waited for",
                      (unsigned long long)offset, nameOf(access),
                      shared.incoming[word] - 1u));
  if (access != Access::Write && !shared.defined.all(offset, bytes) &&
      !partlyDefined(w, shared.defined, run, offset)) {
    report(w, i, lane,
           format("%u bytes at offset %llu of shared memory are read and were "
                  "never written",
                  bytes, (unsigned long long)offset));
    shared.defined.set(offset, bytes);
  }
  Conflict conflict;
  uint8_t *found = &shared.data[offset];
  if (!shared.shadow.touch(stamp, run, offset, access, found, data, conflict))
    reportRace(w, i, stamp, "shared", offset, run.bytes, access, conflict);
  if (isWrite(access)) {
    shared.defined.set(offset, bytes);
    if (shared.engineWrote)
      shared.byEngine.set(offset, bytes, false);
  }
  return found;
}

/// The state space of an address; a generic one becomes one of that space.
Space resolve(Space space, uint64_t &at) {
  if (space != Space::Generic)
    return space;
  uint64_t window = at & ~(kWindowBytes - 1);
  space = window == kSharedWindow  ? Space::Shared
          : window == kLocalWindow ? Space::Local
          : window == kParamWindow ? Space::Param
                                   : Space::Global;
  if (space == Space::Shared || space == Space::Local)
    at -= window;
  return space;
}

} // namespace

Stamp Warp::stamp(uint32_t lane) const {
  return {block->index, index, lane, launchNumber, clock, &block->known};
}

uint8_t *emu::locateShared(Warp &w, const Instruction &i, uint32_t lane,
                           uint64_t at, uint32_t bytes, Access access,
                           const void *data, const Stamp &stamp) {
  uint8_t one = stamp.lane;
  return locateSharedRun(w, i, {&one, 1, bytes}, at, access, data, stamp);
}

uint8_t *emu::locateRun(Warp &w, const Instruction &i, const Run &run,
                        Space space, uint64_t at, Access access,
                        const void *data) {
  if (at % run.bytes)
    return nullptr;
  space = resolve(space, at);
  Stamp stamp = w.stamp(run.lanes[0]);
  uint8_t *found = nullptr;
  if (space == Space::Shared)
    found = locateSharedRun(w, i, run, at, access, data, stamp);
  else if (space == Space::Global || space == Space::Const)
    found = locateGlobal(w, i, run, at, access, data, stamp);
  w.launch->device->accesses += found ? run.count : 0;
  return found;
}

uint8_t *emu::locate(Warp &w, const Instruction &i, uint32_t lane, Space space,
                     uint64_t at, uint32_t bytes, Access access,
                     const void *data, uint32_t element) {
  ++w.launch->device->accesses;
  if (at % bytes) {
    report(
        w, i, lane,
        format("%u bytes at %#llx: misaligned", bytes, (unsigned long long)at),
        /*stops=*/true);
    return nullptr;
  }
  uint8_t one = lane;
  Run run = {&one, 1, bytes, element};
  switch (resolve(space, at)) {
  case Space::Shared:
    return locateSharedRun(w, i, run, at, access, data, w.stamp(lane));
  case Space::Local:
    if (at < kLocalBase || at - kLocalBase + bytes > w.kernel->localBytes) {
      report(w, i, lane,
             format("%u bytes at %#llx lie outside the thread's local memory",
                    bytes, (unsigned long long)at),
             /*stops=*/true);
      return nullptr;
    }
    return &w.local[uint64_t(lane) * w.kernel->localBytes + at - kLocalBase];
  case Space::Param: {
    auto &parameters = w.launch->parameters;
    uint64_t offset = at - kParamWindow;
    if (offset + bytes > parameters.size() || isWrite(access)) {
      report(w, i, lane, "an access outside the parameters", /*stops=*/true);
      return nullptr;
    }
    return &parameters[offset];
  }
  default:
    return locateGlobal(w, i, run, at, access, data, w.stamp(lane));
  }
}
