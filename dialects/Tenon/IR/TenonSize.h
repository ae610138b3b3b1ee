//===- TenonSize.h - sizes that a tensor can have ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONSIZE_H
#define TENON_IR_TENONSIZE_H

#include "mlir/IR/BuiltinTypes.h"
#include <string>

namespace tenon {

/// What is wrong with the static dims of a type whose elements no machine
/// holds; else nothing. What is made of a model has passed this, so that the
/// product of a tensor's dims is a number.
std::string whyTooLarge(mlir::RankedTensorType type);

} // namespace tenon

#endif // TENON_IR_TENONSIZE_H
