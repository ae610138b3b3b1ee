//===- RowKernel.cpp - softmax and norms, a row at a time -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task is one row of the last dim. The prologue is computed once, into a
// scratch row that stays in the L1 cache; statistics are taken from there; the
// epilogue is computed while the row is written. Sums have one chain of
// additions per lane and a fixed tree over the lanes: their bits depend on the
// row's length alone.
//
// Norms take their statistics in f64: a row may lie far from zero, and be long.
// Deviations from its first element are exact where the row's elements are
// close, so that one pass gives sum and sum of squares (cancellation costs at
// most a factor of the row's length, of 2^53). The mean is kept as two floats,
// since the nearest one may be as far off as the row is wide. docs/Math.md has
// the error bounds.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/KernelKinds.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

struct RowKernel {
  KernelEmitter &e;
  Operation *anchor;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Value in = anchor->getOperand(0), out = anchor->getResult(0);
  SmallVector<SymExpr> dims = getDims(in);
  SymExpr size = dims.back();
  unsigned lanes = e.vectorLanes();
  Value n = e.dim(size);
  Type type = computeType(getElementTypeOrSelf(in.getType()));
  Value row = e.scratchBuffer(size, type); // what the statistics are taken of
  SmallVector<Idx> lead{};                 // the row's place in the outer dims
  Idx base{};                              // and in memory

  SmallVector<Idx> at(const Idx &i) {
    SmallVector<Idx> idx(lead);
    idx.push_back(i);
    return idx;
  }
  Value c(Value like, double v) { return L.constLike(like, v); }
  Value scratch(const Idx &i) { return L.load(row, i, type); }
  /// Sums fn(i) over the row to one scalar.
  Value sum(function_ref<Value(Idx)> fn) {
    Value zero = L.constant(L.vec(type, lanes), 0);
    Value acc = e.lanesLoop(n, lanes, zero, [&](Idx i, ValueRange args) {
      Value x = L.widen(fn(i));
      if (L.mask)
        x = L.select(L.mask, x, zero);
      return SmallVector<Value>{L.add(args[0], x)};
    })[0];
    return e.combineLanes(acc, vector::CombiningKind::ADD);
  }
  Type exact = b.getF64Type(); // what a norm's statistics are computed in
  Value toExact(Value x) { return L.extend(x, exact); }
  /// A scalar rounded to the row's type.
  Value toType(Value x) { return L.truncate(x, type); }
  /// 1 / the row's length, in f64.
  Value inverseCount() {
    Value count = L.toFloat(L.toI64(n), exact);
    return L.div(c(count, 1), count);
  }
  Value prologue(const Idx &i) {
    e.setDomain(dims, at(i), L.add(base, i));
    return e.emit(in, at(i));
  }
  /// The row's first element; 0 where it has none.
  Value first() {
    LaneScope scope(L, 1);
    if (size.constant().value_or(0) > 0)
      return prologue(L.uniform(0));
    Value some = L.ne(n, 0);
    return e.ifElse(
        some, type, [&] { return prologue(L.uniform(0)); },
        [&] { return L.constant(type, 0); });
  }
  /// Stores prologue values to the scratch row; gives the sums, in f64, of
  /// their deviations from `origin` and of those' squares.
  std::pair<Value, Value> fill(Value origin) {
    Value zero = L.constant(L.vec(exact, lanes), 0);
    auto sums =
        e.lanesLoop(n, lanes, {zero, zero}, [&](Idx i, ValueRange args) {
          Value x = L.widen(prologue(i));
          L.store(x, row, i, type);
          Value d = toExact(x);
          if (origin)
            d = L.sub(d, L.widen(origin));
          if (L.mask)
            d = L.select(L.mask, d, zero);
          return SmallVector<Value>{L.add(args[0], d),
                                    L.add(args[1], L.mul(d, d))};
        });
    return {e.combineLanes(sums[0], vector::CombiningKind::ADD),
            e.combineLanes(sums[1], vector::CombiningKind::ADD)};
  }
  /// 1 / sqrt(mean square + epsilon), rounded once.
  Value inverseRoot(Value meanSquare, const APFloat &epsilon) {
    Value root = math::SqrtOp::create(
        b, L.loc, L.add(meanSquare, c(meanSquare, epsilon.convertToDouble())));
    return toType(L.div(c(root, 1), root));
  }
  /// Writes the row: `value` gives the anchor's result.
  void write(function_ref<Value(Idx)> value) {
    Value root = e.body().getTerminator()->getOperand(0);
    SmallVector<SymExpr> rootDims = getDims(root);
    e.lanesLoop(n, lanes, [&](Idx i) {
      Idx flat = L.add(base, i);
      e.setDomain(rootDims, at(i), flat);
      Value y = value(i);
      e.bind(out, [y](ArrayRef<Idx>) { return y; });
      L.store(e.emit(root, at(i)), e.result(0), flat,
              getElementTypeOrSelf(root.getType()));
    });
  }
  void softmax(SoftmaxOp op);
  void layerNorm(LayerNormOp op);
  void rmsNorm(RmsNormOp op);
};

void RowKernel::softmax(SoftmaxOp op) {
  Value lowest = L.constant(L.vec(type, lanes), -HUGE_VAL);
  Value acc = e.lanesLoop(n, lanes, lowest, [&](Idx i, ValueRange args) {
    e.setDomain(dims, at(i), L.add(base, i));
    Value x = L.widen(e.emit(in, at(i)));
    L.store(x, row, i, type);
    return SmallVector<Value>{L.largerOf(args[0], x)};
  })[0];
  Value max = e.combineLanes(acc, vector::CombiningKind::MAXNUMF);
  if (op.getLog()) {
    Value total = sum([&](Idx i) {
      Value x = L.widen(scratch(i));
      return L.softmaxExp(L.sub(x, L.widen(max)));
    });
    Value log = math::LogOp::create(b, L.loc, total);
    write([&](Idx i) {
      Value x = L.widen(scratch(i));
      return L.sub(L.sub(x, L.widen(max)), L.widen(log));
    });
    return;
  }
  Value total = sum([&](Idx i) {
    Value x = L.widen(scratch(i));
    Value y = L.softmaxExp(L.sub(x, L.widen(max)));
    L.store(y, row, i, type);
    return y;
  });
  Value scale = L.div(c(total, 1), total);
  write([&](Idx i) -> Value {
    Value y = L.mul(L.widen(scratch(i)), L.widen(scale));
    if (!op.getGuard())
      return y;
    Value nan = L.isNan(y);
    return L.select(nan, c(y, 0), y);
  });
}

void RowKernel::layerNorm(LayerNormOp op) {
  Value origin = toExact(first());
  auto [total, squares] = fill(origin);
  Value inverse = inverseCount();
  Value shift = L.mul(total, inverse);
  // Never below 0 by rounding; NaN stays.
  Value rest = L.sub(squares, L.mul(total, shift));
  Value variance =
      arith::MaximumFOp::create(b, L.loc, L.mul(rest, inverse), c(rest, 0));
  Value scale = inverseRoot(variance, op.getEpsilon());
  // origin + shift as two numbers of the row's type.
  Value mean = toType(L.add(origin, shift));
  Value low = toType(L.add(L.sub(origin, toExact(mean)), shift));
  write([&](Idx i) {
    Value d = L.sub(L.widen(scratch(i)), L.widen(mean));
    d = L.sub(d, L.widen(low));
    Value y = L.mul(d, L.widen(scale));
    if (op.getScale())
      y = L.mul(y, L.widen(e.emit(op.getScale(), i)));
    if (op.getBias())
      y = L.add(y, L.widen(e.emit(op.getBias(), i)));
    return y;
  });
}

void RowKernel::rmsNorm(RmsNormOp op) {
  Value squares = fill(/*origin=*/{}).second;
  Value scale = inverseRoot(L.mul(squares, inverseCount()), op.getEpsilon());
  write([&](Idx i) {
    Value y = L.mul(L.widen(scratch(i)), L.widen(scale));
    if (op.getScale())
      y = L.mul(y, L.widen(e.emit(op.getScale(), i)));
    return y;
  });
}

} // namespace

void emitRowKernel(KernelEmitter &e) {
  Operation *anchor = nullptr;
  for (Operation &op : e.body())
    if (isa<SoftmaxOp, LayerNormOp, RmsNormOp>(op))
      anchor = &op;
  if (!anchor) {
    e.fail("a 'row' kernel holds no softmax or norm");
    return;
  }
  RowKernel k{e, anchor};
  SmallVector<SymExpr> outer(k.dims.begin(), k.dims.end() - 1);
  e.info.tasks = productOf(outer);
  e.info.cost = productOf(k.dims) * 16;
  e.loop(e.begin, e.end, 1, [&](Value row) {
    k.lead = e.delinearize(row, outer);
    k.base = e.L.uniform(e.L.mul(row, k.n), e.walk().rowAlignment(e));
    if (auto op = dyn_cast<SoftmaxOp>(anchor))
      k.softmax(op);
    else if (auto op = dyn_cast<LayerNormOp>(anchor))
      k.layerNorm(op);
    else
      k.rmsNorm(cast<RmsNormOp>(anchor));
  });
}

} // namespace tenon
