//===- AsyncRules.cpp - cp.async, mbarrier, cp.async.bulk -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A copy is done at the latest moment that is legal: one of a thread where the
// thread waits for its group, one of the copy engine when nothing else can
// run, or by chance before. Until then nobody may touch its destination.
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <algorithm>
#include <bit>

using namespace emu;

namespace {

constexpr uint64_t kMagic = 0x726569727261626d; // what an mbarrier looks like

void markIncoming(Block &block, uint32_t offset, uint32_t bytes,
                  uint16_t mark) {
  for (uint32_t word = offset / 4; word < (offset + bytes + 3) / 4; ++word) {
    uint16_t &slot = block.shared.incoming[word];
    block.shared.inFlight += (mark != 0) - (slot != 0);
    slot = mark;
  }
}

//===----------------------------------------------------------------------===//
// cp.async
//===----------------------------------------------------------------------===//

/// a: destination; b: source, with its offset in the list; c: bytes that are
/// read, or 0 for all; x: bytes.
void copyLater(Warp &w, const Instruction &i) {
  const uint32_t *list = &w.kernel->lists[i.list];
  int64_t fromOffset = int64_t(uint64_t(list[1]) << 32 | list[0]);
  eachLane(w, [&](uint32_t lane) {
    if (w.launch->aborted)
      return;
    uint64_t to = sharedAddress(addressOf(w, i, lane));
    uint64_t from = (i.b ? w.reg<uint64_t>(i.b)[lane] : 0) + fromOffset;
    uint32_t valid = i.c ? w.reg<uint32_t>(i.c)[lane] : i.x;
    if (to % i.x || (valid && from % i.x) || valid > i.x) {
      report(w, i, lane,
             valid > i.x ? "more bytes are read than copied"
                         : "a copy whose addresses are misaligned",
             /*stops=*/true);
      return;
    }
    ++w.launch->device->accesses;
    if (!locateShared(w, i, lane, to, i.x, Access::Write, nullptr,
                      w.stamp(lane)))
      return;
    // What is there until the copy is done counts as never written.
    w.block->shared.defined.set(to - kSharedBase, i.x, false);
    if (valid == i.x) {
      if (!locate(w, i, lane, Space::Global, from, valid, Access::Read))
        return;
    } else {
      for (uint32_t byte = 0; byte < valid; ++byte)
        if (!locate(w, i, lane, Space::Global, from + byte, 1, Access::Read))
          return;
    }
    markIncoming(*w.block, to - kSharedBase, i.x, w.index * kLanes + lane + 1);
    w.copies.push_back({lane, uint32_t(to - kSharedBase), i.x, valid, from});
  });
}

/// `late`: after others may have gone on, who are behind the copy as it was
/// when its lane asked for an arrival.
void finishCopy(Warp &w, const LaneCopy &copy, bool late = false) {
  SharedMemory &shared = w.block->shared;
  uint8_t *to = &shared.data[copy.to];
  memset(to, 0, copy.bytes);
  if (copy.valid)
    if (Allocation *memory =
            w.launch->device->memory.find(copy.from, copy.valid))
      memcpy(to, memory->data + (copy.from - memory->base), copy.valid);
  markIncoming(*w.block, copy.to, copy.bytes, 0);
  shared.defined.set(copy.to, copy.bytes);
  if (late)
    return;
  Conflict ignored;
  uint8_t lane = copy.lane;
  shared.shadow.touch(w.stamp(lane), {&lane, 1, copy.bytes}, copy.to,
                      Access::Write, nullptr, nullptr, ignored);
}

void commitGroup(Warp &w, const Instruction &) {
  std::vector<LaneCopy> rest;
  eachLane(w, [&](uint32_t lane) { w.groups[lane].emplace_back(); });
  for (const LaneCopy &copy : w.copies)
    if (w.exec >> copy.lane & 1)
      w.groups[copy.lane].back().push_back(copy);
    else
      rest.push_back(copy);
  w.copies = std::move(rest);
}

/// x: how many groups may go on.
void waitGroup(Warp &w, const Instruction &i) {
  eachLane(w, [&](uint32_t lane) {
    auto &groups = w.groups[lane];
    size_t done = groups.size() > i.x ? groups.size() - i.x : 0;
    for (size_t group = 0; group < done; ++group)
      for (const LaneCopy &copy : groups[group])
        finishCopy(w, copy);
    groups.erase(groups.begin(), groups.begin() + done);
  });
}

void waitAll(Warp &w, const Instruction &i) {
  commitGroup(w, i);
  waitGroup(w, i); // x is 0
}

//===----------------------------------------------------------------------===//
// mbarrier
//===----------------------------------------------------------------------===//

Mbarrier *findMbarrier(Warp &w, const Instruction &i, uint32_t lane,
                       uint64_t at) {
  uint8_t *memory = at % 8 ? nullptr
                           : locateShared(w, i, lane, at, 8, Access::Atomic,
                                          nullptr, w.stamp(lane));
  auto it = w.block->mbarriers.find(at);
  if (memory && it != w.block->mbarriers.end() && !memcmp(memory, &kMagic, 8))
    return &it->second;
  report(w, i, lane, "an mbarrier that was not initialised, or written over",
         /*stops=*/true);
  return nullptr;
}

/// Ends the phase where nothing is left to come.
void endPhase(Block &block, uint32_t address, Mbarrier &barrier) {
  if (barrier.pending || barrier.bytes)
    return;
  ++barrier.phase;
  barrier.pending = barrier.expected;
  for (uint32_t warp = 0; warp < kMaxWarps; ++warp)
    barrier.passed[warp] = std::max(barrier.passed[warp], barrier.clock[warp]);
  wakeMbarrier(block, address);
}

void mbarrierInit(Warp &w, const Instruction &i) {
  eachLane(w, [&](uint32_t lane) {
    uint64_t at = sharedAddress(addressOf(w, i, lane));
    uint8_t *memory = at % 8 ? nullptr
                             : locateShared(w, i, lane, at, 8, Access::Write,
                                            nullptr, w.stamp(lane));
    uint32_t count = w.reg<uint32_t>(i.b)[lane];
    if (!memory || !count) {
      report(w, i, lane, "an mbarrier that is misaligned or expects nobody",
             /*stops=*/true);
      return;
    }
    memcpy(memory, &kMagic, 8);
    Mbarrier barrier;
    barrier.expected = barrier.pending = count;
    barrier.creator = w.index;
    w.block->mbarriers[at] = barrier;
  });
}

/// The barrier of a lane's operand and its place; null where there is none, or
/// the launch has failed.
Mbarrier *mbarrierOf(Warp &w, const Instruction &i, uint32_t lane,
                     uint64_t &at) {
  at = sharedAddress(addressOf(w, i, lane));
  return w.launch->aborted ? nullptr : findMbarrier(w, i, lane, at);
}

void mbarrierInval(Warp &w, const Instruction &i) {
  eachLane(w, [&](uint32_t lane) {
    uint64_t at = sharedAddress(addressOf(w, i, lane));
    if (findMbarrier(w, i, lane, at))
      w.block->mbarriers.erase(at);
  });
}

/// b: arrivals, or 0 for one; c: bytes that are to come, or 0; d: the state,
/// or 0; x: arrives at all.
void mbarrierArrive(Warp &w, const Instruction &i) {
  w.tick();
  eachLane(w, [&](uint32_t lane) {
    uint64_t at;
    Mbarrier *barrier = mbarrierOf(w, i, lane, at);
    if (!barrier)
      return;
    uint32_t count = i.x ? (i.b ? w.reg<uint32_t>(i.b)[lane] : 1) : 0;
    if (i.c)
      barrier->bytes += w.reg<uint32_t>(i.c)[lane];
    if (barrier->pending < count) {
      report(w, i, lane, "more arrivals than the mbarrier expects",
             /*stops=*/true);
      return;
    }
    barrier->pending -= count;
    for (uint32_t warp = 0; warp < kMaxWarps; ++warp)
      barrier->clock[warp] = std::max(barrier->clock[warp], w.clock[warp]);
    if (i.d)
      w.reg<uint64_t>(i.d)[lane] = barrier->phase;
    endPhase(*w.block, at, *barrier);
  });
}

/// d: the predicate; b: the state (of 8 bytes) or the parity (of 4, x); y: may
/// wait.
void mbarrierWait(Warp &w, const Instruction &i) {
  uint32_t done = 0;
  eachLane(w, [&](uint32_t lane) {
    uint64_t at;
    Mbarrier *barrier = mbarrierOf(w, i, lane, at);
    if (!barrier)
      return;
    uint32_t parity =
        i.x ? w.reg<uint32_t>(i.b)[lane] : w.reg<uint64_t>(i.b)[lane];
    if ((barrier->phase & 1) != (parity & 1)) {
      done |= 1u << lane;
      for (uint32_t warp = 0; warp < kMaxWarps; ++warp)
        w.clock[warp] = std::max(w.clock[warp], barrier->passed[warp]);
    } else {
      w.waitsFor = at;
      w.waitParity = parity & 1;
    }
  });
  // It may give up early, and does by chance. Otherwise it tries again once
  // the phase has ended.
  if (done != w.exec && i.y && (*w.launch->rng)() % 2 && !w.launch->aborted) {
    w.state = WarpState::AtMbarrier;
    w.next = w.pc;
    return;
  }
  w.setPred(i.d, done);
}

void mbarrier(Decoder &d) {
  int operation = d.oneOf(
      {"init", "inval", "arrive", "expect_tx", "test_wait", "try_wait"});
  bool expects = operation == 3 || d.has("expect_tx");
  bool parity = d.has("parity");
  d.takeHints();
  takeSpace(d);
  d.type();
  bool none = false;
  switch (operation) {
  case 0:
    if (!d.expectOperands(2, 2))
      return;
    addressOperand(d, d.operand(0));
    d.inst.b = d.source(1, 4);
    d.inst.run = mbarrierInit;
    return;
  case 1:
    if (!d.expectOperands(1, 1))
      return;
    addressOperand(d, d.operand(0));
    d.inst.run = mbarrierInval;
    return;
  case 2:
  case 3: {
    uint32_t at = !d.operand(0).starts_with('[');
    if (!d.expectOperands(at + 1, at + 2))
      return;
    if (at && d.operand(0) != "_")
      d.inst.d = d.dest(0, 8);
    addressOperand(d, d.operand(at));
    if (d.operands() > at + 1)
      (expects ? d.inst.c : d.inst.b) = d.source(at + 1, 4);
    d.inst.x = operation == 2;
    d.inst.run = mbarrierArrive;
    return;
  }
  case 4:
  case 5:
    if (!d.expectOperands(3, 4))
      return;
    d.inst.d = d.predicate(d.operand(0), none);
    addressOperand(d, d.operand(1));
    d.inst.b = d.source(2, parity ? 4 : 8);
    d.inst.x = parity;
    d.inst.y = operation == 5;
    d.inst.run = mbarrierWait;
    return;
  }
  d.fail("no rule for this operation of an mbarrier");
}

/// x: the arrival is one of those that the mbarrier expects (noinc).
void arriveAfterCopies(Warp &w, const Instruction &i) {
  w.tick();
  CopiesArrival arrival;
  arrival.warp = w.index;
  std::copy(std::begin(w.clock), std::end(w.clock), arrival.clock);
  std::vector<LaneCopy> rest;
  for (const LaneCopy &copy : w.copies)
    (w.exec >> copy.lane & 1 ? arrival.copies : rest).push_back(copy);
  w.copies = std::move(rest);
  eachLane(w, [&](uint32_t lane) {
    for (const std::vector<LaneCopy> &group : w.groups[lane])
      arrival.copies.insert(arrival.copies.end(), group.begin(), group.end());
    w.groups[lane].clear();
    uint64_t at;
    Mbarrier *barrier = mbarrierOf(w, i, lane, at);
    if (!barrier)
      return;
    barrier->pending += !i.x;
    arrival.mbarriers.push_back(at);
  });
  w.block->arrivals.push_back(std::move(arrival));
}

//===----------------------------------------------------------------------===//
// cp.async.bulk
//===----------------------------------------------------------------------===//

/// a: destination; b: source; c: bytes; the list has the mbarrier's register
/// and its offset.
void copyBulk(Warp &w, const Instruction &i) {
  const uint32_t *list = &w.kernel->lists[i.list];
  eachLane(w, [&](uint32_t lane) {
    if (w.launch->aborted)
      return;
    uint64_t to = sharedAddress(addressOf(w, i, lane));
    uint64_t from = w.reg<uint64_t>(i.b)[lane];
    uint32_t bytes = w.reg<uint32_t>(i.c)[lane];
    uint64_t at = sharedAddress(addressOf(w, list, lane));
    if (to % 16 || from % 16 || bytes % 16 || !bytes) {
      report(w, i, lane, "a bulk copy that is no multiple of 16 bytes",
             /*stops=*/true);
      return;
    }
    CopyPiece piece = {0, bytes, from};
    if (isReadable(w, i, lane, piece, 16))
      beginBulkCopy(w, i,
                    {uint32_t(to),
                     bytes,
                     uint32_t(at),
                     w.index,
                     lane,
                     /*swizzle=*/0,
                     {piece}});
  });
}

void copyAsync(Decoder &d) {
  if (!d.has("async"))
    return d.fail("only cp.async");
  if (d.has("mbarrier")) {
    if (!d.has("arrive") || !d.expectOperands(1, 1))
      return d.fail("no rule for this form of cp.async.mbarrier");
    d.inst.x = d.has("noinc");
    takeSpace(d);
    d.type();
    addressOperand(d, d.operand(0));
    d.inst.run = arriveAfterCopies;
    return;
  }
  if (d.has("commit_group")) {
    d.inst.run = commitGroup;
    return;
  }
  if (d.has("wait_all")) {
    d.inst.run = waitAll;
    return;
  }
  if (d.has("wait_group")) {
    if (d.expectOperands(1, 1))
      d.inst.x = d.immediate(d.operand(0));
    d.inst.run = waitGroup;
    return;
  }
  if (d.has("bulk")) {
    if (d.has("tensor"))
      return decodeTensorCopy(d);
    bool toShared = d.has("shared::cluster") || d.has("shared::cta");
    if (!toShared || !d.has("global") ||
        !d.has("mbarrier::complete_tx::bytes") || !d.expectOperands(4, 4))
      return d.fail("no rule for this bulk copy");
    addressOperand(d, d.operand(0));
    Address from = d.address(d.operand(1)), barrier = d.address(d.operand(3));
    if (from.baseBytes != 8 || !from.base || from.offset)
      return d.fail("only a source of a register");
    d.inst.b = from.base;
    d.inst.c = d.source(2, 4);
    uint32_t rest[] = {barrier.base, barrier.baseBytes,
                       uint32_t(barrier.offset)};
    d.inst.list = d.list(rest);
    d.inst.run = copyBulk;
    return;
  }
  d.takeHints();
  bool toShared = d.has("shared") || d.has("shared::cta");
  if (!toShared || !d.has("global") || !d.expectOperands(3, 4))
    return d.fail("no rule for this copy");
  addressOperand(d, d.operand(0));
  Address from = d.address(d.operand(1));
  if (from.baseBytes != 8)
    return d.fail("a source of 32 bits");
  d.inst.b = from.base;
  uint32_t offset[] = {uint32_t(from.offset), uint32_t(from.offset >> 32)};
  d.inst.list = d.list(offset);
  d.inst.x = d.immediate(d.operand(2));
  if (d.operands() == 4)
    d.inst.c = d.source(3, 4);
  if (d.inst.x == 4 || d.inst.x == 8 || d.inst.x == 16)
    d.inst.run = copyLater;
}

} // namespace

void emu::wakeMbarrier(Block &block, uint32_t address) {
  for (Warp &w : block.warps)
    if (w.state == WarpState::AtMbarrier && w.waitsFor == address)
      w.state = WarpState::Ready;
}

bool emu::isReadable(Warp &w, const Instruction &i, uint32_t lane,
                     const CopyPiece &piece, uint32_t unit) {
  for (uint32_t at = 0; at < piece.bytes; at += unit)
    if (!locate(w, i, lane, Space::Global, piece.from + at, unit, Access::Read))
      return false;
  return true;
}

void emu::beginBulkCopy(Warp &w, const Instruction &i, BulkCopy copy) {
  uint32_t lane = copy.lane;
  Mbarrier *barrier = findMbarrier(w, i, lane, copy.mbarrier);
  if (!barrier)
    return;
  if (!barrier->known)
    report(w, i, lane,
           "an mbarrier that the copy engine does not know: no fence of its "
           "warp lies behind mbarrier.init");
  bool isTold = true;
  for (uint32_t part = 0; part < copy.bytes; part += 16) {
    isTold &= isFenced(w, copy.to + part - kSharedBase);
    if (!locateShared(w, i, lane, copy.to + part, 16, Access::Write, nullptr,
                      w.stamp(lane)))
      return;
  }
  if (!isTold)
    report(w, i, lane,
           "shared memory was written by threads, and no fence.proxy.async "
           "lies between that and the copy");
  copy.to -= kSharedBase;
  w.block->shared.defined.set(copy.to, copy.bytes, false);
  markIncoming(*w.block, copy.to, copy.bytes, w.index * kLanes + lane + 1);
  w.tick();
  w.block->bulk.push_back(std::move(copy));
}

void emu::finishBulkCopy(Block &block, uint32_t index) {
  BulkCopy copy = std::move(block.bulk[index]);
  block.bulk.erase(block.bulk.begin() + index);
  SharedMemory &shared = block.shared;
  Warp &issuer = block.warps[copy.warp];
  memset(&shared.data[copy.to], 0, copy.bytes);
  for (const CopyPiece &piece : copy.pieces)
    if (Allocation *memory =
            block.launch->device->memory.find(piece.from, piece.bytes))
      for (uint32_t byte = 0; byte < piece.bytes; ++byte) {
        uint32_t at = copy.to + piece.at + byte;
        at ^= (at >> 7 & copy.swizzle) << 4;
        shared.data[at] = memory->data[piece.from - memory->base + byte];
      }
  markIncoming(block, copy.to, copy.bytes, 0);
  shared.defined.set(copy.to, copy.bytes);
  shared.engineWrote = true;
  shared.byEngine.set(copy.to, copy.bytes);
  auto it = block.mbarriers.find(copy.mbarrier);
  if (it == block.mbarriers.end())
    return;
  // Whoever waits for it is behind the copy, and behind what came before it.
  Mbarrier &barrier = it->second;
  for (uint32_t warp = 0; warp < kMaxWarps; ++warp)
    barrier.clock[warp] = std::max(barrier.clock[warp], issuer.clock[warp]);
  barrier.bytes -= copy.bytes;
  endPhase(block, copy.mbarrier, barrier);
}

void emu::finishArrival(Block &block, uint32_t index) {
  CopiesArrival arrival = std::move(block.arrivals[index]);
  block.arrivals.erase(block.arrivals.begin() + index);
  Warp &warp = block.warps[arrival.warp];
  for (const LaneCopy &copy : arrival.copies)
    finishCopy(warp, copy, /*late=*/true);
  for (uint32_t at : arrival.mbarriers) {
    auto it = block.mbarriers.find(at);
    if (it == block.mbarriers.end())
      continue;
    Mbarrier &barrier = it->second;
    if (!barrier.pending) {
      report(*block.launch->device,
             format("more arrivals of copies than the mbarrier at offset %u "
                    "expects [%s]",
                    at - kSharedBase, block.launch->kernel->name.c_str()));
      block.launch->aborted = true;
      return;
    }
    --barrier.pending;
    for (uint32_t other = 0; other < kMaxWarps; ++other)
      barrier.clock[other] =
          std::max(barrier.clock[other], arrival.clock[other]);
    endPhase(block, at, barrier);
  }
}

std::span<const Mnemonic> emu::asyncRules() {
  static const Mnemonic rules[] = {{"cp", copyAsync}, {"mbarrier", mbarrier}};
  return rules;
}
