//===- FusedProduct.cpp - what every target's products share --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Emit/FusedProduct.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/LoadPages.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace tenon {

PackedMatMulOp findProduct(KernelEmitter &e) {
  auto products = e.body().getOps<PackedMatMulOp>();
  return products.empty() ? PackedMatMulOp() : *products.begin();
}

std::optional<PackedOperand> PackedOperand::trace(Value packed,
                                                  bool knowsPages) {
  PackedOperand operand;
  operand.dims = getDims(packed);
  // Panels of a format are bytes, or bf16: as many as 32 columns of so many.
  if (!getElementTypeOrSelf(packed.getType()).isF32()) {
    operand.dims.back() =
        operand.dims.back().divideExactly(kPanelColumns).value_or(0);
    operand.dims.push_back(SymExpr(kPanelColumns));
    operand.inner = 2;
  }
  while (!isa<BlockArgument>(packed)) {
    Operation *view = packed.getDefiningOp();
    if (isTranspose(view)) {
      packed = operand.traceRows(packed);
      if (!packed)
        return std::nullopt;
      break;
    }
    if (auto load = dyn_cast<LoadPagesOp>(view); load && knowsPages) {
      packed = operand.tracePages(load);
      break;
    }
    if (!isReshape(view) && !isa<BroadcastToOp>(view))
      return std::nullopt;
    if (isa<BroadcastToOp>(view))
      operand.repeats.push_back(view->getResult(0));
    packed = view->getOperand(0);
  }
  operand.memory = dyn_cast<BlockArgument>(packed);
  if (!operand.memory)
    return std::nullopt;
  return operand;
}

/// Of rows whose columns are seen as panels (Form/RowPanels.h) their memory.
Value PackedOperand::traceRows(Value packed) {
  Value split = packed.getDefiningOp()->getOperand(0);
  if (isa<BlockArgument>(split)) { // a reshape that is an alias
    SmallVector<SymExpr> parts = getDims(split);
    auto count = parts[parts.size() - 2].constant();
    if (parts.size() < 3 || !count || parts.back() != SymExpr(kPanelColumns))
      return nullptr;
    width = *count * kPanelColumns;
    height = parts[parts.size() - 3];
    return split;
  }
  Value rows = rowsOfPanels(packed);
  if (!rows)
    return nullptr;
  width = *getDims(rows).back().constant();
  if (auto part = rows.getDefiningOp<SliceOp>())
    rows = part.getInput();
  SmallVector<SymExpr> whole = getDims(rows);
  height = whole[whole.size() - 2];
  return dyn_cast<BlockArgument>(rows);
}

Value PackedOperand::tracePages(LoadPagesOp load) {
  Type type = getElementTypeOrSelf(load.getPages().getType());
  SmallVector<SymExpr> pages = getDims(load.getPages());
  int64_t size = widthInPage(load.getSize(), load.getTransposed());
  page = elementsOfPage(type, size);
  header = headerOfPage(type);
  ends = load.getEnds();
  table = {SymExpr::parse(load.getTable().str()).value_or(0),
           pages[pages.size() - 2],
           productOf(ArrayRef(pages).drop_back(2).drop_front())};
  if (!load.getTransposed())
    width = size;
  if (!type.isF32())
    element = type;
  return load.getPages();
}

std::optional<PackedOperand> PackedOperand::of(KernelEmitter &e,
                                               PackedMatMulOp op) {
  if (auto operand = op ? trace(op.getPacked()) : std::nullopt)
    return operand;
  e.fail("a 'matmul' kernel holds no packed_matmul of a stored operand");
  return std::nullopt;
}

/// Number of the matrix; a reshape of batch dims leaves it as it is.
Value PackedOperand::matrixAt(KernelEmitter &e, Value batchIndex,
                              ArrayRef<SymExpr> batch) const {
  LaneBuilder &L = e.L;
  Value matrix = batchIndex;
  auto repeat = [&](ArrayRef<SymExpr> from, ArrayRef<SymExpr> to) {
    // One matrix, which may have more dims than `to`.
    if (llvm::all_of(from, [](const SymExpr &d) { return d.constant() == 1; }))
      matrix = L.index(0);
    else if (from != to)
      matrix = e.linearize(
                    e.broadcastIndex(e.delinearize(matrix, to), from, to), from)
                   .base;
  };
  repeat(ArrayRef(dims).drop_back(3), batch);
  for (Value view : repeats) {
    SmallVector<SymExpr> from = getDims(view.getDefiningOp()->getOperand(0)),
                         to = getDims(view);
    repeat(ArrayRef(from).drop_back(inner), ArrayRef(to).drop_back(inner));
  }
  return matrix;
}

Value PackedOperand::scalesAt(KernelEmitter &e, Value place, Value row) const {
  LaneBuilder &L = e.L;
  constexpr int64_t bytes = 4;
  Value at = L.add(L.mul(place, page), L.mul(row, bytes));
  int64_t lanes = L.lanes;
  Value raw = vector::LoadOp::create(e.b, L.loc,
                                     VectorType::get({lanes * bytes}, element),
                                     e.input(memory), at);
  return vector::BitCastOp::create(
      e.b, L.loc, VectorType::get({lanes}, e.b.getF32Type()), raw);
}

Value PackedOperand::inPage(LaneBuilder &L, Value panel) const {
  return width ? L.add(L.mul(panel, kPanelColumns), header) : L.index(header);
}

/// A GPU's dims have 31 bits, so an address is two of them.
TableOfRun::TableOfRun(KernelEmitter &e, const SymExpr &address) : e(e) {
  LaneBuilder &L = e.L;
  if (!e.info.gpu) {
    this->address = L.toI64(e.dim(address));
    return;
  }
  constexpr int64_t bits = 30;
  auto part = [&](SymExpr::Fn fn) {
    return L.toI64(e.dim(SymExpr::apply(fn, address, int64_t(1) << bits)));
  };
  Value high = part(SymExpr::Fn::FloorDiv), low = part(SymExpr::Fn::Mod);
  this->address =
      L.add(L.shiftLeft(high, L.constantInt(e.b.getI64Type(), bits)), low);
}

Value TableOfRun::exists() const { return e.L.ne(address, 0); }

Value TableOfRun::load(Value at) const {
  LaneBuilder &L = e.L;
  auto pointer = LLVM::LLVMPointerType::get(e.b.getContext());
  Value place = L.add(address, L.mul(L.toI64(at), 4));
  place = LLVM::IntToPtrOp::create(e.b, L.loc, pointer, place);
  return LLVM::LoadOp::create(e.b, L.loc, e.b.getI32Type(), place);
}

Value placeOfPage(KernelEmitter &e, const PageTable &table, Value matrix,
                  Value page) {
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  TableOfRun pages(e, table.address);
  Value count = e.dim(table.count);
  return e.ifElse(
      pages.exists(), b.getIndexType(),
      [&] {
        auto numberAt = [&](Value at) -> Value {
          return arith::IndexCastUIOp::create(b, L.loc, b.getIndexType(),
                                              pages.load(at));
        };
        Value matrices = e.dim(table.matrices);
        Value row = L.div(matrix, matrices);
        Value sequence = numberAt(L.sub(L.index(-1), row));
        Value number = numberAt(L.add(L.mul(sequence, count), page));
        return L.add(L.mul(number, matrices), L.rem(matrix, matrices));
      },
      [&] { return L.add(L.mul(matrix, count), page); });
}

Value PackedOperand::at(KernelEmitter &e, Value batchIndex,
                        ArrayRef<SymExpr> batch, Value panel) const {
  LaneBuilder &L = e.L;
  Value matrix = matrixAt(e, batchIndex, batch);
  if (width)
    return L.add(L.mul(matrix, e.dim(height * width)),
                 L.mul(panel, kPanelColumns));
  Value at = L.add(L.mul(matrix, e.dim(dims[dims.size() - 3])), panel);
  return L.mul(at, e.dim(dims[dims.size() - 2] * kPanelColumns));
}

Sink::Sink(KernelEmitter &e)
    : value(e.body().getTerminator()->getOperand(0)), dims(getDims(value)),
      element(getElementTypeOrSelf(value.getType())) {
  if (Operation *op = value.getDefiningOp(); isTranspose(op)) {
    value = op->getOperand(0);
    llvm::append_range(perm, permOf(op));
  }
}

Idx Sink::at(KernelEmitter &e, ArrayRef<Idx> idx) const {
  SmallVector<Idx> moved;
  for (int64_t p : perm)
    moved.push_back(idx[p]);
  return e.linearize(moved, dims);
}

void Sink::store(KernelEmitter &e, ArrayRef<Idx> idx, const Idx &flat) {
  e.setDomain(getDims(value), idx, flat);
  Value v = e.emit(value, idx);
  e.L.store(v, e.result(0), perm.empty() ? flat : at(e, idx), element);
}

} // namespace tenon
