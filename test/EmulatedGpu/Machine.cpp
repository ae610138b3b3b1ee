//===- Machine.cpp - runs kernels -----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Blocks run one after another in an order that the seed decides; the warps of
// a block take turns of random length.
//
//===----------------------------------------------------------------------===//
#include "Device.h"
#include <algorithm>
#include <bit>
#include <cstdarg>
#include <numeric>
#include <set>

using namespace emu;

std::string emu::format(const char *text, ...) {
  char buffer[600];
  va_list arguments;
  va_start(arguments, text);
  vsnprintf(buffer, sizeof buffer, text, arguments);
  va_end(arguments);
  return buffer;
}

//===----------------------------------------------------------------------===//
// Reports
//===----------------------------------------------------------------------===//

void emu::report(Device &device, const std::string &what) {
  constexpr uint64_t shown = 8;
  device.lastReport = what;
  if (device.reports < shown)
    device.reportTexts += what + '\n';
  if (++device.reports <= shown && !device.quiet)
    fprintf(stderr, "emulated GPU: %s\n", what.c_str());
  else if (device.reports == shown + 1 && !device.quiet)
    fprintf(stderr, "emulated GPU: further reports are not shown\n");
}

void emu::report(Warp &warp, const Instruction &instruction, uint32_t lane,
                 const std::string &what, bool stops) {
  Launch &launch = *warp.launch;
  if (stops)
    launch.aborted = true;
  // Once per instruction and kind of report in a launch.
  if (!launch.said.emplace(instruction.line, what.substr(0, 8)).second)
    return;
  const Module &module = *launch.module;
  std::string_view text = "?";
  if (size_t(instruction.line) <= module.lines.size() && instruction.line)
    text = module.lines[instruction.line - 1];
  while (!text.empty() && isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  const uint32_t *block = warp.block->id;
  report(*launch.device,
         format("%s [%s, block %u,%u,%u thread %u, line %d: %.*s]",
                what.c_str(), launch.kernel->name.c_str(), block[0], block[1],
                block[2], warp.index * kLanes + lane, instruction.line,
                int(std::min<size_t>(text.size(), 120)), text.data()));
}

//===----------------------------------------------------------------------===//
// Groups of lanes
//===----------------------------------------------------------------------===//

bool emu::parkUnless(Warp &w, uint32_t needed) {
  if (!(needed & w.live & ~w.exec))
    return true;
  w.next = w.pc;
  w.parked = true;
  return false;
}

namespace {

/// Joins lanes at one place and goes on with those that are furthest behind.
void regroup(Warp &w, const Instruction &last) {
  auto &others = w.others;
  for (;;) {
    // Lanes that came together are no longer parked: there are more of them.
    for (size_t i = 0; i < others.size();) {
      if (w.mask && others[i].pc == w.pc) {
        w.mask |= others[i].mask;
        w.parked = false;
        others[i] = others.back();
        others.pop_back();
      } else {
        ++i;
      }
    }
    Group *best = nullptr;
    for (Group &other : others)
      if (!other.parked && (!best || other.pc < best->pc))
        best = &other;
    bool mayStay = w.mask && !w.parked;
    if (!best || (mayStay && w.pc < best->pc)) {
      if (mayStay)
        return;
      if (!w.mask && others.empty()) {
        w.state = WarpState::Ended;
        return;
      }
      if (!best) {
        const Instruction &at =
            w.mask
                ? w.kernel
                      ->code[std::min<size_t>(w.pc, w.kernel->code.size() - 1)]
                : last;
        report(w, at, std::countr_zero(w.mask ? w.mask : others[0].mask),
               "divergent: lanes wait here for others of their warp that never "
               "come",
               /*stops=*/true);
        return;
      }
    }
    Group chosen = *best;
    if (w.mask)
      *best = {w.pc, w.mask, w.parked};
    else
      *best = others.back(), others.pop_back();
    w.pc = chosen.pc;
    w.mask = chosen.mask;
    w.parked = false;
  }
}

/// Reports a register that is read and holds what nobody wrote; one that is
/// written holds it no more.
void judgeUndefined(Warp &w, const Instruction &i) {
  const uint32_t *sources = &w.kernel->lists[i.registers];
  const uint32_t *dests = sources + i.sources;
  for (auto &[offset, lanes] : w.undefined) {
    if (!(lanes & w.exec))
      continue;
    if (std::find(sources, dests, offset) != dests)
      report(w, i, std::countr_zero(lanes & w.exec),
             "a register is read whose value was loaded from memory that was "
             "never written");
    if (std::find(dests, dests + i.dests, offset) != dests + i.dests)
      lanes &= ~w.exec;
  }
  std::erase_if(w.undefined, [](const auto &entry) { return !entry.second; });
}

/// Runs a warp for some instructions, or until it waits.
void turn(Warp &w, uint32_t instructions) {
  const Kernel &kernel = *w.kernel;
  Launch &launch = *w.launch;
  while (instructions-- && w.state == WarpState::Ready && !launch.aborted) {
    if (w.pc >= kernel.code.size()) { // the end of the body
      w.live &= ~w.mask;
      w.mask = 0;
      regroup(w, kernel.code.back());
      continue;
    }
    const Instruction &instruction = kernel.code[w.pc];
    uint32_t exec = w.mask;
    if (instruction.guard)
      exec &= w.pred(instruction.guard) ^ (instruction.negated ? kAllLanes : 0);
    w.exec = exec;
    w.next = w.pc + 1;
    if (exec && !w.undefined.empty())
      judgeUndefined(w, instruction);
    if (exec && kernel.hasProducts)
      judgeProducts(w, instruction);
    if (exec)
      instruction.run(w, instruction);
    w.pc = w.next;
    ++launch.instructions;
    if (w.parked || !w.mask || !w.others.empty())
      regroup(w, instruction);
  }
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

template <class F>
void fillSpecial(const Kernel &kernel, Warp &w, const char *name, F value) {
  auto it = kernel.special.find(name);
  if (it == kernel.special.end())
    return;
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    w.reg<uint32_t>(it->second)[lane] = value(lane);
}

void beginWarp(Launch &launch, Block &block, Warp &w, uint32_t index) {
  const Kernel &kernel = *launch.kernel;
  w = Warp();
  w.index = index;
  w.block = &block;
  w.launch = &launch;
  w.kernel = &kernel;
  w.launchNumber = launch.number;
  w.regs = &block.registers[size_t(index) * kernel.registerBytes];
  memcpy(w.regs, kernel.image.data(), kernel.registerBytes);
  uint32_t threads = std::min(kLanes, block.threads - index * kLanes);
  w.live = w.mask = threads == kLanes ? kAllLanes : (1u << threads) - 1;
  std::fill(std::begin(w.clock), std::end(w.clock), 1);
  w.threadRegisters = kernel.mostRegisters;
  if (!w.threadRegisters && kernel.leastBlocks && kernel.maxThreads)
    w.threadRegisters = std::min(
        255u, 65536 / (kernel.leastBlocks * kernel.maxThreads) / 8 * 8);
  w.local.assign(size_t(kernel.localBytes) * kLanes, 0xff);
  if (kernel.hasProducts) {
    w.written.assign(kernel.registerBytes / 32 + 1, 0);
    w.read = w.written;
  }
  if (kernel.special.empty())
    return;
  auto fill = [&](const char *name, auto value) {
    fillSpecial(kernel, w, name, value);
  };
  const uint32_t *size = launch.block;
  fill("%tid.x",
       [&](uint32_t lane) { return (index * kLanes + lane) % size[0]; });
  fill("%tid.y", [&](uint32_t lane) {
    return (index * kLanes + lane) / size[0] % size[1];
  });
  fill("%tid.z", [&](uint32_t lane) {
    return (index * kLanes + lane) / size[0] / size[1];
  });
  auto uniform = [&](const char *name, uint32_t value) {
    fill(name, [=](uint32_t) { return value; });
  };
  static const char *const names[][3] = {
      {"%ntid.x", "%ntid.y", "%ntid.z"},
      {"%ctaid.x", "%ctaid.y", "%ctaid.z"},
      {"%nctaid.x", "%nctaid.y", "%nctaid.z"}};
  for (uint32_t axis = 0; axis < 3; ++axis) {
    uniform(names[0][axis], size[axis]);
    uniform(names[1][axis], block.id[axis]);
    uniform(names[2][axis], launch.grid[axis]);
  }
  uniform("%warpid", index);
  uniform("%nwarpid", block.warps.size());
  uniform("%smid", block.index % 132);
  uniform("%nsmid", 132);
  uniform("%dynamic_smem_size", launch.dynamicShared);
  uniform("%total_smem_size", kernel.staticShared + launch.dynamicShared);
  uniform("%cluster_ctarank", 0);
  uniform("%cluster_nctarank", 1);
  fill("%laneid", [](uint32_t lane) { return lane; });
  fill("%lanemask_eq", [](uint32_t lane) { return 1u << lane; });
  fill("%lanemask_lt", [](uint32_t lane) { return (1u << lane) - 1; });
  fill("%lanemask_le", [](uint32_t lane) { return (2u << lane) - 1; });
  fill("%lanemask_gt", [](uint32_t lane) { return ~((2u << lane) - 1); });
  fill("%lanemask_ge", [](uint32_t lane) { return ~((1u << lane) - 1); });
}

std::string whereWarpsWait(const Block &block) {
  std::string text;
  for (const Warp &w : block.warps) {
    if (w.state == WarpState::AtBarrier)
      text += format(" warp %u at barrier %u;", w.index, w.waitsFor);
    else if (w.state == WarpState::AtMbarrier)
      text += format(" warp %u at the mbarrier at offset %u;", w.index,
                     w.waitsFor - kSharedBase);
    else if (w.state == WarpState::AtRegisters)
      text += format(" warp %u for registers;", w.index);
    else if (w.state == WarpState::Ended)
      text += format(" warp %u has ended;", w.index);
  }
  return text.substr(0, 200);
}

void runBlock(Launch &launch, Block &block) {
  std::mt19937 &rng = *launch.rng;
  for (Barrier &barrier : block.barriers)
    barrier = Barrier();
  block.mbarriers.clear();
  block.bulk.clear();
  block.arrivals.clear();
  block.seen.clear();
  block.known.clear();
  block.freeRegisters = 0;
  block.shared.begin(launch.kernel->staticShared + launch.dynamicShared);
  for (uint32_t index = 0; index < block.warps.size(); ++index)
    beginWarp(launch, block, block.warps[index], index);
  std::vector<Warp *> ready;
  const uint64_t mostInstructions = launch.instructions + (100 << 20);
  for (;;) {
    ready.clear();
    bool all = true;
    for (Warp &w : block.warps) {
      all &= w.state == WarpState::Ended;
      if (w.state == WarpState::Ready)
        ready.push_back(&w);
    }
    if (all || launch.aborted)
      break;
    bool copied = false;
    size_t waiting = block.bulk.size() + block.arrivals.size();
    if (waiting && (ready.empty() || rng() % 8 == 0)) {
      size_t index = rng() % waiting;
      if (index < block.bulk.size())
        finishBulkCopy(block, index);
      else
        finishArrival(block, index - block.bulk.size());
      copied = true;
    }
    if (ready.empty()) {
      if (copied)
        continue;
      Warp &w = block.warps[0];
      report(w,
             launch.kernel->code[std::min<size_t>(
                 w.pc ? w.pc - 1 : 0, launch.kernel->code.size() - 1)],
             0, "deadlock:" + whereWarpsWait(block), /*stops=*/true);
      break;
    }
    turn(*ready[rng() % ready.size()],
         ready.size() == 1 && !waiting ? 4096 : 1 + rng() % 96);
    if (launch.instructions > mostInstructions)
      report(*ready[0], launch.kernel->code[0], 0, "an endless loop",
             /*stops=*/true);
  }
  if (launch.kernel->hasProducts && !launch.aborted)
    judgeWarpgroups(block);
}

} // namespace

void emu::run(Launch &launch) {
  const Kernel &kernel = *launch.kernel;
  Device &device = *launch.device;
  launch.number = ++device.launches;
  launch.rng = &device.rng;
  if (kernel.code.empty())
    return;
  Block block;
  block.launch = &launch;
  block.threads = launch.block[0] * launch.block[1] * launch.block[2];
  block.warps.resize((block.threads + kLanes - 1) / kLanes);
  block.registers.resize(block.warps.size() * size_t(kernel.registerBytes));
  uint64_t blocks = uint64_t(launch.grid[0]) * launch.grid[1] * launch.grid[2];
  std::vector<uint32_t> order(blocks);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), device.rng);
  for (uint32_t index : order) {
    block.index = index;
    block.id[0] = index % launch.grid[0];
    block.id[1] = index / launch.grid[0] % launch.grid[1];
    block.id[2] = index / launch.grid[0] / launch.grid[1];
    runBlock(launch, block);
    if (launch.aborted)
      break;
  }
  device.instructions += launch.instructions;
}
