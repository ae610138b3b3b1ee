//===- ChannelsLast.cpp - convolutions' values as rows of channels --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/ChannelsLast.h"
#include "dialects/Tenon/IR/TenonValue.h"
#include "dialects/Tenon/IR/TenonView.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/SetVector.h"
#include <algorithm>
#include <cstring>

using namespace mlir;

namespace tenon {

static Value reshape(OpBuilder &b, Location loc, Value v,
                     ArrayRef<SymExpr> dims) {
  if (getDims(v) == dims)
    return v;
  return ReshapeOp::create(b, loc, v, DimsAttr::get(b.getContext(), dims));
}

/// Of [N, C, spatial...].
static SmallVector<SymExpr> rowDims(ArrayRef<SymExpr> dims) {
  return {dims[0], productOf(dims.drop_front(2)), dims[1]};
}

/// An operand that is the same at all positions.
static bool isPerChannel(Value v, ArrayRef<SymExpr> dims) {
  SmallVector<SymExpr> everywhere(dims.take_front(2));
  everywhere.resize(dims.size(), SymExpr(1));
  return isBroadcastOf(getDims(v), everywhere);
}

/// Such an operand for rows: [C] or [N, 1, C]; a number stays one.
static Value perChannel(OpBuilder &b, Location loc, Value v,
                        ArrayRef<SymExpr> dims) {
  SmallVector<SymExpr> own = getDims(v);
  if (own.size() <= 1)
    return v;
  if (own.size() < dims.size() || own[0].constant() == 1)
    return reshape(b, loc, v, {productOf(own)});
  return reshape(b, loc, v, {own[0], SymExpr(1), own[1]});
}

Value ChannelsLast::viewOf(OpBuilder &b, Location loc, Value rows,
                           ArrayRef<SymExpr> dims) {
  Value v = TransposeOp::create(b, loc, rows, ArrayRef<int64_t>{0, 2, 1});
  v = ReshapeOp::create(b, loc, v, DimsAttr::get(b.getContext(), dims));
  known[v] = rows;
  return v;
}

Value ChannelsLast::move(Operation *op,
                         function_ref<Value(Value)> rowsOfOperand) {
  // A value that is asked for by name stays as the model has it.
  if (!op->hasTrait<OpTrait::Elementwise>() || op->hasAttr("tenon.value"))
    return nullptr;
  SmallVector<SymExpr> dims = getDims(op->getResult(0));
  auto isWhole = [&](Value v) { return getDims(v) == dims; };
  if (dims.size() < 3 || llvm::none_of(op->getOperands(), isWhole) ||
      !llvm::all_of(op->getOperands(), [&](Value v) {
        return isWhole(v) ? bool(rowsOfOperand(v)) : isPerChannel(v, dims);
      }))
    return nullptr;
  OpBuilder b(op);
  SmallVector<Value> operands;
  for (Value v : op->getOperands()) {
    if (isWhole(v))
      operands.push_back(rowsOfOperand(v));
    else
      operands.push_back(perChannel(b, op->getLoc(), v, dims));
  }
  Operation *moved = b.clone(*op);
  moved->setOperands(operands);
  Value rows = moved->getResult(0);
  rows.setType(getTensorType(rowDims(dims), getElementTypeOrSelf(rows)));
  Value view = viewOf(b, op->getLoc(), rows, dims);
  replace(op, view);
  return rows;
}

void ChannelsLast::replace(Operation *op, Value by) {
  op->getResult(0).replaceAllUsesWith(by);
  llvm::SetVector<Value> read; // an op may read a value twice
  auto erase = [&](Operation *op) {
    read.insert(op->operand_begin(), op->operand_end());
    known.erase(op->getResult(0));
    op->erase();
  };
  erase(op);
  while (!read.empty()) {
    Value v = read.pop_back_val();
    if (v.use_empty() &&
        isa_and_nonnull<ReshapeOp, TransposeOp>(v.getDefiningOp()))
      erase(v.getDefiningOp());
  }
}

StringRef ChannelsLast::sink(Operation *op) {
  auto rows = [&](Value v) { return known.lookup(v); };
  bool concerned =
      llvm::any_of(op->getOperands(), [&](Value v) { return bool(rows(v)); });
  if (move(op, rows) || !concerned) // else op is still there
    return "";
  return op->hasAttr("tenon.value")
             ? "its result is asked for by name"
             : "an operand has no rows and varies along the positions";
}

Value ChannelsLast::rowsOf(Value v) {
  if (auto it = known.find(v); it != known.end())
    return it->second;
  SmallVector<SymExpr> dims = getDims(v);
  Operation *op = v.getDefiningOp();
  if (!op || dims.size() < 3)
    return nullptr;
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    SmallVector<int64_t> perm{0, (int64_t)dims.size() - 1};
    for (size_t i = 1; i + 1 < dims.size(); ++i)
      perm.push_back(i);
    if (transpose.getPerm() != ArrayRef(perm))
      return known[v] = nullptr;
    OpBuilder b(op);
    Value rows = reshape(b, op->getLoc(), transpose.getInput(), rowDims(dims));
    return known[v] = rows;
  }
  if (Value rows = move(op, [&](Value o) { return rowsOf(o); }))
    return rows; // v is gone
  return known[v] = nullptr;
}

Value transposeChannelsLast(OpBuilder &b, Location loc, Value v) {
  SmallVector<int64_t> perm =
      llvm::to_vector(llvm::seq<int64_t>(getDims(v).size()));
  std::rotate(perm.begin() + 1, perm.begin() + 2, perm.end());
  return TransposeOp::create(b, loc, v, perm);
}

Value flattenChannelsLast(OpBuilder &b, Location loc, Value weight) {
  SmallVector<SymExpr> dims = getDims(weight);
  SymExpr kernel = productOf(ArrayRef(dims).drop_front(2));
  SmallVector<SymExpr> flat{dims[0], dims[1] * kernel};
  if (kernel.constant() == 1 || dims[1].constant() == 1)
    return reshape(b, loc, weight, flat);
  Value source = weight;
  while (auto view = source.getDefiningOp<ReshapeOp>())
    source = view.getInput();
  auto constant = source.getDefiningOp<ConstantOp>();
  Type element = getElementTypeOrSelf(weight.getType());
  size_t bytes = element.getIntOrFloatBitWidth() / 8; // 0: packed
  RankedTensorType type = getTensorType(flat, element);
  ArrayRef<char> data =
      constant ? match::bytesOf(constant.getValue()) : ArrayRef<char>();
  if (!type.hasStaticShape() || bytes == 0 ||
      data.size() < type.getNumElements() * bytes) {
    return reshape(b, loc, transposeChannelsLast(b, loc, weight), flat);
  }
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(
      type.getNumElements() * bytes, alignof(uint64_t));
  char *to = blob.getMutableData().data();
  int64_t channels = *dims[1].constant(), places = *kernel.constant();
  for (int64_t n = 0; n < *dims[0].constant(); ++n)
    for (int64_t k = 0; k < places; ++k)
      for (int64_t c = 0; c < channels; ++c, to += bytes)
        memcpy(to, &data[((n * channels + c) * places + k) * bytes], bytes);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointAfter(constant); // it may stand before a loop
  auto &manager =
      DenseResourceElementsHandle::getManagerInterface(b.getContext());
  return ConstantOp::create(
      b, loc,
      DenseResourceElementsAttr::get(
          type, manager.insert("channels_last", std::move(blob))));
}

} // namespace tenon
