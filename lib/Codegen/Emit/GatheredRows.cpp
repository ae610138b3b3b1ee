//===- GatheredRows.cpp - what rows of a map have in common ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/GatheredRows.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/GatherLanes.h"

using namespace mlir;

namespace tenon {

/// Is each element of it one that lies in memory?
static bool isMoved(Value v) {
  while (Operation *op = v.getDefiningOp()) {
    if (!isa<BroadcastToOp, GatherOp, ReshapeOp, SliceOp, TransposeOp>(op))
      return false;
    v = op->getOperand(0);
  }
  return true;
}

/// Is it read at the positions of the result's elements alone?
bool GatheredRows::staysInRow(Value v) const {
  llvm::SetVector<Value> reached;
  reached.insert(v);
  for (size_t i = 0; i < reached.size(); ++i) {
    if (getDims(reached[i]) != dims)
      return false;
    for (Operation *user : reached[i].getUsers())
      if (user->hasTrait<OpTrait::Elementwise>())
        reached.insert(user->getResult(0));
      else if (!user->hasTrait<mlir::OpTrait::IsTerminator>())
        return false;
  }
  return true;
}

/// Do rows of the result, and nothing else, gather from rows of it?
bool GatheredRows::isGatheredByRow(Value v) const {
  return llvm::all_of(v.getUses(), [&](OpOperand &use) {
    auto gather = dyn_cast<GatherOp>(use.getOwner());
    return gather && use.getOperandNumber() == 0 &&
           gather.getAxis() == dims.size() - 1 &&
           getDims(gather.getIndices()).size() == 1 &&
           staysInRow(gather.getResult());
  });
}

/// Looks for gathers behind what is computed at the position of a row.
void GatheredRows::visit(Value v) {
  Operation *op = v.getDefiningOp();
  SmallVector<SymExpr> own = getDims(v);
  if (!op || own.size() != dims.size() ||
      ArrayRef(own).drop_back() != ArrayRef(dims).drop_back() ||
      !visited.insert(v))
    return;
  if (op->hasTrait<OpTrait::Elementwise>()) {
    for (Value operand : op->getOperands())
      visit(operand);
    return;
  }
  auto gather = dyn_cast<GatherOp>(op);
  size_t q = gather ? getDims(gather.getIndices()).size() : 0;
  if (!gather)
    return;
  if (gather.getAxis() + q < dims.size()) {
    ofRows.push_back(gather);
    return;
  }
  if (q != 1)
    return;
  Value in = gather.getInput();
  LaneGather lanes{e, in, {}, dims.size() - 1, gather.getIndices(), {}};
  int64_t vectors = lanes.windowVectors(dims.back());
  if (vectors && staysInRow(v)) {
    const SymExpr &n = dims.back();
    Type i64 = e.b.getI64Type(), i32 = e.b.getI32Type();
    tables.push_back(
        {gather, vectors,
         e.scratchBuffer(
             SymExpr::apply(SymExpr::Fn::CeilDiv, n, e.vectorLanes()), i64),
         e.scratchBuffer(n, i32)});
  }
  if (!visited.contains(in) && !isMoved(in) && isGatheredByRow(in)) {
    Type type = computeType(getElementTypeOrSelf(in.getType()));
    rows.push_back({in, e.scratchBuffer(getDims(in).back(), type), type});
  }
  visit(in);
}

/// Writes the table, and whether windows have all lanes.
void GatheredRows::fill(Table &table) {
  LaneBuilder &L = e.L;
  Type i1 = e.b.getI1Type();
  Value yes = isWhole ? isWhole : L.constantInt(i1, 1);
  auto whole = e.lanesLoop(
      e.dim(dims.back()), e.vectorLanes(), yes, [&](Idx i, ValueRange args) {
        LaneGather lanes{
            e,  table.op.getInput(), {}, dims.size() - 1, table.op.getIndices(),
            {i}};
        Value data = L.widen(e.emit(lanes.indices, lanes.idx));
        LaneGather::Window window = lanes.windowOf(data, table.vectors);
        L.store(window.order, table.orders, i, e.b.getI32Type());
        L.store(L.toI64(window.base), table.bases,
                L.uniform(L.div(i.base, int64_t(L.lanes))), e.b.getI64Type());
        return SmallVector<Value>{L.both(args[0], window.isWhole)};
      });
  isWhole = whole[0];
}

GatheredRows::GatheredRows(KernelEmitter &e, Value root)
    : e(e), dims(getDims(root)) {
  if (e.vectorLanes() == 1)
    return;
  visit(root);
  for (Table &table : tables)
    fill(table);
}

Value GatheredRows::fromTable(const Table &table, ArrayRef<Idx> idx) {
  LaneBuilder &L = e.L;
  const Idx &i = idx.back();
  LaneGather lanes = laneGather(e, table.op, idx);
  Value base = L.load(table.bases, L.uniform(L.div(i.base, int64_t(L.lanes))),
                      e.b.getI64Type());
  return lanes.fromWindow({L.fromData(base, false).base,
                           L.load(table.orders, i, e.b.getI32Type()),
                           {}},
                          table.vectors);
}

void GatheredRows::emitRow(ArrayRef<Idx> idx, function_ref<void()> lanes) {
  LaneBuilder &L = e.L;
  for (GatherOp op : ofRows)
    e.emitGatherIndex(op.getIndices(),
                      idx.slice(op.getAxis(), getDims(op.getIndices()).size()),
                      getDims(op.getInput())[op.getAxis()]);
  for (const Row &row : rows) {
    SmallVector<Idx> at(idx);
    e.lanesLoop(e.dim(getDims(row.source).back()), e.vectorLanes(), [&](Idx i) {
      at.back() = i;
      L.store(e.emit(row.source, at), row.memory, i, row.type);
    });
    e.bind(row.source, [&L, row](ArrayRef<Idx> at) {
      return L.load(row.memory, at.back(), row.type);
    });
  }
  if (!isWhole)
    return lanes();
  e.ifThen(isWhole, [&] {
    for (const Table &table : tables)
      e.bind(GatherOp(table.op).getResult(),
             [this, table](ArrayRef<Idx> at) { return fromTable(table, at); });
    lanes();
  });
  e.ifThen(L.no(isWhole), [&] {
    for (const Table &table : tables)
      e.bind(GatherOp(table.op).getResult(), [this, table](ArrayRef<Idx> at) {
        return laneGather(e, table.op, at).emit(dims.back());
      });
    lanes();
  });
}

} // namespace tenon
