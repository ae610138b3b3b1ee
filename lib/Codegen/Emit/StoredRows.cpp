//===- StoredRows.cpp - rows that a cache's pages get ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Emit/StoredRows.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "llvm/ADT/bit.h"
#include <limits>

using namespace mlir;

namespace tenon {

StoredRows::StoredRows(KernelEmitter &e, StorePagesOp op)
    : e(e), op(op), whole(getDims(op.getInput())),
      fresh(getDims(op.getFresh())), pages(getDims(op.getResult())),
      outer(whole.begin(), whole.end() - 2), length(whole.end()[-2]),
      size(whole.back()),
      carried(SymExpr::parse(op.getCarried().str()).value_or(1)),
      table{SymExpr::parse(op.getTable().str()).value_or(0), pages.end()[-2],
            productOf(ArrayRef(pages).drop_back(2).drop_front())},
      header(headerOfPage(element)),
      width(widthInPage(size.constant().value_or(0), op.getTransposed())) {}

Value StoredRows::magnitudeOf(Value x) {
  return L.both(arith::BitcastOp::create(b, L.loc, L.vec(i32), x),
                L.constantInt(L.vec(i32), INT32_MAX));
}

StoredRows::Scale StoredRows::scaleOf(Value largest) {
  auto bits = [&](float value) {
    return L.constantInt(i32, llvm::bit_cast<int32_t>(value));
  };
  Value finite = L.slt(largest, bits(std::numeric_limits<float>::infinity()));
  Value counts = L.both(finite, L.sge(largest, bits(0x1p-100f)));
  Value m = arith::BitcastOp::create(b, L.loc, f32, largest);
  Value none = L.select(finite, constant(0),
                        constant(std::numeric_limits<float>::quiet_NaN()));
  return {L.select(counts, L.div(m, constant(127)), none),
          L.select(counts, L.div(constant(127), m), constant(0))};
}

Value StoredRows::codeOf(Value x, Value inverse) {
  // Without a scale nothing is converted that is no number.
  Value by = L.widen(inverse), none = L.constLike(x, 0);
  x = L.select(L.oeq(by, none), none, L.mul(x, by));
  x = math::RoundEvenOp::create(b, L.loc, x);
  x = arith::FPToSIOp::create(b, L.loc, L.vec(i32), x);
  return L.truncate(x, i8);
}

} // namespace tenon
