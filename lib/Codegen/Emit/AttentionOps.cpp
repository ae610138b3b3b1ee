//===- AttentionOps.cpp - what an attention kernel is made of -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Emit/AttentionOps.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include <numeric>

using namespace mlir;

namespace tenon {

std::optional<AttentionOps> AttentionOps::find(KernelOp kernel,
                                               bool knowsFinished) {
  Block &body = kernel.getBody().front();
  SmallVector<PackedMatMulOp> matmuls(body.getOps<PackedMatMulOp>());
  SmallVector<SoftmaxOp> softmaxes(body.getOps<SoftmaxOp>());
  SmallVector<PackedOperand, 2> operands;
  for (PackedMatMulOp matmul : matmuls)
    if (auto operand = PackedOperand::trace(matmul.getPacked(),
                                            /*knowsPages=*/true))
      operands.push_back(*operand);
  if (operands.size() != 2 || softmaxes.size() != 1)
    return std::nullopt;
  AttentionOps ops{matmuls[0], softmaxes[0], matmuls[1], operands[0],
                   operands[1]};
  if (ops.finishesRows() && !knowsFinished)
    return std::nullopt;
  return ops;
}

/// How many matrices in a row, of row-major `to`, are one of `from`, which is
/// broadcast to it. `more`: does each such row have one of its own?
static int64_t countRepeats(ArrayRef<SymExpr> from, ArrayRef<SymExpr> to,
                            bool &more) {
  bool one =
      llvm::all_of(from, [](const SymExpr &d) { return d == SymExpr(1); });
  if (one) // which may have more dims
    from = {};
  int64_t count = 1;
  while (!to.empty() && to.back().isConstant() &&
         (one || (!from.empty() && from.back() == SymExpr(1)))) {
    count *= *to.back().constant();
    to = to.drop_back();
    if (!from.empty())
      from = from.drop_back();
  }
  more = from == to;
  return count;
}

/// Of the matrices of a product those that its panels repeat.
static int64_t countRepeats(PackedMatMulOp product, ArrayRef<SymExpr> batch) {
  bool more;
  Value packed = product.getPacked();
  size_t inner = product.getFormatAttr() ? 2 : 3;
  auto outer = [&](Value v) {
    SmallVector<SymExpr> dims = getDims(v);
    dims.pop_back_n(inner);
    return dims;
  };
  int64_t count = countRepeats(outer(packed), batch, more);
  Operation *view = packed.getDefiningOp();
  for (; more && (isReshape(view) || isa_and_nonnull<BroadcastToOp>(view));
       view = view->getOperand(0).getDefiningOp())
    if (isa<BroadcastToOp>(view))
      count *= countRepeats(outer(view->getOperand(0)),
                            outer(view->getResult(0)), more);
  return count;
}

int64_t AttentionOps::countSharers() {
  SmallVector<SymExpr> batch = getDims(pv.getResult());
  batch.pop_back_n(2);
  return std::gcd(countRepeats(qk, batch), countRepeats(pv, batch));
}

} // namespace tenon
