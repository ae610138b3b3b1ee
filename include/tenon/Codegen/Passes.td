//===- Passes.td - code generation passes ------------------*- tablegen -*-===//
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

#ifndef TENON_CODEGEN_PASSES_TD
#define TENON_CODEGEN_PASSES_TD

include "lib/Codegen/Math/ExpandMath.td"
include "lib/Codegen/Form/FlattenNorms.td"
include "lib/Codegen/Form/FlushTinyWeights.td"
include "lib/Codegen/Form/WidenConvs.td"
include "lib/Codegen/Form/LowerConv.td"
include "lib/Codegen/Form/PackMatMul.td"
include "lib/Codegen/Form/MergeMatMul.td"
include "lib/Codegen/Form/HoistInvariants.td"
include "lib/Codegen/Form/FormKernels.td"
include "lib/Codegen/Form/SplitPhases.td"
include "lib/Codegen/Form/Tile.td"
include "lib/Codegen/Form/Winograd.td"
include "lib/Codegen/Form/ChooseProducts.td"
include "lib/Codegen/Form/LayColumns.td"
include "lib/Codegen/Emit/EmitKernels.td"
include "lib/Codegen/Gpu/GpuToLLVM.td"

#endif // TENON_CODEGEN_PASSES_TD
