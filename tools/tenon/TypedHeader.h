//===- TypedHeader.h - a C and C++ header of one model ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_TYPEDHEADER_H
#define TENON_TOOLS_TYPEDHEADER_H

#include "llvm/ADT/StringRef.h"

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace tenon {

class OpenArtifact;

/// Writes functions for C99 and a class for C++20 whose arguments are the
/// model's dims, inputs and outputs by name and type. `symbol` is the one that
/// the artifact defines.
void writeTypedHeader(const OpenArtifact &artifact, llvm::StringRef symbol,
                      llvm::raw_ostream &out);

} // namespace tenon

#endif // TENON_TOOLS_TYPEDHEADER_H
