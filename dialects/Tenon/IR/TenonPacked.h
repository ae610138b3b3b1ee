//===- TenonPacked.h - products of packed operands --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONPACKED_H
#define TENON_IR_TENONPACKED_H

#include "dialects/Tenon/IR/Ops/Depthwise.h"
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/LoadPages.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackWeight.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/StorePages.h"
#include "dialects/Tenon/IR/Ops/StoredRows.h"

#endif // TENON_IR_TENONPACKED_H
