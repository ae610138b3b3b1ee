//===- LookUpLanes.cpp - tables of bytes on lanes -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bytes behind floats are as many as a vector has of these. Of 512 bits the
// table is four vectors of dwords: two permutations of two each, one of which
// is chosen, find the dword, and a rotation the byte.
//
// Other vectors permute bytes by tables of 16, of which what is above has no
// part: a byte less 16 k, kept below zero where it is, finds in table k of a
// half what that differs in from the one before. Of 16 bytes or fewer both
// halves of a vector of 256 bits have them, for a half of the table each.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonCast.h"
#include "lib/Codegen/Emit/KernelEmitter.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace tenon {

namespace {

struct LookUp {
  LaneBuilder &L;
  ArrayRef<int8_t> table;
  int64_t bytes; ///< of a vector
  OpBuilder &b = L.b;
  Type i8 = b.getI8Type(), i32 = b.getI32Type();
  static constexpr int64_t kGroup = 16, kGroups = 8, kHalf = kGroup * kGroups;

  Value intrinsic(StringRef name, Type type, ValueRange operands) {
    return LLVM::CallIntrinsicOp::create(b, L.loc, type, b.getStringAttr(name),
                                         operands)
        .getResults();
  }
  VectorType vector(int64_t lanes, Type element) {
    return VectorType::get({lanes}, element);
  }
  template <typename T>
  Value constant(ArrayRef<T> numbers) {
    auto type = vector(numbers.size(), b.getIntegerType(8 * sizeof(T)));
    return arith::ConstantOp::create(b, L.loc,
                                     DenseElementsAttr::get(type, numbers));
  }
  /// `count` lanes from `first` on, those of `x` again and again.
  Value lanesOf(Value x, int64_t first, int64_t count) {
    int64_t own = cast<VectorType>(x.getType()).getNumElements();
    SmallVector<int64_t> order;
    for (int64_t i = 0; i < count; ++i)
      order.push_back((first + i) % own);
    if (own == count && first == 0)
      return x;
    return vector::ShuffleOp::create(b, L.loc, x, x, order);
  }
  Value bitXor(Value x, Value y) {
    return arith::XOrIOp::create(b, L.loc, x, y);
  }

  Value ofDwords(Value x);
  Value step(Value at, int64_t k, bool halves, int64_t half);
  Value ofHalf(Value at, bool halves, int64_t half);
  Value ofBytes(Value x);
  Value of(Value x);
};

/// Of the low bytes of 16 dwords, in vectors of 512 bits: permutations look at
/// no more than the bits that they need, and so does a rotation.
Value LookUp::ofDwords(Value code) {
  constexpr int64_t dwords = 16;
  VectorType type = vector(dwords, i32);
  SmallVector<int32_t> parts;
  for (size_t i = 0; i < table.size(); i += 4) {
    uint32_t dword = 0;
    for (size_t k = 0; k < 4; ++k)
      dword |= uint32_t(uint8_t(table[i + k])) << (8 * k);
    parts.push_back(int32_t(dword));
  }
  auto part = [&](int64_t i) {
    return constant(ArrayRef(parts).slice(i * dwords, dwords));
  };
  Value at = arith::ShRUIOp::create(b, L.loc, code, L.constantInt(type, 2));
  auto half = [&](int64_t i) {
    return intrinsic("llvm.x86.avx512.vpermi2var.d.512", type,
                     {part(i), at, part(i + 1)});
  };
  Value high = L.both(code, L.constantInt(type, kHalf));
  Value isHigh = L.ne(high, L.constantInt(type, 0));
  Value found = L.select(isHigh, half(2), half(0));
  // A rotation to the right by 32 - n is one to the left by n.
  Value bits = arith::ShLIOp::create(b, L.loc, code, L.constantInt(type, 3));
  Value byte = intrinsic("llvm.fshr", type, {found, found, bits});
  return arith::TruncIOp::create(b, L.loc, vector(dwords, i8), byte);
}

/// What table k of a half adds; `halves`: each half of the vector has its own.
Value LookUp::step(Value at, int64_t k, bool halves, int64_t half) {
  SmallVector<int8_t> numbers;
  for (int64_t i = 0; i < bytes; ++i) {
    int64_t own = halves ? i / kGroup : half;
    int64_t place = own * kHalf + k * kGroup + i % kGroup;
    numbers.push_back(k ? table[place] ^ table[place - kGroup] : table[place]);
  }
  StringRef name = bytes == 64   ? "llvm.x86.avx512.pshuf.b.512"
                   : bytes == 32 ? "llvm.x86.avx2.pshuf.b"
                                 : "llvm.x86.ssse3.pshuf.b.128";
  return intrinsic(name, at.getType(),
                   {constant(ArrayRef<int8_t>(numbers)), at});
}

Value LookUp::ofHalf(Value at, bool halves, int64_t half) {
  Value found = step(at, 0, halves, half);
  Value group = L.constantInt(at.getType(), kGroup);
  for (int64_t k = 1; k < kGroups; ++k) {
    at = intrinsic("llvm.ssub.sat", at.getType(), {at, group});
    found = bitXor(found, step(at, k, halves, half));
  }
  return found;
}

/// Of a vector, or of 16 bytes and fewer.
Value LookUp::ofBytes(Value x) {
  int64_t count = cast<VectorType>(x.getType()).getNumElements();
  Value whole = lanesOf(x, 0, bytes);
  Value middle = L.constantInt(whole.getType(), -kHalf);
  if (count <= kGroup && bytes == 2 * kGroup) {
    SmallVector<int8_t> turned(bytes, 0);
    std::fill(turned.begin() + kGroup, turned.end(), int8_t(-kHalf));
    Value twice = lanesOf(lanesOf(x, 0, kGroup), 0, bytes);
    Value found = ofHalf(bitXor(twice, constant(ArrayRef<int8_t>(turned))),
                         /*halves=*/true, 0);
    return lanesOf(
        bitXor(lanesOf(found, 0, kGroup), lanesOf(found, kGroup, kGroup)), 0,
        count);
  }
  Value found = bitXor(ofHalf(whole, /*halves=*/false, 0),
                       ofHalf(bitXor(whole, middle), /*halves=*/false, 1));
  return lanesOf(found, 0, count);
}

Value LookUp::of(Value x) {
  int64_t count = cast<VectorType>(x.getType()).getNumElements();
  if (count <= kGroup && bytes == 4 * kGroup) {
    Value codes = arith::ExtUIOp::create(b, L.loc, vector(kGroup, i32),
                                         lanesOf(x, 0, kGroup));
    return lanesOf(ofDwords(codes), 0, count);
  }
  if (count <= bytes)
    return ofBytes(x);
  Value all;
  for (int64_t i = 0; i < count; i += bytes) {
    int64_t own = std::min(bytes, count - i);
    Value part = ofBytes(lanesOf(x, i, own));
    if (!all)
      all = arith::ConstantOp::create(b, L.loc, b.getZeroAttr(x.getType()));
    all = vector::InsertStridedSliceOp::create(b, L.loc, part, all, {i}, {1});
  }
  return all;
}

} // namespace

Value KernelEmitter::pull(LookUpOp op, ArrayRef<Idx> idx) {
  LookUp lookUp{L, op.getTable(), int64_t(target.vectorBits) / 8};
  // Codes that are made here need not become bytes first.
  auto made = op.getInput().getDefiningOp<CastOp>();
  if (made && !bound.count(made) && target.vectorBits == 512 &&
      L.lanes == LookUp::kGroup)
    if (Value code = emitQuantized(made, idx, nullptr, /*lowByte=*/true))
      return lookUp.ofDwords(code);
  Value x = emit(op.getInput(), idx);
  if (L.isVector(x))
    return lookUp.of(x);
  auto type = VectorType::get({LookUp::kGroup}, b.getI8Type());
  Value found = lookUp.of(vector::BroadcastOp::create(b, L.loc, type, x));
  return vector::ExtractOp::create(b, L.loc, found, 0);
}

} // namespace tenon
