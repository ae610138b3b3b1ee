//===- Passes.td - graph passes ----------------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The list of them. Each stands in a .td file beside its source, so that a
// change of one compiles again that one and who makes pipelines.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_PASSES_TD
#define TENON_TRANSFORMS_PASSES_TD

include "dialects/Tenon/Transforms/FoldShapes.td"
include "dialects/Tenon/Transforms/FoldConstants.td"
include "dialects/Tenon/Transforms/FoldIndices.td"
include "dialects/Tenon/Transforms/FindState.td"
include "dialects/Tenon/Transforms/FuseCells.td"
include "dialects/Tenon/Transforms/FuseGelu.td"
include "dialects/Tenon/Transforms/FuseNorms.td"
include "dialects/Tenon/Transforms/FuseSilu.td"
include "dialects/Tenon/Transforms/HoistReshapes.td"
include "dialects/Tenon/Transforms/FuseSoftmax.td"
include "dialects/Tenon/Transforms/SelectRows.td"

#endif // TENON_TRANSFORMS_PASSES_TD
