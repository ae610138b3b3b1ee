//===- FormatNumbers.cpp - numbers of weights in a format -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/FormatNumbers.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Gpu/SharedMemory.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace tenon {

PanelLayout::PanelLayout(FormatAttr format)
    : format(format), integer(format && format.isInteger()) {
  bytesOfGroup = kPanelColumns * 4;
  if (format) {
    rowsOfGroup = format.rowsOfGroup();
    bytesOfGroup = format.bytesOfGroup();
    bytesOfHeader = format.bytesOfHeader();
    // Blocks of integers differ by nothing but marks, behind all of them.
    block = integer ? 0 : format.getBlock();
    if (block)
      bytesOfBlock = format.bytesOfBlock(block);
  }
  bytesOfColumn = bytesOfGroup / kPanelColumns;
}

Type PanelLayout::entryType(MLIRContext *context) const {
  if (!format)
    return Float32Type::get(context);
  if (format.getElement().isF16())
    return format.getElement();
  return IntegerType::get(context, unsigned(bytesOfColumn * 8));
}

ColumnScale loadScale(KernelEmitter &e, const PanelLayout &layout,
                      function_ref<Value(Type, int64_t)> load) {
  ColumnScale column;
  FormatAttr format = layout.format;
  if (!format || !format.getScale())
    return column;
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  column.scale = load(format.getScale(), 0);
  if (!format.getScale().isF32())
    column.scale = arith::ExtFOp::create(b, e.L.loc, f32, column.scale);
  if (Type zero = format.getZero()) {
    column.zero = load(storageType(zero).isF32() ? f32 : b.getI8Type(),
                       format.bytesOfScales());
    if (!zero.isF32()) {
      Value wide = arith::ExtUIOp::create(b, e.L.loc, i32, column.zero);
      column.zero = arith::SIToFPOp::create(b, e.L.loc, f32, wide);
    }
  }
  return column;
}

Value decodeNumber(KernelEmitter &e, const PanelLayout &layout, Value entry,
                   Value row, const ColumnScale &column) {
  OpBuilder &b = e.b;
  LaneBuilder &L = e.L;
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  FormatAttr format = layout.format;
  if (!format)
    return entry;
  if (format.getElement().isF16())
    return arith::ExtFOp::create(b, L.loc, f32, entry);
  auto constant = [&](int64_t value) { return L.constantInt(i32, value); };
  auto shifted = [&](Value x, int64_t bits) -> Value {
    Value inGroup = L.rem(row, layout.rowsOfGroup);
    Value amount =
        arith::IndexCastOp::create(b, L.loc, i32, L.mul(inGroup, bits));
    return L.shiftRight(x, amount);
  };
  if (format.getElement().isBF16()) { // the upper half of a float
    Value upper = L.shiftLeft(shifted(entry, 16), constant(16));
    return arith::BitcastOp::create(b, L.loc, f32, upper);
  }
  if (layout.integer) {
    Value byte =
        arith::TruncIOp::create(b, L.loc, b.getI8Type(), shifted(entry, 8));
    return arith::ExtSIOp::create(b, L.loc, i32, byte);
  }
  int64_t bits = format.getBits();
  Value code = bits == 8
                   ? Value(arith::ExtUIOp::create(b, L.loc, i32, entry))
                   : L.both(shifted(entry, bits), constant((1 << bits) - 1));
  Value number = arith::SIToFPOp::create(b, L.loc, f32, code);
  Value zero = column.zero ? column.zero : L.constant(f32, 1 << (bits - 1));
  number = L.sub(number, zero);
  return L.mul(number, column.scale);
}

Value loadNumber(KernelEmitter &e, const PanelLayout &layout, Value memory,
                 Value bytesOfPanel, Value panel, Value row, Value column) {
  LaneBuilder &L = e.L;
  Value from = globalPointer(e, memory);
  auto load = [&](Type type, Value at) {
    return loadGlobal(e, from, type, at);
  };
  Value at = L.mul(panel, bytesOfPanel);
  if (layout.block) {
    Value block = L.div(row, layout.block);
    at = L.add(at, L.mul(block, layout.bytesOfBlock));
    row = L.rem(row, layout.block);
  }
  ColumnScale scale = loadScale(e, layout, [&](Type type, int64_t first) {
    int64_t bytes = type.getIntOrFloatBitWidth() / 8;
    return load(type, L.add(L.add(at, first), L.mul(column, bytes)));
  });
  Value group = L.div(row, layout.rowsOfGroup);
  Value entryAt = L.add(L.add(at, layout.bytesOfHeader),
                        L.add(L.mul(group, layout.bytesOfGroup),
                              L.mul(column, layout.bytesOfColumn)));
  Value entry = load(layout.entryType(e.b.getContext()), entryAt);
  return decodeNumber(e, layout, entry, row, scale);
}

} // namespace tenon
