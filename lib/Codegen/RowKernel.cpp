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
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonShape.h"
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
  template <typename Op>
  Value make(Value x, Value y) {
    return Op::create(b, L.loc, x, y);
  }
  Value scratch(const Idx &i) { return L.load(row, i, type); }
  /// Sums fn(i) over the row to one scalar.
  Value sum(function_ref<Value(Idx)> fn) {
    Value zero = L.constant(L.vec(type, lanes), 0);
    Value acc = e.lanesLoop(n, lanes, zero, [&](Idx i, ValueRange args) {
      Value x = L.widen(fn(i));
      if (L.mask)
        x = arith::SelectOp::create(b, L.loc, L.mask, x, zero);
      return SmallVector<Value>{make<arith::AddFOp>(args[0], x)};
    })[0];
    return L.reduceLanes(acc, vector::CombiningKind::ADD);
  }
  Value count() {
    Value i = arith::IndexCastOp::create(b, L.loc, b.getI64Type(), n);
    return arith::SIToFPOp::create(b, L.loc, type, i);
  }
  /// Stores prologue values to the scratch row and sums them.
  Value fill() {
    return sum([&](Idx i) {
      e.setDomain(dims, at(i), L.add(base, i));
      Value x = L.widen(e.emit(in, at(i)));
      L.store(x, row, i, type);
      return x;
    });
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
  Value max = L.reduceLanes(acc, vector::CombiningKind::MAXNUMF);
  if (op.getLog()) {
    Value total = sum([&](Idx i) {
      Value x = L.widen(scratch(i));
      return L.softmaxExp(make<arith::SubFOp>(x, L.widen(max)));
    });
    Value log = math::LogOp::create(b, L.loc, total);
    write([&](Idx i) {
      Value x = L.widen(scratch(i));
      return make<arith::SubFOp>(make<arith::SubFOp>(x, L.widen(max)),
                                 L.widen(log));
    });
    return;
  }
  Value total = sum([&](Idx i) {
    Value x = L.widen(scratch(i));
    Value y = L.softmaxExp(make<arith::SubFOp>(x, L.widen(max)));
    L.store(y, row, i, type);
    return y;
  });
  Value scale = make<arith::DivFOp>(c(total, 1), total);
  write([&](Idx i) -> Value {
    Value y = make<arith::MulFOp>(L.widen(scratch(i)), L.widen(scale));
    if (!op.getGuard())
      return y;
    Value nan =
        arith::CmpFOp::create(b, L.loc, arith::CmpFPredicate::UNO, y, y);
    return arith::SelectOp::create(b, L.loc, nan, c(y, 0), y);
  });
}

void RowKernel::layerNorm(LayerNormOp op) {
  Value mean = make<arith::DivFOp>(fill(), count());
  Value squares = sum([&](Idx i) {
    Value d = make<arith::SubFOp>(L.widen(scratch(i)), L.widen(mean));
    return make<arith::MulFOp>(d, d);
  });
  Value var = make<arith::DivFOp>(squares, count());
  Value dev = math::SqrtOp::create(
      b, L.loc,
      make<arith::AddFOp>(var, c(var, op.getEpsilon().convertToDouble())));
  Value scale = make<arith::DivFOp>(c(dev, 1), dev);
  write([&](Idx i) {
    Value d = make<arith::SubFOp>(L.widen(scratch(i)), L.widen(mean));
    Value y = make<arith::MulFOp>(d, L.widen(scale));
    if (op.getScale())
      y = make<arith::MulFOp>(y, L.widen(e.emit(op.getScale(), i)));
    if (op.getBias())
      y = make<arith::AddFOp>(y, L.widen(e.emit(op.getBias(), i)));
    return y;
  });
}

void RowKernel::rmsNorm(RmsNormOp op) {
  Value squares = sum([&](Idx i) {
    e.setDomain(dims, at(i), L.add(base, i));
    Value x = L.widen(e.emit(in, at(i)));
    L.store(x, row, i, type);
    return make<arith::MulFOp>(x, x);
  });
  Value mean = make<arith::DivFOp>(squares, count());
  Value root = math::SqrtOp::create(
      b, L.loc,
      make<arith::AddFOp>(mean, c(mean, op.getEpsilon().convertToDouble())));
  Value scale = make<arith::DivFOp>(c(root, 1), root);
  write([&](Idx i) {
    Value y = make<arith::MulFOp>(L.widen(scratch(i)), L.widen(scale));
    if (op.getScale())
      y = make<arith::MulFOp>(y, L.widen(e.emit(op.getScale(), i)));
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
    emitError(e.kernel.getLoc(), "a 'row' kernel holds no softmax or norm");
    e.failed = true;
    return;
  }
  RowKernel k{e, anchor};
  SmallVector<SymExpr> outer(k.dims.begin(), k.dims.end() - 1);
  e.info.tasks = productOf(outer);
  e.info.cost = productOf(k.dims) * 16;
  e.loop(e.begin, e.end, 1, [&](Value row) {
    k.lead = e.delinearize(row, outer);
    k.base = e.L.uniform(e.L.mul(row, k.n));
    if (auto op = dyn_cast<SoftmaxOp>(anchor))
      k.softmax(op);
    else if (auto op = dyn_cast<LayerNormOp>(anchor))
      k.layerNorm(op);
    else
      k.rmsNorm(cast<RmsNormOp>(anchor));
  });
}

} // namespace tenon
