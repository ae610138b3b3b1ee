//===- Decoder.h - PTX statements to instructions ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A mnemonic has one function that decodes it: it takes the parts of the
// opcode ("ld", "global", "v4", "f32") that it knows, and the operands. A part
// that nobody took, an operand of another size or an unknown mnemonic is an
// error of the module: nothing is executed that no rule describes.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_EMULATEDGPU_DECODER_H
#define TENON_TEST_EMULATEDGPU_DECODER_H

#include "Device.h"
#include <initializer_list>
#include <span>
#include <string_view>

namespace emu {

enum class Kind : uint8_t {
  None,
  Signed,
  Unsigned,
  Bits,
  Float,
  Bfloat,
  Tf32,
  E4m3,
  E5m2,
  Pred
};

struct Type {
  Kind kind = Kind::None;
  uint8_t bits = 0;  // of one element
  uint8_t count = 1; // 2 of f16x2

  uint32_t bytes() const { return bits * count / 8; }
  bool isInteger() const {
    return kind == Kind::Signed || kind == Kind::Unsigned || kind == Kind::Bits;
  }
  bool operator==(const Type &) const = default;
};

/// The type that a part of an opcode names; Kind::None for another word.
Type parseType(std::string_view part);

/// [base+offset]: `base` is a register, or 0 where the address is the offset.
struct Address {
  uint32_t base = 0;
  uint8_t baseBytes = 8;
  int64_t offset = 0;
  bool isParameter = false;
};

struct Statement {
  int line = 0;
  std::string_view text; // without the guard
  std::string_view guard;
  bool negated = false;
  std::vector<std::string_view> parts;
  std::vector<bool> taken;
  std::vector<std::string_view> operands;
};

/// Splits at the commas outside braces and brackets.
std::vector<std::string_view> splitOperands(std::string_view text);
std::string_view trim(std::string_view text);

class Decoder {
public:
  Decoder(Module &module, Kernel &kernel) : module(module), kernel(kernel) {
    kernel.image.resize(kLanes * 4); // offset 0 means none
    scopes.push_back({});
  }

  // Declarations and labels.
  void openScope();
  void closeScope();
  void declareRegisters(std::string_view text);
  void declareShared(std::string_view name, uint64_t bytes, uint64_t align,
                     bool dynamic);
  void declareLocal(std::string_view name, uint64_t bytes, uint64_t align);
  void label(std::string_view name, int line);
  void branchTargets(std::string_view labels);
  void decode(Statement &statement);
  /// Resolves branches. False: `error` says what is wrong.
  bool finish();
  void placeDynamicShared();
  const std::string &getError() const { return error; }
  void fail(const std::string &what);
  bool failed() const { return !error.empty(); }

  // What a rule's decoding asks for.
  bool has(std::string_view part);
  /// The first of `parts` that is there; its index, or -1.
  int oneOf(std::initializer_list<std::string_view> parts);
  /// Takes all parts that say how to cache or order, which change nothing.
  void takeHints();
  /// The next type among the parts.
  Type type();
  std::string_view mnemonic() const { return statement->parts[0]; }
  std::span<const std::string_view> partsOfOpcode() const {
    return statement->parts;
  }
  uint32_t operands() const { return statement->operands.size(); }
  std::string_view operand(uint32_t index);
  bool expectOperands(uint32_t least, uint32_t most);

  uint32_t source(uint32_t index, uint32_t bytes) {
    return sourceOf(operand(index), bytes);
  }
  uint32_t dest(uint32_t index, uint32_t bytes) {
    return destOf(operand(index), bytes);
  }
  uint32_t sourceOf(std::string_view text, uint32_t bytes);
  uint32_t destOf(std::string_view text, uint32_t bytes);
  /// A source of at least `bytes`; `found` is what its register has.
  uint32_t wideSource(std::string_view text, uint32_t bytes, uint8_t &found);
  uint32_t wideDest(std::string_view text, uint32_t bytes, uint8_t &found);
  uint32_t predicate(std::string_view text, bool &negated);
  Address address(std::string_view text);
  /// An immediate; fails where it is none.
  int64_t immediate(std::string_view text);
  bool isImmediate(std::string_view text);
  /// {a, b} or a: the parts.
  std::vector<std::string_view> elements(std::string_view text);
  uint32_t list(std::span<const uint32_t> values);
  /// A label, resolved at the end into Kernel::lists[result].
  uint32_t target(std::string_view name);
  uint32_t constant(uint64_t bits, uint32_t bytes);
  const Kernel &getKernel() const { return kernel; }
  /// What the statement loads are parameters from this place on.
  void loadsParameters(int64_t offset) { flow.parameter = offset; }
  /// The kernel has products of warpgroups.
  void hasProducts() { kernel.hasProducts = true; }

  Instruction inst;

private:
  struct Register {
    uint32_t offset, bytes; // 0 bytes: a predicate
    uint32_t count;         // of a range
  };
  struct Scope {
    uint32_t parent = 0;
    std::map<std::string, Register, std::less<>> registers, ranges;
    std::map<std::string, uint32_t, std::less<>> labels;
    std::map<std::string, std::vector<std::string>, std::less<>> targets;
  };
  struct Fixup {
    uint32_t slot, scope;
    std::string name;
    int line;
  };
  /// Where a statement's results come of.
  struct Flow {
    uint32_t addresses[3] = {}; // registers of 64 bits that it has addresses in
    int64_t parameter = -1;     // the place of one that it loads
    bool passes = true;         // from its sources
  };
  const Register *find(std::string_view name, Register &scratch);
  uint32_t special(std::string_view name, uint32_t bytes);
  bool symbolAddress(std::string_view text, uint64_t &address);
  bool parseImmediate(std::string_view text, uint32_t bytes, uint64_t &bits);
  uint32_t allocate(uint32_t bytes);
  void traceOwners();

  Module &module;
  Kernel &kernel;
  Statement *statement = nullptr;
  std::vector<Scope> scopes;
  uint32_t scope = 0;
  std::string lastLabel;
  std::map<std::string, uint64_t, std::less<>> shared, locals;
  std::string dynamicShared;
  std::map<std::pair<uint64_t, uint32_t>, uint32_t> pool;
  std::vector<Fixup> fixups;
  std::vector<uint32_t> sources, dests; // of the statement
  Flow flow;                            // of the statement
  std::vector<Flow> flows;              // of all
  std::vector<bool> wide;               // registers of 64 bits, by place / 32
  std::string error;
  int line = 0;

public:
  /// The labels that `.branchtargets` gave `name`.
  const std::vector<std::string> *targetsOf(std::string_view name);
};

struct Mnemonic {
  const char *name;
  void (*decode)(Decoder &);
};

std::span<const Mnemonic> integerRules();
std::span<const Mnemonic> bitRules();
std::span<const Mnemonic> floatRules();
std::span<const Mnemonic> compareRules();
std::span<const Mnemonic> convertRules();
std::span<const Mnemonic> memoryRules();
std::span<const Mnemonic> warpRules();
std::span<const Mnemonic> matrixRules();
std::span<const Mnemonic> asyncRules();
std::span<const Mnemonic> warpgroupRules();

/// All of them.
std::vector<std::span<const Mnemonic>> allRules();

// Arithmetic of floating-point types under the mnemonics that integers have.
bool isFloatOperation(Decoder &d);
void decodeFloatBinary(Decoder &d);
void decodeFloatUnary(Decoder &d);
void decodeFloatFma(Decoder &d);

/// Reads a module. False: `error` says what is wrong, in which line.
bool parseModule(Module &module, Device &device, std::string &error);

} // namespace emu

#endif // TENON_TEST_EMULATEDGPU_DECODER_H
