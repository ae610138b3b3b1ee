//===- Strategy.cpp - what is computed an element at a time ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "tenon/Codegen/Kernels.h"

using namespace mlir;

namespace tenon {

SmallVector<Operation *> operationsWithoutStrategy(ModuleOp graph) {
  SmallVector<Operation *> found;
  graph.walk([&](KernelOp kernel) {
    Value stored = kernel.getBody().front().getTerminator()->getOperand(0);
    kernel.getBody().walk([&](Operation *op) {
      // A reduction that ends its kernel has tasks, lanes and a tree of its
      // own; products of panels are tiles, every other one is a dot product.
      bool pulled = isa<ReduceOp>(op) && op != stored.getDefiningOp();
      if (pulled || isa<MatMulOp, ArgReduceOp>(op))
        found.push_back(op);
    });
  });
  return found;
}

} // namespace tenon
