//===- RecurrenceKernel.cpp - linear attention ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The columns of a state never meet, so a task is a few columns of one head's
// state, taken through all of time. The state lies where the result wants its
// last value, in rows that stay in the cache.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/KernelKinds.h"

using namespace mlir;

namespace tenon {

namespace {

struct RecurrenceKernel {
  KernelEmitter &e;
  LinearAttentionOp op;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type();
  SmallVector<SymExpr> query = getDims(op.getQuery());
  SymExpr depth = query[4];
  Value dk = e.dim(depth), dv = e.dim(getDims(op.getResult())[3]);
  Idx batch{}, head{};

  /// An element that all columns share.
  Value shared(Value v, ArrayRef<Idx> at) { return L.widen(e.emit(v, at)); }
  /// 0 along a dim of one element.
  Idx along(Value v, size_t dim, const Idx &i) {
    return getDims(v)[dim].constant() == 1 ? L.uniform(0) : i;
  }
  void columns(const Idx &column, Value firstRow);
};

void RecurrenceKernel::columns(const Idx &column, Value firstRow) {
  Value out = e.result(0), zero = L.constant(L.vec(f32), 0);
  auto row = [&](Value r) {
    return L.add(L.uniform(L.mul(L.add(firstRow, r), dv)), column);
  };
  auto overDepth = [&](Value init, function_ref<Value(Idx, Value)> fn) {
    return e.loop(L.index(0), dk, 1, init, [&](Value d, ValueRange args) {
      return SmallVector<Value>{fn(L.uniform(d), args[0])};
    })[0];
  };
  e.loop(L.index(0), dk, 1, [&](Value d) {
    Value start = zero;
    if (op.getState())
      start = shared(op.getState(), {batch, head, L.uniform(d), column});
    L.store(start, out, row(d), f32);
  });
  e.loop(L.index(0), e.dim(query[1]), 1, [&](Value t) {
    Idx time = L.uniform(t);
    auto state = [&](const Idx &d) { return L.load(out, row(d.base), f32); };
    auto decayed = [&](const Idx &d) {
      Value s = state(d), decay = op.getDecay();
      if (!decay)
        return s;
      return L.mul(s, shared(decay, {batch, time, head, along(decay, 3, d)}));
    };
    auto key = [&](const Idx &d) {
      return shared(op.getKey(), {batch, time, head, d});
    };
    Value v = shared(op.getValue(), {batch, time, head, column});
    bool corrects = bool(op.getBeta());
    if (corrects) {
      Value seen = overDepth(zero, [&](Idx d, Value sum) {
        Value s = decayed(d);
        if (op.getDecay())
          L.store(s, out, row(d.base), f32);
        return L.add(sum, L.mul(s, key(d)));
      });
      Value beta = op.getBeta();
      Value strength =
          shared(beta, {batch, time, along(beta, 2, head), L.uniform(0)});
      v = L.mul(strength, L.sub(v, seen));
    }
    e.loop(L.index(0), dk, 1, [&](Value d) {
      Idx at = L.uniform(d);
      Value s = corrects ? state(at) : decayed(at);
      L.store(L.add(s, L.mul(key(at), v)), out, row(d), f32);
    });
    Value queries = e.dim(query[3]);
    e.loop(L.index(0), queries, 1, [&](Value g) {
      Value o = overDepth(zero, [&](Idx d, Value sum) {
        Value q = shared(op.getQuery(), {batch, time, head, L.uniform(g), d});
        return L.add(sum, L.mul(q, state(d)));
      });
      Value r = L.add(dk, L.add(L.mul(t, queries), g));
      L.store(o, out, row(r), f32);
    });
  });
}

} // namespace

void emitRecurrenceKernel(KernelEmitter &e, int64_t width) {
  auto op = e.rootOp<LinearAttentionOp>();
  if (!op)
    return;
  RecurrenceKernel k{e, op};
  LaneBuilder &L = e.L;
  SmallVector<SymExpr> dims = getDims(op->getResult(0));
  SymExpr chunks = SymExpr::apply(SymExpr::Fn::CeilDiv, dims[3], width);
  e.info.tasks = dims[0] * dims[1] * chunks;
  e.info.cost = productOf(dims) * k.depth * 4;
  Value count = e.dim(chunks), rows = e.dim(dims[2]);
  e.loop(e.begin, e.end, 1, [&](Value task) {
    Value place = L.div(task, count);
    Value first = L.mul(L.rem(task, count), width);
    SmallVector<Idx> at = e.delinearize(place, {dims[0], dims[1]});
    k.batch = at[0];
    k.head = at[1];
    Value size = L.min(L.sub(k.dv, first), width);
    e.lanesLoop(size, e.vectorLanes(), [&](Idx i) {
      k.columns(L.add(L.uniform(first, width), i), L.mul(place, rows));
    });
  });
}

} // namespace tenon
