//===- Decoder.cpp - PTX statements to instructions -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Decoder.h"
#include <algorithm>
#include <cstdlib>
#include <unordered_map>

using namespace emu;

Type emu::parseType(std::string_view part) {
  static const std::unordered_map<std::string_view, Type> types = {
      {"u8", {Kind::Unsigned, 8}},
      {"u16", {Kind::Unsigned, 16}},
      {"u32", {Kind::Unsigned, 32}},
      {"u64", {Kind::Unsigned, 64}},
      {"s8", {Kind::Signed, 8}},
      {"s16", {Kind::Signed, 16}},
      {"s32", {Kind::Signed, 32}},
      {"s64", {Kind::Signed, 64}},
      {"b8", {Kind::Bits, 8}},
      {"b16", {Kind::Bits, 16}},
      {"b32", {Kind::Bits, 32}},
      {"b64", {Kind::Bits, 64}},
      {"f16", {Kind::Float, 16}},
      {"f32", {Kind::Float, 32}},
      {"f64", {Kind::Float, 64}},
      {"bf16", {Kind::Bfloat, 16}},
      {"tf32", {Kind::Tf32, 32}},
      {"pred", {Kind::Pred, 1}},
      {"f16x2", {Kind::Float, 16, 2}},
      {"bf16x2", {Kind::Bfloat, 16, 2}},
      {"u16x2", {Kind::Unsigned, 16, 2}},
      {"s16x2", {Kind::Signed, 16, 2}},
      {"e4m3x2", {Kind::E4m3, 8, 2}},
      {"e5m2x2", {Kind::E5m2, 8, 2}},
      {"e4m3", {Kind::E4m3, 8}},
      {"e5m2", {Kind::E5m2, 8}}};
  auto it = types.find(part);
  return it == types.end() ? Type() : it->second;
}

std::string_view emu::trim(std::string_view text) {
  while (!text.empty() && isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> emu::splitOperands(std::string_view text) {
  std::vector<std::string_view> result;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    char c = i < text.size() ? text[i] : ',';
    depth += c == '{' || c == '[' || c == '(';
    depth -= c == '}' || c == ']' || c == ')';
    if (c != ',' || depth > 0)
      continue;
    std::string_view part = trim(text.substr(begin, i - begin));
    if (!part.empty())
      result.push_back(part);
    begin = i + 1;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Declarations
//===----------------------------------------------------------------------===//

void Decoder::fail(const std::string &what) {
  if (!error.empty())
    return;
  error = format("line %d: %s", line, what.c_str());
  if (statement)
    error +=
        format(": %.*s", int(statement->text.size()), statement->text.data());
}

uint32_t Decoder::allocate(uint32_t bytes) {
  uint32_t offset = kernel.image.size();
  // A predicate has a bit per lane; all begin at 32 bytes.
  kernel.image.resize(offset + (bytes ? bytes * kLanes : 32), 0xff);
  wide.resize(kernel.image.size() / 32, false);
  wide[offset / 32] = bytes == 8;
  ++kernel.registers;
  return offset;
}

void Decoder::openScope() {
  scopes.push_back({});
  scopes.back().parent = scope;
  scope = scopes.size() - 1;
}

void Decoder::closeScope() { scope = scopes[scope].parent; }

void Decoder::declareRegisters(std::string_view text) {
  // ".b32 %r<5>, %s"
  size_t space = text.find_first_of(" \t\n%");
  std::string_view name = trim(text.substr(0, space));
  Type type = name.empty() ? Type() : parseType(name.substr(1));
  if (type.kind == Kind::None)
    return fail("registers of type '" + std::string(name) + "'");
  uint32_t bytes = type.kind == Kind::Pred ? 0 : type.bytes();
  for (std::string_view item : splitOperands(text.substr(space))) {
    size_t angle = item.find('<');
    if (angle == item.npos) {
      scopes[scope].registers[std::string(item)] = {allocate(bytes), bytes, 1};
      continue;
    }
    uint32_t count =
        strtoul(std::string(item.substr(angle + 1)).c_str(), nullptr, 10);
    Register first = {0, bytes, count};
    for (uint32_t i = 0; i < count; ++i) {
      uint32_t offset = allocate(bytes);
      first.offset = i ? first.offset : offset;
    }
    scopes[scope].ranges[std::string(item.substr(0, angle))] = first;
  }
}

void Decoder::declareShared(std::string_view name, uint64_t bytes,
                            uint64_t align, bool dynamic) {
  align = std::max<uint64_t>(align, 1);
  kernel.sharedAlign = std::max<uint32_t>(kernel.sharedAlign, align);
  if (dynamic) { // behind all static ones
    dynamicShared = name;
    shared[dynamicShared] = ~0ull;
    return;
  }
  uint64_t at = (kernel.staticShared + align - 1) / align * align;
  shared[std::string(name)] = kSharedBase + at;
  kernel.staticShared = at + bytes;
}

void Decoder::placeDynamicShared() {
  if (dynamicShared.empty())
    return;
  uint64_t align = kernel.sharedAlign;
  kernel.staticShared = (kernel.staticShared + align - 1) / align * align;
  shared[dynamicShared] = kSharedBase + kernel.staticShared;
}

void Decoder::declareLocal(std::string_view name, uint64_t bytes,
                           uint64_t align) {
  align = std::max<uint64_t>(align, 1);
  uint64_t at = (kernel.localBytes + align - 1) / align * align;
  locals[std::string(name)] = kLocalBase + at;
  kernel.localBytes = at + bytes;
}

void Decoder::label(std::string_view name, int at) {
  line = at;
  lastLabel = name;
  if (!scopes[scope].labels.emplace(name, kernel.code.size()).second)
    fail("a second label '" + lastLabel + "'");
}

void Decoder::branchTargets(std::string_view labels) {
  auto &list = scopes[scope].targets[lastLabel];
  for (std::string_view name : splitOperands(labels))
    list.emplace_back(name);
}

const std::vector<std::string> *Decoder::targetsOf(std::string_view name) {
  for (uint32_t at = scope;; at = scopes[at].parent) {
    auto it = scopes[at].targets.find(name);
    if (it != scopes[at].targets.end())
      return &it->second;
    if (!at)
      return nullptr;
  }
}

bool Decoder::finish() {
  for (const Fixup &fixup : fixups) {
    bool found = false;
    for (uint32_t at = fixup.scope; !found; at = scopes[at].parent) {
      auto it = scopes[at].labels.find(fixup.name);
      if (it != scopes[at].labels.end()) {
        kernel.lists[fixup.slot] = it->second;
        found = true;
      }
      if (!at)
        break;
    }
    if (!found && error.empty())
      error = format("line %d: no label '%s'", fixup.line, fixup.name.c_str());
  }
  kernel.registerBytes = kernel.image.size();
  if (error.empty())
    traceOwners();
  return error.empty();
}

//===----------------------------------------------------------------------===//
// A statement
//===----------------------------------------------------------------------===//

std::vector<std::span<const Mnemonic>> emu::allRules() {
  return {integerRules(), bitRules(),      floatRules(), compareRules(),
          convertRules(), memoryRules(),   warpRules(),  matrixRules(),
          asyncRules(),   warpgroupRules()};
}

void Decoder::decode(Statement &given) {
  static const auto *table = [] {
    auto *all = new std::unordered_map<std::string_view, void (*)(Decoder &)>;
    for (auto rules : allRules())
      for (const Mnemonic &rule : rules)
        all->emplace(rule.name, rule.decode);
    return all;
  }();
  statement = &given;
  line = given.line;
  given.taken.assign(given.parts.size(), false);
  given.taken[0] = true;
  inst = Instruction();
  sources.clear();
  dests.clear();
  inst.line = line;
  std::string_view name = given.parts[0];
  flow = Flow();
  flow.passes = name != "ld" && name != "ldu" && name != "atom";
  auto it = table->find(given.parts[0]);
  if (it == table->end())
    return fail("no rule for '" + std::string(given.parts[0]) + "'");
  if (!given.guard.empty()) {
    bool no = false;
    inst.guard = predicate(given.guard, no);
    inst.negated = given.negated;
  }
  it->second(*this);
  for (size_t i = 0; i < given.parts.size(); ++i)
    if (!given.taken[i])
      fail("no rule for '." + std::string(given.parts[i]) + "' of '" +
           std::string(given.parts[0]) + "'");
  if (!inst.run)
    fail("no rule for this form of '" + std::string(given.parts[0]) + "'");
  inst.registers = list(sources);
  list(dests);
  inst.sources = sources.size();
  inst.dests = dests.size();
  kernel.code.push_back(inst);
  flows.push_back(flow);
  statement = nullptr;
}

bool Decoder::has(std::string_view part) {
  for (size_t i = 1; i < statement->parts.size(); ++i)
    if (statement->parts[i] == part && !statement->taken[i]) {
      statement->taken[i] = true;
      return true;
    }
  return false;
}

int Decoder::oneOf(std::initializer_list<std::string_view> parts) {
  int index = 0;
  for (std::string_view part : parts) {
    if (has(part))
      return index;
    ++index;
  }
  return -1;
}

void Decoder::takeHints() {
  for (size_t i = 1; i < statement->parts.size(); ++i) {
    std::string_view part = statement->parts[i];
    for (std::string_view hint :
         {"weak", "volatile", "relaxed", "acquire", "release", "acq_rel", "cta",
          "cluster", "gpu", "sys", "ca", "cg", "cs", "cv", "lu", "wb", "wt",
          "nc", "uni"})
      if (part == hint)
        statement->taken[i] = true;
    if (part.starts_with("L1::") || part.starts_with("L2::"))
      statement->taken[i] = true;
  }
}

Type Decoder::type() {
  for (size_t i = 1; i < statement->parts.size(); ++i) {
    if (statement->taken[i])
      continue;
    Type type = parseType(statement->parts[i]);
    if (type.kind == Kind::None)
      continue;
    statement->taken[i] = true;
    return type;
  }
  fail("no type");
  return {Kind::Bits, 32};
}

std::string_view Decoder::operand(uint32_t index) {
  if (index < statement->operands.size())
    return statement->operands[index];
  fail(format("operand %u is missing", index));
  return "0";
}

bool Decoder::expectOperands(uint32_t least, uint32_t most) {
  if (operands() >= least && operands() <= most)
    return true;
  fail(format("%u operands", operands()));
  return false;
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

const Decoder::Register *Decoder::find(std::string_view name,
                                       Register &scratch) {
  size_t digits = name.size();
  while (digits && isdigit(static_cast<unsigned char>(name[digits - 1])))
    --digits;
  for (uint32_t at = scope;; at = scopes[at].parent) {
    auto it = scopes[at].registers.find(name);
    if (it != scopes[at].registers.end())
      return &it->second;
    if (digits < name.size() && digits) {
      auto range = scopes[at].ranges.find(name.substr(0, digits));
      if (range != scopes[at].ranges.end()) {
        uint32_t index =
            strtoul(std::string(name.substr(digits)).c_str(), nullptr, 10);
        if (index < range->second.count) {
          uint32_t stride =
              range->second.bytes ? range->second.bytes * kLanes : 32;
          scratch = {range->second.offset + index * stride, range->second.bytes,
                     1};
          return &scratch;
        }
      }
    }
    if (!at)
      return nullptr;
  }
}

uint32_t Decoder::special(std::string_view name, uint32_t bytes) {
  static const std::initializer_list<std::string_view> narrow = {
      "%tid.x",
      "%tid.y",
      "%tid.z",
      "%ntid.x",
      "%ntid.y",
      "%ntid.z",
      "%ctaid.x",
      "%ctaid.y",
      "%ctaid.z",
      "%nctaid.x",
      "%nctaid.y",
      "%nctaid.z",
      "%laneid",
      "%warpid",
      "%nwarpid",
      "%smid",
      "%nsmid",
      "%lanemask_eq",
      "%lanemask_lt",
      "%lanemask_le",
      "%lanemask_gt",
      "%lanemask_ge",
      "%dynamic_smem_size",
      "%total_smem_size",
      "%cluster_ctarank",
      "%cluster_nctarank"};
  if (std::find(narrow.begin(), narrow.end(), name) == narrow.end())
    return 0;
  if (bytes != 4) {
    fail("a special register of 32 bits where others are due");
    return 0;
  }
  auto [it, isNew] = kernel.special.emplace(name, 0);
  if (isNew)
    it->second = allocate(4);
  return it->second;
}

bool Decoder::symbolAddress(std::string_view text, uint64_t &address) {
  size_t plus = text.find('+');
  std::string_view name = trim(text.substr(0, plus));
  int64_t offset = 0;
  if (plus != text.npos)
    offset = strtoll(std::string(text.substr(plus + 1)).c_str(), nullptr, 0);
  for (const auto *map : {&shared, &locals}) {
    auto it = map->find(name);
    if (it != map->end()) {
      address = it->second + offset;
      return true;
    }
  }
  auto global = module.globals.find(std::string(name));
  if (global != module.globals.end()) {
    address = global->second + offset;
    return true;
  }
  for (const Parameter &parameter : kernel.parameters)
    if (parameter.name == name) {
      address = kParamWindow + parameter.offset + offset;
      return true;
    }
  return false;
}

bool Decoder::parseImmediate(std::string_view text, uint32_t bytes,
                             uint64_t &bits) {
  std::string word(text);
  if (word.empty())
    return false;
  if (word.size() > 2 && word[0] == '0' && strchr("fFdD", word[1])) {
    char *end;
    bits = strtoull(word.c_str() + 2, &end, 16);
    return !*end && word.size() == (strchr("fF", word[1]) ? 10 : 18);
  }
  bool minus = word[0] == '-';
  const char *begin = word.c_str() + minus;
  if (!isdigit(static_cast<unsigned char>(*begin)))
    return false;
  char *end;
  if (word.find('.') != word.npos) { // a decimal fraction
    double value = strtod(word.c_str(), &end);
    float narrow = value;
    if (bytes == 4) {
      uint32_t pattern;
      memcpy(&pattern, &narrow, 4);
      bits = pattern;
    } else {
      memcpy(&bits, &value, 8);
    }
    return !*end && bytes >= 4;
  }
  bits = strtoull(begin, &end, 0);
  if (*end == 'U')
    ++end;
  if (minus)
    bits = -bits;
  return !*end;
}

bool Decoder::isImmediate(std::string_view text) {
  uint64_t bits;
  return parseImmediate(text, 8, bits);
}

int64_t Decoder::immediate(std::string_view text) {
  uint64_t bits = 0;
  if (!parseImmediate(text, 8, bits))
    fail("'" + std::string(text) + "' is no constant");
  return bits;
}

uint32_t Decoder::constant(uint64_t bits, uint32_t bytes) {
  if (bytes < 8)
    bits &= (1ull << 8 * bytes) - 1;
  auto [it, isNew] = pool.emplace(std::make_pair(bits, bytes), 0);
  if (isNew) {
    it->second = allocate(bytes);
    --kernel.registers;
    for (uint32_t lane = 0; lane < kLanes; ++lane)
      memcpy(&kernel.image[it->second + lane * bytes], &bits, bytes);
  }
  return it->second;
}

uint32_t Decoder::wideSource(std::string_view text, uint32_t bytes,
                             uint8_t &found) {
  Register scratch;
  found = bytes;
  if (const Register *reg = find(text, scratch)) {
    if (reg->bytes < bytes)
      fail(format("'%.*s' has %u bits where %u are due", int(text.size()),
                  text.data(), reg->bytes * 8, bytes * 8));
    found = reg->bytes;
    sources.push_back(reg->offset);
    return reg->offset;
  }
  if (text.starts_with('%'))
    if (uint32_t offset = special(text, bytes))
      return offset;
  uint64_t bits;
  if (symbolAddress(text, bits) || parseImmediate(text, bytes, bits))
    return constant(bits, bytes);
  fail("what is '" + std::string(text) + "'?");
  return 0;
}

uint32_t Decoder::sourceOf(std::string_view text, uint32_t bytes) {
  uint8_t found;
  uint32_t offset = wideSource(text, bytes, found);
  if (found != bytes)
    fail(format("'%.*s' has %u bits where %u are due", int(text.size()),
                text.data(), found * 8, bytes * 8));
  return offset;
}

uint32_t Decoder::wideDest(std::string_view text, uint32_t bytes,
                           uint8_t &found) {
  Register scratch;
  found = bytes;
  if (text == "_") { // a sink
    --kernel.registers;
    return allocate(bytes);
  }
  const Register *reg = find(text, scratch);
  if (!reg) {
    fail("no register '" + std::string(text) + "'");
    return 0;
  }
  if (reg->bytes < bytes)
    fail(format("'%.*s' has %u bits where %u are due", int(text.size()),
                text.data(), reg->bytes * 8, bytes * 8));
  found = reg->bytes;
  dests.push_back(reg->offset);
  return reg->offset;
}

uint32_t Decoder::destOf(std::string_view text, uint32_t bytes) {
  uint8_t found;
  uint32_t offset = wideDest(text, bytes, found);
  if (found != bytes)
    fail(format("'%.*s' has %u bits where %u are due", int(text.size()),
                text.data(), found * 8, bytes * 8));
  return offset;
}

uint32_t Decoder::predicate(std::string_view text, bool &negated) {
  if (text.starts_with('!')) {
    negated = !negated;
    text = trim(text.substr(1));
  }
  Register scratch;
  const Register *reg = find(text, scratch);
  if (text == "_")
    return allocate(0);
  if (!reg || reg->bytes) {
    fail("no predicate '" + std::string(text) + "'");
    return 0;
  }
  return reg->offset;
}

Address Decoder::address(std::string_view text) {
  Address result;
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') {
    fail("no address '" + std::string(text) + "'");
    return result;
  }
  text = trim(text.substr(1, text.size() - 2));
  uint64_t symbol;
  if (symbolAddress(text, symbol)) {
    result.offset = symbol;
    result.isParameter = symbol >> 48 == kParamWindow >> 48;
    return result;
  }
  size_t sign = text.find_first_of("+-");
  std::string_view base = trim(text.substr(0, sign));
  if (sign != text.npos) {
    std::string_view rest = trim(text.substr(sign + (text[sign] == '+')));
    result.offset = immediate(rest);
  }
  Register scratch;
  if (const Register *reg = find(base, scratch)) {
    if (reg->bytes != 4 && reg->bytes != 8)
      fail("an address of neither 32 nor 64 bits");
    sources.push_back(reg->offset);
    if (reg->bytes == 8)
      *std::find(flow.addresses, flow.addresses + 2, 0u) = reg->offset;
    result.base = reg->offset;
    result.baseBytes = reg->bytes;
    return result;
  }
  result.offset += immediate(base);
  return result;
}

std::vector<std::string_view> Decoder::elements(std::string_view text) {
  if (text.starts_with('{') && text.ends_with('}'))
    return splitOperands(text.substr(1, text.size() - 2));
  return {text};
}

uint32_t Decoder::list(std::span<const uint32_t> values) {
  uint32_t first = kernel.lists.size();
  kernel.lists.insert(kernel.lists.end(), values.begin(), values.end());
  return first;
}

uint32_t Decoder::target(std::string_view name) {
  uint32_t slot = kernel.lists.size();
  kernel.lists.push_back(0);
  fixups.push_back({slot, scope, std::string(name), line});
  return slot;
}
