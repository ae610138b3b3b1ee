//===- ElfImage.cpp - patching ELF files ----------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ElfImage.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/MathExtras.h"
#include <cstring>
#include <optional>
#include <string>
#include <vector>

using namespace llvm;
using namespace llvm::ELF;
using namespace tenon;

namespace {

Error malformed(const Twine &what) {
  return createStringError("internal error: " + what);
}

/// The headers of a 64-bit ELF file of this machine's byte order.
struct Headers {
  Elf64_Ehdr file;
  std::vector<Elf64_Shdr> sections;
  std::vector<Elf64_Phdr> segments;
  std::string names;

  static Expected<Headers> read(ReadAt readAt);
  StringRef name(const Elf64_Shdr &section) const {
    if (section.sh_name >= names.size())
      return {};
    return names.c_str() + section.sh_name;
  }
  std::optional<size_t> find(StringRef wanted) const {
    for (auto [index, section] : enumerate(sections))
      if (name(section) == wanted)
        return index;
    return std::nullopt;
  }
  uint64_t sectionOffset(size_t index) const {
    return file.e_shoff + index * sizeof(Elf64_Shdr);
  }
  uint64_t segmentOffset(size_t index) const {
    return file.e_phoff + index * sizeof(Elf64_Phdr);
  }
};

template <typename T>
MutableArrayRef<char> bytesOf(T &value) {
  return {reinterpret_cast<char *>(&value), sizeof(T)};
}

Expected<Headers> Headers::read(ReadAt readAt) {
  Headers h;
  if (Error error = readAt(bytesOf(h.file), 0))
    return std::move(error);
  if (!h.file.checkMagic() || h.file.getFileClass() != ELFCLASS64 ||
      h.file.getDataEncoding() != ELFDATA2LSB || h.file.e_shoff == 0 ||
      h.file.e_shentsize != sizeof(Elf64_Shdr))
    return malformed("not a 64-bit ELF file");
  // An object of many sections keeps their number in the first one.
  Elf64_Shdr first;
  if (Error error = readAt(bytesOf(first), h.file.e_shoff))
    return std::move(error);
  uint64_t count = h.file.e_shnum ? h.file.e_shnum : first.sh_size;
  uint64_t namesIndex =
      h.file.e_shstrndx == SHN_XINDEX ? first.sh_link : h.file.e_shstrndx;
  if (namesIndex >= count)
    return malformed("no section names");
  h.sections.resize(count);
  MutableArrayRef<char> table(reinterpret_cast<char *>(h.sections.data()),
                              count * sizeof(Elf64_Shdr));
  if (Error error = readAt(table, h.file.e_shoff))
    return std::move(error);
  h.segments.resize(h.file.e_phnum);
  MutableArrayRef<char> segments(reinterpret_cast<char *>(h.segments.data()),
                                 h.segments.size() * sizeof(Elf64_Phdr));
  if (Error error = readAt(segments, h.file.e_phoff))
    return std::move(error);
  const Elf64_Shdr &names = h.sections[namesIndex];
  h.names.resize(names.sh_size);
  if (Error error = readAt({h.names.data(), h.names.size()}, names.sh_offset))
    return std::move(error);
  return h;
}

Error readFrom(StringRef image, MutableArrayRef<char> out, uint64_t offset) {
  if (offset > image.size() || out.size() > image.size() - offset)
    return malformed("truncated ELF file");
  memcpy(out.data(), image.data() + offset, out.size());
  return Error::success();
}

} // namespace

Error tenon::makeWeightsSectionReadOnly(MutableArrayRef<char> object,
                                        StringRef name) {
  StringRef image(object.data(), object.size());
  Expected<Headers> headers =
      Headers::read([&](MutableArrayRef<char> out, uint64_t offset) {
        return readFrom(image, out, offset);
      });
  if (!headers)
    return headers.takeError();
  std::optional<size_t> index = headers->find(name);
  if (!index)
    return Error::success();
  Elf64_Shdr &section = headers->sections[*index];
  if (section.sh_type != SHT_NOBITS)
    return malformed("the weights' section has bytes");
  // The name table is shared with other names that end alike: nobody else may
  // point into this one.
  for (const Elf64_Shdr &other : headers->sections)
    if (&other != &section && other.sh_name >= section.sh_name &&
        other.sh_name < section.sh_name + name.size())
      return malformed("the weights' section shares its name");
  size_t namesIndex = headers->file.e_shstrndx == SHN_XINDEX
                          ? headers->sections[0].sh_link
                          : headers->file.e_shstrndx;
  char *text =
      object.data() + headers->sections[namesIndex].sh_offset + section.sh_name;
  memset(text, 0, name.size());
  memcpy(text, kWeightsSection.data(), kWeightsSection.size());
  section.sh_flags = SHF_ALLOC | SHF_X86_64_LARGE;
  memcpy(object.data() + headers->sectionOffset(*index), &section,
         sizeof section);
  return Error::success();
}

Expected<uint64_t> tenon::weightsSectionSize(StringRef object) {
  Expected<Headers> headers =
      Headers::read([&](MutableArrayRef<char> out, uint64_t offset) {
        return readFrom(object, out, offset);
      });
  if (!headers)
    return headers.takeError();
  std::optional<size_t> index = headers->find(kWeightsSection);
  return index ? headers->sections[*index].sh_size : 0;
}

Expected<uint64_t> tenon::placeWeights(ReadAt read, WriteAt write,
                                       uint64_t size, uint64_t begin) {
  Expected<Headers> headers = Headers::read(read);
  if (!headers)
    return headers.takeError();
  std::optional<size_t> index = headers->find(kWeightsSection);
  if (!index)
    return malformed("no section for the weights");
  Elf64_Shdr &section = headers->sections[*index];
  if (section.sh_size != size)
    return malformed("the weights' section has another size");
  bool linked = !headers->segments.empty();
  uint64_t alignment = linked ? alignmentOfWeights(size) : kPage;
  uint64_t offset = alignTo(begin, alignment, section.sh_addr);
  section.sh_type = SHT_PROGBITS;
  section.sh_offset = offset;
  if (Error error = write(bytesOf(section), headers->sectionOffset(*index)))
    return std::move(error);
  if (!linked)
    return offset;

  for (auto [number, segment] : enumerate(headers->segments)) {
    if (segment.p_type != PT_LOAD || segment.p_vaddr != section.sh_addr)
      continue;
    if (segment.p_filesz != 0 || segment.p_memsz < size)
      return malformed("the weights share their segment");
    segment.p_offset = offset;
    segment.p_filesz = segment.p_memsz = size;
    segment.p_flags = PF_R;
    segment.p_align = alignment;
    if (Error error = write(bytesOf(segment), headers->segmentOffset(number)))
      return std::move(error);
    return offset;
  }
  return malformed("no segment for the weights");
}

Error tenon::sizeAliases(ReadAt read, WriteAt write) {
  Expected<Headers> headers = Headers::read(read);
  if (!headers)
    return headers.takeError();
  std::optional<size_t> index = headers->find(".dynsym");
  if (!index)
    return malformed("no dynamic symbols");
  const Elf64_Shdr &section = headers->sections[*index];
  std::vector<Elf64_Sym> symbols(section.sh_size / sizeof(Elf64_Sym));
  MutableArrayRef<char> table(reinterpret_cast<char *>(symbols.data()),
                              symbols.size() * sizeof(Elf64_Sym));
  if (Error error = read(table, section.sh_offset))
    return error;
  for (Elf64_Sym &alias : symbols)
    for (const Elf64_Sym &symbol : symbols)
      if (alias.st_size == 0 && alias.st_shndx != SHN_UNDEF &&
          alias.st_value == symbol.st_value &&
          alias.st_shndx == symbol.st_shndx)
        alias.st_size = symbol.st_size;
  return write(table, section.sh_offset);
}
