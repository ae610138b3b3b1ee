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

/// The constant whose panels `pack` is, seen through reshapes; or null. One
/// value in a great many places is packed when the model runs: a file of its
/// repetitions would take longer to read.
inline ConstantOp packedConstant(PackBOp pack) {
  constexpr int64_t kMaxSplat = 1 << 22;
  mlir::Value source = pack.getInput();
  while (auto reshape = source.getDefiningOp<ReshapeOp>())
    source = reshape.getInput();
  auto constant = source.getDefiningOp<ConstantOp>();
  if (constant && llvm::isa<mlir::SplatElementsAttr>(constant.getValue()) &&
      constant.getValue().getNumElements() > kMaxSplat)
    return nullptr;
  return constant;
}

/// Packed panels of constants, alone or several after one another: a layout of
/// the weights, not work. `op` may be null.
inline bool isPackedWeight(mlir::Operation *op) {
  if (auto concat = llvm::dyn_cast_or_null<ConcatOp>(op))
    return llvm::all_of(concat.getInputs(), [](mlir::Value v) {
      auto pack = v.getDefiningOp<PackBOp>();
      return pack && packedConstant(pack);
    });
  auto pack = llvm::dyn_cast_or_null<PackBOp>(op);
  return pack && packedConstant(pack);
}

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_PACKEDWEIGHT_H
