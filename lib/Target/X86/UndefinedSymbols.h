//===- UndefinedSymbols.h - what an artifact may ask for --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_TARGET_X86_UNDEFINEDSYMBOLS_H
#define TENON_LIB_TARGET_X86_UNDEFINEDSYMBOLS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace tenon {

/// An error that names each symbol which the ELF objects of an artifact need
/// together, which none of them defines, and which is not one of the glibc
/// functions in cmake/glibc-stubs; with a function that refers to it.
llvm::Error checkUndefinedSymbols(llvm::ArrayRef<llvm::StringRef> objects);

} // namespace tenon

#endif // TENON_LIB_TARGET_X86_UNDEFINEDSYMBOLS_H
