//===- RecurrentKernel.cpp - all steps of LSTM, GRU and RNN ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sequences and directions never meet, so a task is some sequences of one
// direction, taken through all steps:
//
//   for step:
//     gates = state x panels of the weight    all gates as one product
//     for sequence:  for vector of units:     the cell
//       state = ...
//
// States and gates stay in the cache. What the gates take from the layer's
// input is read where it is used.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/KernelKinds.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"

using namespace mlir;

namespace tenon {

namespace {

struct RecurrentKernel {
  KernelEmitter &e;
  RecurrentOp op;
  BlockArgument weight;
  int64_t most; ///< sequences of a task
  StateProduct product;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type();
  SmallVector<SymExpr> out = getDims(op.getResult());
  int64_t ways = *out[1].constant(), units = op.getUnits();
  int64_t panels = llvm::divideCeil(op.getNumGates() * units, kPanelColumns);
  SymExpr steps = out[0] - SymExpr(op.getNumStates());
  SymExpr groups = SymExpr::apply(SymExpr::Fn::CeilDiv, out[2], SymExpr(most));
  Value hidden = e.scratchBuffer(SymExpr(most * units), f32);
  Value cell = op.getKind() == CellKind::lstm
                   ? e.scratchBuffer(SymExpr(most * units), f32)
                   : Value();
  Value gates = e.scratchBuffer(SymExpr(most * panels * kPanelColumns), f32);

  // Of a task:
  Value way = {}, first = {}, count = {};

  Value add(Value x, Value y) { return L.add(x, y); }
  Value sub(Value x, Value y) { return L.sub(x, y); }
  Value mul(Value x, Value y) { return L.mul(x, y); }
  Value tanh(Value x) { return math::TanhOp::create(b, L.loc, x); }
  Value sigmoid(Value x) { return emitSigmoid(L, x); }
  Value pull(Value v, ArrayRef<Idx> at) { return L.widen(e.emit(v, at)); }
  void overUnits(function_ref<void(Idx)> fn) {
    e.lanesLoop(L.index(units), e.vectorLanes(), fn);
  }
  Idx in(Value row, int64_t size, const Idx &u) {
    return L.add(L.uniform(L.mul(row, size)), u);
  }
  /// Row `row` of the result, at the task's r-th sequence.
  Idx place(Value row, Value r, const Idx &u) {
    Value at = L.add(L.mul(row, ways), way);
    at = L.add(L.mul(at, e.dim(out[2])), L.add(first, r));
    return in(at, units, u);
  }
  void start();
  Value nextState(Value time, Value r, const Idx &u);
  void step(Value time);
  void multiply();
  void task(Value number);
};

void RecurrentKernel::start() {
  e.loop(L.index(0), count, 1, [&](Value r) {
    overUnits([&](Idx u) {
      auto begin = [&](Value given, Value memory) {
        Value v = L.constant(L.vec(f32), 0);
        if (given)
          v = pull(given, {L.uniform(way), L.uniform(L.add(first, r)), u});
        L.store(v, memory, in(r, units, u), f32);
      };
      begin(op.getHidden(), hidden);
      if (cell)
        begin(op.getCell(), cell);
    });
  });
}

/// All rows of the state by the panels, where the target has nothing better.
void RecurrentKernel::multiply() {
  Value B = e.input(weight);
  Value matrix = L.mul(way, panels * units * kPanelColumns);
  if (product)
    return product(e, {count, hidden, units, B, matrix, panels, gates});
  e.loop(L.index(0), count, 1, [&](Value r) {
    e.loop(L.index(0), L.index(panels), 1, [&](Value p) {
      Value panel = L.add(matrix, L.mul(p, units * kPanelColumns));
      Value to = L.mul(L.add(L.mul(r, panels), p), kPanelColumns);
      e.lanesLoop(L.index(kPanelColumns), e.vectorLanes(), [&](Idx c) {
        Value zero = L.constant(L.vec(f32), 0);
        Value sum = e.loop(
            L.index(0), L.index(units), 1, zero, [&](Value k, ValueRange s) {
              Value h =
                  L.load(hidden, L.uniform(L.add(L.mul(r, units), k)), f32);
              Value w = L.load(
                  B, in(k, kPanelColumns, L.add(L.uniform(panel), c)), f32);
              return SmallVector<Value>{add(s[0], mul(L.widen(h), w))};
            })[0];
        L.store(sum, gates, L.add(L.uniform(to), c), f32);
      });
    });
  });
}

/// The state of units u of sequence r after a step; that of an lstm's cell is
/// stored.
Value RecurrentKernel::nextState(Value time, Value r, const Idx &u) {
  Idx batch = L.uniform(L.add(first, r));
  auto column = [&](int64_t i) { return L.add(L.uniform(i * units), u); };
  auto fromState = [&](int64_t i) {
    Value g = L.load(gates, in(r, panels * kPanelColumns, column(i)), f32);
    if (op.getBias())
      g = add(g, pull(op.getBias(), {L.uniform(way), column(i)}));
    return g;
  };
  auto fromInput = [&](int64_t i) {
    Value start = L.mul(way, op.getNumGates() * units);
    return pull(op.getInputs(),
                {L.uniform(time), batch, L.add(L.uniform(start), column(i))});
  };
  auto gate = [&](int64_t i) { return add(fromInput(i), fromState(i)); };
  Value before = L.load(hidden, in(r, units, u), f32);
  Value h, c, oldCell;
  switch (op.getKind()) {
  case CellKind::lstm: {
    Value input = sigmoid(gate(0)), output = sigmoid(gate(1)),
          forget = sigmoid(gate(2)), candidate = tanh(gate(3));
    oldCell = L.load(cell, in(r, units, u), f32);
    c = add(mul(forget, oldCell), mul(input, candidate));
    h = mul(output, tanh(c));
    break;
  }
  case CellKind::gru: {
    Value z = sigmoid(gate(0)), reset = sigmoid(gate(1));
    Value candidate = tanh(add(fromInput(2), mul(reset, fromState(2))));
    h = add(mul(sub(L.constLike(z, 1), z), candidate), mul(z, before));
    break;
  }
  case CellKind::rnn:
    h = tanh(gate(0));
    break;
  }
  Value row = h;
  if (op.getLengths()) {
    Value length = e.emit(op.getLengths(), {batch});
    length = arith::IndexCastOp::create(b, L.loc, b.getIndexType(), length);
    Value inside = L.slt(time, length);
    row = L.select(inside, h, L.constLike(h, 0));
    h = L.select(inside, h, before);
    if (c)
      c = L.select(inside, c, oldCell);
  }
  if (c)
    L.store(c, cell, in(r, units, u), f32);
  Value at = L.add(time, op.getNumStates());
  L.store(row, e.result(0), place(at, r, u), f32);
  return h;
}

void RecurrentKernel::step(Value time) {
  multiply();
  e.loop(L.index(0), count, 1, [&](Value r) {
    overUnits([&](Idx u) {
      L.store(nextState(time, r, u), hidden, in(r, units, u), f32);
    });
  });
}

void RecurrentKernel::task(Value number) {
  Value perWay = e.dim(groups), T = e.dim(steps);
  way = L.div(number, perWay);
  first = L.mul(L.rem(number, perWay), most);
  count = L.min(L.sub(e.dim(out[2]), first), most);
  start();
  Value backward = L.eq(way, 1);
  e.loop(L.index(0), T, 1, [&](Value t) {
    Value last = L.sub(L.sub(T, 1), t);
    step(ways == 2 ? L.select(backward, last, t) : op.getBackward() ? last : t);
  });
  e.loop(L.index(0), count, 1, [&](Value r) {
    overUnits([&](Idx u) {
      auto put = [&](Value memory, int64_t row) {
        Value v = L.load(memory, in(r, units, u), f32);
        L.store(v, e.result(0), place(L.index(row), r, u), f32);
      };
      put(hidden, 0);
      if (cell)
        put(cell, 1);
    });
  });
}

} // namespace

void emitRecurrentKernel(KernelEmitter &e, int64_t sequences,
                         StateProduct product) {
  auto op = e.rootOp<RecurrentOp>();
  if (!op)
    return;
  auto weight = dyn_cast<BlockArgument>(op.getWeight());
  if (!weight || getDims(weight).size() != 4) {
    e.fail("a recurrent layer needs panels of its weight "
           "in memory: run tenon-pack-matmul first");
    return;
  }
  RecurrentKernel k{e, op, weight, sequences, product};
  e.info.tasks = k.groups * SymExpr(k.ways);
  e.info.cost = productOf(getDims(op.getInputs())) * SymExpr(k.units);
  e.loop(e.begin, e.end, 1, [&](Value number) { k.task(number); });
}

} // namespace tenon
