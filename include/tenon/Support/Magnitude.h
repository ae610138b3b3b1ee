//===- Magnitude.h - how large a dim expression can be ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Expressions saturate, a tensor's integers wrap: whoever follows a model's
// arithmetic asks here whether the two are the same.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_SUPPORT_MAGNITUDE_H
#define TENON_SUPPORT_MAGNITUDE_H

#include "tenon/Support/SymExpr.h"

namespace tenon {

/// At least |e| where a dim, or a product of dims (a tensor's size), or an
/// element is at most `most`; infinite for the bits of floats.
double magnitude(const SymExpr &e, double most);

} // namespace tenon

#endif // TENON_SUPPORT_MAGNITUDE_H
