//===- UndefinedSymbols.cpp - what an artifact may ask for ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// LLVM calls functions of compiler-rt for operations that a target lacks. They
// are on few machines under the same names, so an artifact with such a call is
// refused here, in words, whatever the machine that compiles it would link.
//
//===----------------------------------------------------------------------===//

#include "UndefinedSymbols.h"
#include "tenon/Target/EmbeddedFiles.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace llvm::object;
using namespace tenon;

namespace {

Expected<std::unique_ptr<ELF64LEObjectFile>> open(StringRef name,
                                                  StringRef contents) {
  auto file = ELF64LEObjectFile::create(MemoryBufferRef(contents, name));
  if (!file)
    return file.takeError();
  return std::make_unique<ELF64LEObjectFile>(std::move(*file));
}

/// Adds the names of `symbols` with or without a definition.
Error collect(ELFObjectFileBase::elf_symbol_iterator_range symbols,
              bool defined, function_ref<void(StringRef)> add) {
  for (ELFSymbolRef symbol : symbols) {
    Expected<uint32_t> flags = symbol.getFlags();
    if (!flags)
      return flags.takeError();
    bool isDefined = !(*flags & SymbolRef::SF_Undefined);
    if (isDefined != defined || (!defined && (*flags & SymbolRef::SF_Weak)))
      continue;
    Expected<StringRef> name = symbol.getName();
    if (!name)
      return name.takeError();
    if (!name->empty())
      add(*name);
  }
  return Error::success();
}

/// The function around an offset of a section, or nothing.
StringRef functionAt(const ELFObjectFileBase &file, SectionRef section,
                     uint64_t offset) {
  for (ELFSymbolRef symbol : file.symbols()) {
    Expected<section_iterator> of = symbol.getSection();
    Expected<uint64_t> at = symbol.getAddress();
    Expected<StringRef> name = symbol.getName();
    if (of && at && name && *of != file.section_end() && **of == section &&
        symbol.getELFType() == ELF::STT_FUNC && *at <= offset &&
        offset < *at + symbol.getSize())
      return *name;
    consumeError(of.takeError());
    consumeError(at.takeError());
    consumeError(name.takeError());
  }
  return {};
}

/// The first function that refers to a symbol, or nothing.
StringRef userOf(const ELFObjectFileBase &file, StringRef wanted) {
  for (SectionRef section : file.sections())
    for (RelocationRef relocation : section.relocations()) {
      symbol_iterator symbol = relocation.getSymbol();
      if (symbol == file.symbol_end())
        continue;
      Expected<StringRef> name = symbol->getName();
      if (!name) {
        consumeError(name.takeError());
        continue;
      }
      Expected<section_iterator> of = section.getRelocatedSection();
      if (!of) {
        consumeError(of.takeError());
        continue;
      }
      if (*name == wanted && *of != file.section_end())
        return functionAt(file, **of, relocation.getOffset());
    }
  return {};
}

Expected<const StringSet<> *> allowedSymbols() {
  static StringSet<> *allowed = nullptr;
  if (allowed)
    return allowed;
  auto names = std::make_unique<StringSet<>>();
  for (const EmbeddedFile &stub : getGlibcStubs()) {
    auto file = open(stub.name, stub.contents);
    if (!file)
      return file.takeError();
    if (Error error = collect((*file)->getDynamicSymbolIterators(), true,
                              [&](StringRef name) { names->insert(name); }))
      return error;
  }
  names->insert("_GLOBAL_OFFSET_TABLE_"); // the linker's own
  return allowed = names.release();
}

} // namespace

Error tenon::checkUndefinedSymbols(ArrayRef<StringRef> objects) {
  Expected<const StringSet<> *> allowed = allowedSymbols();
  if (!allowed)
    return allowed.takeError();
  SmallVector<std::unique_ptr<ELF64LEObjectFile>> files;
  StringSet<> defined;
  MapVector<StringRef, const ELFObjectFileBase *> needed;
  for (StringRef object : objects) {
    auto file = open("object", object);
    if (!file)
      return file.takeError();
    files.push_back(std::move(*file));
    const ELFObjectFileBase &last = *files.back();
    if (Error error = collect(last.symbols(), true,
                              [&](StringRef name) { defined.insert(name); }))
      return error;
    if (Error error = collect(last.symbols(), false, [&](StringRef name) {
          needed.try_emplace(name, &last);
        }))
      return error;
  }
  std::string text;
  raw_string_ostream os(text);
  for (auto [name, file] : needed) {
    if (defined.contains(name) || (*allowed)->contains(name))
      continue;
    os << (text.empty() ? "" : ", ") << "'" << name << "'";
    if (StringRef user = userOf(*file, name); !user.empty())
      os << " (used by '" << user << "')";
  }
  if (text.empty())
    return Error::success();
  return createStringError(
      "internal error: the code needs " + text +
      ", and an artifact may need nothing but the functions of glibc 2.17 that "
      "cmake/glibc-stubs lists; nothing was written");
}
