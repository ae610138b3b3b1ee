//===- LegalizeFloats.cpp - float operations that every level has ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//  * math.fma without FMA is a call of libm for every lane: a multiplication
//    and an addition take its place.
//  * Conversions from and to f16 without F16C, and to bf16 on any level, are
//    calls of functions that older compiler runtimes lack: they become integer
//    arithmetic, rounding to nearest even. AVX512-BF16's own conversion is not
//    used, as it takes denormals for zero.
//  * Integers reach the small types by way of a type that holds them: LLVM's
//    folders join the two conversions into one.
//  * f64 reaches the small types by way of an f32 rounded to odd, so that the
//    second rounding is the only one that counts.
//
//===----------------------------------------------------------------------===//

#include "LegalizeFloats.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"

using namespace llvm;
using namespace tenon;

namespace {

/// Conversions on values of any one shape.
class FloatConverter {
public:
  FloatConverter(IRBuilder<> &b, Type *shape) : b(b), shape(shape) {}

  Value *narrow(Value *x, bool isHalf) {
    if (x->getType()->getScalarType()->isDoubleTy())
      x = roundToOdd(x);
    Value *bits = isHalf ? halfFromFloat(x) : bfloatFromFloat(x);
    Type *to = isHalf ? b.getHalfTy() : b.getBFloatTy();
    return b.CreateBitCast(b.CreateTrunc(bits, like(b.getInt16Ty())), like(to));
  }

  Value *widen(Value *x, bool isHalf, Type *to) {
    Value *bits = b.CreateZExt(b.CreateBitCast(x, like(b.getInt16Ty())),
                               like(b.getInt32Ty()));
    Value *f = isHalf ? floatFromHalf(bits) : toFloat(b.CreateShl(bits, i(16)));
    return to->getScalarType()->isDoubleTy() ? b.CreateFPExt(f, to) : f;
  }

private:
  Type *like(Type *element) {
    if (auto *vector = dyn_cast<VectorType>(shape))
      return VectorType::get(element, vector->getElementCount());
    return element;
  }
  Value *i(uint32_t v) { return ConstantInt::get(like(b.getInt32Ty()), v); }
  Value *toFloat(Value *bits) {
    return b.CreateBitCast(bits, like(b.getFloatTy()));
  }
  Value *toBits(Value *x) { return b.CreateBitCast(x, like(b.getInt32Ty())); }

  /// The f32 next to x towards zero, its last bit set unless x is exact.
  Value *roundToOdd(Value *x) {
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

  Value *bfloatFromFloat(Value *x) {
    Value *bits = toBits(x);
    Value *high = b.CreateLShr(bits, i(16));
    Value *bias = b.CreateAdd(b.CreateAnd(high, i(1)), i(0x7fff));
    Value *rounded = b.CreateLShr(b.CreateAdd(bits, bias), i(16));
    Value *quiet = b.CreateOr(high, i(0x40));
    return b.CreateSelect(b.CreateFCmpUNO(x, x), quiet, rounded);
  }

  Value *halfFromFloat(Value *x) {
    Value *bits = toBits(x);
    Value *sign = b.CreateAnd(bits, i(0x80000000));
    Value *magnitude = b.CreateXor(bits, sign);
    // Normal results: rebias the exponent and round 13 bits off.
    Value *odd = b.CreateAnd(b.CreateLShr(magnitude, i(13)), i(1));
    Value *normal = b.CreateAdd(magnitude, i(((15u - 127u) << 23) + 0xfff));
    normal = b.CreateLShr(b.CreateAdd(normal, odd), i(13));
    // Denormal results: adding 0.5 lets the hardware round at the right bit.
    Constant *half = ConstantFP::get(like(b.getFloatTy()), 0.5);
    Value *denormal = b.CreateSub(
        toBits(b.CreateFAdd(toFloat(magnitude), half)), i(0x3f000000));
    Value *huge = b.CreateSelect(b.CreateICmpUGT(magnitude, i(0x7f800000)),
                                 i(0x7e00), i(0x7c00));
    Value *result = b.CreateSelect(b.CreateICmpULT(magnitude, i(113u << 23)),
                                   denormal, normal);
    result =
        b.CreateSelect(b.CreateICmpUGE(magnitude, i(143u << 23)), huge, result);
    return b.CreateOr(result, b.CreateLShr(sign, i(16)));
  }

  Value *floatFromHalf(Value *h) {
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

  IRBuilder<> &b;
  Type *shape;
};

Value *fromInteger(CastInst &cast, bool hasF16C) {
  Type *to = cast.getType()->getScalarType();
  if (!to->isBFloatTy() && (!to->isHalfTy() || hasF16C))
    return nullptr;
  IRBuilder<> b(&cast);
  bool isShort = cast.getSrcTy()->getScalarSizeInBits() <= 24;
  Type *exact = isShort ? b.getFloatTy() : b.getDoubleTy();
  if (auto *vector = dyn_cast<VectorType>(cast.getType()))
    exact = VectorType::get(exact, vector->getElementCount());
  Value *wide = b.CreateCast(cast.getOpcode(), cast.getOperand(0), exact);
  return FloatConverter(b, cast.getType()).narrow(wide, to->isHalfTy());
}

/// What takes the instruction's place, or null.
Value *replacement(Instruction &instruction, bool hasFma, bool hasF16C) {
  IRBuilder<> b(&instruction);
  if (auto *call = dyn_cast<IntrinsicInst>(&instruction)) {
    if (hasFma || (call->getIntrinsicID() != Intrinsic::fma &&
                   call->getIntrinsicID() != Intrinsic::fmuladd))
      return nullptr;
    Value *product =
        b.CreateFMul(call->getArgOperand(0), call->getArgOperand(1));
    return b.CreateFAdd(product, call->getArgOperand(2));
  }
  if (isa<SIToFPInst, UIToFPInst>(instruction))
    return fromInteger(cast<CastInst>(instruction), hasF16C);
  if (!isa<FPTruncInst, FPExtInst>(instruction))
    return nullptr;
  bool narrows = isa<FPTruncInst>(instruction);
  Value *operand = instruction.getOperand(0);
  Type *from = operand->getType()->getScalarType();
  Type *to = instruction.getType()->getScalarType();
  Type *small = narrows ? to : from;
  Type *wide = narrows ? from : to;
  if (!small->isHalfTy() && !small->isBFloatTy())
    return nullptr;
  if (!wide->isFloatTy() && !wide->isDoubleTy())
    return nullptr;
  FloatConverter converter(b, instruction.getType());
  if (small->isHalfTy() && hasF16C) {
    // Only f64 to f16 is not there.
    if (!narrows || wide->isFloatTy())
      return nullptr;
  }
  return narrows ? converter.narrow(operand, small->isHalfTy())
                 : converter.widen(operand, small->isHalfTy(),
                                   instruction.getType());
}

} // namespace

void tenon::legalizeFloats(Module &module) {
  for (Function &function : module) {
    SmallVector<StringRef> features;
    function.getFnAttribute("target-features")
        .getValueAsString()
        .split(features, ',');
    bool hasFma = is_contained(features, "+fma");
    bool hasF16C = is_contained(features, "+f16c");
    SmallVector<Instruction *> all;
    for (BasicBlock &block : function)
      for (Instruction &instruction : block)
        all.push_back(&instruction);
    for (Instruction *instruction : all)
      if (Value *value = replacement(*instruction, hasFma, hasF16C)) {
        instruction->replaceAllUsesWith(value);
        instruction->eraseFromParent();
      }
  }
}
