//===- PackedWeight.h - constants that are stored in panels -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_PACKEDWEIGHT_H
#define TENON_LIB_CODEGEN_FORM_PACKEDWEIGHT_H

#include "dialects/Tenon/IR/TenonPacked.h"
#include "dialects/Tenon/IR/TenonValue.h"
#include "dialects/Tenon/IR/TenonView.h"

namespace tenon {

/// One value in a great many places is packed when the model runs: a file of
/// its repetitions would take longer to read.
inline bool isLargeSplat(ConstantOp constant) {
  constexpr int64_t kMaxSplat = 1 << 22;
  return llvm::isa<mlir::SplatElementsAttr>(constant.getValue()) &&
         constant.getValue().getNumElements() > kMaxSplat;
}

/// The constant whose panels `pack` is, seen through reshapes; or null.
inline ConstantOp packedConstant(PackBOp pack) {
  mlir::Value source = pack.getInput();
  while (auto reshape = source.getDefiningOp<ReshapeOp>())
    source = reshape.getInput();
  auto constant = source.getDefiningOp<ConstantOp>();
  return constant && !isLargeSplat(constant) ? constant : ConstantOp();
}

/// Packed panels of constants, alone or several after one another: a layout of
/// the weights, not work. `op` may be null.
inline bool isPackedWeight(mlir::Operation *op) {
  auto isPanels = [](mlir::Operation *op) {
    auto pack = llvm::dyn_cast_or_null<PackBOp>(op);
    return llvm::isa_and_nonnull<PackWeightOp>(op) ||
           (pack && packedConstant(pack));
  };
  if (auto concat = llvm::dyn_cast_or_null<ConcatOp>(op))
    return llvm::all_of(concat.getInputs(), [&](mlir::Value v) {
      return isPanels(v.getDefiningOp());
    });
  return isPanels(op);
}

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PACKEDWEIGHT_H
