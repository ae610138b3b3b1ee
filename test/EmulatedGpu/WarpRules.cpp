//===- WarpRules.cpp - branches, barriers, shuffles, votes ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A warp runs the lanes with the lowest program counter first. An instruction
// that several lanes do together parks those that are there until the others
// have come; when all lanes are parked, the rest never comes.
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <algorithm>
#include <bit>

using namespace emu;

namespace {

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

/// Lanes of the guard go to Kernel::lists[list], the rest goes on.
void branch(Warp &w, const Instruction &i) {
  uint32_t rest = w.mask & ~w.exec;
  if (rest)
    w.others.push_back({w.pc + 1, rest, false});
  w.mask = w.exec;
  w.next = w.kernel->lists[i.list];
}

void bra(Decoder &d) {
  d.takeHints();
  if (!d.expectOperands(1, 1))
    return;
  d.inst.list = d.target(d.operand(0));
  d.inst.run = branch;
}

/// a: an index into the x targets from list on.
void branchIndexed(Warp &w, const Instruction &i) {
  uint32_t rest = w.mask & ~w.exec, left = w.exec;
  if (rest)
    w.others.push_back({w.pc + 1, rest, false});
  bool first = true;
  while (left) {
    uint32_t lane = std::countr_zero(left);
    uint32_t index = w.reg<uint32_t>(i.a)[lane], lanes = 0;
    for (uint32_t at = 0; at < kLanes; ++at)
      if (left >> at & 1 && w.reg<uint32_t>(i.a)[at] == index)
        lanes |= 1u << at;
    left &= ~lanes;
    if (index >= i.x) {
      report(w, i, lane, "a branch index outside its table", /*stops=*/true);
      return;
    }
    uint32_t target = w.kernel->lists[i.list + index];
    if (first) {
      w.next = target;
      w.mask = lanes;
    } else {
      w.others.push_back({target, lanes, false});
    }
    first = false;
  }
}

void brx(Decoder &d) {
  d.takeHints();
  d.has("idx");
  if (!d.expectOperands(2, 2))
    return;
  d.inst.a = d.source(0, 4);
  const auto *targets = d.targetsOf(d.operand(1));
  if (!targets || targets->empty())
    return d.fail("no table of targets");
  d.inst.x = targets->size();
  bool first = true;
  for (const std::string &name : *targets) {
    uint32_t slot = d.target(name);
    d.inst.list = first ? slot : d.inst.list;
    first = false;
  }
  d.inst.run = branchIndexed;
}

void end(Warp &w, const Instruction &) {
  w.live &= ~w.exec;
  w.mask &= ~w.exec;
}

void ret(Decoder &d) {
  d.takeHints();
  d.inst.run = end;
}

void trapNow(Warp &w, const Instruction &i) {
  report(w, i, std::countr_zero(w.exec), "trap", /*stops=*/true);
}

void trap(Decoder &d) { d.inst.run = trapNow; }

//===----------------------------------------------------------------------===//
// Barriers
//===----------------------------------------------------------------------===//

// x: what is done: waits, or only arrives, or reduces a predicate. a: the
// barrier's number; b: how many threads, or 0 for the block's.
enum BarrierKind : uint32_t { Sync, Arrive, And, Or, Popc };

void barrier(Warp &w, const Instruction &i) {
  if (!parkUnless(w, w.live))
    return;
  uint32_t lane = std::countr_zero(w.exec);
  uint32_t number = w.reg<uint32_t>(i.a)[lane];
  if (number >= 16) {
    report(w, i, lane, "a barrier beyond the sixteenth", /*stops=*/true);
    return;
  }
  Block &block = *w.block;
  Barrier &barrier = block.barriers[number];
  uint32_t expected = i.b ? w.reg<uint32_t>(i.b)[lane] : 0;
  if (i.b && (expected % kLanes || !expected)) {
    report(w, i, lane, "a barrier of threads that are no whole warps",
           /*stops=*/true);
    return;
  }
  if (!expected)
    expected = (block.threads + kLanes - 1) / kLanes * kLanes;
  if (barrier.expected && barrier.expected != expected) {
    report(w, i, lane,
           format("barrier %u is joined with %u threads, and others wait there "
                  "with %u",
                  number, expected, barrier.expected),
           /*stops=*/true);
    return;
  }
  if (w.live != w.mask ||
      std::popcount(w.live) !=
          int(std::min(kLanes, block.threads - w.index * kLanes)))
    report(w, i, lane,
           "divergent barrier: threads of this warp have ended before it");
  barrier.expected = expected;
  barrier.threads += kLanes;
  w.tick();
  for (uint32_t other = 0; other < kMaxWarps; ++other)
    barrier.clock[other] = std::max(barrier.clock[other], w.clock[other]);
  if (i.x >= And) {
    uint32_t bits = w.pred(i.c) ^ (i.y ? kAllLanes : 0);
    barrier.trueThreads += std::popcount(bits & w.exec);
    barrier.reductions.push_back({w.index, &i});
  }
  if (i.x != Arrive) {
    w.state = WarpState::AtBarrier;
    w.waitsFor = number;
    barrier.waiting |= 1u << w.index;
  }
  if (barrier.threads >= barrier.expected)
    release(block, number);
}

} // namespace

void emu::release(Block &block, uint32_t number) {
  Barrier &barrier = block.barriers[number];
  for (auto &[index, instruction] : barrier.reductions) {
    Warp &warp = block.warps[index];
    warp.exec = warp.live;
    uint32_t threads = 0;
    for (auto &[other, ignored] : barrier.reductions)
      threads += std::popcount(block.warps[other].live);
    if (instruction->x == Popc)
      for (uint32_t lane = 0; lane < kLanes; ++lane)
        warp.reg<uint32_t>(instruction->d)[lane] = barrier.trueThreads;
    else
      warp.setPred(instruction->d,
                   (instruction->x == And ? barrier.trueThreads == threads
                                          : barrier.trueThreads > 0)
                       ? kAllLanes
                       : 0);
  }
  for (Warp &warp : block.warps) {
    if (!(barrier.waiting >> warp.index & 1))
      continue;
    warp.state = WarpState::Ready;
    for (uint32_t other = 0; other < kMaxWarps; ++other)
      warp.clock[other] = std::max(warp.clock[other], barrier.clock[other]);
  }
  barrier = Barrier();
}

namespace {

void syncWarp(Warp &w, const Instruction &i) {
  uint32_t lane = std::countr_zero(w.exec);
  if (parkUnless(w, w.reg<uint32_t>(i.a)[lane]))
    w.tick();
}

void bar(Decoder &d) {
  bool isWarp = d.has("warp");
  d.takeHints();
  d.has("aligned");
  int kind = d.oneOf({"sync", "arrive"});
  if (isWarp) {
    if (kind != int(Sync) || !d.expectOperands(1, 1))
      return;
    d.inst.a = d.source(0, 4);
    d.inst.run = syncWarp;
    return;
  }
  if (kind < 0) {
    if (!d.has("red"))
      return d.fail("no rule for this barrier");
    kind = int(And) + d.oneOf({"and", "or", "popc"});
    Type type = d.type();
    uint32_t last = d.operands() - 1;
    if (kind < int(And) || !d.expectOperands(3, 4))
      return;
    bool none = false, negated = false;
    d.inst.d = type.kind == Kind::Pred ? d.predicate(d.operand(0), none)
                                       : d.dest(0, 4);
    d.inst.a = d.source(1, 4);
    if (last == 3)
      d.inst.b = d.source(2, 4);
    d.inst.c = d.predicate(d.operand(last), negated);
    d.inst.y = negated;
  } else {
    d.has("all"); // barrier.cta.sync.aligned.all
    if (!d.expectOperands(kind == int(Arrive) ? 2 : 1, 2))
      return;
    d.inst.a = d.source(0, 4);
    if (d.operands() == 2)
      d.inst.b = d.source(1, 4);
  }
  d.inst.x = kind;
  d.inst.run = barrier;
}

//===----------------------------------------------------------------------===//
// Shuffles, votes, reductions of a warp
//===----------------------------------------------------------------------===//

/// Waits for the lanes of the member mask in register `offset`.
bool gather(Warp &w, const Instruction &i, uint32_t offset, uint32_t &members) {
  uint32_t lane = std::countr_zero(w.exec);
  members = w.reg<uint32_t>(offset)[lane];
  uint32_t there = kAllLanes;
  uint32_t threads = w.block->threads - w.index * kLanes;
  if (threads < kLanes)
    there = (1u << threads) - 1;
  if (members & ~w.live) {
    report(w, i, lane,
           members & ~there
               ? "lanes are to take part that the block does not have: its "
                 "last warp is not whole"
               : "lanes are to take part that have ended");
    members &= w.live;
  }
  if (w.exec & ~members)
    report(w, i, std::countr_zero(w.exec & ~members),
           "a lane takes part that the mask leaves out");
  return parkUnless(w, members);
}

enum ShuffleMode : uint32_t { Up, Down, Butterfly, Index };

/// a: value, b: lane, c: clamp and segments; the list has the mask and the
/// predicate or 0. x: the mode.
void shuffle(Warp &w, const Instruction &i) {
  uint32_t members;
  if (!gather(w, i, w.kernel->lists[i.list], members))
    return;
  uint32_t values[kLanes], valid = 0;
  memcpy(values, w.reg<uint32_t>(i.a), sizeof values);
  uint32_t results[kLanes];
  eachLane(w, [&](uint32_t lane) {
    uint32_t b = w.reg<uint32_t>(i.b)[lane] & 31;
    uint32_t c = w.reg<uint32_t>(i.c)[lane];
    uint32_t clamp = c & 31, segment = c >> 8 & 31;
    uint32_t most = (lane & segment) | (clamp & ~segment);
    uint32_t least = lane & segment;
    int32_t from = 0;
    bool inside = false;
    switch (i.x) {
    case Up:
      from = int32_t(lane) - int32_t(b);
      inside = from >= int32_t(most);
      break;
    case Down:
      from = lane + b;
      inside = from <= int32_t(most);
      break;
    case Butterfly:
      from = lane ^ b;
      inside = from <= int32_t(most);
      break;
    case Index:
      from = least | (b & ~segment);
      inside = from <= int32_t(most);
      break;
    }
    if (!inside)
      from = lane;
    else if (!(w.exec >> from & 1))
      report(w, i, lane,
             format("lane %d, which does not take part, is read", from));
    results[lane] = values[from];
    valid |= uint32_t(inside) << lane;
  });
  lanes(w, [&](uint32_t lane) { w.reg<uint32_t>(i.d)[lane] = results[lane]; });
  if (uint32_t predicate = w.kernel->lists[i.list + 1])
    w.setPred(predicate, valid);
}

void shfl(Decoder &d) {
  int mode = d.oneOf({"up", "down", "bfly", "idx"});
  if (!d.has("sync") || mode < 0)
    return d.fail("only shfl.sync");
  d.type();
  if (!d.expectOperands(5, 5))
    return;
  std::string_view to = d.operand(0);
  size_t bar = to.find('|');
  d.inst.d = d.destOf(trim(to.substr(0, bar)), 4);
  bool none = false;
  uint32_t predicate =
      bar == to.npos ? 0 : d.predicate(trim(to.substr(bar + 1)), none);
  d.inst.a = d.source(1, 4);
  d.inst.b = d.source(2, 4);
  d.inst.c = d.source(3, 4);
  uint32_t rest[] = {d.source(4, 4), predicate};
  d.inst.list = d.list(rest);
  d.inst.x = mode;
  d.inst.run = shuffle;
}

enum VoteMode : uint32_t { All, Any, Uni, Ballot };

void vote(Warp &w, const Instruction &i) {
  uint32_t members;
  if (!gather(w, i, i.b, members))
    return;
  uint32_t yes = (w.pred(i.a) ^ (i.y ? kAllLanes : 0)) & w.exec;
  bool all = yes == w.exec, any = yes != 0;
  if (i.x == Ballot)
    lanes(w, [&](uint32_t lane) { w.reg<uint32_t>(i.d)[lane] = yes; });
  else
    w.setPred(i.d, (i.x == All   ? all
                    : i.x == Any ? any
                                 : all || !any)
                       ? kAllLanes
                       : 0);
}

void voteRule(Decoder &d) {
  int mode = d.oneOf({"all", "any", "uni", "ballot"});
  if (!d.has("sync") || mode < 0)
    return d.fail("only vote.sync");
  d.type();
  if (!d.expectOperands(3, 3))
    return;
  bool none = false, negated = false;
  d.inst.d = mode == Ballot ? d.dest(0, 4) : d.predicate(d.operand(0), none);
  std::string_view from = d.operand(1);
  if (d.isImmediate(from))
    d.inst.a = d.constant(d.immediate(from) ? kAllLanes : 0, 4);
  else
    d.inst.a = d.predicate(from, negated);
  d.inst.b = d.source(2, 4);
  d.inst.x = mode;
  d.inst.y = negated;
  d.inst.run = vote;
}

template <class T>
void reduce(Warp &w, const Instruction &i) {
  uint32_t members;
  if (!gather(w, i, i.b, members))
    return;
  bool first = true;
  T result = 0;
  eachLane(w, [&](uint32_t lane) {
    T value = w.reg<T>(i.a)[lane];
    T next[] = {T(result + value),       std::min(result, value),
                std::max(result, value), T(result & value),
                T(result | value),       T(result ^ value)};
    result = first ? value : next[i.x];
    first = false;
  });
  lanes(w, [&](uint32_t lane) { w.reg<T>(i.d)[lane] = result; });
}

void redux(Decoder &d) {
  d.has("sync");
  int operation = d.oneOf({"add", "min", "max", "and", "or", "xor"});
  Type type = d.type();
  if (!d.expectOperands(3, 3) || operation < 0 || type.bits != 32)
    return;
  d.inst.d = d.dest(0, 4);
  d.inst.a = d.source(1, 4);
  d.inst.b = d.source(2, 4);
  d.inst.x = operation;
  d.inst.run = type.kind == Kind::Signed ? reduce<int32_t> : reduce<uint32_t>;
}

/// Lanes with equal values.
template <class T>
void matchLanes(Warp &w, const Instruction &i) {
  uint32_t members;
  if (!gather(w, i, i.b, members))
    return;
  uint32_t results[kLanes] = {};
  eachLane(w, [&](uint32_t lane) {
    eachLane(w, [&](uint32_t other) {
      if (w.reg<T>(i.a)[lane] == w.reg<T>(i.a)[other])
        results[lane] |= 1u << other;
    });
  });
  eachLane(w,
           [&](uint32_t lane) { w.reg<uint32_t>(i.d)[lane] = results[lane]; });
}

void match(Decoder &d) {
  if (!d.has("any") || !d.has("sync"))
    return d.fail("only match.any.sync");
  Type type = d.type();
  if (!d.expectOperands(3, 3))
    return;
  d.inst.d = d.dest(0, 4);
  d.inst.a = d.source(1, type.bytes());
  d.inst.b = d.source(2, 4);
  d.inst.run = type.bits == 64 ? matchLanes<uint64_t> : matchLanes<uint32_t>;
}

void activeLanes(Warp &w, const Instruction &i) {
  lanes(w, [&](uint32_t lane) { w.reg<uint32_t>(i.d)[lane] = w.exec; });
}

void activemask(Decoder &d) {
  d.type();
  if (!d.expectOperands(1, 1))
    return;
  d.inst.d = d.dest(0, 4);
  d.inst.run = activeLanes;
}

/// One lane of the mask is the leader: the lowest.
void electLeader(Warp &w, const Instruction &i) {
  uint32_t members;
  if (!gather(w, i, i.a, members))
    return;
  uint32_t leader = std::countr_zero(w.exec);
  if (i.d)
    lanes(w, [&](uint32_t lane) { w.reg<uint32_t>(i.d)[lane] = leader; });
  w.setPred(i.b, 1u << leader);
}

void elect(Decoder &d) {
  d.has("sync");
  if (!d.expectOperands(2, 2))
    return;
  std::string_view to = d.operand(0);
  size_t bar = to.find('|');
  if (bar == to.npos)
    return d.fail("no predicate");
  bool none = false;
  d.inst.d = d.destOf(trim(to.substr(0, bar)), 4);
  d.inst.b = d.predicate(trim(to.substr(bar + 1)), none);
  d.inst.a = d.source(1, 4);
  d.inst.run = electLeader;
}

//===----------------------------------------------------------------------===//
// What changes nothing here
//===----------------------------------------------------------------------===//

void nothing(Warp &, const Instruction &) {}

/// The copy engine knows the mbarriers that the warp has made.
void fenceMbarriers(Warp &w, const Instruction &) {
  for (auto &[at, barrier] : w.block->mbarriers)
    barrier.known |= barrier.creator == w.index;
}

/// What is known to lie before it the asynchronous proxy sees (wgmma, copies).
void fenceProxy(Warp &w, const Instruction &i) {
  w.tick();
  std::copy(std::begin(w.clock), std::end(w.clock), w.proxyFence);
  fenceMbarriers(w, i);
}

void fenceOfDevice(Warp &w, const Instruction &) { fenceDevice(w); }

/// Memory is in order here. Three fences are asked for: the one before a
/// product of a warpgroup reads what threads wrote, or the copy engine writes
/// there; the one before that engine counts into an mbarrier; and those around
/// an atomic by which blocks are ordered.
void fence(Decoder &d) {
  bool isMemory = d.mnemonic() == "membar";
  for (std::string_view part : d.partsOfOpcode())
    isMemory |= part == "acq_rel" || part == "sc";
  bool ofDevice = d.has("gl");
  for (std::string_view part : d.partsOfOpcode())
    ofDevice |= part == "gpu" || part == "sys";
  d.takeHints();
  bool ofProxy = d.has("proxy") && d.has("async"),
       ofMbarriers = d.has("mbarrier_init");
  for (const char *part :
       {"sc", "async", "async::generic", "alias", "tensormap::generic",
        "global", "shared::cta", "shared::cluster"})
    d.has(part);
  d.inst.run = ofProxy                ? fenceProxy
               : ofMbarriers          ? fenceMbarriers
               : isMemory && ofDevice ? fenceOfDevice
                                      : nothing;
}

void hint(Decoder &d) {
  d.takeHints();
  for (const char *part : {"wait", "launch_dependents", "u32", "wait_prior"})
    d.has(part);
  d.inst.run = nothing;
}

} // namespace

std::span<const Mnemonic> emu::warpRules() {
  static const Mnemonic rules[] = {{"bra", bra},
                                   {"brx", brx},
                                   {"ret", ret},
                                   {"exit", ret},
                                   {"trap", trap},
                                   {"bar", bar},
                                   {"barrier", bar},
                                   {"shfl", shfl},
                                   {"vote", voteRule},
                                   {"redux", redux},
                                   {"match", match},
                                   {"activemask", activemask},
                                   {"elect", elect},
                                   {"fence", fence},
                                   {"membar", fence},
                                   {"nanosleep", hint},
                                   {"griddepcontrol", hint}};
  return rules;
}
