//===- LayColumns.cpp - weights of few columns as lanes meet them ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Form/PackedWeight.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Pass/Pass.h"
#include "tenon/Codegen/Backend.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DECL_LAYCOLUMNSPASS
#define GEN_PASS_DEF_LAYCOLUMNSPASS
#include "lib/Codegen/Form/LayColumns.h.inc"

namespace {

/// The columns of the one matrix [.., K, N] that `pack` shows as panels, as
/// [.., N, L, 1]; null where they are not known by their bytes.
DenseResourceElementsAttr columnsOf(PackBOp pack, const WeightColumns &layout) {
  ConstantOp constant = packedConstant(pack);
  auto type = cast<RankedTensorType>(pack.getInput().getType());
  if (!constant || !type.getElementType().isF32())
    return {};
  SmallVector<int64_t> shape(type.getShape());
  int64_t n = shape.pop_back_val(), k = shape.pop_back_val();
  bool transposed = pack.getTransposed();
  if (transposed)
    std::swap(n, k);
  int64_t length = layout.taps * layout.apart;
  constexpr size_t size = sizeof(float);
  ArrayRef<char> data = match::bytesOf(constant.getValue());
  if (data.size() != n * k * size || k != layout.taps * layout.run)
    return {};
  AsmResourceBlob blob =
      HeapAsmResourceBlob::allocate(n * length * size, alignof(uint64_t));
  MutableArrayRef<char> to = blob.getMutableData();
  llvm::fill(to, 0);
  for (int64_t column = 0; column < n; ++column)
    for (int64_t row = 0; row < k; ++row) {
      int64_t from = transposed ? column * k + row : row * n + column;
      int64_t at =
          column * length + row / layout.run * layout.apart + row % layout.run;
      memcpy(to.data() + at * size, data.data() + from * size, size);
    }
  shape.append({n, length, 1});
  auto &manager =
      DenseResourceElementsHandle::getManagerInterface(pack.getContext());
  return DenseResourceElementsAttr::get(
      RankedTensorType::get(shape, type.getElementType()),
      manager.insert("columns", std::move(blob)));
}

struct LayColumnsPass : ::tenon::impl::LayColumnsPassBase<LayColumnsPass> {
  using LayColumnsPassBase::LayColumnsPassBase;

  void runOnOperation() override {
    const Backend &backend = cpuBackend();
    getOperation().walk([&](KernelOp kernel) {
      if (auto layout = backend.columnsOf(kernel))
        lay(kernel, *layout);
    });
  }

  void lay(KernelOp kernel, const WeightColumns &layout) {
    auto product = *kernel.getBody().front().getOps<PackedMatMulOp>().begin();
    auto panels = dyn_cast<BlockArgument>(product.getPacked());
    if (!panels || !panels.hasOneUse())
      return;
    OpOperand &operand = kernel->getOpOperand(panels.getArgNumber());
    auto pack = operand.get().getDefiningOp<PackBOp>();
    if (!pack || !pack->hasOneUse())
      return;
    DenseResourceElementsAttr columns = columnsOf(pack, layout);
    if (!columns)
      return;
    OpBuilder b(pack);
    Value laid =
        ConstantOp::create(b, pack.getLoc(), columns.getType(), columns);
    operand.set(laid);
    panels.setType(laid.getType());
    pack.erase();
    ++numLaid;
  }
};

} // namespace
} // namespace tenon
