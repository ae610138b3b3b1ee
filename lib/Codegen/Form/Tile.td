//===- Tile.td - the pass tenon-tile -----------------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_TILE_TD
#define TENON_CODEGEN_TILE_TD

include "mlir/Pass/PassBase.td"

def TilePass : Pass<"tenon-tile", "::mlir::ModuleOp"> {
  let summary = "Decide how each kernel is cut into tasks";
  let description = [{
    Writes a tiling on each kernel. One of the family that stands is kept; else the first line
    of the file `from` that matches counts (include/tenon/Codegen/Tilings.h says
    what a line looks like; one that matches no kernel is a warning); else the
    target family's own choice. What comes after reads the attribute and decides
    nothing of this.

    ```mlir
    %0 = tenon.kernel matmul(%x, %w) : ...
    // becomes
    %0 = tenon.kernel matmul(%x, %w) : ... tiling #tenon.cpu_matmul<task = 48 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512>
    ```
    With `candidate` n each kernel gets the n-th tiling that a tuner may try, or
    the last.
  }];
  let options = [
    Option<"family", "family", "std::string", "\"cpu\"", "Of targets">,
    Option<"from", "from", "std::string", "\"\"", "A file of tilings">,
    Option<"candidate", "candidate", "unsigned", "0", "Number of the tiling to take">,
    Option<"l2Bytes", "l2-bytes", "int64_t", "1 << 20", "A core's second cache">,
    Option<"products", "products", "std::string", "\"tf32x3\"",
           "Of f32 operands on a GPU: tf32x3, tf32, bf16 or f16">,
    Option<"warpgroups", "warpgroups", "bool", "false",
           "One of the GPUs multiplies by warpgroups: sm_90a">
  ];
  let statistics = [
    Statistic<"numChosen", "chosen", "Kernels whose tiling the family chose">,
    Statistic<"numOverridden", "overridden", "Kernels whose tiling a file says">
  ];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_TILE_TD
