//===- TenonAll.td - the whole dialect ---------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_ALL_TD
#define TENON_ALL_TD

include "dialects/Tenon/IR/Tenon.td"
include "dialects/Tenon/IR/TenonKernel.td"
include "dialects/Tenon/IR/TenonPacked.td"
include "dialects/Tenon/IR/TenonGrid.td"

#endif // TENON_ALL_TD
