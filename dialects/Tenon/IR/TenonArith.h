//===- TenonArith.h - arithmetic --------------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONARITH_H
#define TENON_IR_TENONARITH_H

#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/FMod.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mod.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/Ops/Pow.h"
#include "dialects/Tenon/IR/Ops/Quotient.h"
#include "dialects/Tenon/IR/Ops/Sign.h"
#include "dialects/Tenon/IR/Ops/Sub.h"

#endif // TENON_IR_TENONARITH_H
