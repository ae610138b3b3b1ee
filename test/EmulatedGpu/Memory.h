//===- Memory.h - checked memory of the emulated GPU ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two things are known of every byte beside its value: whether it was ever
// written, and who accessed it last and when, in the time of that warp. An
// access that nothing orders after a conflicting one is a race.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_EMULATEDGPU_MEMORY_H
#define TENON_TEST_EMULATEDGPU_MEMORY_H

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace emu {

/// A read may be atomic too: one that is volatile, relaxed or an acquire.
enum class Access { Read, AtomicRead, Write, Atomic };

constexpr uint32_t kMaxWarps = 32;

/// Of other blocks the times of their warps that are known to be over.
struct BlockClock {
  uint32_t clock[kMaxWarps] = {};
};
using KnownBlocks = std::map<uint32_t, BlockClock>;

/// Who accesses, and what it knows of the other warps of its block, and of
/// other blocks.
struct Stamp {
  uint32_t block, warp, lane;
  uint32_t launch;
  const uint32_t *clock;
  const KnownBlocks *known;
};

/// Lane of an access that the whole warp makes together.
constexpr uint32_t kWholeWarp = 32;

/// Lanes that access so many bytes each, one behind the other.
struct Run {
  const uint8_t *lanes;
  uint32_t count, bytes;
  uint32_t element = 0; // bytes of an element of a vector load, else 0
  uint32_t total() const { return count * bytes; }
};

/// The other side of a race.
struct Conflict {
  uint32_t byLane = 0; // the lane whose access it is
  uint32_t block = 0, warp = 0, lane = 0;
  bool wrote = false, manyBlocks = false;
};

/// Who accessed each part of a memory, in one launch.
class Shadow {
public:
  explicit Shadow(uint64_t bytes = 0);
  /// Forgets everything, for memory that a new block begins with.
  void clear();
  /// Notes the accesses of a run of lanes from `at` on. False: one of them
  /// races with `conflict`. `old` and `data` are what a write finds and leaves:
  /// where it changes nothing, two threads may do it at once.
  bool touch(const Stamp &by, const Run &run, uint64_t at, Access access,
             const uint8_t *old, const void *data, Conflict &conflict);
  /// The warp that was the last to write there in a launch, and when; false:
  /// none was.
  bool lastWrite(uint64_t at, uint32_t launch, uint32_t &warp,
                 uint32_t &time) const;

private:
  struct Cell {
    uint32_t writerBlock, writer, readerBlock, reader;
  };
  struct Page {
    uint32_t launch = 0;
    bool perByte = false; // else per four bytes
    std::vector<Cell> cells;
  };
  Page &page(uint64_t number, const Stamp &by, bool perByte);
  void read(Cell &cell, const Stamp &by);
  uint32_t newReaders();
  bool touchCell(Cell &cell, const Stamp &by, Access access,
                 Conflict &conflict);

  std::vector<std::unique_ptr<Page>> pages;
  // The readers of each cell that several warps of one block read, 32 a cell.
  std::vector<uint32_t> readers, unused;
  uint32_t readersOf = ~0u, readersIn = 0; // whose: a block, a launch
};

/// Which bytes were written, a bit each.
class Defined {
public:
  explicit Defined(uint64_t bytes = 0) : bits((bytes + 7) / 8 + 4) {}
  void set(uint64_t at, uint64_t bytes, bool value = true);
  bool all(uint64_t at, uint64_t bytes) const;
  /// Which of the elements in these bytes are not all written, a bit each.
  uint32_t gaps(uint64_t at, uint32_t bytes, uint32_t element) const;

private:
  std::vector<uint8_t> bits;
};

struct Allocation {
  uint64_t base = 0, bytes = 0;
  uint8_t *data = nullptr;
  Defined defined;
  Shadow shadow;
  bool constant = false; // a module's .const variable
};

/// Device memory: allocations far apart, at addresses that mean nothing to the
/// host.
class DeviceMemory {
public:
  ~DeviceMemory();
  /// 0 where the limit leaves no room.
  uint64_t allocate(uint64_t bytes);
  bool release(uint64_t base);
  /// The allocation that holds all of [at, at + bytes), or null.
  Allocation *find(uint64_t at, uint64_t bytes = 1);
  uint64_t used() const { return inUse; }
  uint64_t allocations() const { return all.size(); }
  uint64_t limit = 4ull << 30;

private:
  std::map<uint64_t, std::unique_ptr<Allocation>> all;
  Allocation *last = nullptr;
  uint64_t next = 0x00d0'0000'0000'0000;
  uint64_t inUse = 0;
};

/// A block's shared memory.
struct SharedMemory {
  uint32_t bytes = 0;
  std::vector<uint8_t> data;
  Defined defined;
  Shadow shadow;
  // Per four bytes: whose copy (a thread + 1) is still to be written there,
  // since nobody has waited for it; and how many such words there are.
  std::vector<uint16_t> incoming;
  uint32_t inFlight = 0;
  // Bytes that the copy engine was the last to write, once it has.
  Defined byEngine;
  bool engineWrote = false;

  void begin(uint32_t size);
};

} // namespace emu

#endif // TENON_TEST_EMULATEDGPU_MEMORY_H
