//===- Tenon.td - the whole dialect ------------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TD
#define TENON_TD

include "dialects/Tenon/IR/TenonBase.td"
include "dialects/Tenon/IR/TenonElementwise.td"
include "dialects/Tenon/IR/TenonData.td"
include "dialects/Tenon/IR/TenonCompute.td"
include "dialects/Tenon/IR/TenonControl.td"
include "dialects/Tenon/IR/TenonKernel.td"

#endif // TENON_TD
