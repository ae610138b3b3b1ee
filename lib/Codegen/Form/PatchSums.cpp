//===- PatchSums.cpp - sums of the rows of integers -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Form/PatchSums.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

/// Adds up, i32, along a dim, of which one element is left.
static Value sumAlong(OpBuilder &b, Location loc, Value v, int64_t dim) {
  Value numbers = CastOp::create(b, loc, v, TypeAttr::get(b.getI32Type()),
                                 UnitAttr(), RoundModeAttr());
  return ReduceOp::create(b, loc, ReduceKind::sum, numbers,
                          ArrayRef<int64_t>{dim}, /*keepdims=*/true);
}

/// Every window of so many elements of `dim`, as its sum.
static Value sumWindows(OpBuilder &b, Location loc, Value v, size_t dim,
                        int64_t size, int64_t stride, int64_t dilation) {
  SmallVector<SymExpr> dims = getDims(v), starts(dims.size(), 0);
  SmallVector<int64_t> steps(dims.size(), 1);
  SymExpr room = dims[dim] - SymExpr(dilation * (size - 1) + 1);
  dims[dim] =
      SymExpr::apply(SymExpr::Fn::FloorDiv, room, SymExpr(stride)) + SymExpr(1);
  steps[dim] = stride;
  Value sum;
  for (int64_t i = 0; i < size; ++i) {
    starts[dim] = SymExpr(i * dilation);
    Value part = createSlice(b, loc, v, starts, steps, dims);
    sum = sum ? Value(AddOp::create(b, loc, sum, part)) : part;
  }
  return sum;
}

Value sumRows(OpBuilder &b, Location loc, Value rows) {
  SmallVector<SymExpr> dims = getDims(rows);
  auto patches = rows.getDefiningOp<Im2ColOp>();
  if (!patches || llvm::any_of(patches.getPads(), [](int64_t p) { return p; }))
    return sumAlong(b, loc, rows, dims.size() - 1);
  size_t rank = patches.getKernel().size();
  bool last = patches.getChannelsLast();
  Value sums = sumAlong(b, loc, patches.getInput(), last ? rank + 1 : 1);
  for (size_t d = 0; d < rank; ++d)
    sums = sumWindows(b, loc, sums, d + (last ? 1 : 2), patches.getKernel()[d],
                      patches.getStrides()[d], patches.getDilations()[d]);
  dims.back() = SymExpr(1);
  return createReshape(b, loc, sums, dims);
}

} // namespace tenon
