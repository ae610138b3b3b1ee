//===- EmbeddedFiles.h - files that the compiler carries -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What `tenon` needs to make an artifact besides LLVM is inside its own
// executable, so that compiling a model needs no toolchain on the machine.
// The build writes the definitions (cmake/TenonEmbed.cmake).
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TARGET_EMBEDDEDFILES_H
#define TENON_TARGET_EMBEDDEDFILES_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

namespace tenon {

struct EmbeddedFile {
  llvm::StringRef name; ///< The file's name, which is also its soname.
  llvm::StringRef contents;
};

/// The runtime as objects, for plain x86-64, of which a model needs the first
/// for sure. Each function has a section, and what models refer to is hidden.
llvm::ArrayRef<llvm::StringRef> getRuntimeObjects();

/// Shared libraries without code that stand for glibc at link time, with the
/// symbol versions of its old releases.
llvm::ArrayRef<EmbeddedFile> getGlibcStubs();

} // namespace tenon

#endif // TENON_TARGET_EMBEDDEDFILES_H
