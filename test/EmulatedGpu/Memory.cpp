//===- Memory.cpp - checked memory of the emulated GPU --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Memory.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace emu;

namespace {

constexpr uint32_t kPageBytes = 1024;
constexpr uint32_t kNoBlock = ~0u, kManyBlocks = ~0u - 1;
constexpr uint64_t kAlignment = 512;
/// Between allocations: an access that runs over one never meets the next.
constexpr uint64_t kGap = 1 << 20;

// An access in 32 bits: its time, its lane and its warp. The highest bit says
// of a writer that it was atomic, of a reader that the rest is an index into
// `readers`. Times begin at 1, so that no access is 0.
constexpr uint32_t kFlag = 1u << 31;
uint32_t pack(const Stamp &by, uint32_t lane) {
  return by.clock[by.warp] << 11 | lane << 5 | by.warp;
}
uint32_t timeOf(uint32_t packed) { return (packed & ~kFlag) >> 11; }
uint32_t laneOf(uint32_t packed) { return packed >> 5 & 63; }
uint32_t warpOf(uint32_t packed) { return packed & 31; }

/// Whether what `block` did at `packed` happened before what `by` does.
bool isOrdered(const Stamp &by, uint32_t block, uint32_t packed) {
  if (block == kNoBlock)
    return true;
  uint32_t warp = warpOf(packed);
  if (block != by.block) {
    auto known = by.known->find(block);
    return known != by.known->end() &&
           timeOf(packed) < known->second.clock[warp];
  }
  return (warp == by.warp && laneOf(packed) == by.lane) ||
         timeOf(packed) < by.clock[warp];
}

} // namespace

//===----------------------------------------------------------------------===//
// Shadow
//===----------------------------------------------------------------------===//

Shadow::Shadow(uint64_t bytes) : pages((bytes + kPageBytes - 1) / kPageBytes) {}

void Shadow::clear() {
  for (auto &page : pages)
    if (page)
      page->launch = 0;
  readers.clear();
  unused.clear();
}

Shadow::Page &Shadow::page(uint64_t number, const Stamp &by, bool perByte) {
  std::unique_ptr<Page> &slot = pages[number];
  if (!slot)
    slot = std::make_unique<Page>();
  Page &page = *slot;
  constexpr Cell fresh = {kNoBlock, 0, kNoBlock, 0};
  if (page.launch != by.launch) {
    page.launch = by.launch;
    page.perByte = perByte;
    page.cells.assign(perByte ? kPageBytes : kPageBytes / 4, fresh);
  } else if (perByte && !page.perByte) {
    std::vector<Cell> cells(kPageBytes);
    for (uint32_t i = 0; i < kPageBytes; ++i) {
      cells[i] = page.cells[i / 4];
      bool several = cells[i].readerBlock == by.block &&
                     (cells[i].reader & kFlag) && readersIn == by.launch;
      if (i % 4 && several) { // each has its own from now on
        uint32_t from = cells[i].reader & ~kFlag, to = newReaders();
        std::copy_n(&readers[from * 32], 32, &readers[to * 32]);
        cells[i].reader = kFlag | to;
      }
    }
    page.cells = std::move(cells);
    page.perByte = true;
  }
  return page;
}

uint32_t Shadow::newReaders() {
  uint32_t index = readers.size() / 32;
  if (unused.empty()) {
    readers.resize(readers.size() + 32);
    return index;
  }
  index = unused.back();
  unused.pop_back();
  std::fill_n(&readers[index * 32], 32, 0);
  return index;
}

bool Shadow::lastWrite(uint64_t at, uint32_t launch, uint32_t &warp,
                       uint32_t &time) const {
  const std::unique_ptr<Page> &page = pages[at / kPageBytes];
  if (!page || page->launch != launch)
    return false;
  uint64_t offset = at % kPageBytes;
  const Cell &cell = page->cells[page->perByte ? offset : offset / 4];
  if (cell.writerBlock == kNoBlock)
    return false;
  warp = warpOf(cell.writer);
  time = timeOf(cell.writer);
  return true;
}

void Shadow::read(Cell &cell, const Stamp &by) {
  if (cell.readerBlock == kManyBlocks)
    return;
  if (cell.readerBlock != kNoBlock && cell.readerBlock != by.block) {
    cell.readerBlock = kManyBlocks;
    return;
  }
  uint32_t mine = pack(by, by.lane);
  if (cell.readerBlock == by.block && (cell.reader & kFlag)) {
    readers[(cell.reader & ~kFlag) * 32 + by.warp] = mine;
    return;
  }
  bool known = cell.readerBlock == by.block;
  if (known && warpOf(cell.reader) == by.warp) {
    // Two lanes at one time: whoever writes afterwards races with one of them.
    if (timeOf(cell.reader) == timeOf(mine) && cell.reader != mine)
      mine = pack(by, kWholeWarp);
    cell.reader = mine;
  } else if (isOrdered(by, cell.readerBlock, cell.reader)) {
    cell.readerBlock = by.block;
    cell.reader = mine;
  } else {
    if (readersOf != by.block || readersIn != by.launch) {
      readersOf = by.block;
      readersIn = by.launch;
      readers.clear();
      unused.clear();
    }
    uint32_t index = newReaders();
    readers[index * 32 + warpOf(cell.reader)] = cell.reader;
    readers[index * 32 + by.warp] = mine;
    cell.reader = kFlag | index;
  }
}

inline bool Shadow::touchCell(Cell &cell, const Stamp &by, Access access,
                              Conflict &conflict) {
  bool clean = true;
  if (!isOrdered(by, cell.writerBlock, cell.writer)) {
    // LLVM begins a compare-and-swap loop by a plain load: it may be old.
    if (access == Access::Write || !(cell.writer & kFlag)) {
      conflict = {by.lane,
                  cell.writerBlock,
                  warpOf(cell.writer),
                  laneOf(cell.writer),
                  true,
                  false};
      clean = false;
    }
  }
  if (access == Access::AtomicRead) // what writes after it is judged alone
    return clean;
  if (access == Access::Read) {
    read(cell, by);
    return clean;
  }
  // A write comes after all reads.
  auto after = [&](uint32_t reader) {
    if (isOrdered(by, cell.readerBlock, reader))
      return;
    conflict = {by.lane,        cell.readerBlock,
                warpOf(reader), laneOf(reader),
                false,          false};
    clean = false;
  };
  if (access == Access::Atomic) {
    // Nor is what was read before it.
  } else if (cell.readerBlock == kManyBlocks) {
    conflict = {by.lane, 0, 0, 0, false, true};
    clean = false;
  } else if (!(cell.reader & kFlag)) {
    after(cell.reader);
  } else if (cell.readerBlock == by.block) {
    uint32_t index = cell.reader & ~kFlag;
    for (uint32_t warp = 0; warp < 32; ++warp)
      if (uint32_t reader = readers[index * 32 + warp])
        after(reader);
    unused.push_back(index);
  } else { // several warps of another block
    conflict = {by.lane, cell.readerBlock, 0, 0, false, false};
    clean = false;
  }
  cell.writerBlock = by.block;
  cell.writer = pack(by, by.lane) | (access == Access::Atomic ? kFlag : 0);
  cell.readerBlock = kNoBlock;
  cell.reader = 0;
  return clean;
}

bool Shadow::touch(const Stamp &by, const Run &run, uint64_t at, Access access,
                   const uint8_t *old, const void *data, Conflict &conflict) {
  bool perByte = run.bytes < 4 || at % 4;
  bool clean = true;
  uint64_t number = ~0ull;
  Page *part = nullptr;
  Stamp lane = by;
  for (uint32_t index = 0; index < run.count; ++index) {
    lane.lane = run.lanes[index];
    bool good = true;
    Conflict found;
    for (uint64_t end = at + run.bytes; at < end;) {
      if (at / kPageBytes != number) {
        number = at / kPageBytes;
        part = &page(number, by, perByte);
      }
      uint32_t shift = part->perByte ? 0 : 2;
      good &=
          touchCell(part->cells[at % kPageBytes >> shift], lane, access, found);
      at += 1u << shift;
    }
    if (good)
      continue;
    // Two that write the same are no race.
    uint32_t first = index * run.bytes;
    if (access == Access::Write && found.wrote && data &&
        !memcmp(old + first, static_cast<const uint8_t *>(data) + first,
                run.bytes))
      continue;
    conflict = found;
    clean = false;
  }
  return clean;
}

//===----------------------------------------------------------------------===//
// Defined
//===----------------------------------------------------------------------===//

void Defined::set(uint64_t at, uint64_t bytes, bool value) {
  for (; bytes && at % 8; ++at, --bytes)
    bits[at / 8] =
        value ? bits[at / 8] | 1 << at % 8 : bits[at / 8] & ~(1 << at % 8);
  memset(&bits[at / 8], value ? 0xff : 0, bytes / 8);
  at += bytes / 8 * 8;
  for (bytes %= 8; bytes; ++at, --bytes)
    bits[at / 8] =
        value ? bits[at / 8] | 1 << at % 8 : bits[at / 8] & ~(1 << at % 8);
}

bool Defined::all(uint64_t at, uint64_t bytes) const {
  while (bytes) {
    uint32_t shift = at % 8;
    uint32_t count = std::min<uint64_t>(bytes, 8 - shift);
    uint32_t mask = ((1u << count) - 1) << shift;
    if ((bits[at / 8] & mask) != mask)
      return false;
    at += count;
    bytes -= count;
  }
  return true;
}

uint32_t Defined::gaps(uint64_t at, uint32_t bytes, uint32_t element) const {
  uint32_t result = 0;
  for (uint32_t index = 0; index < bytes / element; ++index)
    result |= uint32_t(!all(at + index * element, element)) << index;
  return result;
}

//===----------------------------------------------------------------------===//
// DeviceMemory, SharedMemory
//===----------------------------------------------------------------------===//

DeviceMemory::~DeviceMemory() {
  for (auto &[base, allocation] : all)
    free(allocation->data);
}

uint64_t DeviceMemory::allocate(uint64_t bytes) {
  uint64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded < bytes || rounded > limit || inUse > limit - rounded)
    return 0;
  auto allocation = std::make_unique<Allocation>();
  allocation->data = static_cast<uint8_t *>(aligned_alloc(kAlignment, rounded));
  if (!allocation->data)
    return 0;
  memset(allocation->data, 0xff, rounded); // NaN, and no small number
  allocation->base = next;
  allocation->bytes = bytes;
  allocation->defined = Defined(bytes);
  allocation->shadow = Shadow(bytes);
  next += (rounded + kGap + kGap - 1) / kGap * kGap;
  inUse += rounded;
  uint64_t base = allocation->base;
  all[base] = std::move(allocation);
  return base;
}

bool DeviceMemory::release(uint64_t base) {
  auto it = all.find(base);
  if (it == all.end())
    return false;
  last = nullptr;
  inUse -= (it->second->bytes + kAlignment - 1) / kAlignment * kAlignment;
  free(it->second->data);
  all.erase(it);
  return true;
}

Allocation *DeviceMemory::find(uint64_t at, uint64_t bytes) {
  auto holds = [&](const Allocation &allocation) {
    return at >= allocation.base && bytes <= allocation.bytes &&
           at - allocation.base <= allocation.bytes - bytes;
  };
  if (last && holds(*last))
    return last;
  auto it = all.upper_bound(at);
  if (it == all.begin() || !holds(*(--it)->second))
    return nullptr;
  return last = it->second.get();
}

void SharedMemory::begin(uint32_t size) {
  if (size != bytes || data.empty()) {
    bytes = size;
    shadow = Shadow(size);
    data.resize(size + 16);
    incoming.resize(size / 4 + 4);
  } else {
    shadow.clear();
  }
  defined = Defined(size);
  byEngine = Defined(size);
  engineWrote = false;
  std::fill(data.begin(), data.end(), 0xff);
  std::fill(incoming.begin(), incoming.end(), 0);
  inFlight = 0;
}
