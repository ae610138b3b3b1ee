//===- TenonOps.cpp - the generated op definitions ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Apart from the hand-written code, because these 30,000 lines take long to
// compile and rarely change.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;

#define GET_OP_CLASSES
#include "dialects/Tenon/IR/TenonOps.cpp.inc"
