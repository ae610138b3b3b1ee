//===- LegalizeFloats.cpp - float operations that every level has ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//  * math.fma without FMA is a call of libm for every lane: a multiplication
//    and an addition take its place.
//  * bf16 on any level, and f16 without F16C, have no registers: LLVM takes
//    vectors of them apart and calls functions for their conversions that older
//    compiler runtimes lack. softenFloats keeps them in integers and converts
//    by integer arithmetic, rounding to nearest even. AVX512-BF16's own
//    conversion is not used, as it takes denormals for zero.
//  * Integers reach the small types by way of a type that holds them: LLVM's
//    folders join the two conversions into one.
//  * f64 reaches the small types by way of an f32 rounded to odd, so that the
//    second rounding is the only one that counts.
//
//===----------------------------------------------------------------------===//

#include "LegalizeFloats.h"
#include "FloatConverter.h"
#include "SoftenFloats.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"

using namespace llvm;
using namespace tenon;

namespace {

/// What takes the instruction's place, or null.
Value *replacement(Instruction &instruction, bool hasFma) {
  IRBuilder<> b(&instruction);
  if (auto *call = dyn_cast<IntrinsicInst>(&instruction)) {
    if (hasFma || (call->getIntrinsicID() != Intrinsic::fma &&
                   call->getIntrinsicID() != Intrinsic::fmuladd))
      return nullptr;
    Value *product =
        b.CreateFMul(call->getArgOperand(0), call->getArgOperand(1));
    return b.CreateFAdd(product, call->getArgOperand(2));
  }
  // F16C has no conversion but that between f16 and f32.
  auto *cast = dyn_cast<CastInst>(&instruction);
  if (!cast || !cast->getType()->getScalarType()->isHalfTy())
    return nullptr;
  Value *from = cast->getOperand(0);
  FloatConverter converter(b, cast->getType());
  Value *bits = nullptr;
  if (isa<SIToFPInst, UIToFPInst>(cast))
    bits = converter.fromInteger(cast->getOpcode(), from, /*isHalf=*/true);
  else if (isa<FPTruncInst>(cast) &&
           from->getType()->getScalarType()->isDoubleTy())
    bits = converter.narrow(from, /*isHalf=*/true);
  return bits ? b.CreateBitCast(bits, cast->getType()) : nullptr;
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
    softenFloats(function, /*alsoHalf=*/!hasF16C);
    SmallVector<Instruction *> all;
    for (BasicBlock &block : function)
      for (Instruction &instruction : block)
        all.push_back(&instruction);
    for (Instruction *instruction : all)
      if (Value *value = replacement(*instruction, hasFma)) {
        instruction->replaceAllUsesWith(value);
        instruction->eraseFromParent();
      }
  }
}
