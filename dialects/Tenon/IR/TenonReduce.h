//===- TenonReduce.h - reductions and other walks ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONREDUCE_H
#define TENON_IR_TENONREDUCE_H

#include "dialects/Tenon/IR/TenonOpBase.h"

#define GET_OP_CLASSES
#include "dialects/Tenon/IR/TenonReduce.h.inc"

#endif // TENON_IR_TENONREDUCE_H
