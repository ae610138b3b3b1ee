//===- TenonGrid.td - blocks that go from tile to tile -----*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Apart from TenonTiling.td, as only who emits or chooses them knows them.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_GRID_TD
#define TENON_GRID_TD

include "dialects/Tenon/IR/TenonTilingBase.td"

def Tenon_GpuGridTilingAttr : Tenon_GpuTiling<"GpuGridTiling", "gpu_grid"> {
  let summary = "Of a matmul on a GPU whose blocks go from tile to tile";
  let description = [{
    The tiles are those of a `gpu_matmul` of 128 x 64 floats, which warpgroups
    multiply. Where the GPU has wgmma (sm_90a) as many blocks are launched as run at
    a time, and each goes on to a further tile: one warpgroup fills the stages of
    the next tile while the other one still stores. Elsewhere a block has a tile.

    The bits are those of the `gpu_matmul`.
  }];
  let parameters = (ins "::tenon::GpuMatMulTilingAttr":$tiles);
  let assemblyFormat = "`<` qualified($tiles) `>`";
}

#endif // TENON_GRID_TD
