//===- TenonValue.h - constants and numbers from dims -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONVALUE_H
#define TENON_IR_TENONVALUE_H

#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/ReadDims.h"

#endif // TENON_IR_TENONVALUE_H
