//===- ReduceKernel.cpp - reductions --------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Lanes run along the last dim of the input. Where that is reduced, they are
// partial results of one element, combined by a fixed tree; where it is kept,
// they are neighbouring elements, each with one chain of additions. Sums and
// means of f32 are added up in f64, where neither the length nor the order
// shows in the result.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/ColumnTasks.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"

using namespace mlir;

namespace tenon {

/// Rows of fewer elements are reduced beside one another, a lane each.
static constexpr int64_t kNarrowRow = 16;

unsigned wideLanes(KernelEmitter &e, const SymExpr &size) {
  unsigned wide = e.walk->reductionLanes(e, size);
  return size.constant().value_or(wide) < wide ? e.vectorLanes() : wide;
}

ColumnTasks::ColumnTasks(const SymExpr &size, int64_t columns)
    : columns(columns),
      count(SymExpr::apply(SymExpr::Fn::CeilDiv, size, columns)), size(size) {}

ColumnTasks::Range ColumnTasks::at(KernelEmitter &e, Value task) const {
  LaneBuilder &L = e.L;
  Value n = e.dim(size);
  if (count.constant().value_or(2) <= 1)
    return {task, L.index(0), n};
  Value chunks = e.dim(count);
  Value first = L.mul(L.rem(task, chunks), L.index(columns));
  return {L.div(task, chunks), first, L.min(L.sub(n, first), L.index(columns))};
}

/// The last dim that is not always 1; -1 where there is none.
static int64_t lastDim(ArrayRef<SymExpr> dims) {
  int64_t last = int64_t(dims.size()) - 1;
  while (last >= 0 && dims[last].constant() == 1)
    --last;
  return last;
}

Value KernelEmitter::pull(ReduceOp op, ArrayRef<Idx> idx) {
  ReduceKind kind = op.getKind();
  Value in = op.getInput();
  SmallVector<SymExpr> dims = getDims(in);
  Type element = getElementTypeOrSelf(in.getType());
  llvm::SmallDenseSet<int64_t> axes(op.getAxes().begin(), op.getAxes().end());
  SmallVector<Idx> at(dims.size());
  for (size_t k = 0, o = 0; k < dims.size(); ++k) {
    if (axes.count(k)) {
      o += op.getKeepdims();
      continue;
    }
    at[k] = idx[o++];
  }
  SymExpr count = 1;
  for (int64_t a : op.getAxes())
    count = count * dims[a];
  // Integer means are computed as the sum, divided at the end.
  int64_t last = lastDim(dims);
  bool uniform = llvm::all_of(idx, [](const Idx &i) { return i.isUniform(); });
  bool inner = axes.count(last) && uniform; // lanes run along the last dim
  LaneScope saved(L);
  unsigned lanes =
      inner ? walk->reductionLanes(*this, dims[last]) : (uniform ? 1 : L.lanes);
  L.lanes = lanes;
  bool wide =
      element.isF32() && (kind == ReduceKind::sum || kind == ReduceKind::mean);
  Type accElement = wide ? b.getF64Type() : computeType(element);
  Type accType = lanes == 1 ? accElement : L.vec(accElement);
  Value neutral = emitNeutral(L, kind, element, accType);
  SmallVector<int64_t> outer;
  for (int64_t a : op.getAxes())
    if (!(inner && a == last))
      outer.push_back(a);
  std::function<Value(size_t, Value)> nest = [&](size_t k, Value acc) -> Value {
    if (k < outer.size())
      return loop(L.index(0), dim(dims[outer[k]]), 1, acc,
                  [&](Value i, ValueRange args) {
                    at[outer[k]] = L.uniform(i);
                    return SmallVector<Value>{nest(k + 1, args[0])};
                  })[0];
    auto combine = [&](Value acc) {
      Value x = L.widen(emit(in, at));
      if (wide)
        x = arith::ExtFOp::create(b, L.loc, accType, x);
      if (inner && L.mask)
        x = L.select(L.mask, x, neutral);
      return emitCombine(L, kind, element, acc, x);
    };
    if (!inner)
      return combine(acc);
    return lanesLoop(dim(dims[last]), lanes, acc, [&](Idx i, ValueRange args) {
      at[last] = i;
      return SmallVector<Value>{combine(args[0])};
    })[0];
  };
  Value r = nest(0, neutral);
  if (inner) {
    auto combining = [&] {
      bool f = isa<FloatType>(element);
      bool u = element.isUnsignedInteger() || element.isInteger(1);
      switch (kind) {
      case ReduceKind::sum:
      case ReduceKind::mean:
        return vector::CombiningKind::ADD;
      case ReduceKind::prod:
        return vector::CombiningKind::MUL;
      case ReduceKind::max:
        return f ? vector::CombiningKind::MAXIMUMF
                 : (u ? vector::CombiningKind::MAXUI
                      : vector::CombiningKind::MAXSI);
      case ReduceKind::min:
        return f ? vector::CombiningKind::MINIMUMF
                 : (u ? vector::CombiningKind::MINUI
                      : vector::CombiningKind::MINSI);
      case ReduceKind::all:
        return vector::CombiningKind::AND;
      case ReduceKind::any:
        return vector::CombiningKind::OR;
      }
      return vector::CombiningKind::ADD;
    }();
    r = combineLanes(r, combining);
  }
  if (kind == ReduceKind::mean) {
    Value n = arith::IndexCastOp::create(b, L.loc, b.getI64Type(), dim(count));
    Type t = accElement;
    if (isa<FloatType>(t)) {
      n = arith::SIToFPOp::create(b, L.loc, t, n);
      r = arith::DivFOp::create(b, L.loc, r, L.isVector(r) ? L.widen(n) : n);
    } else {
      n = arith::MaxSIOp::create(b, L.loc, n, L.constantInt(n.getType(), 1));
      if (t.getIntOrFloatBitWidth() < 64)
        n = arith::TruncIOp::create(b, L.loc, t, n);
      r = arith::DivSIOp::create(b, L.loc, r, L.isVector(r) ? L.widen(n) : n);
    }
  }
  if (wide)
    r = arith::TruncFOp::create(b, L.loc,
                                L.isVector(r) ? L.vec(element) : element, r);
  return r;
}

void emitReduceKernel(KernelEmitter &e, ReduceOp op) {
  auto tiling = e.tiling<CpuReduceTilingAttr>();
  if (!tiling)
    return;
  LaneBuilder &L = e.L;
  Value root = op.getResult(), out = e.result(0);
  Type element = getElementTypeOrSelf(root.getType());
  SmallVector<SymExpr> in = getDims(op.getInput()), dims = getDims(root);
  e.info.cost = productOf(in) * 2;
  int64_t last = lastDim(in);
  bool inner = llvm::is_contained(op.getAxes(), last);
  // Few elements in a row leave most lanes idle: rows are the lanes then. Tasks
  // follow from it, so it is the same at every level.
  bool narrow =
      last >= 0 && in[last].constant().value_or(INT64_MAX) < kNarrowRow;
  int64_t axis = lastDim(dims);

  if (axis < 0 || (inner && !narrow)) {
    SymExpr total = productOf(dims), count = 1;
    for (int64_t a : op.getAxes())
      count = count * in[a];
    SymExpr part = SymExpr::apply(
        SymExpr::Fn::Max, 1,
        SymExpr::apply(SymExpr::Fn::FloorDiv, tiling.getElements(),
                       SymExpr::apply(SymExpr::Fn::Max, count, 1)));
    e.info.tasks = SymExpr::apply(SymExpr::Fn::CeilDiv, total, part);
    Value n = e.dim(total), size = e.dim(part);
    e.loop(e.begin, e.end, 1, [&](Value task) {
      Value first = L.mul(task, size);
      e.loop(first, L.min(n, L.add(first, size)), 1, [&](Value i) {
        L.store(e.emit(root, e.delinearize(i, dims)), out, L.uniform(i),
                element);
      });
    });
    return;
  }
  ColumnTasks columns(dims[axis], tiling.getColumns());
  SmallVector<SymExpr> outer(dims.begin(), dims.begin() + axis);
  e.info.tasks = productOf(outer) * columns.count;
  unsigned lanes = inner ? e.vectorLanes() : wideLanes(e, dims[axis]);
  Value n = e.dim(dims[axis]);
  e.loop(e.begin, e.end, 1, [&](Value task) {
    ColumnTasks::Range range = columns.at(e, task);
    SmallVector<Idx> idx = e.delinearize(range.outer, outer);
    idx.append(dims.size() - axis, L.uniform(0));
    Idx base = L.uniform(L.mul(range.outer, n));
    e.lanesLoop(range.size, lanes, [&](Idx i) {
      idx[axis] = L.add(L.uniform(range.first, columns.columns), i);
      L.store(e.emit(root, idx), out, L.add(base, idx[axis]), element);
    });
  });
}

} // namespace tenon
