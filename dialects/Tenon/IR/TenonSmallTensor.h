//===- TenonSmallTensor.h - compute with small constants --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONSMALLTENSOR_H
#define TENON_IR_TENONSMALLTENSOR_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Operation.h"
#include <optional>

namespace tenon {

/// One element: a float type's in `f`, an integer's or bool's in `i`.
struct Scalar {
  double f = 0;
  int64_t i = 0;
};

/// A constant of a few elements, unpacked.
struct SmallTensor {
  mlir::RankedTensorType type;
  llvm::SmallVector<Scalar> elements;

  bool isFloat() const;
  /// Unpacks f32, f64, bool, signed and (to 32 bits) unsigned integers.
  static std::optional<SmallTensor> unpack(mlir::DenseElementsAttr attr);
  mlir::DenseElementsAttr pack() const;
};

/// Can `unpack` handle the element type?
bool isComputable(mlir::Type elementType);

/// Computes the op's result; nullopt for ops (or element types, or indices out
/// of range) that are left to the run.
std::optional<SmallTensor> evaluateOp(mlir::Operation *op,
                                      llvm::ArrayRef<SmallTensor> operands);

} // namespace tenon

#endif // TENON_IR_TENONSMALLTENSOR_H
