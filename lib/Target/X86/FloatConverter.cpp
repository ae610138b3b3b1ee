//===- FloatConverter.cpp - 16-bit floats as integers ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FloatConverter.h"

using namespace llvm;
using namespace tenon;

Value *FloatConverter::narrow(Value *x, bool isHalf) {
  if (x->getType()->getScalarType()->isDoubleTy())
    x = roundToOdd(x);
  Value *bits = isHalf ? halfFromFloat(x) : bfloatFromFloat(x);
  return b.CreateTrunc(bits, like(b.getInt16Ty()));
}

Value *FloatConverter::widen(Value *bits, bool isHalf) {
  bits = b.CreateZExt(bits, like(b.getInt32Ty()));
  return isHalf ? floatFromHalf(bits) : toFloat(b.CreateShl(bits, i(16)));
}

Type *FloatConverter::like(Type *element) {
  if (auto *vector = dyn_cast<VectorType>(shape))
    return VectorType::get(element, vector->getElementCount());
  return element;
}
Value *FloatConverter::i(uint32_t v) {
  return ConstantInt::get(like(b.getInt32Ty()), v);
}
Value *FloatConverter::toFloat(Value *bits) {
  return b.CreateBitCast(bits, like(b.getFloatTy()));
}
Value *FloatConverter::toBits(Value *x) {
  return b.CreateBitCast(x, like(b.getInt32Ty()));
}

/// The f32 next to x towards zero, its last bit set unless x is exact.
Value *FloatConverter::roundToOdd(Value *x) {
  Value *nearest = b.CreateFPTrunc(x, like(b.getFloatTy()));
  Value *back = b.CreateFPExt(nearest, x->getType());
  Value *bits = toBits(nearest);
  Value *even = b.CreateICmpEQ(b.CreateAnd(bits, i(1)), i(0));
  Value *adjust = b.CreateAnd(even, b.CreateFCmpONE(back, x));
  Value *away = b.CreateFCmpOGT(b.CreateUnaryIntrinsic(Intrinsic::fabs, back),
                                b.CreateUnaryIntrinsic(Intrinsic::fabs, x));
  Value *step = b.CreateSelect(away, i(-1u), i(1));
  return toFloat(b.CreateSelect(adjust, b.CreateAdd(bits, step), bits));
}

Value *FloatConverter::bfloatFromFloat(Value *x) {
  Value *bits = toBits(x);
  Value *high = b.CreateLShr(bits, i(16));
  Value *bias = b.CreateAdd(b.CreateAnd(high, i(1)), i(0x7fff));
  Value *rounded = b.CreateLShr(b.CreateAdd(bits, bias), i(16));
  Value *quiet = b.CreateOr(high, i(0x40));
  return b.CreateSelect(b.CreateFCmpUNO(x, x), quiet, rounded);
}

Value *FloatConverter::halfFromFloat(Value *x) {
  Value *bits = toBits(x);
  Value *sign = b.CreateAnd(bits, i(0x80000000));
  Value *magnitude = b.CreateXor(bits, sign);
  // Normal results: rebias the exponent and round 13 bits off.
  Value *odd = b.CreateAnd(b.CreateLShr(magnitude, i(13)), i(1));
  Value *normal = b.CreateAdd(magnitude, i(((15u - 127u) << 23) + 0xfff));
  normal = b.CreateLShr(b.CreateAdd(normal, odd), i(13));
  // Denormal results: adding 0.5 lets the hardware round at the right bit.
  Constant *half = ConstantFP::get(like(b.getFloatTy()), 0.5);
  Value *denormal = b.CreateSub(toBits(b.CreateFAdd(toFloat(magnitude), half)),
                                i(0x3f000000));
  Value *huge = b.CreateSelect(b.CreateICmpUGT(magnitude, i(0x7f800000)),
                               i(0x7e00), i(0x7c00));
  Value *result = b.CreateSelect(b.CreateICmpULT(magnitude, i(113u << 23)),
                                 denormal, normal);
  result =
      b.CreateSelect(b.CreateICmpUGE(magnitude, i(143u << 23)), huge, result);
  return b.CreateOr(result, b.CreateLShr(sign, i(16)));
}

Value *FloatConverter::floatFromHalf(Value *h) {
  Value *shifted = b.CreateShl(b.CreateAnd(h, i(0x7fff)), i(13));
  Value *exponent = b.CreateAnd(shifted, i(0x7c00 << 13));
  Value *normal = b.CreateAdd(shifted, i(112u << 23));
  Value *special = b.CreateAdd(normal, i(112u << 23));
  // Denormals: as if of exponent 113, less that exponent's 1.
  Constant *one = ConstantFP::get(like(b.getFloatTy()), 0x1p-14);
  Value *denormal =
      toBits(b.CreateFSub(toFloat(b.CreateAdd(normal, i(1u << 23))), one));
  Value *result =
      b.CreateSelect(b.CreateICmpEQ(exponent, i(0)), denormal, normal);
  result = b.CreateSelect(b.CreateICmpEQ(exponent, i(0x7c00 << 13)), special,
                          result);
  Value *sign = b.CreateShl(b.CreateAnd(h, i(0x8000)), i(16));
  return toFloat(b.CreateOr(result, sign));
}

Value *FloatConverter::fromInteger(Instruction::CastOps opcode, Value *x,
                                   bool isHalf) {
  // By way of a type that holds it: LLVM's folders join the two conversions.
  bool isShort = x->getType()->getScalarSizeInBits() <= 24;
  Type *exact = like(isShort ? b.getFloatTy() : b.getDoubleTy());
  return narrow(b.CreateCast(opcode, x, exact), isHalf);
}
