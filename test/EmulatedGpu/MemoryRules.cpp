//===- MemoryRules.cpp - loads, stores, atomics, addresses ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Rules.h"
#include <algorithm>
#include <type_traits>

using namespace emu;

Space emu::takeSpace(Decoder &d) {
  int index = d.oneOf({"global", "shared", "shared::cta", "local", "param",
                       "const", "shared::cluster", "param::entry"});
  static const Space spaces[] = {Space::Global, Space::Shared, Space::Shared,
                                 Space::Local,  Space::Param,  Space::Const,
                                 Space::Shared, Space::Param};
  return index < 0 ? Space::Generic : spaces[index];
}

namespace {

// Loads and stores. x: the space; y: bytes of an element, how many, whether
// its sign extends; b: a read is atomic. The list has the elements' registers,
// of sizeD bytes.
uint32_t elementBytes(const Instruction &i) { return i.y & 15; }
uint32_t elementCount(const Instruction &i) { return i.y >> 4 & 15; }
bool extendsSign(const Instruction &i) { return i.y >> 8 & 1; }

void putElement(Warp &w, const Instruction &i, uint32_t element, uint32_t lane,
                const uint8_t *from) {
  uint32_t bytes = elementBytes(i);
  uint8_t *to =
      w.reg<uint8_t>(w.kernel->lists[i.list + element]) + lane * i.sizeD;
  if (i.sizeD == bytes) {
    memcpy(to, from, bytes);
    return;
  }
  uint64_t bits = 0;
  memcpy(&bits, from, bytes);
  uint32_t rest = 64 - 8 * bytes;
  if (extendsSign(i))
    bits = int64_t(bits << rest) >> rest;
  memcpy(to, &bits, i.sizeD);
}

/// The lanes that take part, where each accesses what lies behind that of the
/// one before it, or all the same: then one lookup does for all.
struct Together {
  uint8_t lanes[kLanes];
  uint32_t count = 0;
  uint64_t first = 0;
  bool adjacent = true, equal = true;

  Together(Warp &w, const Instruction &i, uint32_t bytes) {
    eachLane(w, [&](uint32_t lane) {
      uint64_t at = addressOf(w, i, lane);
      if (!count)
        first = at;
      adjacent &= at == first + uint64_t(count) * bytes;
      equal &= at == first;
      lanes[count++] = lane;
    });
  }
};

void loadOne(Warp &w, const Instruction &i, uint32_t lane,
             const uint8_t *from) {
  uint32_t bytes = elementBytes(i), count = elementCount(i);
  for (uint32_t element = 0; from && element < count; ++element) {
    putElement(w, i, element, lane, from + element * bytes);
    if (w.gaps >> element & 1)
      w.undefined[w.kernel->lists[i.list + element]] |= 1u << lane;
  }
}

/// Words of lanes side by side.
void loadWords(Warp &w, const Instruction &i, const Together &all,
               const uint8_t *from) {
  uint32_t count = elementCount(i);
  for (uint32_t element = 0; element < count; ++element) {
    uint32_t *to = w.reg<uint32_t>(w.kernel->lists[i.list + element]);
    const uint8_t *source = from + 4 * element;
    for (uint32_t index = 0; index < all.count; ++index, source += 4 * count)
      memcpy(&to[all.lanes[index]], source, 4);
  }
}

void load(Warp &w, const Instruction &i) {
  uint32_t bytes = elementBytes(i) * elementCount(i);
  Access access = i.b ? Access::AtomicRead : Access::Read;
  Together all(w, i, bytes);
  Run run = {all.lanes, all.count, bytes, elementBytes(i)};
  w.gaps = 0;
  if (all.adjacent && all.count > 1) {
    if (const uint8_t *from =
            locateRun(w, i, run, Space(i.x), all.first, access)) {
      if (elementBytes(i) == 4 && i.sizeD == 4)
        return loadWords(w, i, all, from);
      for (uint32_t index = 0; index < all.count; ++index)
        loadOne(w, i, all.lanes[index], from + index * bytes);
      return;
    }
  } else if (all.equal && all.count > 1) {
    const uint8_t *from;
    if (Space(i.x) == Space::Param) {
      from = locate(w, i, all.lanes[0], Space::Param, all.first, bytes, access);
    } else {
      uint8_t whole = kWholeWarp;
      from = locateRun(w, i, {&whole, 1, bytes, elementBytes(i)}, Space(i.x),
                       all.first, access);
    }
    if (from || w.launch->aborted) {
      for (uint32_t index = 0; index < all.count; ++index)
        loadOne(w, i, all.lanes[index], from);
      return;
    }
  }
  eachLane(w, [&](uint32_t lane) {
    w.gaps = 0;
    if (!w.launch->aborted)
      loadOne(w, i, lane,
              locate(w, i, lane, Space(i.x), addressOf(w, i, lane), bytes,
                     access, nullptr, elementBytes(i)));
  });
}

void store(Warp &w, const Instruction &i) {
  uint32_t bytes = elementBytes(i), count = elementCount(i);
  uint8_t data[kLanes * 32];
  auto collect = [&](uint32_t lane, uint8_t *to) {
    for (uint32_t element = 0; element < count; ++element)
      memcpy(to + element * bytes,
             w.reg<uint8_t>(w.kernel->lists[i.list + element]) + lane * i.sizeD,
             bytes);
  };
  Together all(w, i, bytes * count);
  if (all.adjacent && all.count > 1) {
    for (uint32_t index = 0; index < all.count; ++index)
      collect(all.lanes[index], data + index * bytes * count);
    Run run = {all.lanes, all.count, bytes * count};
    if (uint8_t *to =
            locateRun(w, i, run, Space(i.x), all.first, Access::Write, data)) {
      memcpy(to, data, run.total());
      return;
    }
  }
  eachLane(w, [&](uint32_t lane) {
    if (w.launch->aborted)
      return;
    collect(lane, data);
    if (uint8_t *to = locate(w, i, lane, Space(i.x), addressOf(w, i, lane),
                             bytes * count, Access::Write, data))
      memcpy(to, data, bytes * count);
  });
}

void loadOrStore(Decoder &d) {
  bool isLoad = d.mnemonic() != "st";
  if (isLoad)
    d.inst.b = d.oneOf({"volatile", "relaxed", "acquire"}) >= 0;
  d.takeHints();
  Space space = takeSpace(d);
  static const uint32_t counts[] = {2, 4, 8};
  int vector = d.oneOf({"v2", "v4", "v8"});
  uint32_t count = vector < 0 ? 1 : counts[vector];
  Type type = d.type();
  if (!d.expectOperands(2, 2))
    return;
  auto registers = d.elements(d.operand(isLoad ? 0 : 1));
  if (registers.size() != count || type.kind == Kind::Pred)
    return d.fail(format("%zu registers", registers.size()));
  std::vector<uint32_t> offsets;
  for (std::string_view name : registers) {
    uint8_t found;
    offsets.push_back(isLoad ? d.wideDest(name, type.bytes(), found)
                             : d.wideSource(name, type.bytes(), found));
    if (name != "_") {
      if (d.inst.sizeD && d.inst.sizeD != found)
        return d.fail("registers of several sizes");
      d.inst.sizeD = found;
    }
  }
  d.inst.list = d.list(offsets);
  Address address = d.address(d.operand(isLoad ? 1 : 0));
  if (isLoad && address.isParameter)
    d.loadsParameters(address.offset - int64_t(kParamWindow));
  d.inst.a = address.base;
  d.inst.sizeA = address.baseBytes;
  d.inst.offset = address.offset;
  d.inst.x = uint32_t(space);
  d.inst.y =
      type.bytes() | count << 4 | uint32_t(type.kind == Kind::Signed) << 8;
  d.inst.run = isLoad ? load : store;
}

//===----------------------------------------------------------------------===//
// Atomics
//===----------------------------------------------------------------------===//

enum AtomicOperation : uint32_t {
  Add,
  Min,
  Max,
  And,
  Or,
  Xor,
  Exch,
  Cas,
  Inc,
  Dec
};

template <class T>
T changed(uint32_t operation, T old, T b, T c) {
  switch (operation) {
  case Add:
    return old + b;
  case Min:
    return b < old ? b : old;
  case Max:
    return old < b ? b : old;
  case Exch:
    return b;
  case Cas:
    return old == b ? c : old;
  case Inc:
    return old >= b ? T(0) : T(old + 1);
  case Dec:
    return old == 0 || old > b ? b : T(old - 1);
  }
  if constexpr (std::is_integral_v<T>)
    switch (operation) {
    case And:
      return old & b;
    case Or:
      return old | b;
    case Xor:
      return old ^ b;
    }
  return old;
}

/// y: the space; the lanes come in an order that the seed decides.
template <class T>
void atomic(Warp &w, const Instruction &i) {
  uint32_t first = (*w.launch->rng)() % kLanes;
  for (uint32_t k = 0; k < kLanes; ++k) {
    uint32_t lane = (first + k) % kLanes;
    if (!(w.exec >> lane & 1) || w.launch->aborted)
      continue;
    uint8_t *at = locate(w, i, lane, Space(i.y), addressOf(w, i, lane),
                         sizeof(T), Access::Atomic);
    if (!at)
      continue;
    T old, b = w.reg<T>(i.b)[lane], c = i.c ? w.reg<T>(i.c)[lane] : T();
    memcpy(&old, at, sizeof(T));
    T result = changed(i.x, old, b, c);
    memcpy(at, &result, sizeof(T));
    if (i.d)
      w.reg<T>(i.d)[lane] = old;
    releaseBlock(w, addressOf(w, i, lane));
  }
}

void atom(Decoder &d) {
  bool returns = d.mnemonic() == "atom";
  d.takeHints();
  d.inst.y = uint32_t(takeSpace(d));
  int operation = d.oneOf(
      {"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"});
  d.has("noftz");
  Type type = d.type();
  bool isCas = operation == int(Cas);
  uint32_t count = returns + 2 + isCas;
  if (operation < 0 || !d.expectOperands(count, count))
    return;
  if (returns)
    d.inst.d = d.dest(0, type.bytes());
  addressOperand(d, d.operand(returns));
  d.inst.b = d.source(returns + 1, type.bytes());
  if (isCas)
    d.inst.c = d.source(returns + 2, type.bytes());
  d.inst.x = operation;
  bool isNumber = operation <= int(Max) || operation == int(Exch);
  if (type == Type{Kind::Float, 32} && isNumber)
    d.inst.run = atomic<float>;
  else if (type == Type{Kind::Float, 64} && isNumber)
    d.inst.run = atomic<double>;
  else
    d.inst.run = forInteger(
        type, [](auto zero) -> Rule { return atomic<decltype(zero)>; });
}

//===----------------------------------------------------------------------===//
// Addresses
//===----------------------------------------------------------------------===//

void addWindow(Warp &w, const Instruction &i) {
  uint64_t window = uint64_t(i.offset);
  lanes(w, [&](uint32_t lane) {
    w.reg<uint64_t>(i.d)[lane] = w.reg<uint64_t>(i.a)[lane] + window;
  });
}

/// From generic to a state space: the address has to lie there.
void leaveWindow(Warp &w, const Instruction &i) {
  uint64_t window = uint64_t(i.offset);
  lanes(w, [&](uint32_t lane) {
    uint64_t at = w.reg<uint64_t>(i.a)[lane];
    bool inside = (at & ~(kWindowBytes - 1)) == window;
    w.reg<uint64_t>(i.d)[lane] = inside ? at - window : ~0ull;
  });
}

void cvta(Decoder &d) {
  bool leaves = d.has("to");
  Space space = takeSpace(d);
  d.type();
  operandsOf(d, 8, 1);
  uint64_t window = space == Space::Shared  ? kSharedWindow
                    : space == Space::Local ? kLocalWindow
                                            : 0;
  // Parameters have generic addresses from the start.
  d.inst.offset = window;
  d.inst.run = leaves && window ? leaveWindow : addWindow;
}

void isInSpace(Warp &w, const Instruction &i) {
  uint32_t bits = 0;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    uint64_t at = w.reg<uint64_t>(i.a)[lane];
    uint64_t window = at & ~(kWindowBytes - 1);
    Space space = window == kSharedWindow  ? Space::Shared
                  : window == kLocalWindow ? Space::Local
                  : window == kParamWindow ? Space::Param
                                           : Space::Global;
    bits |= uint32_t(space == Space(i.x)) << lane;
  }
  w.setPred(i.d, bits);
}

void isspacep(Decoder &d) {
  d.inst.x = uint32_t(takeSpace(d));
  if (!d.expectOperands(2, 2))
    return;
  bool none = false;
  d.inst.d = d.predicate(d.operand(0), none);
  d.inst.a = d.source(1, 8);
  d.inst.run = isInSpace;
}

void nothing(Warp &, const Instruction &) {}

/// A prefetch may name any address.
void prefetch(Decoder &d) {
  takeSpace(d);
  d.oneOf({"L1", "L2"});
  d.takeHints();
  d.has("tensormap");
  if (d.operands())
    d.address(d.operand(0));
  d.inst.run = nothing;
}

} // namespace

std::span<const Mnemonic> emu::memoryRules() {
  static const Mnemonic rules[] = {
      {"ld", loadOrStore},    {"ldu", loadOrStore},   {"st", loadOrStore},
      {"atom", atom},         {"red", atom},          {"cvta", cvta},
      {"isspacep", isspacep}, {"prefetch", prefetch}, {"prefetchu", prefetch}};
  return rules;
}
