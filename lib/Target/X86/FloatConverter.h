//===- FloatConverter.h - 16-bit floats as integers -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_TARGET_X86_FLOATCONVERTER_H
#define TENON_LIB_TARGET_X86_FLOATCONVERTER_H

#include "llvm/IR/IRBuilder.h"

namespace tenon {

/// Conversions on values of any one shape, by integer arithmetic.
class FloatConverter {
public:
  FloatConverter(llvm::IRBuilderBase &b, llvm::Type *shape)
      : b(b), shape(shape) {}

  /// The bits (i16) of an f32 or f64 rounded to nearest even.
  llvm::Value *narrow(llvm::Value *x, bool isHalf);

  /// The f32 of such bits.
  llvm::Value *widen(llvm::Value *bits, bool isHalf);

  /// The bits of an integer, rounded once.
  llvm::Value *fromInteger(llvm::Instruction::CastOps opcode, llvm::Value *x,
                           bool isHalf);

private:
  llvm::Type *like(llvm::Type *element);
  llvm::Value *i(uint32_t v);
  llvm::Value *toFloat(llvm::Value *bits);
  llvm::Value *toBits(llvm::Value *x);
  llvm::Value *roundToOdd(llvm::Value *x);
  llvm::Value *bfloatFromFloat(llvm::Value *x);
  llvm::Value *halfFromFloat(llvm::Value *x);
  llvm::Value *floatFromHalf(llvm::Value *h);

  llvm::IRBuilderBase &b;
  llvm::Type *shape;
};

} // namespace tenon

#endif // TENON_LIB_TARGET_X86_FLOATCONVERTER_H
