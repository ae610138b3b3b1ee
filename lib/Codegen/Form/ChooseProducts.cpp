//===- ChooseProducts.cpp - kernels of a product's two forms --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_CHOOSEPRODUCTSPASS
#include "lib/Codegen/Form/ChooseProducts.h.inc"

namespace {

/// The kernel with its product by these panels alone.
KernelOp withPanels(OpBuilder &b, KernelOp kernel, bool winograd) {
  auto own = cast<KernelOp>(b.clone(*kernel));
  PackedMatMulOp product = findWinograd(own);
  OpBuilder inside(product);
  auto plain = PackedMatMulOp::create(
      inside, product.getLoc(), product.getLhs(),
      winograd ? product.getPacked() : product.getDirect(), product.getNAttr(),
      FormatAttr(), winograd, /*direct=*/Value(),
      /*unless=*/StringAttr());
  product.replaceAllUsesWith(plain.getResult());
  product.erase();
  Block &body = own.getBody().front();
  for (unsigned i = body.getNumArguments(); i-- > 0;)
    if (body.getArgument(i).use_empty()) {
      body.eraseArgument(i);
      own.getInputsMutable().erase(i);
    }
  return own;
}

struct ChooseProductsPass
    : ::tenon::impl::ChooseProductsPassBase<ChooseProductsPass> {
  void runOnOperation() override {
    SmallVector<KernelOp> kernels;
    getOperation().walk([&](KernelOp kernel) {
      PackedMatMulOp product = findWinograd(kernel);
      if (product && product.getDirect())
        kernels.push_back(kernel);
    });
    for (KernelOp kernel : kernels) {
      OpBuilder b(kernel);
      StringAttr unless = findWinograd(kernel).getUnlessAttr();
      KernelOp direct = withPanels(b, kernel, /*winograd=*/false),
               other = withPanels(b, kernel, /*winograd=*/true);
      Value result = kernel.getResult(0);
      auto merge = MergeOp::create(
          b, kernel.getLoc(), unless, direct.getResult(0), other.getResult(0),
          DimsAttr::get(b.getContext(), getDims(result)));
      result.replaceAllUsesWith(merge.getResult());
      kernel.erase();
      ++numChoices;
    }
  }
};

} // namespace
} // namespace tenon
