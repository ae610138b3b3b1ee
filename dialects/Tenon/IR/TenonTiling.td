//===- TenonTiling.td - how a kernel is cut into tasks -----*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What `tenon-tile` writes on a kernel and its emitter reads: one attribute for
// each form of kernel and family of targets, with the numbers that a person can
// set. What follows from them and the dims (how many blocks there are) stays an
// expression of the emitter; what depends on an instruction set (vectors,
// unrolling) is the level's, because all levels of an artifact share one list
// of tasks.
//
// No number of a CPU's tiling changes a bit of any result: the order of additions
// depends on none of them.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TILING_TD
#define TENON_TILING_TD

include "dialects/Tenon/IR/TenonTilingBase.td"

def Tenon_KernelKind : Tenon_I32Enum<"KernelKind", "kind of kernel", [
    I32EnumAttrCase<"map", 0>, I32EnumAttrCase<"row", 1>, I32EnumAttrCase<"matmul", 2>,
    I32EnumAttrCase<"attention", 3>, I32EnumAttrCase<"scan", 4>, I32EnumAttrCase<"scatter", 5>,
    I32EnumAttrCase<"top_k", 6>, I32EnumAttrCase<"recurrence", 7>, I32EnumAttrCase<"native", 8>,
    I32EnumAttrCase<"depthwise", 9>]>;
def Tenon_KernelKindAttr : Tenon_EnumAttr<Tenon_KernelKind, "kernel_kind">;

def Tenon_MmaProducts : Tenon_I32Enum<"MmaProducts", "what tensor cores multiply", [
    I32EnumAttrCase<"tf32x3", 0>, I32EnumAttrCase<"tf32", 1>, I32EnumAttrCase<"bf16", 2>,
    I32EnumAttrCase<"f16", 3>, I32EnumAttrCase<"i8", 4>]>;

class Tenon_CpuTiling<string name, string mnem>
    : Tenon_Attr<name, mnem, [Tenon_TilingInterface]> {
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    ::llvm::StringRef getFamily() const { return "cpu"; }
    ::llvm::LogicalResult verifyFor(::mlir::Operation *kernel) const;
  }];
}

def Tenon_CpuMatMulTilingAttr : Tenon_CpuTiling<"CpuMatMulTiling", "cpu_matmul"> {
  let summary = "Of a matmul on a CPU";
  let description = [{
    A task is `task` rows of the result by that many panels of 32 columns; it is
    computed a register `tile` at a time. Rows are walked in blocks, of which
    the operand's rows fill `block_bytes` of the L2 cache. Where there are many
    more than `chunk` rows of the right operand, a task is a whole block and
    walks about so many at a time.

    The `task` is a multiple of the `tile`, which has at most 6 rows and 2
    panels; it has 2 where the halves of a gated matmul come together.
  }];
  let parameters = (ins "int64_t":$taskRows, "int64_t":$taskPanels,
                        "int64_t":$tileRows, "int64_t":$tilePanels,
                        "int64_t":$blockBytes, "int64_t":$chunk);
  let assemblyFormat = "`<` `task` `=` $taskRows `x` $taskPanels `,` `tile` `=` $tileRows `x` "
                       "$tilePanels `,` `block_bytes` `=` $blockBytes `,` `chunk` `=` $chunk `>`";
}

def Tenon_CpuConvTilingAttr : Tenon_CpuTiling<"CpuConvTiling", "cpu_conv"> {
  let summary = "Of a product of an image's patches on a CPU that reads the image itself";
  let description = [{
    A task is a block of at most about so many `positions` of the result by so
    many `panels` of 32 columns; it is computed a register `tile` at a time. What
    a block meets of the image is copied once, with its borders (or lies in place,
    if no patch meets a border), and read through the offsets of positions and
    taps: no patch is written out. Where there are many more than `chunk` rows of
    the right operand, a task walks about so many at a time.

    The `panels` are a multiple of the `tile`'s, which has at most 6 positions and
    2 panels. A product by so few columns that they would leave most of a vector
    empty has its lanes along the kernel's rows instead, and adds in the order of
    those: there the sums are not those of a cpu_matmul.
  }];
  let parameters = (ins "int64_t":$positions, "int64_t":$taskPanels,
                        "int64_t":$tileRows, "int64_t":$tilePanels, "int64_t":$chunk);
  let assemblyFormat = "`<` `positions` `=` $positions `,` `panels` `=` $taskPanels `,` `tile` `=` "
                       "$tileRows `x` $tilePanels `,` `chunk` `=` $chunk `>`";
}

def Tenon_CpuWinogradTilingAttr : Tenon_CpuTiling<"CpuWinogradTiling", "cpu_winograd"> {
  let summary = "Of a product with `winograd` on a CPU";
  let description = [{
    A task is a block of at most so many `squares` of 2x2 positions of the result by
    so many `panels` of 32 columns. What is computed of a block's pixels is done once
    for all tasks of a block that follow one another; the 16 products are computed a register `tile` at
    a time, all squares by the panels of one.

    The `panels` are a multiple of the `tile`'s, which has at most 6 squares and 2 panels.
  }];
  let parameters = (ins "int64_t":$squares, "int64_t":$taskPanels,
                        "int64_t":$tileRows, "int64_t":$tilePanels);
  let assemblyFormat = "`<` `squares` `=` $squares `,` `panels` `=` $taskPanels `,` `tile` `=` "
                       "$tileRows `x` $tilePanels `>`";
}

def Tenon_CpuAttentionTilingAttr : Tenon_CpuTiling<"CpuAttentionTiling", "cpu_attention"> {
  let summary = "Of an attention on a CPU";
  let description = [{
    A task is so many rows of the queries, a multiple of 6, of one batch and
    head. All their scores are in the cache at once.
  }];
  let parameters = (ins "int64_t":$queries);
  let assemblyFormat = "`<` `queries` `=` $queries `>`";
}

def Tenon_CpuElementsTilingAttr : Tenon_CpuTiling<"CpuElementsTiling", "cpu_elements"> {
  let summary = "Of a map on a CPU";
  let description = [{
    A task is so many elements, a multiple of 64, where all dims count as one;
    else it is a row.
  }];
  let parameters = (ins "int64_t":$chunk);
  let assemblyFormat = "`<` `chunk` `=` $chunk `>`";
}

def Tenon_CpuReduceTilingAttr : Tenon_CpuTiling<"CpuReduceTiling", "cpu_reduce"> {
  let summary = "Of a map that ends with a reduction, on a CPU";
  let description = [{
    Where lanes run along the dim that is reduced, a task reads about `elements`;
    where they run along one that stays, it has so many `columns`, a multiple of
    16.
  }];
  let parameters = (ins "int64_t":$elements, "int64_t":$columns);
  let assemblyFormat = "`<` `elements` `=` $elements `,` `columns` `=` $columns `>`";
}

def Tenon_CpuColumnsTilingAttr : Tenon_CpuTiling<"CpuColumnsTiling", "cpu_columns"> {
  let summary = "Of a kernel that walks one dim while lanes lie along another, on a CPU";
  let description = [{
    Scans and recurrences: a task has so many columns, a multiple of 16, of the
    dim that lanes lie along.
  }];
  let parameters = (ins "int64_t":$columns);
  let assemblyFormat = "`<` `columns` `=` $columns `>`";
}

def Tenon_CpuScatterTilingAttr : Tenon_CpuTiling<"CpuScatterTiling", "cpu_scatter"> {
  let summary = "Of a scatter on a CPU";
  let description = [{
    Along one axis, a task has so many `columns`, a multiple of 16, of the last
    dim. By tuples there are at most so many `tasks`, each of which reads all
    indices.
  }];
  let parameters = (ins "int64_t":$columns, "int64_t":$tasks);
  let assemblyFormat = "`<` `columns` `=` $columns `,` `tasks` `=` $tasks `>`";
}

def Tenon_GpuThreadsTilingAttr : Tenon_GpuTiling<"GpuThreadsTiling", "gpu_threads"> {
  let summary = "Of a kernel on a GPU whose tasks are threads'";
  let description = [{
    A block has so many `threads`, a multiple of 32. Of a map, or of a depthwise
    convolution, each takes so many neighbouring `elements`, 4 only where that divides
    the last dim; of any other kernel one task.
  }];
  let parameters = (ins "int64_t":$threads, "int64_t":$elements);
  let assemblyFormat = "`<` `threads` `=` $threads `,` `elements` `=` $elements `>`";
}

def Tenon_GpuMatMulTilingAttr : Tenon_GpuTiling<"GpuMatMulTiling", "gpu_matmul"> {
  let summary = "Of a matmul on a GPU's tensor cores";
  let description = [{
    A block has a `tile` of rows and columns of the result, multiples of 32; a
    warp has 32 x 32 of it. So many `stages` of both operands, at least 2, are in
    shared memory at a time, where all must have room.

    `products` is what f32 operands are multiplied as: `tf32x3` splits each into
    two numbers of tf32 and is as exact as f32; `tf32`, `bf16` and `f16` round
    them. Sums are f32. Products of integers are `i8`, and exact.

    With a `split`, a multiple of 4, K is cut in so many ranges, and a sum is
    those of the ranges, added in their order. Where there are few rows a block
    has 16 of them by a panel for each 4 of its warps, and 4 of the ranges: the
    bits are those of a tile. Without, a sum is one chain.

    A tile of 128 x 64 is multiplied by a warpgroup where the GPU has wgmma: of
    sm_90a, but for integers.

    `products` and `split` change results, as may wgmma; the other numbers do
    not.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$columns, "int64_t":$stages,
                        DefaultValuedParameter<"int64_t", "1">:$split,
                        EnumParameter<Tenon_MmaProducts>:$products);
  let assemblyFormat = "`<` `tile` `=` $rows `x` $columns `,` `stages` `=` $stages `,` "
                       "(`split` `=` $split^ `,`)? `products` `=` $products `>`";
  let extraClassDeclaration = [{
    ::llvm::StringRef getFamily() const { return "gpu"; }
    ::llvm::LogicalResult verifyFor(::mlir::Operation *kernel) const;
    /// Of a block: a warp for each 32 x 32.
    int64_t getThreads() const { return getRows() * getColumns() / 32; }
    int64_t getWarps() const { return getThreads() / 32; }
  }];
}

def Tenon_GpuAttentionTilingAttr : Tenon_GpuTiling<"GpuAttentionTiling", "gpu_attention"> {
  let summary = "Of an attention on a GPU's tensor cores";
  let description = [{
    A block has so many `rows` of the queries of one batch and head, a warp 16 of
    them. Operands and weights are multiplied as `products` says.
  }];
  let parameters = (ins "int64_t":$rows, EnumParameter<Tenon_MmaProducts>:$products);
  let assemblyFormat = "`<` `rows` `=` $rows `,` `products` `=` $products `>`";
  let extraClassDeclaration = [{
    ::llvm::StringRef getFamily() const { return "gpu"; }
    ::llvm::LogicalResult verifyFor(::mlir::Operation *kernel) const;
    int64_t getThreads() const { return getRows() * 2; } ///< of a block
  }];
}

def Tenon_GpuBlocksTilingAttr : Tenon_GpuTiling<"GpuBlocksTiling", "gpu_blocks"> {
  let summary = "Of a kernel on a GPU whose tasks are blocks'";
  let description = [{
    Rows, and reductions along the last dim: a block of so many `threads`, a
    multiple of 32, has a row. Each thread takes so many neighbouring `elements`
    at a time, 4 only where that divides the row. Unlike the tilings of CPUs,
    both numbers decide the order of additions.
  }];
  let parameters = (ins "int64_t":$threads, "int64_t":$elements);
  let assemblyFormat = "`<` `threads` `=` $threads `,` `elements` `=` $elements `>`";
}

def Tenon_CpuDepthwiseTilingAttr : Tenon_CpuTiling<"CpuDepthwiseTiling", "cpu_depthwise"> {
  let summary = "Of a depthwise convolution on a CPU";
  let description = [{
    A task is so many `pixels`, a multiple of 8, of one row of the result by so
    many `channels`, a multiple of 64: what a few rows of the input have of them
    is in the cache at once.
  }];
  let parameters = (ins "int64_t":$pixels, "int64_t":$channels);
  let assemblyFormat = "`<` `pixels` `=` $pixels `,` `channels` `=` $channels `>`";
}

#endif // TENON_TILING_TD
