//===- SoftenFloats.cpp - 16-bit floats without registers -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// LLVM's code generator has vectors of bf16 only with AVX512-BF16. Elsewhere it
// takes loads, masked stores, shuffles and selects of them apart and converts
// the scalars by calls of __truncsfbf2, which nothing here defines. No value of
// such a type is left when its optimizer starts, so it makes none either.
//
//===----------------------------------------------------------------------===//

#include "SoftenFloats.h"
#include "FloatConverter.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/PostOrderIterator.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/Transforms/Utils/Local.h"

using namespace llvm;
using namespace tenon;

namespace {

class FloatSoftener {
public:
  FloatSoftener(Function &function, bool alsoHalf)
      : function(function), alsoHalf(alsoHalf), b(function.getContext()) {}

  void run();

private:
  bool isSoft(Type *type) const {
    Type *scalar = type->getScalarType();
    return scalar->isBFloatTy() || (alsoHalf && scalar->isHalfTy());
  }
  bool isSoft(const Value *value) const { return isSoft(value->getType()); }
  /// `type` with other scalars.
  static Type *with(Type *type, Type *scalar) {
    if (auto *vector = dyn_cast<VectorType>(type))
      return VectorType::get(scalar, vector->getElementCount());
    return scalar;
  }
  Type *bitsType(Type *type) { return with(type, b.getInt16Ty()); }

  /// A soft value's bits.
  Value *bits(Value *value);
  /// A soft value as f32, any other value as it is.
  Value *wide(Value *value) {
    if (!isSoft(value))
      return value;
    return FloatConverter(b, value->getType())
        .widen(bits(value), value->getType()->getScalarType()->isHalfTy());
  }
  Value *narrow(Value *value, Type *type) {
    return FloatConverter(b, type).narrow(value,
                                          type->getScalarType()->isHalfTy());
  }

  void visit(Instruction &instruction);
  /// The bits of a soft result; null: `instruction` itself now reads or makes
  /// other types, or is to stay with its operands converted back.
  Value *soften(Instruction &instruction);
  Value *softenCast(CastInst &cast);
  Value *softenCall(IntrinsicInst &call);
  void keepOperands(Instruction &instruction);

  Function &function;
  bool alsoHalf;
  IRBuilder<> b;
  DenseMap<Value *, Value *> known;
  SmallVector<PHINode *> phis;
  SmallVector<Instruction *> dead;
};

Value *FloatSoftener::bits(Value *value) {
  if (Value *found = known.lookup(value))
    return found;
  Type *type = bitsType(value->getType());
  if (auto *constant = dyn_cast<Constant>(value))
    return ConstantExpr::getBitCast(constant, type);
  // An argument, or the result of what stays as it is.
  IRBuilderBase::InsertPointGuard guard(b);
  if (auto *instruction = dyn_cast<Instruction>(value))
    b.SetInsertPoint(*instruction->getInsertionPointAfterDef());
  else
    b.SetInsertPoint(&*function.getEntryBlock().getFirstInsertionPt());
  return known[value] = b.CreateBitCast(value, type);
}

/// Moves values without looking at them.
bool onlyMoves(Intrinsic::ID id) {
  switch (id) {
  case Intrinsic::masked_load:
  case Intrinsic::masked_store:
  case Intrinsic::masked_gather:
  case Intrinsic::masked_scatter:
  case Intrinsic::masked_expandload:
  case Intrinsic::masked_compressstore:
  case Intrinsic::vector_insert:
  case Intrinsic::vector_extract:
  case Intrinsic::vector_reverse:
  case Intrinsic::vector_interleave2:
  case Intrinsic::ssa_copy:
    return true;
  default:
    return false;
  }
}

Value *FloatSoftener::softenCall(IntrinsicInst &call) {
  Intrinsic::ID id = call.getIntrinsicID();
  SmallVector<Type *> overloads;
  if (!Intrinsic::getIntrinsicSignature(call.getCalledFunction(), overloads))
    return nullptr;
  bool moves = onlyMoves(id);
  for (Type *&type : overloads)
    if (isSoft(type))
      type = with(type, moves ? b.getInt16Ty() : b.getFloatTy());
  SmallVector<Value *> args;
  for (Value *arg : call.args())
    args.push_back(!isSoft(arg) ? arg : moves ? bits(arg) : wide(arg));
  Function *callee =
      Intrinsic::getOrInsertDeclaration(call.getModule(), id, overloads);
  CallInst *result = b.CreateCall(callee, args);
  // Alignments stand there.
  result->setAttributes(call.getAttributes());
  result->copyMetadata(call);
  if (!isSoft(&call)) {
    call.replaceAllUsesWith(result);
    dead.push_back(&call);
    return nullptr;
  }
  return moves ? result : narrow(result, call.getType());
}

Value *FloatSoftener::softenCast(CastInst &cast) {
  Type *type = cast.getType();
  Value *from = cast.getOperand(0);
  switch (cast.getOpcode()) {
  case Instruction::SIToFP:
  case Instruction::UIToFP:
    return FloatConverter(b, type).fromInteger(
        cast.getOpcode(), from, type->getScalarType()->isHalfTy());
  case Instruction::FPTrunc:
    return narrow(from, type);
  case Instruction::BitCast:
    if (isSoft(type))
      return isSoft(from) ? bits(from) : b.CreateBitCast(from, bitsType(type));
    cast.setOperand(0, bits(from));
    return nullptr;
  case Instruction::FPExt: {
    Value *value = wide(from);
    if (type->getScalarType()->isDoubleTy())
      value = b.CreateFPExt(value, type);
    cast.replaceAllUsesWith(value);
    dead.push_back(&cast);
    return nullptr;
  }
  default: // to integers
    cast.setOperand(0, wide(from));
    return nullptr;
  }
}

Value *FloatSoftener::soften(Instruction &instruction) {
  Type *type = instruction.getType();
  if (auto *load = dyn_cast<LoadInst>(&instruction)) {
    LoadInst *result =
        b.CreateAlignedLoad(bitsType(type), load->getPointerOperand(),
                            load->getAlign(), load->isVolatile());
    result->copyMetadata(*load);
    return result;
  }
  if (auto *store = dyn_cast<StoreInst>(&instruction)) {
    store->setOperand(0, bits(store->getValueOperand()));
    return nullptr;
  }
  if (auto *phi = dyn_cast<PHINode>(&instruction)) {
    phis.push_back(phi);
    return b.CreatePHI(bitsType(type), phi->getNumIncomingValues());
  }
  if (auto *select = dyn_cast<SelectInst>(&instruction))
    return b.CreateSelect(select->getCondition(), bits(select->getTrueValue()),
                          bits(select->getFalseValue()));
  if (isa<FreezeInst>(instruction))
    return b.CreateFreeze(bits(instruction.getOperand(0)));
  if (auto *extract = dyn_cast<ExtractElementInst>(&instruction))
    return b.CreateExtractElement(bits(extract->getVectorOperand()),
                                  extract->getIndexOperand());
  if (isa<InsertElementInst>(instruction))
    return b.CreateInsertElement(bits(instruction.getOperand(0)),
                                 bits(instruction.getOperand(1)),
                                 instruction.getOperand(2));
  if (auto *shuffle = dyn_cast<ShuffleVectorInst>(&instruction))
    return b.CreateShuffleVector(bits(shuffle->getOperand(0)),
                                 bits(shuffle->getOperand(1)),
                                 shuffle->getShuffleMask());
  if (instruction.getOpcode() == Instruction::FNeg) {
    Value *x = bits(instruction.getOperand(0));
    return b.CreateXor(x, ConstantInt::get(x->getType(), 0x8000));
  }
  if (auto *binary = dyn_cast<BinaryOperator>(&instruction)) {
    Value *result =
        b.CreateBinOp(binary->getOpcode(), wide(binary->getOperand(0)),
                      wide(binary->getOperand(1)));
    if (auto *made = dyn_cast<Instruction>(result))
      made->copyFastMathFlags(binary);
    return narrow(result, type);
  }
  if (isa<FCmpInst>(instruction)) {
    for (Use &use : instruction.operands())
      use.set(wide(use.get()));
    return nullptr;
  }
  if (auto *cast = dyn_cast<CastInst>(&instruction))
    return softenCast(*cast);
  // A target's own has its operands' types: an instruction for them.
  if (auto *call = dyn_cast<IntrinsicInst>(&instruction))
    if (!Intrinsic::isTargetIntrinsic(call->getIntrinsicID()))
      return softenCall(*call);
  // Calls and returns keep the signature's types.
  for (Use &use : instruction.operands())
    if (isSoft(use.get()))
      use.set(b.CreateBitCast(bits(use.get()), use->getType()));
  return nullptr;
}

void FloatSoftener::visit(Instruction &instruction) {
  bool reads = any_of(instruction.operands(),
                      [&](const Use &use) { return isSoft(use.get()); });
  if (!reads && !isSoft(&instruction))
    return;
  b.SetInsertPoint(&instruction);
  if (Value *value = soften(instruction)) {
    known[&instruction] = value;
    dead.push_back(&instruction);
  }
}

void FloatSoftener::run() {
  // A definition is seen before its uses, but for those of phis.
  removeUnreachableBlocks(function);
  ReversePostOrderTraversal<Function *> order(&function);
  for (BasicBlock *block : order)
    for (Instruction &instruction : make_early_inc_range(*block))
      visit(instruction);
  for (PHINode *phi : phis) {
    auto *soft = cast<PHINode>(known[phi]);
    for (unsigned i = 0; i < phi->getNumIncomingValues(); ++i)
      soft->addIncoming(bits(phi->getIncomingValue(i)),
                        phi->getIncomingBlock(i));
  }
  for (Instruction *instruction : dead)
    instruction->dropAllReferences();
  for (Instruction *instruction : dead)
    instruction->eraseFromParent();
}

} // namespace

void tenon::softenFloats(Function &function, bool alsoHalf) {
  if (!function.isDeclaration())
    FloatSoftener(function, alsoHalf).run();
}
