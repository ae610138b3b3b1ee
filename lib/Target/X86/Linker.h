//===- Linker.h - linking shared libraries in process -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_TARGET_X86_LINKER_H
#define TENON_LIB_TARGET_X86_LINKER_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace tenon {

/// Links `object` into a shared library at `path` that exports one symbol. The
/// weights' section has a segment of its own, still without bytes.
llvm::Error linkSharedLibrary(llvm::StringRef object, llvm::StringRef path,
                              llvm::StringRef exportedSymbol);

} // namespace tenon

#endif // TENON_LIB_TARGET_X86_LINKER_H
