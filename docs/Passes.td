//===- Passes.td - every pass, for docs/Passes.md ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
include "dialects/Tenon/Transforms/Passes.td"
include "include/tenon/Codegen/Passes.td"
