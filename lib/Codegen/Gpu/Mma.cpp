//===- Mma.cpp - products of tensor cores ---------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/Mma.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace tenon {

Value Mma::roundTF32(Value x) const {
  return NVVM::ConvertFloatToTF32Op::create(e.b, e.L.loc, e.b.getI32Type(), x,
                                            NVVM::FPRoundingMode::RNA);
}

Mma::Fragment Mma::load(ArrayRef<int64_t> outer, Element element) const {
  OpBuilder &b = e.b;
  Location loc = e.L.loc;
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  Fragment fragment;
  // Registers count through the rows first, then through the halves of K.
  for (int64_t half = 0; half < 2; ++half)
    for (int64_t o : outer) {
      if (isNarrow()) {
        Value x = element(o, half * 8), y = element(o, half * 8 + 1);
        Value r = vector::FromElementsOp::create(
            b, loc, VectorType::get({2}, x.getType()), ValueRange{x, y});
        if (x.getType() != narrowType())
          r = arith::TruncFOp::create(b, loc,
                                      VectorType::get({2}, narrowType()), r);
        if (products == MmaProducts::bf16)
          r = LLVM::BitcastOp::create(b, loc, i32, r);
        fragment.high.push_back(r);
        continue;
      }
      Value x = element(o, half * 4), high = roundTF32(x);
      fragment.high.push_back(high);
      if (products != MmaProducts::tf32x3)
        continue;
      Value rounded = arith::BitcastOp::create(b, loc, f32, high);
      fragment.low.push_back(
          roundTF32(arith::SubFOp::create(b, loc, x, rounded)));
    }
  return fragment;
}

Mma::Fragment Mma::loadA(Element element) const {
  return load({0, 8}, element);
}

Mma::Fragment Mma::loadB(Element element) const { return load({0}, element); }

Value Mma::multiplyOnce(ValueRange a, ValueRange b, ValueRange c) const {
  MLIRContext *context = e.b.getContext();
  auto type = LLVM::LLVMStructType::getLiteral(context,
                                               SmallVector<Type>(4, sumType()));
  NVVM::MMATypes of = products == MmaProducts::f16    ? NVVM::MMATypes::f16
                      : products == MmaProducts::bf16 ? NVVM::MMATypes::bf16
                                                      : NVVM::MMATypes::tf32;
  std::array types{of, of};
  std::optional<NVVM::MMAIntOverflow> overflow;
  if (isInteger()) {
    types = {NVVM::MMATypes::u8, NVVM::MMATypes::s8};
    overflow = NVVM::MMAIntOverflow::wrapped;
  }
  return NVVM::MmaOp::create(
      e.b, e.L.loc, type, a, b, c,
      ArrayRef<int64_t>{kMmaRows, kMmaColumns, depth()}, std::nullopt, overflow,
      types, std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
}

SmallVector<Value> Mma::unpack(Value fields) const {
  SmallVector<Value> values;
  for (int64_t i = 0; i < 4; ++i)
    values.push_back(LLVM::ExtractValueOp::create(e.b, e.L.loc, fields,
                                                  ArrayRef<int64_t>{i}));
  return values;
}

SmallVector<Value> Mma::multiply(const Fragment &a, const Fragment &b,
                                 ValueRange c) const {
  SmallVector<Value> sum(c);
  if (!a.low.empty()) { // the small products first
    sum = unpack(multiplyOnce(a.low, b.high, sum));
    sum = unpack(multiplyOnce(a.high, b.low, sum));
  }
  return unpack(multiplyOnce(a.high, b.high, sum));
}

} // namespace tenon
