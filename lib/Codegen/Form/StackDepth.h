//===- StackDepth.h - convolutions of fewer taps or dims --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_STACKDEPTH_H
#define TENON_LIB_CODEGEN_FORM_STACKDEPTH_H

#include "dialects/Tenon/IR/TenonContract.h"

namespace tenon {

/// The convolution without those taps at the ends of its kernel that meet
/// padding at all positions, in the place of `op`; `op` where it has none, or
/// where its weight is not at hand.
ConvOp cropTaps(ConvOp op);

/// Do so few of its taps meet the image, at all positions together, that a
/// product for each tap, of the positions where it does, has far less to
/// multiply? Wide dilations on small images are so.
bool meetsPadding(ConvOp op);
/// Those products, added up: [N, positions, C out], of an image with its
/// channels last.
mlir::Value tapByTap(mlir::OpBuilder &b, ConvOp op, mlir::Value image);

/// Is it a convolution over three dims whose images can be stacked?
bool canStackDepth(ConvOp op);
/// Of such a one, and its image with the channels last: for each position along
/// the depth an image [N * depth out, height, width, taps * C], the channels of
/// what the taps of the depth meet beside one another.
mlir::Value stackDepth(mlir::OpBuilder &b, ConvOp op, mlir::Value image);
/// The weight for it, [C out, height * width * taps * C].
mlir::Value stackedWeight(mlir::OpBuilder &b, ConvOp op);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_STACKDEPTH_H
