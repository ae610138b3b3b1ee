//===- StoredCodes.h - numbers of which codes reach memory ------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A dequantised image takes four times the memory of its codes. What reads it
// makes its numbers of these: three or four operations, that several kernels
// make again.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_STOREDCODES_H
#define TENON_LIB_CODEGEN_FORM_STOREDCODES_H

#include "mlir/IR/Value.h"

namespace tenon {

/// The codes of 8 bits that `v` widens or dequantises by numbers, or does a
/// part of it; null where it is something else, or codes itself.
mlir::Value codesBehind(mlir::Value v);

/// Are codes computed of numbers whose last dim is another one in memory? Wider
/// ones are turned by squares then, bytes made one by one.
bool areTurned(mlir::Value codes);

/// Can all that reads `v` compute it where it is read, in the same block?
/// `widensImages`: a convolution of channels alone can.
bool widensInPlace(mlir::Value v, bool widensImages);

/// An image that a convolution of channels alone may widen.
bool isWidenedImage(mlir::OpOperand &use);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_STOREDCODES_H
