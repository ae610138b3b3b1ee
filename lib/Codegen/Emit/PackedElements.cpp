//===- PackedElements.cpp - elements of few bits, and what they stand for -===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Pull rules of tenon.unpack, tenon.pack and tenon.dequantize. A task writes
// whole bytes, so no two threads meet in one.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/KernelEmitter.h"
#include "lib/Codegen/Lanes/CastLanes.h"

using namespace mlir;

namespace tenon {

Value KernelEmitter::pull(UnpackOp op, ArrayRef<Idx> idx) {
  Type element = op.getElementType();
  int64_t bits = storedBits(element), perByte = 8 / bits;
  const Idx &i = idx[0];
  // Neighbours from the start of a byte: their bytes are neighbours too.
  auto arg = dyn_cast<BlockArgument>(op.getInput());
  if (arg && !bound.count(arg) && L.lanes > 1 && !L.mask && i.isContiguous() &&
      i.align % perByte == 0 && L.lanes % perByte == 0) {
    int64_t count = L.lanes / perByte;
    auto type = VectorType::get({count}, b.getI8Type());
    Value bytes = vector::LoadOp::create(b, L.loc, type, input(arg),
                                         L.div(i.base, perByte));
    SmallVector<Value> parts{bytes};
    for (int64_t j = 1; j < perByte; ++j)
      parts.push_back(L.shiftRight(bytes, L.constantInt(type, j * bits)));
    // Two at a time: part 0 with 2, 1 with 3, then the even with the odd.
    for (int64_t n = perByte / 2; n > 0; n /= 2)
      for (int64_t j = 0; j < n; ++j) {
        int64_t size = cast<VectorType>(parts[j].getType()).getDimSize(0);
        SmallVector<int64_t> order;
        for (int64_t k = 0; k < size; ++k)
          order.append({k, size + k});
        parts[j] =
            vector::ShuffleOp::create(b, L.loc, parts[j], parts[j + n], order);
      }
    return emitLowBits(L, parts[0], element);
  }
  auto [byte, place] = L.divRem(i, L.index(perByte));
  Value x = emit(op.getInput(), {byte});
  Value at = L.toData(place, b.getI8Type());
  L.widenAlike(x, at);
  return emitLowBits(L, L.shiftRight(x, L.mul(at, bits)), element);
}

Value KernelEmitter::pull(PackOp op, ArrayRef<Idx> idx) {
  Value in = op.getInput();
  int64_t bits = storedBits(getElementTypeOrSelf(in.getType()));
  int64_t perByte = 8 / bits;
  SymExpr size = getDims(in)[0];
  bool whole = size.divideExactly(SymExpr(perByte)).has_value();
  Value r;
  for (int64_t j = 0; j < perByte; ++j) {
    Idx at = L.add(L.mul(idx[0], perByte), L.uniform(j));
    Value inside;
    if (!whole && j > 0) { // the first of a byte is always there
      Value v = at.isUniform() ? at.base : L.toIndexVector(at);
      Value last = L.sub(dim(size), 1);
      if (L.isVector(v))
        last = L.widen(last);
      inside = L.sle(v, last);
      at = Idx();
      (L.isVector(v) ? at.vec : at.base) = L.min(v, last);
    }
    Value x = emit(in, {at});
    L.widenAlike(x, inside, r);
    x = L.both(x, L.constantInt(x.getType(), (1 << bits) - 1));
    if (inside)
      x = L.select(inside, x, L.constLike(x, 0));
    if (j > 0)
      x = L.shiftLeft(x, L.constantInt(x.getType(), j * bits));
    r = r ? Value(L.either(r, x)) : x;
  }
  return r;
}

Value KernelEmitter::pull(DequantizeOp op, ArrayRef<Idx> idx) {
  SmallVector<Idx> parameter;
  for (auto [i, block, size] :
       llvm::zip_equal(idx, op.getBlocks(), getDims(op.getScale())))
    parameter.push_back(block == 1 ? i
                        : size.constant() == 1
                            ? L.uniform(0)
                            : L.divRem(i, L.index(block)).first);
  auto number = [&](Value of, ArrayRef<Idx> at) {
    Type element = getElementTypeOrSelf(of.getType());
    Value x = L.widen(emit(of, at));
    if (isa<FloatType>(element))
      return x;
    return L.toFloat(x, b.getF32Type(), element.isUnsignedInteger());
  };
  Value x = number(op.getCodes(), idx);
  if (op.getZero())
    x = L.sub(x, number(op.getZero(), parameter));
  return L.mul(x, number(op.getScale(), parameter));
}

} // namespace tenon
