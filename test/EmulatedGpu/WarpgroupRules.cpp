//===- WarpgroupRules.cpp - wgmma -----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A warp of a warpgroup has 16 of the 64 rows of a product: its registers hold
// them, and nobody else's, so that each warp computes its own. A product is
// done where the warp waits for its group, the latest moment that is legal.
// What it reads in shared memory is looked at twice, when it is issued and
// there: who writes it in between races.
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <algorithm>
#include <bit>

using namespace emu;

namespace {

constexpr uint32_t kRows = 16, kWordsOfA = 4, kBytesOfK = 32;

// An instruction's x: columns, and the kind of its factors; y: 1 where what was
// there is added; b and c: the descriptors of B and of A, or 0. The list has
// the registers of the sums, then those of A.
uint32_t columnsOf(const Instruction &i) { return i.x & 511; }
Kind kindOf(const Instruction &i) { return Kind(i.x >> 9); }
uint32_t numSums(const Instruction &i) { return columnsOf(i) / 2; }
uint32_t numWords(const Instruction &i) { return i.c ? 0 : kWordsOfA; }

//===----------------------------------------------------------------------===//
// A matrix in shared memory
//===----------------------------------------------------------------------===//

/// A descriptor's fields, in bytes.
struct Matrix {
  uint32_t start, leading, stride, span;

  explicit Matrix(uint64_t d)
      : start((d & 0x3fff) << 4), leading((d >> 16 & 0x3fff) << 4),
        stride((d >> 32 & 0x3fff) << 4) {
    static const uint32_t spans[] = {16, 128, 64, 32};
    span = spans[d >> 62];
  }
  /// Where byte `k` of K of column n lies: of eight columns that follow each
  /// other the 16 bytes at one place of a span are exchanged.
  uint32_t at(uint32_t n, uint32_t k) const {
    uint32_t eight = start + n / 8 * stride;
    if (span == 16)
      return eight + k / 16 * leading + n % 8 * 16 + k % 16;
    uint32_t place = eight + n % 8 * span + k;
    return place ^ (place >> 7 & (span / 16 - 1)) << 4;
  }
};

const char *wrongDescriptor(uint64_t d) {
  Matrix m(d);
  if (d >> 49 & 7)
    return "a descriptor with an offset of its base";
  if (m.span > 16 && m.start % (8 * m.span) >= m.span)
    return "a descriptor whose matrix does not begin where its swizzle does";
  return nullptr;
}

/// Looks at columns of B or rows of A, 16 bytes at a time; false: that cannot
/// be.
bool readMatrix(Warp &w, const Instruction &i, uint64_t descriptor,
                uint32_t first, uint32_t count, uint8_t (*to)[kBytesOfK]) {
  Matrix m(descriptor);
  for (uint32_t n = 0; n < count; ++n)
    for (uint32_t k = 0; k < kBytesOfK; k += 16) {
      uint32_t at = m.at(first + n, k);
      const uint8_t *from = locateShared(w, i, 0, at, 16, Access::Read, nullptr,
                                         w.stamp(kWholeWarp));
      if (!from)
        return false;
      if (!to && !isFenced(w, at - kSharedBase))
        report(w, i, 0,
               format("shared memory at offset %u was written by threads, and "
                      "no fence.proxy.async lies between",
                      at - kSharedBase));
      if (to)
        memcpy(&to[n][k], from, 16);
    }
  return true;
}

/// Looks at all that a warp's part of a product reads there.
bool readMatrices(Warp &w, const Instruction &i, uint64_t left,
                  uint64_t descriptor, uint8_t (*a)[kBytesOfK],
                  uint8_t (*b)[kBytesOfK]) {
  return (!i.c || readMatrix(w, i, left, w.index % 4 * kRows, kRows, a)) &&
         readMatrix(w, i, descriptor, 0, columnsOf(i), b);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

float factor(uint32_t word, uint32_t at, Kind kind) {
  if (kind == Kind::Tf32)
    return std::bit_cast<float>(word & ~0x1fffu);
  uint16_t half = word >> 16 * at;
  return kind == Kind::Float ? fromHalf(half) : fromBfloat(half);
}

void finishProduct(Warp &w, const GroupProduct &product) {
  const Instruction &i = *product.instruction;
  static uint8_t bytes[256][kBytesOfK], rows[kRows][kBytesOfK];
  if (!readMatrices(w, i, product.left, product.descriptor, rows, bytes))
    return;
  uint32_t perWord = kindOf(i) == Kind::Tf32 ? 1 : 2;
  uint32_t depth = kBytesOfK / 4 * perWord, columns = columnsOf(i);
  static float a[kRows][16], b[16][256], c[kRows][256];
  const uint32_t *sums = &w.kernel->lists[i.list];
  const uint32_t *words = sums + numSums(i);
  auto number = [&](const uint8_t *line, uint32_t k) {
    uint32_t word;
    memcpy(&word, &line[k / perWord * 4], 4);
    return factor(word, k % perWord, kindOf(i));
  };
  for (uint32_t n = 0; n < columns; ++n)
    for (uint32_t k = 0; k < depth; ++k)
      b[k][n] = number(bytes[n], k);
  for (uint32_t row = 0; i.c && row < kRows; ++row)
    for (uint32_t k = 0; k < depth; ++k)
      a[row][k] = number(rows[row], k);
  auto eachSum = [&](auto fn) {
    for (uint32_t lane = 0; lane < kLanes; ++lane)
      for (uint32_t r = 0; r < numSums(i); ++r)
        fn(w.reg<float>(sums[r])[lane],
           c[lane / 4 + 8 * (r / 2 % 2)][r / 4 * 8 + lane % 4 * 2 + r % 2]);
  };
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    for (uint32_t r = 0; r < numWords(i); ++r)
      for (uint32_t at = 0; at < perWord; ++at)
        a[lane / 4 + 8 * (r & 1)][(r / 2 * 4 + lane % 4) * perWord + at] =
            factor(w.reg<uint32_t>(words[r])[lane], at, kindOf(i));
  eachSum([&](float sum, float &to) { to = i.y ? sum : 0; });
  // As of mma.sync: products are exact, sums are rounded one by one.
  for (uint32_t row = 0; row < kRows; ++row)
    for (uint32_t k = 0; k < depth; ++k)
      for (uint32_t n = 0; n < columns; ++n)
        c[row][n] += a[row][k] * b[k][n];
  eachSum([](float &sum, float from) { sum = from; });
}

bool isWhole(Warp &w, const Instruction &i) {
  uint32_t first = w.index / 4 * 4;
  if (w.live == kAllLanes && first + 4 <= w.block->warps.size())
    return parkUnless(w, kAllLanes);
  report(w, i, 0, "a warpgroup that is not whole", /*stops=*/true);
  return false;
}

void issueProduct(Warp &w, const Instruction &i) {
  if (!isWhole(w, i))
    return;
  uint64_t descriptors[2] = {};
  for (uint32_t operand : {0, 1}) {
    if (!operand && !i.c)
      continue;
    const uint64_t *all = w.reg<uint64_t>(operand ? i.b : i.c);
    uint64_t descriptor = descriptors[operand] = all[0];
    const char *wrong = std::all_of(all, all + kLanes,
                                    [&](uint64_t d) { return d == descriptor; })
                            ? wrongDescriptor(descriptor)
                            : "descriptors that differ within a warp";
    if (wrong) {
      report(w, i, 0, wrong, /*stops=*/true);
      return;
    }
  }
  const uint32_t *list = &w.kernel->lists[i.list];
  for (uint32_t r = 0; r < numSums(i) + numWords(i); ++r) {
    bool isSum = r < numSums(i);
    uint64_t last = w.written[list[r] / 32];
    if (isSum)
      last = std::max(last, w.read[list[r] / 32]);
    if (!w.registersFenced || last > w.registersFenced) {
      report(w, i, 0,
             "a register of the product is touched after the last "
             "wgmma.fence, or there is none");
      break;
    }
  }
  if (!readMatrices(w, i, descriptors[0], descriptors[1], nullptr, nullptr))
    return;
  ++w.numProducts;
  w.products.push_back({&i, descriptors[0], descriptors[1]});
  w.sums.insert(list, list + numSums(i));
  w.factors.insert(list + numSums(i), list + numSums(i) + numWords(i));
}

void fenceRegisters(Warp &w, const Instruction &i) {
  if (isWhole(w, i))
    w.registersFenced = w.executed;
}

void commitProducts(Warp &w, const Instruction &i) {
  if (!isWhole(w, i))
    return;
  w.productGroups.push_back(std::move(w.products));
  w.products.clear();
}

/// x: how many groups may go on.
void awaitProducts(Warp &w, const Instruction &i) {
  if (!isWhole(w, i))
    return;
  while (w.productGroups.size() > i.x && !w.launch->aborted) {
    for (const GroupProduct &product : w.productGroups.front())
      finishProduct(w, product);
    w.productGroups.pop_front();
  }
  w.sums.clear();
  w.factors.clear();
  auto goesOn = [&](const GroupProduct &product) {
    const Instruction &of = *product.instruction;
    const uint32_t *list = &w.kernel->lists[of.list];
    w.sums.insert(list, list + numSums(of));
    w.factors.insert(list + numSums(of), list + numSums(of) + numWords(of));
  };
  for (const auto &group : w.productGroups)
    std::for_each(group.begin(), group.end(), goesOn);
  std::for_each(w.products.begin(), w.products.end(), goesOn);
}

/// x: registers; y: takes some, else gives some back.
void moveRegisters(Warp &w, const Instruction &i) {
  if (!isWhole(w, i))
    return;
  if (!w.threadRegisters ||
      (i.y ? i.x < w.threadRegisters : i.x > w.threadRegisters)) {
    report(w, i, 0,
           w.threadRegisters
               ? format("a thread has %u registers, and is to have %u",
                        w.threadRegisters, i.x)
               : "setmaxnreg where nothing says how many registers there are",
           /*stops=*/true);
    return;
  }
  if (i.y && w.block->freeRegisters < i.x - w.threadRegisters) {
    w.state = WarpState::AtRegisters;
    w.next = w.pc;
    return;
  }
  w.block->freeRegisters += w.threadRegisters - i.x;
  w.threadRegisters = i.x;
  ++w.numMoves;
  for (Warp &other : w.block->warps)
    if (other.state == WarpState::AtRegisters)
      other.state = WarpState::Ready;
}

void decodeRegisters(Decoder &d) {
  d.inst.y = d.oneOf({"inc", "dec"}) == 0;
  d.type();
  if (!d.has("sync") || !d.has("aligned") || !d.expectOperands(1, 1))
    return d.fail("only .sync.aligned");
  d.hasProducts();
  d.inst.x = d.immediate(d.operand(0));
  if (d.inst.x < 24 || d.inst.x > 256 || d.inst.x % 8)
    return d.fail("a multiple of 8 from 24 to 256 is due");
  d.inst.run = moveRegisters;
}

void decodeProduct(Decoder &d) {
  int columns = 0;
  for (std::string_view part : d.partsOfOpcode())
    if (part.starts_with("m64n"))
      columns = atoi(part.data() + 4);
  bool isWide = d.has(format("m64n%dk8", columns));
  if (columns < 8 || columns > 256 || columns % 8 ||
      (!isWide && !d.has(format("m64n%dk16", columns))))
    return d.fail("no rule for this shape");
  Type sum = d.type(), a = d.type(), b = d.type();
  bool fits = sum == Type{Kind::Float, 32} && a == b &&
              (a.kind == Kind::Tf32
                   ? isWide
                   : !isWide && a.bits == 16 &&
                         (a.kind == Kind::Float || a.kind == Kind::Bfloat));
  // A is in registers, or described as B is.
  bool isDescribed = !d.operand(1).starts_with('{');
  uint32_t count = isWide ? 6 : isDescribed ? 8 : 7;
  if (!fits || !d.expectOperands(count, count))
    return d.fail("no rule for these types");
  for (uint32_t number = 3; number < count; ++number)
    if (!d.isImmediate(d.operand(number)) ||
        (number > 3 && d.immediate(d.operand(number)) != (number < 6)))
      return d.fail("only factors as they are, K lying together");
  auto sums = d.elements(d.operand(0)), words = d.elements(d.operand(1));
  if (sums.size() != uint32_t(columns) / 2 ||
      (!isDescribed && words.size() != kWordsOfA))
    return d.fail(format("%zu and %zu registers", sums.size(), words.size()));
  if (isDescribed) {
    d.inst.c = d.source(1, 8);
    words.clear();
  }
  std::vector<uint32_t> offsets;
  for (std::string_view name : sums)
    offsets.push_back(d.destOf(name, 4));
  for (std::string_view name : words)
    offsets.push_back(d.sourceOf(name, 4));
  d.inst.list = d.list(offsets);
  d.inst.b = d.source(2, 8);
  d.inst.x = uint32_t(columns) | uint32_t(a.kind) << 9;
  d.inst.y = d.immediate(d.operand(3)) != 0;
  d.inst.run = issueProduct;
}

void wgmma(Decoder &d) {
  int operation = d.oneOf({"mma_async", "fence", "commit_group", "wait_group"});
  if (!d.has("sync") || !d.has("aligned"))
    return d.fail("only .sync.aligned");
  d.hasProducts();
  switch (operation) {
  case 0:
    return decodeProduct(d);
  case 1:
    d.inst.run = fenceRegisters;
    return;
  case 2:
    d.inst.run = commitProducts;
    return;
  case 3:
    if (d.expectOperands(1, 1))
      d.inst.x = d.immediate(d.operand(0));
    d.inst.run = awaitProducts;
    return;
  }
}

} // namespace

bool emu::isFenced(Warp &w, uint32_t offset) {
  SharedMemory &shared = w.block->shared;
  if (shared.engineWrote && shared.byEngine.all(offset, 16))
    return true;
  for (uint32_t word = offset; word < offset + 16; word += 4) {
    uint32_t warp, time;
    if (shared.shadow.lastWrite(word, w.launchNumber, warp, time) &&
        time >= w.proxyFence[warp])
      return false;
  }
  return true;
}

void emu::judgeProducts(Warp &w, const Instruction &i) {
  ++w.executed;
  const uint32_t *sources = &w.kernel->lists[i.registers];
  const uint32_t *dests = sources + i.sources;
  bool isProduct = i.run == issueProduct;
  const char *wrong = nullptr;
  for (const uint32_t *s = sources; s != dests; ++s) {
    if (w.sums.contains(*s))
      wrong = "is read";
    if (!isProduct)
      w.read[*s / 32] = w.executed;
  }
  for (const uint32_t *d = dests; d != dests + i.dests; ++d) {
    if (w.factors.contains(*d) || (!isProduct && w.sums.contains(*d)))
      wrong = "is written";
    if (!isProduct)
      w.written[*d / 32] = w.executed;
  }
  if (wrong)
    report(w, i, std::countr_zero(w.exec),
           format("a register %s that a product of the warpgroup uses, which "
                  "has not been waited for",
                  wrong));
}

void emu::judgeWarpgroups(Block &block) {
  for (const Warp &w : block.warps)
    if (w.numProducts != block.warps[w.index / 4 * 4].numProducts) {
      report(*block.launch->device,
             format("the warps of a warpgroup have had %u and %u products [%s]",
                    block.warps[w.index / 4 * 4].numProducts, w.numProducts,
                    block.launch->kernel->name.c_str()));
      block.launch->aborted = true;
      return;
    } else if (w.numMoves != block.warps[w.index / 4 * 4].numMoves) {
      report(*block.launch->device,
             format("the warps of a warpgroup differ in setmaxnreg [%s]",
                    block.launch->kernel->name.c_str()));
      block.launch->aborted = true;
      return;
    }
}

//===----------------------------------------------------------------------===//
// Order of blocks
//===----------------------------------------------------------------------===//

namespace {

void join(KnownBlocks &into, uint32_t block, const uint32_t *clock) {
  uint32_t *known = into[block].clock;
  for (uint32_t warp = 0; warp < kMaxWarps; ++warp)
    known[warp] = std::max(known[warp], clock[warp]);
}

} // namespace

void emu::releaseBlock(Warp &w, uint64_t at) {
  Launch &launch = *w.launch;
  if (!launch.device->memory.find(at))
    return;
  KnownBlocks &there = launch.released[at];
  for (const auto &[block, clock] : there)
    join(w.block->seen, block, clock.clock);
  join(there, w.block->index, w.deviceFence);
  for (const auto &[block, clock] : w.block->known)
    join(there, block, clock.clock);
}

void emu::fenceDevice(Warp &w) {
  w.tick();
  std::copy(std::begin(w.clock), std::end(w.clock), w.deviceFence);
  for (const auto &[block, clock] : w.block->seen)
    join(w.block->known, block, clock.clock);
}

std::span<const Mnemonic> emu::warpgroupRules() {
  static const Mnemonic rules[] = {{"wgmma", wgmma},
                                   {"setmaxnreg", decodeRegisters}};
  return rules;
}
