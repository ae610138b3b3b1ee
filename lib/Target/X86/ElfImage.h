//===- ElfImage.h - patching ELF files --------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What happens to the weights' section on its way into a file: it leaves LLVM
// as zeros without bytes, is linked (or not) as such, and gets its bytes when
// the file is otherwise done.
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_TARGET_X86_ELFIMAGE_H
#define TENON_LIB_TARGET_X86_ELFIMAGE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace tenon {

/// Linkers place sections of this name beyond everything that code reaches by
/// 32-bit distances.
inline constexpr llvm::StringLiteral kWeightsSection = ".lrodata.tenon";
inline constexpr uint64_t kPage = 4096;

/// The page cache may hold large weights in pages of this size. A process maps
/// each by one entry, not 512, where its place in memory is that in the file
/// but for a multiple of it.
inline constexpr uint64_t kHugePage = 2 << 20;
inline uint64_t alignmentOfWeights(uint64_t size) {
  constexpr uint64_t few = 4;
  return size < few * kHugePage ? kPage : kHugePage;
}

/// Renames the section `name` of a relocatable object to kWeightsSection and
/// makes it read-only and large. No such section: nothing to do.
llvm::Error makeWeightsSectionReadOnly(llvm::MutableArrayRef<char> object,
                                       llvm::StringRef name);

/// Size of the weights' section, 0 without one.
llvm::Expected<uint64_t> weightsSectionSize(llvm::StringRef object);

/// Says that the weights' section has bytes, from `begin` on in the file or
/// where its place in memory asks for it, and gives that offset. In a linked
/// file the segment that holds it is told too. Headers are found with `read`
/// and changed with `write`, so that the file needs not be in memory.
using ReadAt =
    llvm::function_ref<llvm::Error(llvm::MutableArrayRef<char>, uint64_t)>;
using WriteAt = llvm::function_ref<llvm::Error(llvm::ArrayRef<char>, uint64_t)>;
llvm::Expected<uint64_t> placeWeights(ReadAt read, WriteAt write, uint64_t size,
                                      uint64_t begin);

/// Gives dynamic symbols without a size that of another one at their address: a
/// linker's alias has none, and programs may copy what they refer to.
llvm::Error sizeAliases(ReadAt read, WriteAt write);

} // namespace tenon

#endif // TENON_LIB_TARGET_X86_ELFIMAGE_H
