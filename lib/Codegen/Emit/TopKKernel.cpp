//===- TopKKernel.cpp - the k best of each row, in order ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A task is one row. Elements become integer keys whose order is the one asked
// for, so that floats, NaN and both directions are one case:
//
//   1. the first k elements form a heap with the worst on top
//   2. the others are compared with the top a vector at a time; one that is
//      better takes its place and sinks. Rows are mostly longer than k: hardly
//      a vector holds one
//   3. the top goes to the end, the heap shrinks, until all are in order
//
// Of equal keys the lower index is better. No two elements are alike then, and
// the result does not depend on the steps taken.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/KernelKinds.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"

using namespace mlir;

namespace tenon {

namespace {

struct TopKKernel {
  KernelEmitter &e;
  TopKOp op;
  SymExpr count;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  SmallVector<SymExpr> dims = getDims(op.getInput());
  Type element = getElementTypeOrSelf(op.getInput().getType());
  Type key = b.getIntegerType(computeType(element).getIntOrFloatBitWidth());
  Value k = e.dim(count), n = e.dim(dims.back());
  Value keys = e.scratchBuffer(count, key);
  Type i64 = b.getI64Type();
  Value ids = e.scratchBuffer(count, i64);

  struct Item {
    Value key, id;
  };
  Value keyAt(Value at) { return L.load(keys, L.uniform(at), key); }
  Item load(Value at) {
    Value found = keyAt(at);
    return {found, L.load(ids, L.uniform(at), i64)};
  }
  void store(const Item &x, Value at) {
    L.store(x.key, keys, L.uniform(at), key);
    L.store(x.id, ids, L.uniform(at), i64);
  }
  Value worse(const Item &x, const Item &y) {
    Value later = L.sgt(x.id, y.id), tie = L.eq(x.key, y.key);
    Value less = L.slt(x.key, y.key);
    return L.either(less, L.both(tie, later));
  }
  Value toKey(Value x);
  void sink(Value start, Value size);
  void row(ArrayRef<Idx> lead, Value number);
};

/// Larger is better, as signed integers.
Value TopKKernel::toKey(Value x) {
  Type type = key;
  if (auto v = dyn_cast<VectorType>(x.getType()))
    type = VectorType::get(v.getShape(), key);
  unsigned bits = key.getIntOrFloatBitWidth();
  APInt sign = APInt::getSignMask(bits);
  auto constant = [&](const APInt &value) -> Value {
    TypedAttr attr = b.getIntegerAttr(key, value);
    if (auto v = dyn_cast<VectorType>(type))
      attr = DenseElementsAttr::get(v, Attribute(attr));
    return arith::ConstantOp::create(b, L.loc, attr);
  };
  Value r = x;
  if (isa<FloatType>(element)) {
    // -0 + 0 is 0. A negative float's bits rise as it falls.
    r = arith::BitcastOp::create(b, L.loc, type, L.add(x, L.constLike(x, 0)));
    Value negative =
        arith::ShRSIOp::create(b, L.loc, r, constant(APInt(bits, bits - 1)));
    r = L.bitXor(r, L.both(negative, constant(~sign)));
    Value nan = L.isNan(x);
    r = L.select(nan, constant(~sign), r);
  } else if (element.isUnsignedInteger()) {
    r = L.bitXor(r, constant(sign));
  }
  return op.getSmallest() ? L.bitXor(r, constant(APInt::getAllOnes(bits))) : r;
}

/// Moves the item at `start` down to where no child of the heap [0, size) is
/// worse.
void TopKKernel::sink(Value start, Value size) {
  Item item = load(start);
  Type index = b.getIndexType();
  auto loop = scf::WhileOp::create(b, L.loc, TypeRange{index, index},
                                   ValueRange{start});
  OpBuilder::InsertionGuard guard(b);
  Block *before = b.createBlock(&loop.getBefore(), {}, {index}, {L.loc});
  Value at = before->getArgument(0);
  Value left = L.add(L.mul(at, 2), 1);
  auto step = scf::IfOp::create(b, L.loc, TypeRange{b.getI1Type(), index},
                                L.ult(left, size),
                                /*withElse=*/true);
  scf::ConditionOp::create(b, L.loc, step.getResult(0),
                           ValueRange{at, step.getResult(1)});
  b.setInsertionPointToStart(step.thenBlock());
  // Without a right child the left one is compared with itself.
  Value right = L.min(L.add(left, 1), L.sub(size, 1));
  Item x = load(left), y = load(right);
  Value takeRight = worse(y, x);
  auto pick = [&](Value l, Value r) { return L.select(takeRight, r, l); };
  Item child{pick(x.key, y.key), pick(x.id, y.id)};
  scf::YieldOp::create(b, L.loc,
                       ValueRange{worse(child, item), pick(left, right)});
  b.setInsertionPointToStart(step.elseBlock());
  scf::YieldOp::create(b, L.loc,
                       ValueRange{L.constantInt(b.getI1Type(), 0), left});
  Block *after =
      b.createBlock(&loop.getAfter(), {}, {index, index}, {L.loc, L.loc});
  store(load(after->getArgument(1)), after->getArgument(0));
  scf::YieldOp::create(b, L.loc, after->getArgument(1));
  b.setInsertionPointAfter(loop);
  store(item, loop.getResult(0));
}

void TopKKernel::row(ArrayRef<Idx> lead, Value number) {
  Value in = op.getInput(), zero = L.index(0), one = L.index(1);
  auto at = [&](const Idx &i) {
    SmallVector<Idx> idx(lead);
    idx.push_back(i);
    return idx;
  };
  e.loop(zero, k, 1, [&](Value i) {
    store({toKey(e.emit(in, at(L.uniform(i)))), L.toI64(i)}, i);
  });
  Value half = L.div(k, 2);
  e.loop(zero, half, 1, [&](Value i) { sink(L.sub(L.sub(half, one), i), k); });

  unsigned lanes = e.vectorLanes();
  e.lanesLoop(L.sub(n, k), lanes, [&](Idx i) {
    Idx position = L.add(L.uniform(k), i);
    Value found = toKey(L.widen(e.emit(in, at(position))));
    if (L.mask) // the lowest key is better than none
      found = L.select(L.mask, found,
                       emitNeutral(L, ReduceKind::max, key, found.getType()));
    Value top = keyAt(zero);
    Value better = L.anyOf(L.sgt(found, L.widen(top)));
    e.ifThen(better, [&] {
      e.loop(zero, L.index(lanes), 1, [&](Value lane) {
        Value mine = found;
        if (L.isVector(found))
          mine = vector::ExtractOp::create(b, L.loc, found, lane);
        Value now = keyAt(zero);
        e.ifThen(L.sgt(mine, now), [&] {
          store({mine, L.toI64(L.add(position.base, lane))}, zero);
          sink(zero, k);
        });
      });
    });
  });

  e.loop(zero, L.sub(k, one), 1, [&](Value i) {
    Value end = L.sub(L.sub(k, one), i);
    Item worst = load(zero), other = load(end);
    store(worst, end);
    store(other, zero);
    sink(zero, end);
  });
  Idx base = L.uniform(L.mul(number, k));
  e.lanesLoop(k, lanes, [&](Idx i) {
    L.store(L.load(ids, i, i64), e.result(0), L.add(base, i), i64);
  });
}

} // namespace

void emitTopKKernel(KernelEmitter &e) {
  auto op = e.rootOp<TopKOp>();
  if (!op)
    return;
  TopKKernel kernel{e, op, getDims(op->getResult(0)).back()};
  LaneBuilder &L = e.L;
  SmallVector<SymExpr> outer(kernel.dims.begin(), kernel.dims.end() - 1);
  e.info.tasks = productOf(outer);
  e.info.cost =
      productOf(kernel.dims) * 4 + productOf(outer) * kernel.count * 64;
  Value some = L.ne(kernel.k, 0);
  e.loop(e.begin, e.end, 1, [&](Value row) {
    SmallVector<Idx> lead = e.delinearize(row, outer);
    e.ifThen(some, [&] { kernel.row(lead, row); });
  });
}

} // namespace tenon
