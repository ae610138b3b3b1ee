//===- LegalizeFloats.h - float operations that every level has -*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_TARGET_X86_LEGALIZEFLOATS_H
#define TENON_LIB_TARGET_X86_LEGALIZEFLOATS_H

namespace llvm {
class Module;
} // namespace llvm

namespace tenon {

/// Rewrites the float operations that a function's target lacks and LLVM would
/// call libm or compiler-rt for.
void legalizeFloats(llvm::Module &module);

} // namespace tenon

#endif // TENON_LIB_TARGET_X86_LEGALIZEFLOATS_H
