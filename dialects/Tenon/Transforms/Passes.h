//===- Passes.h - graph passes ----------------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_PASSES_H
#define TENON_TRANSFORMS_PASSES_H

#include "dialects/Tenon/IR/TenonDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include <memory>

namespace tenon {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "dialects/Tenon/Transforms/Passes.h.inc"

/// The stage `graph`: from one op per ONNX meaning to folded shapes, folded
/// constants and recovered fused ops. Runs on a module.
void populateGraphPipeline(mlir::OpPassManager &pm);

} // namespace tenon

#endif // TENON_TRANSFORMS_PASSES_H
