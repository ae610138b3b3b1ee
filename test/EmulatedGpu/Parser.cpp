//===- Parser.cpp - the text of a PTX module ------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Decoder.h"
#include <algorithm>
#include <cstdlib>

using namespace emu;

namespace {

bool isWord(char c) {
  return isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' ||
         c == '%' || c == '.';
}

/// Whether `text` has `name` as a word.
bool names(std::string_view text, std::string_view name) {
  for (size_t at = 0; (at = text.find(name, at)) != text.npos; ++at) {
    size_t end = at + name.size();
    if ((!at || !isWord(text[at - 1])) &&
        (end == text.size() || !isWord(text[end])))
      return true;
  }
  return false;
}

/// A variable: ".align 4 .b8 name[16]", after the state space.
struct Variable {
  uint64_t align = 0, bytes = 0;
  std::string_view name;
  Type type;
  bool open = false; // name[]
  std::string_view initial;
};

class Parser {
public:
  Parser(Module &module, Device &device) : module(module), device(device) {}
  bool parse(std::string &message);

private:
  void stripComments();
  void fail(const std::string &what) {
    if (error.empty())
      error = format("line %d: %s", lineAt(at), what.c_str());
  }
  int lineAt(size_t position) {
    for (; counted < position; ++counted)
      line += text[counted] == '\n';
    for (; counted > position; --counted)
      line -= text[counted - 1] == '\n';
    return line;
  }
  void skipSpace() {
    while (at < text.size() && isspace(static_cast<unsigned char>(text[at])))
      ++at;
  }
  std::string_view word();
  std::string_view until(char end);
  std::string_view restOfLine();
  bool parseVariable(std::string_view declaration, Variable &variable);
  void parseGlobal(bool constant);
  void parseEntry();
  void parseParameters(Kernel &kernel, std::string_view list);
  void parseBody(Kernel &kernel);
  void parseDirective(Kernel &kernel, Decoder &decoder, std::string_view name);
  void parseStatement(Decoder &decoder);

  Module &module;
  Device &device;
  std::string text;
  size_t at = 0, counted = 0;
  int line = 1;
  std::string error;
  // Shared variables of the module: any kernel may use them.
  std::vector<std::pair<Variable, bool>> shared;
};

void Parser::stripComments() {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] == '"') {
      i = std::min(text.find('"', i + 1), text.size());
    } else if (text[i] == '/' && text[i + 1] == '/') {
      for (; i < text.size() && text[i] != '\n'; ++i)
        text[i] = ' ';
    } else if (text[i] == '/' && text[i + 1] == '*') {
      size_t end = std::min(text.find("*/", i + 2), text.size() - 2);
      for (; i < end + 2; ++i)
        if (text[i] != '\n')
          text[i] = ' ';
    }
  }
}

std::string_view Parser::word() {
  skipSpace();
  size_t begin = at;
  while (at < text.size() && isWord(text[at]))
    ++at;
  return std::string_view(text).substr(begin, at - begin);
}

std::string_view Parser::until(char end) {
  size_t begin = at;
  at = std::min(text.find(end, at), text.size());
  std::string_view result = std::string_view(text).substr(begin, at - begin);
  if (at < text.size())
    ++at;
  else
    fail(format("no '%c'", end));
  return trim(result);
}

std::string_view Parser::restOfLine() {
  size_t begin = at;
  at = std::min(text.find('\n', at), text.size());
  return trim(std::string_view(text).substr(begin, at - begin));
}

bool Parser::parseVariable(std::string_view declaration, Variable &variable) {
  size_t equals = declaration.find('=');
  if (equals != declaration.npos) {
    variable.initial = trim(declaration.substr(equals + 1));
    declaration = trim(declaration.substr(0, equals));
  }
  uint64_t count = 1;
  while (!declaration.empty()) {
    size_t end = declaration.find_first_of(" \t\n");
    std::string_view item = declaration.substr(0, end);
    declaration = end == declaration.npos ? "" : trim(declaration.substr(end));
    if (item == ".align") {
      variable.align = strtoull(std::string(declaration).c_str(), nullptr, 10);
      size_t space = declaration.find_first_of(" \t\n");
      declaration =
          space == declaration.npos ? "" : trim(declaration.substr(space));
    } else if (item.starts_with('.')) {
      Type type = parseType(item.substr(1));
      if (type.kind != Kind::None)
        variable.type = type;
      else if (item != ".ptr" && item != ".global" && item != ".shared" &&
               item != ".const" && item != ".attribute(.managed)")
        return false;
    } else {
      size_t bracket = item.find('[');
      variable.name = item.substr(0, bracket);
      if (bracket != item.npos) {
        std::string number(item.substr(bracket + 1));
        count = strtoull(number.c_str(), nullptr, 10);
        variable.open = number.starts_with("]");
      }
    }
  }
  if (variable.type.kind == Kind::None || variable.name.empty())
    return false;
  variable.bytes = variable.open ? 0 : count * variable.type.bytes();
  if (!variable.align)
    variable.align = variable.type.bytes();
  return true;
}

void Parser::parseGlobal(bool constant) {
  Variable variable;
  if (!parseVariable(until(';'), variable))
    return fail("a variable that is not understood");
  uint64_t base = device.memory.allocate(std::max<uint64_t>(variable.bytes, 1));
  if (!base)
    return fail("no memory for a variable");
  module.allocations.push_back(base);
  module.globals[std::string(variable.name)] = base;
  Allocation &memory = *device.memory.find(base);
  memory.constant = constant;
  memset(memory.data, 0, variable.bytes);
  memory.defined.set(0, variable.bytes);
  std::string_view values = variable.initial;
  if (values.starts_with('{') && values.ends_with('}'))
    values = values.substr(1, values.size() - 2);
  uint32_t size = variable.type.bytes();
  uint64_t offset = 0;
  for (std::string_view value : splitOperands(values)) {
    std::string number(value);
    uint64_t bits;
    if (number.starts_with("0f") || number.starts_with("0d"))
      bits = strtoull(number.c_str() + 2, nullptr, 16);
    else if (isdigit(static_cast<unsigned char>(number[0])) || number[0] == '-')
      bits = strtoull(number.c_str(), nullptr, 0);
    else
      return fail("an initial value '" + number + "'");
    if (offset + size > variable.bytes)
      return fail("more initial values than elements");
    memcpy(memory.data + offset, &bits, size);
    offset += size;
  }
}

void Parser::parseParameters(Kernel &kernel, std::string_view list) {
  for (std::string_view item : splitOperands(list)) {
    Variable variable;
    if (!item.starts_with(".param") ||
        !parseVariable(trim(item.substr(6)), variable))
      return fail("a parameter that is not understood: " + std::string(item));
    // ".ptr .align 16" tells of what the pointer points to.
    uint64_t align =
        item.find(".ptr") != item.npos ? variable.type.bytes() : variable.align;
    kernel.parameterBytes = (kernel.parameterBytes + align - 1) / align * align;
    kernel.parameters.push_back({std::string(variable.name),
                                 kernel.parameterBytes,
                                 uint32_t(variable.bytes)});
    kernel.parameterBytes += variable.bytes;
  }
}

void Parser::parseEntry() {
  Kernel &kernel = module.kernels.emplace_back();
  kernel.name = word();
  skipSpace();
  if (at < text.size() && text[at] == '(') {
    ++at;
    parseParameters(kernel, until(')'));
  }
  while (error.empty()) {
    skipSpace();
    if (at < text.size() && text[at] == '{')
      break;
    if (at < text.size() && text[at] == ';')
      return fail("an entry without a body");
    std::string_view name = word();
    auto product = [&] {
      uint32_t result = 1;
      for (std::string_view number : splitOperands(restOfLine()))
        result *= strtoul(std::string(number).c_str(), nullptr, 10);
      return result;
    };
    if (name == ".maxntid")
      kernel.maxThreads = product();
    else if (name == ".reqntid")
      kernel.requiredThreads = product();
    else if (name == ".maxnreg")
      kernel.mostRegisters = product();
    else if (name == ".minnctapersm")
      kernel.leastBlocks = product();
    else if (name == ".reqnctapercluster" || name == ".explicitcluster" ||
             name == ".pragma" || name == ".maxclusterrank")
      restOfLine();
    else
      return fail("'" + std::string(name) + "' before a body");
  }
  ++at;
  parseBody(kernel);
}

void Parser::parseDirective(Kernel &kernel, Decoder &decoder,
                            std::string_view name) {
  if (name == ".loc" || name == ".file") {
    restOfLine();
  } else if (name == ".reg") {
    skipSpace();
    decoder.declareRegisters(until(';'));
  } else if (name == ".local" || name == ".shared") {
    Variable variable;
    if (!parseVariable(until(';'), variable))
      return fail("a variable that is not understood");
    if (name == ".local")
      decoder.declareLocal(variable.name, variable.bytes, variable.align);
    else
      decoder.declareShared(variable.name, variable.bytes, variable.align,
                            variable.open);
  } else if (name == ".branchtargets") {
    decoder.branchTargets(until(';'));
  } else if (name == ".pragma") {
    until(';');
  } else {
    fail("no rule for '" + std::string(name) + "' in a body");
  }
}

void Parser::parseStatement(Decoder &decoder) {
  Statement statement;
  statement.line = lineAt(at);
  std::string_view all = until(';');
  if (all.starts_with('@')) {
    size_t end = all.find_first_of(" \t\n");
    std::string_view guard = all.substr(1, end == all.npos ? end : end - 1);
    statement.negated = guard.starts_with('!');
    statement.guard = statement.negated ? guard.substr(1) : guard;
    all = end == all.npos ? "" : trim(all.substr(end));
  }
  statement.text = all;
  size_t end = std::min(all.find_first_of(" \t\n"), all.size());
  std::string_view opcode = all.substr(0, end);
  while (!opcode.empty()) {
    size_t dot = std::min(opcode.find('.'), opcode.size());
    if (dot)
      statement.parts.push_back(opcode.substr(0, dot));
    opcode.remove_prefix(std::min(dot + 1, opcode.size()));
  }
  if (statement.parts.empty())
    return fail("no instruction: " + std::string(all));
  statement.operands = splitOperands(all.substr(end));
  decoder.decode(statement);
}

void Parser::parseBody(Kernel &kernel) {
  Decoder decoder(module, kernel);
  // A kernel has those of the module's shared variables that it names.
  size_t end = at;
  for (int depth = 1; depth && end < text.size(); ++end)
    depth += (text[end] == '{') - (text[end] == '}');
  std::string_view body = std::string_view(text).substr(at, end - at);
  for (auto &[variable, dynamic] : shared)
    if (names(body, variable.name))
      decoder.declareShared(variable.name, variable.bytes, variable.align,
                            dynamic);
  // Static shared variables of the body count before the dynamic part begins,
  // and stand at its top.
  bool placed = false;
  for (int depth = 1; depth;) {
    skipSpace();
    if (at >= text.size())
      return fail("a body without an end");
    if (text[at] == '{') {
      ++at, ++depth;
      decoder.openScope();
      continue;
    }
    if (text[at] == '}') {
      ++at, --depth;
      if (depth)
        decoder.closeScope();
      continue;
    }
    if (text[at] == ';') {
      ++at;
      continue;
    }
    if (text[at] == '.') {
      parseDirective(kernel, decoder, word());
    } else {
      size_t begin = at;
      std::string_view name = word();
      skipSpace();
      // mbarrier::complete_tx is no label.
      if (text.compare(at, 1, ":") == 0 && text.compare(at, 2, "::") != 0 &&
          !name.empty()) {
        ++at;
        decoder.label(name, lineAt(begin));
      } else {
        at = begin;
        if (!placed)
          decoder.placeDynamicShared();
        placed = true;
        parseStatement(decoder);
      }
    }
    if (decoder.failed()) {
      error = decoder.getError();
      return;
    }
    if (!error.empty())
      return;
  }
  if (!decoder.finish())
    error = decoder.getError();
}

bool Parser::parse(std::string &message) {
  text = module.text;
  stripComments();
  bool sawTarget = false;
  while (error.empty()) {
    std::string_view name = word();
    if (name.empty()) {
      if (at < text.size())
        fail(format("'%c' outside a body", text[at]));
      break;
    }
    if (name == ".version" || name == ".address_size" || name == ".file" ||
        name == ".pragma") {
      restOfLine();
    } else if (name == ".target") {
      std::string target(restOfLine());
      sawTarget = true;
      uint32_t sm = target.starts_with("sm_") ? atoi(target.c_str() + 3) : 0;
      bool exact = target.starts_with(format("sm_%ua", sm));
      if (!sm || (exact ? sm != device.sm : sm > device.sm))
        fail(format("target '%s' on a device of sm_%u", target.c_str(),
                    device.sm));
    } else if (name == ".visible" || name == ".weak" || name == ".extern" ||
               name == ".common") {
      continue;
    } else if (name == ".shared") {
      Variable variable;
      if (!parseVariable(until(';'), variable))
        fail("a variable that is not understood");
      shared.push_back({variable, variable.open});
    } else if (name == ".global" || name == ".const") {
      parseGlobal(name == ".const");
    } else if (name == ".entry") {
      parseEntry();
    } else {
      fail("no rule for '" + std::string(name) + "'");
    }
  }
  if (error.empty() && !sawTarget)
    error = "no .target: this is no PTX";
  message = error;
  if (!error.empty())
    return false;
  // For reports.
  for (size_t begin = 0; begin < module.text.size();) {
    size_t end = std::min(module.text.find('\n', begin), module.text.size());
    module.lines.push_back(
        std::string_view(module.text).substr(begin, end - begin));
    begin = end + 1;
  }
  return true;
}

} // namespace

bool emu::parseModule(Module &module, Device &device, std::string &error) {
  return Parser(module, device).parse(error);
}
