//===- WidenHalves.h - constants of f16 and bf16 as f32 ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_WIDENHALVES_H
#define TENON_TRANSFORMS_WIDENHALVES_H

#include "mlir/IR/BuiltinAttributes.h"

namespace tenon {

/// Is that f16 or bf16?
bool isHalf(mlir::Type type);

/// The same type of f32.
mlir::RankedTensorType widened(mlir::Type type);

/// The one number of a constant as floats of `type`, the nearest, ties to even.
mlir::DenseElementsAttr roundSplat(mlir::SplatElementsAttr splat,
                                   mlir::RankedTensorType type);

/// A constant of f16 or bf16 as f32, which holds each of its numbers; null
/// where it is of another type, or its bytes are nowhere.
mlir::ElementsAttr widenHalves(mlir::ElementsAttr halves);

} // namespace tenon

#endif // TENON_TRANSFORMS_WIDENHALVES_H
