//===- GatedMatMul.h - the two halves of a gated matmul ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A gated MLP computes act(x*G) * (x*U). As one matmul [G U] whose result is
// cut in two, column c of either half comes from panels that lie half of the
// panels apart; a register tile takes such a pair, and what is stored is the
// product.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_GATEDMATMUL_H
#define TENON_LIB_CODEGEN_FORM_GATEDMATMUL_H

#include "mlir/IR/Value.h"

namespace tenon {

class PackedMatMulOp;

/// The op at which all that is computed from `starts`, values of equal dims,
/// has come together, if what lies between is elementwise, in one block, and of
/// these dims; else null. The ops up to and with it are added to `between`.
mlir::Operation *findJoin(llvm::ArrayRef<mlir::Value> starts,
                          llvm::SmallVectorImpl<mlir::Operation *> &between);

/// The slices of a matmul that has no other users: the halves of its columns,
/// whole panels.
struct MatMulHalves {
  mlir::Value first, second;
};
std::optional<MatMulHalves> matchHalves(PackedMatMulOp op);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_GATEDMATMUL_H
