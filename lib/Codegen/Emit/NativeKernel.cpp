//===- NativeKernel.cpp - what the runtime's own kernels are given --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Names and arguments are those of runtime/src/Native.h.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/KernelKinds.h"
#include "tenon/Codegen/Program.h"

using namespace mlir;

namespace tenon {

KernelInfo describeNativeKernel(KernelOp kernel) {
  Operation &op = kernel.getBody().front().front();
  KernelInfo info;
  info.native = true;
  SmallVector<SymExpr> dims = getDims(op.getOperand(0));
  auto set = [&](StringRef symbol, std::vector<SymExpr> arguments,
                 const SymExpr &sorted) {
    info.symbol = symbol.str();
    info.dims = std::move(arguments);
    info.cost = productOf(dims) * 16;
    info.scratchBytes = sorted * 16;
  };
  if (isa<CompactOp>(op)) {
    set("tenon_native_compact", {dims[0]}, 0);
  } else if (auto unique = dyn_cast<UniqueOp>(op)) {
    int32_t dtype = dtypeOf(getElementTypeOrSelf(unique.getInput().getType()));
    set("tenon_native_unique",
        {dims[0], dims[1], dtype, unique.getSorted() ? 1 : 0}, dims[0]);
  } else if (auto nms = dyn_cast<NonMaxSuppressionOp>(op)) {
    SymExpr most = SymExpr::parse(nms.getMost().str()).value_or(0);
    set("tenon_native_nms",
        {dims[0], getDims(nms.getScores())[1], dims[1], most,
         productOf(getDims(nms.getResult())), nms.getCentered() ? 1 : 0},
        dims[1]);
  }
  return info;
}

} // namespace tenon
