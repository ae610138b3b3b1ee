//===- SoftenFloats.h - 16-bit floats without registers ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_TARGET_X86_SOFTENFLOATS_H
#define TENON_LIB_TARGET_X86_SOFTENFLOATS_H

namespace llvm {
class Function;
} // namespace llvm

namespace tenon {

/// Keeps every value of bf16 (and of f16, if asked) in integers of 16 bits:
/// memory operations, shuffles and selects move integers, arithmetic is done in
/// f32 and rounded. Signatures stay.
void softenFloats(llvm::Function &function, bool alsoHalf);

} // namespace tenon

#endif // TENON_LIB_TARGET_X86_SOFTENFLOATS_H
