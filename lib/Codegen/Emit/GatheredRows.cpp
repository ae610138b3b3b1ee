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

/// Is it read at the positions of the root's elements alone?
bool GatheredRows::staysInRow(Value v) const {
  llvm::SetVector<Value> reached;
  reached.insert(v);
  for (size_t i = 0; i < reached.size(); ++i) {
    if (getDims(reached[i]) != dims)
      return false;
    if (reached[i] == root)
      continue;
    for (Operation *user : reached[i].getUsers())
      if (user->hasTrait<OpTrait::Elementwise>())
        reached.insert(user->getResult(0));
      else
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
  bool isOne = dims.back().constant() == 1; // its lanes lie along another dim
  if (vectors && !isOne && staysInRow(v)) {
    Table table{gather, vectors, {}, {}};
    groupOf(table).push_back(table);
  }
  if (!visited.contains(in) && !isMoved(in) && isGatheredByRow(in)) {
    Type type = computeType(getElementTypeOrSelf(in.getType()));
    rows.push_back({in, {}, type});
  }
  visit(in);
}

/// The gathers from the same rows whose lanes a window has beside those of the
/// table; none yet: a new group.
GatheredRows::Tables &GatheredRows::groupOf(const Table &table) {
  GatherOp op = table.op;
  LaneGather lanes{e, op.getInput(), {}, dims.size() - 1, op.getIndices(), {}};
  for (Tables &group : groups) {
    std::optional<int64_t> span = lanes.spanOf(dims.back(), group.size() + 1);
    if (GatherOp(group.front().op).getInput() == op.getInput() && span &&
        *span <= table.vectors * int64_t(e.vectorLanes()))
      return group;
  }
  return groups.emplace_back();
}

/// Writes a group's tables, and whether windows have all lanes.
void GatheredRows::fill(Tables &group) {
  LaneBuilder &L = e.L;
  const SymExpr &n = dims.back();
  Type i1 = e.b.getI1Type(), i32 = e.b.getI32Type(), i64 = e.b.getI64Type();
  Value bases = e.scratchBuffer(
      SymExpr::apply(SymExpr::Fn::CeilDiv, n, e.vectorLanes()), i64);
  for (Table &table : group) {
    table.bases = bases;
    table.orders = e.scratchBuffer(n, i32);
  }
  Value yes = isWhole ? isWhole : L.constantInt(i1, 1);
  auto whole =
      e.lanesLoop(e.dim(n), e.vectorLanes(), yes, [&](Idx i, ValueRange args) {
        SmallVector<LaneGather> gathers;
        SmallVector<Value> indices;
        Value first, all = args[0];
        for (const Table &table : group) {
          GatherOp op = table.op;
          gathers.push_back(
              {e, op.getInput(), {}, dims.size() - 1, op.getIndices(), {i}});
          indices.push_back(L.toData(
              L.fromData(L.widen(e.emit(op.getIndices(), {i})), false), i64));
          Value own =
              vector::ExtractOp::create(e.b, L.loc, indices.back(), int64_t(0));
          first = first ? L.min(first, own) : own;
        }
        for (auto [table, gather, data] :
             llvm::zip_equal(group, gathers, indices)) {
          LaneGather::Window window =
              gather.windowOf(data, table.vectors, first);
          L.store(window.order, table.orders, i, i32);
          L.store(L.toI64(window.base), bases,
                  L.uniform(L.div(i.base, int64_t(L.lanes))), i64);
          all = L.both(all, window.isWhole);
        }
        return SmallVector<Value>{all};
      });
  isWhole = whole[0];
}

GatheredRows::GatheredRows(KernelEmitter &e, Value root)
    : e(e), root(root), dims(getDims(root)) {
  if (e.vectorLanes() == 1)
    return;
  visit(root);
  for (Row &row : rows)
    for (int64_t k = 0; k < together(); ++k)
      row.memory.push_back(
          e.scratchBuffer(getDims(row.source).back(), row.type));
  for (Tables &group : groups)
    fill(group);
}

int64_t GatheredRows::together() const {
  // Longer ones, written side by side, are slower by AVX2 than one by one.
  constexpr int64_t most = 256;
  std::optional<int64_t> n = dims.back().constant();
  return !rows.empty() && !groups.empty() && n && *n <= most ? 2 : 1;
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

void GatheredRows::select(size_t row) {
  for (const Row &own : ArrayRef(rows).take_front(ready)) {
    Value memory = own.memory[row];
    e.bind(own.source, [this, memory, type = own.type](ArrayRef<Idx> at) {
      return e.L.load(memory, at.back(), type);
    });
  }
}

void GatheredRows::emitRows(ArrayRef<SmallVector<Idx>> at,
                            function_ref<void()> lanes) {
  LaneBuilder &L = e.L;
  for (const SmallVector<Idx> &idx : at)
    for (GatherOp op : ofRows)
      e.emitGatherIndex(
          op.getIndices(),
          ArrayRef(idx).slice(op.getAxis(), getDims(op.getIndices()).size()),
          getDims(op.getInput())[op.getAxis()]);
  for (const Row &row : rows) {
    e.lanesLoop(e.dim(getDims(row.source).back()), e.vectorLanes(), [&](Idx i) {
      SmallVector<Value> values;
      for (auto [k, idx] : llvm::enumerate(at)) {
        SmallVector<Idx> own(idx);
        own.back() = i;
        select(k);
        values.push_back(e.emit(row.source, own));
      }
      for (auto [value, memory] : llvm::zip_first(values, row.memory))
        L.store(value, memory, i, row.type);
    });
    ++ready;
  }
  if (!isWhole)
    return lanes();
  auto forTables = [&](function_ref<void(const Table &)> fn) {
    for (const Tables &group : groups)
      llvm::for_each(group, fn);
  };
  e.ifThen(isWhole, [&] {
    forTables([&](const Table &table) {
      e.bind(GatherOp(table.op).getResult(),
             [this, table](ArrayRef<Idx> at) { return fromTable(table, at); });
    });
    lanes();
  });
  e.ifThen(L.no(isWhole), [&] {
    forTables([&](const Table &table) {
      e.bind(GatherOp(table.op).getResult(), [this, table](ArrayRef<Idx> at) {
        return laneGather(e, table.op, at).emit(dims.back());
      });
    });
    lanes();
  });
}

} // namespace tenon
