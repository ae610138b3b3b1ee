//===- Device.h - what the emulated GPU consists of -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// PTX is interpreted a warp at a time: one decoded instruction is one function
// that loops over 32 lanes, so that decoding costs next to nothing and nothing
// is compiled. A register holds its 32 lanes side by side.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_EMULATEDGPU_DEVICE_H
#define TENON_TEST_EMULATEDGPU_DEVICE_H

#include "Memory.h"
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace emu {

constexpr uint32_t kLanes = 32;
constexpr uint32_t kAllLanes = ~0u;
constexpr uint32_t kMaxShared = 227 << 10;
/// What a block may have without asking for more.
constexpr uint32_t kDefaultShared = 48 << 10;

// Where the state spaces lie among generic addresses. None of them is an
// address of the host, so that a host that follows one of them faults.
constexpr uint64_t kSharedWindow = 0x00a1'0000'0000'0000;
constexpr uint64_t kLocalWindow = 0x00a2'0000'0000'0000;
constexpr uint64_t kParamWindow = 0x00a3'0000'0000'0000;
constexpr uint64_t kWindowBytes = 1ull << 32;
/// Shared addresses begin here, so that none is 0; local ones at 16.
constexpr uint32_t kSharedBase = 1024;
constexpr uint32_t kLocalBase = 16;

struct Warp;
struct Instruction;
using Rule = void (*)(Warp &, const Instruction &);

/// An instruction, decoded. Operands are offsets into a warp's registers.
struct Instruction {
  Rule run = nullptr;
  uint32_t guard = 0; // a predicate, or 0 for none
  bool negated = false;
  uint8_t sizeD = 0, sizeA = 0; // bytes of a register where the type's differ
  uint32_t d = 0, a = 0, b = 0, c = 0;
  uint32_t x = 0, y = 0; // what the rule's own decoding puts here
  int64_t offset = 0;    // of an address
  uint32_t list = 0;     // first of more operands in Kernel::lists
  // Registers that are read, then those that are written, in Kernel::lists.
  uint32_t registers = 0;
  uint16_t sources = 0, dests = 0;
  int line = 0;
  // Parameters that its addresses come of, a bit each; 0: nobody knows.
  uint64_t owners = 0;
};

/// Of an instruction whose accesses may be anybody's.
constexpr uint64_t kAnyOwner = ~0ull;

struct Parameter {
  std::string name;
  uint32_t offset, bytes;
};

struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  uint32_t parameterBytes = 0;
  uint32_t staticShared = 0, sharedAlign = 16;
  uint32_t localBytes = 0;
  uint32_t maxThreads = 0, requiredThreads = 0;
  /// What a thread begins with at most, and blocks that must fit; 0: not said.
  uint32_t mostRegisters = 0, leastBlocks = 0;
  /// What a warp's registers begin as: constants among bytes of 0xff.
  std::vector<uint8_t> image;
  uint32_t registerBytes = 0;
  uint32_t registers = 0;
  // Offsets of %tid.x, %tid.y, ... where the kernel names them, else 0.
  std::map<std::string, uint32_t> special;
  std::vector<Instruction> code;
  std::vector<uint32_t> lists;
  bool hasProducts = false; // of warpgroups
};

struct Module {
  std::string text;
  std::vector<std::string_view> lines;
  std::deque<Kernel> kernels;
  std::map<std::string, uint64_t> globals; // device addresses
  std::vector<uint64_t> allocations;
};

struct Group {
  uint32_t pc, mask;
  bool parked; // waits for other lanes to come here
};

/// Copies of one lane that a later wait completes.
struct LaneCopy {
  uint32_t lane;
  uint32_t to, bytes, valid;
  uint64_t from;
};

/// What a warp has of a product of its warpgroup (wgmma), until it has waited
/// for it.
struct GroupProduct {
  const Instruction *instruction;
  uint64_t left, descriptor; // the former where it is in shared memory
};

struct Block;
struct Launch;

enum class WarpState { Ready, AtBarrier, AtMbarrier, AtRegisters, Ended };

struct Warp {
  uint8_t *regs = nullptr;
  uint32_t pc = 0, next = 0;
  uint32_t mask = 0;         // lanes at pc
  uint32_t exec = 0;         // those that the instruction is done for
  uint32_t live = 0;         // those that have not ended
  uint32_t index = 0;        // in the block
  uint32_t launchNumber = 0; // of all launches, from 1 on
  uint32_t carry = 0;        // the condition code of every lane
  bool parked = false;
  WarpState state = WarpState::Ready;
  uint32_t waitsFor = 0; // a barrier's number, or an mbarrier's address
  uint32_t waitParity = 0;
  std::vector<Group> others;
  Block *block = nullptr;
  Launch *launch = nullptr;
  const Kernel *kernel = nullptr;
  /// What is known of each warp's accesses: those at times below are ordered
  /// before what this warp does next. Its own entry is its time.
  uint32_t clock[kMaxWarps] = {};
  std::vector<uint8_t> local; // a lane after another
  uint32_t gaps = 0; // elements of the last vector load that nobody wrote
  // Registers that hold such an element, and in which lanes.
  std::map<uint32_t, uint32_t> undefined;
  std::vector<LaneCopy> copies;                      // not committed yet
  std::vector<std::vector<LaneCopy>> groups[kLanes]; // committed, per lane
  std::vector<GroupProduct> products;                // not committed yet
  std::deque<std::vector<GroupProduct>> productGroups;
  uint32_t numProducts = 0; // of all, as every warp of a warpgroup has them
  // Of a thread, by setmaxnreg (0: not known), and how often that came.
  uint32_t threadRegisters = 0, numMoves = 0;
  // Registers of products that go on: those that they write, those that they
  // read.
  std::set<uint32_t> sums, factors;
  // Of a kernel with such products the instruction that was the last to write
  // and to read each register, by offset / 32, and the last wgmma.fence.
  std::vector<uint64_t> written, read;
  uint64_t executed = 0, registersFenced = 0;
  /// What is known to lie before the last fence between the proxies.
  uint32_t proxyFence[kMaxWarps] = {};
  uint32_t deviceFence[kMaxWarps] = {}; // the same of one of the device

  template <class T>
  T *reg(uint32_t offset) {
    return reinterpret_cast<T *>(regs + offset);
  }
  uint32_t pred(uint32_t offset) { return *reg<uint32_t>(offset); }
  void setPred(uint32_t offset, uint32_t bits) {
    uint32_t &value = *reg<uint32_t>(offset);
    value = (value & ~exec) | (bits & exec);
  }
  Stamp stamp(uint32_t lane) const;
  /// What this warp did so far happened before what comes after.
  void tick() { ++clock[index]; }
};

struct Barrier {
  uint32_t threads = 0, expected = 0; // expected is 0 while nobody waits
  uint32_t waiting = 0;               // warps
  uint32_t clock[kMaxWarps] = {};
  uint32_t trueThreads = 0; // bar.red
  std::vector<std::pair<uint32_t, const Instruction *>> reductions;
};

/// An mbarrier object, keyed by its shared address.
struct Mbarrier {
  uint32_t expected = 0;
  uint32_t creator = 0; // a warp
  bool known = false;   // to the copy engine, by a fence of that warp
  int64_t pending = 0, bytes = 0;
  uint32_t phase = 0;
  uint32_t clock[kMaxWarps] = {};  // of the phase that runs
  uint32_t passed[kMaxWarps] = {}; // of the phases that ended
};

/// Bytes of a copy that lie together in device memory.
struct CopyPiece {
  uint32_t at, bytes; // in the copy
  uint64_t from;
};

/// A copy by the copy engine (cp.async.bulk): it counts into an mbarrier. What
/// no piece brings is 0.
struct BulkCopy {
  uint32_t to, bytes, mbarrier;
  uint32_t warp, lane; // whose it is
  uint32_t swizzle;    // bits of the line's number that exchange blocks
  std::vector<CopyPiece> pieces;
};

/// cp.async.mbarrier.arrive: when a warp's copies are done its lanes arrive.
struct CopiesArrival {
  uint32_t warp;
  std::vector<LaneCopy> copies;
  std::vector<uint32_t> mbarriers; // of each lane
  uint32_t clock[kMaxWarps];       // when that was asked for
};

struct Block {
  Launch *launch = nullptr;
  uint32_t id[3] = {}, index = 0;
  std::vector<Warp> warps;
  std::vector<uint8_t> registers;
  SharedMemory shared;
  Barrier barriers[16];
  std::map<uint32_t, Mbarrier> mbarriers;
  std::deque<BulkCopy> bulk;
  std::deque<CopiesArrival> arrivals;
  /// Of blocks that released what they wrote: what an atomic has shown, and
  /// what a fence has made known since.
  KnownBlocks seen, known;
  uint32_t threads = 0;
  uint32_t freeRegisters = 0; // of a warp's threads, that setmaxnreg gave back
};

struct Device;

/// What a pointer among a launch's parameters points to.
struct Owner {
  uint64_t base, bytes;
  bool fresh; // what was written there before is nobody's any more
};

struct Launch {
  Device *device = nullptr;
  const Module *module = nullptr;
  const Kernel *kernel = nullptr;
  uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  uint32_t dynamicShared = 0;
  std::vector<uint8_t> parameters;
  std::mt19937 *rng = nullptr;
  uint64_t instructions = 0;
  uint32_t number = 0; // of all launches, from 1 on
  bool aborted = false;
  std::vector<uint64_t> arguments; // allocations that it was given
  std::vector<uint64_t> inNumbers; // those of them without a pointer
  uint64_t lastArgument = 0;       // the one that was looked for last
  std::vector<Owner> owners;       // of the first parameters, if they were told
  /// What blocks knew when they changed an address by an atomic after a fence.
  std::map<uint64_t, KnownBlocks> released;
  std::set<std::pair<int, std::string>> said; // reports
};

struct Device {
  DeviceMemory memory;
  std::mt19937 rng;
  uint32_t sm = 90;
  uint64_t reports = 0;
  uint64_t instructions = 0, accesses = 0, launches = 0;
  std::string lastReport, reportTexts; // the latter: the first ones, by lines
  bool quiet = false;
};

/// Says what is wrong, where, and counts it. What is wrong twice in one place
/// is said once. An instruction that `stops` ends the launch.
void report(Warp &warp, const Instruction &instruction, uint32_t lane,
            const std::string &what, bool stops = false);

/// The same before a kernel runs or after it ended.
void report(Device &device, const std::string &what);

std::string format(const char *text, ...) __attribute__((format(printf, 1, 2)));

/// Runs a kernel to its end, a block at a time.
void run(Launch &launch);

/// Makes `warp` wait for other lanes at this instruction; false where all
/// that `needed` names are here already.
bool parkUnless(Warp &warp, uint32_t needed);

/// Wakes the warps that a barrier or an mbarrier let go.
void release(Block &block, uint32_t barrier);
void wakeMbarrier(Block &block, uint32_t address);

/// The copy engine does one of the copies that wait.
void finishBulkCopy(Block &block, uint32_t index);
/// The same of copies after which their lanes arrive at an mbarrier.
void finishArrival(Block &block, uint32_t index);

/// Judges an instruction of a kernel with products of warpgroups: does it touch
/// registers of one that nobody has waited for?
void judgeProducts(Warp &warp, const Instruction &instruction);
/// The same at the end of a block: have the warps of each warpgroup had the
/// same products?
void judgeWarpgroups(Block &block);

/// May an instruction touch these bytes of an allocation?
bool isOwned(const Launch &launch, const Instruction &instruction,
             const Allocation &memory, uint64_t at, uint64_t bytes);
std::string describeStray(const Launch &launch, const Instruction &instruction,
                          uint64_t at, uint64_t bytes);
/// Those that hold an address.
uint64_t ownersAt(const Launch &launch, uint64_t at);
/// Forgets what was written where nobody has written yet.
void beginOwners(Launch &launch);

/// An atomic at a global address, and a fence of the device: what orders
/// accesses of several blocks.
void releaseBlock(Warp &warp, uint64_t at);
void fenceDevice(Warp &warp);

} // namespace emu

#endif // TENON_TEST_EMULATEDGPU_DEVICE_H
