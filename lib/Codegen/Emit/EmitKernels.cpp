//===- EmitKernels.cpp - emit each kernel as a function of its own --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonKernel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"
#include "tenon/Codegen/Backend.h"
#include "tenon/Target/TargetInfo.h"
#include "tenon/abi.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DECL_EMITKERNELSPASS
#define GEN_PASS_DEF_EMITKERNELSPASS
#include "lib/Codegen/Emit/EmitKernels.h.inc"

std::optional<WeightColumns> Backend::columnsOf(KernelOp) const {
  return std::nullopt;
}

FailureOr<std::optional<SecondHalf>>
Backend::emitSecondHalf(KernelOp, ModuleOp, StringRef, const TargetInfo &,
                        ArrayRef<SymExpr>) const {
  return std::optional<SecondHalf>();
}

namespace {

struct EmitKernelsPass : ::tenon::impl::EmitKernelsPassBase<EmitKernelsPass> {
  using EmitKernelsPassBase::EmitKernelsPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    const Backend *backend = findBackend(family);
    if (!backend) {
      module.emitError("expected the family cpu or gpu, found ") << family;
      return signalPassFailure();
    }
    TargetInfo target;
    target.vectorBits = vectorBits;
    target.numVectorRegs = vectorRegisters;
    target.hasFma = fma;
    if (vnni)
      target.featureBits |= TENON_FEATURE_AVX512VNNI;
    OwningOpRef<ModuleOp> kernels = ModuleOp::create(module.getLoc());
    unsigned number = 0;
    WalkResult result =
        module.walk<WalkOrder::PreOrder>([&](KernelOp kernel) -> WalkResult {
          std::string symbol = stringifyKernelKind(kernel.getKind()).str() +
                               "_" + std::to_string(number++);
          if (failed(backend->emitKernel(kernel, *kernels, symbol, target, {})))
            return failure();
          return LogicalResult(backend->emitSecondHalf(
              kernel, *kernels, symbol + Backend::secondHalf.str(), target,
              {}));
        });
    if (result.wasInterrupted())
      return signalPassFailure();
    module.getBodyRegion().takeBody(kernels->getBodyRegion());
  }
};

} // namespace
} // namespace tenon
