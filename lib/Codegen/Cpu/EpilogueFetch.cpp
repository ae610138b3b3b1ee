//===- EpilogueFetch.cpp - what an epilogue meets, fetched in time --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/EpilogueFetch.h"

#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
using namespace mlir;

namespace tenon {

EpilogueFetch::EpilogueFetch(KernelEmitter &e, const Sink &sink) : e(e) {
  SmallVector<SymExpr> dims = getDims(sink.value);
  columns = dims.back();
  SymExpr elements = productOf(dims);
  for (BlockArgument arg : e.body().getArguments()) {
    SmallVector<SymExpr> own = getDims(arg);
    bool alike =
        !own.empty() && own.back() == columns && productOf(own) == elements;
    // What the product alone reads is none of the epilogue's.
    if (alike && llvm::any_of(arg.getUsers(), [](Operation *user) {
          return !isa<PackedMatMulOp, Im2ColOp>(user);
        }))
      memories.push_back(e.input(arg));
  }
  reads = !memories.empty();
  if (sink.perm.empty())
    memories.push_back(e.result(0));
}

void EpilogueFetch::fetch(Value rows, function_ref<Value(Value)> rowOf,
                          Value column, int64_t count) {
  LaneBuilder &L = e.L;
  constexpr int64_t lineBytes = 64;
  if (auto all = columns.constant())
    count = std::min(count, *all);
  e.loop(L.index(0), rows, 1, [&](Value r) {
    Value at = L.add(L.mul(rowOf(r), e.dim(columns)), column);
    for (Value memory : memories) {
      Type element = cast<MemRefType>(memory.getType()).getElementType();
      int64_t step =
          lineBytes / std::max<int64_t>(element.getIntOrFloatBitWidth() / 8, 1);
      for (int64_t i = 0; i < count; i += step)
        memref::PrefetchOp::create(e.b, L.loc, memory, L.add(at, i),
                                   memory == e.result(0), /*localityHint=*/3,
                                   /*isDataCache=*/true);
    }
  });
}

} // namespace tenon
