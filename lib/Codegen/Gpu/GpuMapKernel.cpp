//===- GpuMapKernel.cpp - elements and reductions on a GPU ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A map's task is one element of the result, or four neighbours of a row:
// neighbouring threads then write neighbouring memory, 16 bytes each where an
// element has four. A reduction along the last dim is a block's, with elements
// of its row spread over the threads; any other is a thread's, and neighbouring
// threads read neighbouring columns.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Gpu/GpuKernels.h"

using namespace mlir;

namespace tenon {

/// Has the last dim that is not 1 a known multiple of so many elements?
static bool divides(int64_t elements, ArrayRef<SymExpr> dims) {
  while (!dims.empty() && dims.back().constant() == 1)
    dims = dims.drop_back();
  auto n = dims.empty() ? std::optional<int64_t>(1) : dims.back().constant();
  return elements == 1 || (n && *n % elements == 0);
}

bool checkElements(KernelEmitter &e, int64_t elements, ArrayRef<SymExpr> dims) {
  if (divides(elements, dims))
    return true;
  e.fail("expected ") << elements
                      << " elements of a thread to divide the last dim: "
                      << e.kernel().getTilingAttr();
  return false;
}

int64_t neighbours(ArrayRef<SymExpr> dims) { return divides(4, dims) ? 4 : 1; }

void emitGpuMapKernel(KernelEmitter &e, int64_t elements) {
  LaneBuilder &L = e.L;
  Value root = e.body().getTerminator()->getOperand(0), out = e.result(0);
  Type element = getElementTypeOrSelf(root.getType());
  SmallVector<SymExpr> dims = getDims(root);
  if (!checkElements(e, elements, dims))
    return;
  SymExpr total = productOf(dims);
  e.info.cost = total * 4;
  e.info.tasks = SymExpr::apply(SymExpr::Fn::FloorDiv, total, elements);
  bool flat = isFlatMap(e, dims);
  SmallVector<SymExpr> groups(dims);
  size_t axis = dims.size();
  while (axis > 0 && dims[axis - 1].constant() == 1)
    --axis;
  if (elements > 1)
    groups[axis - 1] = *dims[axis - 1].constant() / elements;
  e.loop(e.begin, e.end, 1, [&](Value task) {
    LaneScope saved(L, elements);
    auto place = [&](Value group) {
      return elements == 1 ? L.uniform(group)
                           : Idx{L.mul(group, elements), 1, elements, {}};
    };
    Idx at = place(task);
    SmallVector<Idx> idx(dims.size(), at);
    if (!flat) {
      idx = e.delinearize(task, groups);
      if (elements > 1)
        idx[axis - 1] = place(idx[axis - 1].base);
    }
    e.setDomain(dims, idx, at);
    L.store(e.emit(root, idx), out, at, element);
  });
}

void emitGpuReduceKernel(KernelEmitter &e, int64_t elements) {
  LaneBuilder &L = e.L;
  Value root = e.body().getTerminator()->getOperand(0);
  auto op = cast<ReduceOp>(root.getDefiningOp());
  SmallVector<SymExpr> dims = getDims(root), in = getDims(op.getInput());
  if (!checkElements(e, elements, in))
    return;
  e.info.cost = productOf(in) * 2;
  e.info.tasks = productOf(dims);
  e.loop(e.begin, e.end, 1, [&](Value i) {
    L.store(e.emit(root, e.delinearize(i, dims)), e.result(0), L.uniform(i),
            getElementTypeOrSelf(root.getType()));
  });
}

} // namespace tenon
