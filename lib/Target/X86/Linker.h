//===- Linker.h - linking objects in process --------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_TARGET_X86_LINKER_H
#define TENON_LIB_TARGET_X86_LINKER_H

#include "tenon/Target/Artifact.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace tenon {

/// Makes one relocatable object of those that `exportedSymbol` reaches, with no
/// other global symbol, so that programs can have two.
llvm::Expected<llvm::SmallString<0>>
mergeObjects(llvm::ArrayRef<llvm::StringRef> objects,
             llvm::StringRef exportedSymbol);

/// Links `object` into a shared library that exports one symbol, and its alias.
/// The weights' section has a segment of its own, still without bytes.
llvm::Expected<std::string> linkSharedLibrary(llvm::StringRef object,
                                              const ArtifactOptions &options);

} // namespace tenon

#endif // TENON_LIB_TARGET_X86_LINKER_H
