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

/// Do the sums of windows of `terms` terms go to the epilogue in registers? So
/// many of them as a run has follow each other in the image, and neighbours lie
/// `apart` elements from each other.
bool hasFewTerms(int64_t terms, int64_t run, int64_t apart);

/// Does `transpose` move the columns of such a convolution to the front? Its
/// tiles can be turned before they are stored.
bool turnsTiles(PackedMatMulOp product, TransposeOp transpose);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_FEWTERMS_H
