//===- GpuImage.cpp - what a GPU's code needs -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A cubin is an ELF file. Its section .nv.info is a list of attributes, of
// which number 0x2f is a kernel's symbol and its registers; a kernel's shared
// memory is the size of its section .nv.shared.NAME.
//
//===----------------------------------------------------------------------===//
#include "GpuImage.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Object/ELF.h"
#include "llvm/Support/Endian.h"

using namespace llvm;
using namespace llvm::object;

namespace tenon {

static constexpr StringLiteral kSharedOf = ".nv.shared.";

/// Bytes of shared memory that the system has of each block, which assemblers
/// count from this architecture on.
static constexpr int64_t kReserved = 1024, kCountsReserved = 90;

static Error readRegisters(const ELFFile<ELF64LE> &file,
                           ArrayRef<ELF64LE::Shdr> sections,
                           ArrayRef<uint8_t> info,
                           StringMap<GpuKernelCode> &kernels) {
  constexpr uint8_t registerCount = 0x2f, sized = 4;
  const ELF64LE::Shdr *symbols = nullptr;
  for (const ELF64LE::Shdr &section : sections)
    if (section.sh_type == ELF::SHT_SYMTAB)
      symbols = &section;
  if (!symbols)
    return createStringError("a cubin without symbols");
  auto names = file.getStringTableForSymtab(*symbols);
  if (!names)
    return names.takeError();
  while (info.size() >= 4) {
    uint8_t format = info[0], attribute = info[1];
    uint16_t size = support::endian::read16le(info.data() + 2);
    info = info.drop_front(4);
    if (format != sized) // the value is the size itself
      continue;
    if (info.size() < size)
      return createStringError("a cubin whose attributes are cut off");
    if (attribute == registerCount && size == 8) {
      auto symbol =
          file.getSymbol(symbols, support::endian::read32le(info.data()));
      if (!symbol)
        return symbol.takeError();
      auto name = (*symbol)->getName(*names);
      if (!name)
        return name.takeError();
      kernels[*name].registers = support::endian::read32le(info.data() + 4);
    }
    info = info.drop_front(size);
  }
  return Error::success();
}

static Error readCubin(StringRef bytes, int32_t capability,
                       StringMap<GpuKernelCode> &kernels) {
  auto file = ELFFile<ELF64LE>::create(bytes);
  if (!file)
    return file.takeError();
  auto sections = file->sections();
  if (!sections)
    return sections.takeError();
  for (const ELF64LE::Shdr &section : *sections) {
    auto name = file->getSectionName(section);
    if (!name)
      return name.takeError();
    if (*name == ".nv.info") {
      auto info = file->getSectionContents(section);
      if (!info)
        return info.takeError();
      if (Error problem = readRegisters(*file, *sections, *info, kernels))
        return problem;
    } else if (name->starts_with(kSharedOf) && section.sh_size) {
      kernels[name->drop_front(kSharedOf.size())].sharedBytes =
          int64_t(section.sh_size) -
          (capability >= kCountsReserved ? kReserved : 0);
    }
  }
  return Error::success();
}

/// Arrays of shared memory stand in the kernel that has them.
static void readPtx(StringRef text, StringMap<GpuKernelCode> &kernels) {
  StringRef kernel;
  while (!text.empty()) {
    auto [line, rest] = text.split('\n');
    text = rest;
    line = line.trim();
    if (line.contains(".entry ")) {
      kernel = line.split(".entry ").second.take_until(
          [](char c) { return c == '(' || isSpace(c); });
      kernels[kernel];
    } else if (line.starts_with(".shared ") && !kernel.empty()) {
      int64_t bytes = 0;
      if (!line.split('[').second.split(']').first.getAsInteger(10, bytes))
        kernels[kernel].sharedBytes += bytes;
    }
  }
}

Expected<GpuCode> readGpuCode(const tenon_gpu &gpu, int32_t capability) {
  for (int32_t i = 0; i < gpu.num_images; ++i) {
    const tenon_image &image = gpu.images[i];
    StringRef name = image.name;
    bool exact = !name.empty() && !isDigit(name.back());
    if (image.capability > capability ||
        (exact && image.capability != capability))
      continue;
    StringRef bytes(static_cast<const char *>(image.data), image.bytes);
    GpuCode code;
    code.image = name;
    if (image.kind == TENON_IMAGE_PTX) {
      readPtx(bytes, code.kernels);
      return code;
    }
    if (image.capability / 10 != capability / 10)
      continue;
    if (Error problem = readCubin(bytes, image.capability, code.kernels))
      return std::move(problem);
    return code;
  }
  return createStringError("the artifact has no code for this GPU");
}

std::vector<StringRef> findProducts(const tenon_gpu &gpu) {
  static constexpr StringLiteral names[] = {"tf32x3", "tf32", "bf16", "f16",
                                            "i8"};
  ArrayRef kernels(gpu.kernels, size_t(gpu.num_kernels));
  std::vector<StringRef> found;
  for (auto [i, name] : enumerate(names))
    if (any_of(kernels, [products = int32_t(i) + TENON_PRODUCTS_TF32X3](
                            const tenon_gpu_kernel &kernel) {
          return kernel.products == products;
        }))
      found.push_back(name);
  return found;
}

} // namespace tenon
