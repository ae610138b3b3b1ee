//===- SplitAttention.h - attention of few queries --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_SPLITATTENTION_H
#define TENON_LIB_CODEGEN_GPU_SPLITATTENTION_H

#include "lib/Codegen/Gpu/GpuAttention.h"

namespace tenon {

/// Attention of few queries over many keys, which blocks share out; over pages
/// of any number of queries.
class SplitAttention {
public:
  explicit SplitAttention(AttentionOps given);

  /// Where it is of use: 1 where the queries are few, 0 where they are not.
  /// Nothing where there never are more keys than a block has at once, or as
  /// many queries as keys. Of pages it is all that there is.
  std::optional<SymExpr> isFew();
  /// Elements of f32 that a block has in shared memory, in `<symbol>_tiles`.
  int64_t sharedElements(GpuAttentionTilingAttr tiling);
  /// Emits the task; gives how many there are.
  SymExpr emit(KernelEmitter &e, GpuAttentionTilingAttr tiling,
               int64_t elements);

private:
  AttentionOps ops;
  int64_t group; ///< neighbouring heads of queries that share keys and values
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_SPLITATTENTION_H
