//===- FewTerms.h - convolutions whose sums are short -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_FEWTERMS_H
#define TENON_LIB_CODEGEN_FORM_FEWTERMS_H

#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"

namespace tenon {

/// Up to so many terms, and so many that follow each other in the image, a
/// convolution's sums go to its epilogue in registers, if no more neighbours
/// than that meet an element.
inline constexpr int64_t kFewTerms = 64, kFewOfRun = 32, kFewMeeting = 8;

/// Does `transpose` move the columns of such a convolution to the front? Its
/// tiles can be turned before they are stored.
bool turnsTiles(PackedMatMulOp product, TransposeOp transpose);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_FEWTERMS_H
