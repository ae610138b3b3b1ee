//===- Recurrent.cpp - LSTM, GRU and RNN ----------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What depends on the input alone is one matrix product over all steps. The
// steps themselves are repeated as a loop's iterations are.
//
//===----------------------------------------------------------------------===//
#include "Loops.h"
#include "Registry.h"
#include "dialects/Tenon/IR/TenonMath.h"

using namespace mlir;

namespace tenon::onnximport {

namespace {

/// About as many ops has a step.
constexpr int64_t kStepNodes = 32;

enum class Cell { Lstm, Gru, Rnn };

struct Recurrent {
  NodeImporter &n;
  const Cell cell;
  const int64_t gates = cell == Cell::Lstm ? 4 : cell == Cell::Gru ? 3 : 1;
  bool batchFirst = n.getInt("layout", 0) == 1;
  int64_t hidden = 0, directions = 0;
  SymExpr steps = SymExpr(0), batch = SymExpr(1);
  /// Each sequence's length as [batch, 1], or null: all steps count.
  Value lengths = {};

  Value sigmoid(Value v) { return n.make<SigmoidOp>({v}); }
  Value tanh(Value v) { return n.make<TanhOp>({v}); }

  /// Direction `d` of [directions, ...].
  Value of(Value v, int64_t d, int64_t axis = 0) {
    if (!v)
      return v;
    return n.squeeze(n.slice(v, axis, SymExpr(d), SymExpr(1)), {axis});
  }
  /// Gate `i` along the last dim.
  Value gate(Value v, int64_t i, int64_t count = 1) {
    if (!v)
      return v;
    return n.slice(v, n.rank(v) - 1, SymExpr(i * hidden),
                   SymExpr(count * hidden));
  }
  Value plus(Value a, Value b) { return b ? n.add(a, b) : a; }
  /// The state before the first step, [batch, hidden].
  Value first(unsigned input, int64_t d) {
    Dims dims = {batch, SymExpr(hidden)};
    if (!n.has(input))
      return n.broadcast(n.scalarLike(0, n.in(0)), dims);
    Value v = of(n.in(input), d, batchFirst ? 1 : 0);
    if (n.rank(v) != 2)
      return n.error("expected initial states of rank 3");
    n.checkEqual(n.dims(v)[0], batch);
    n.checkEqual(n.dims(v)[1], SymExpr(hidden));
    return n.reshape(v, dims);
  }

  bool check();
  void run();
  SmallVector<Value> direction(int64_t d, bool backward, Value x);
};

bool Recurrent::check() {
  if (n.rank(n.in(0)) != 3 || n.rank(n.in(1)) != 3 || n.rank(n.in(2)) != 3) {
    n.error("expected an input and weights of rank 3");
    return false;
  }
  Dims x = n.dims(n.in(0)), r = n.dims(n.in(2));
  steps = x[batchFirst ? 1 : 0];
  batch = x[batchFirst ? 0 : 1];
  // What the weights do not say, the attribute does.
  hidden = r[2].constant().value_or(n.getInt("hidden_size", 0));
  if (hidden < 1) {
    n.error("the hidden size must be static, found " + r[2].str());
    return false;
  }
  std::string way = n.getString("direction", "forward");
  directions = way == "bidirectional" ? 2 : 1;
  n.checkEqual(r[0], SymExpr(directions));
  n.checkEqual(r[2], SymExpr(hidden));
  for (const char *name :
       {"clip", "activations", "activation_alpha", "activation_beta"})
    if (n.attr(name)) {
      n.error(Twine("the attribute '") + name + "' is not supported");
      return false;
    }
  if (n.has(4))
    lengths = n.unsqueeze(n.cast(n.in(4), n.builder.getI64Type()), {1});
  return !n.failed();
}

/// Of x [steps, batch, input]: the last states, then the hidden states of all
/// steps, [steps, batch, hidden].
SmallVector<Value> Recurrent::direction(int64_t d, bool backward, Value x) {
  int64_t width = gates * hidden;
  Value w = of(n.in(1), d), r = of(n.in(2), d), bias = of(n.in(3), d);
  Value peep = cell == Cell::Lstm ? of(n.in(7), d) : Value();
  Value wb, rb, rzr, rh;
  if (bias) {
    wb = n.slice(bias, 0, SymExpr(0), SymExpr(width));
    rb = n.slice(bias, 0, SymExpr(width), SymExpr(width));
  }
  if (cell == Cell::Gru) {
    rzr = n.slice(r, 0, SymExpr(0), SymExpr(2 * hidden));
    rh = n.slice(r, 0, SymExpr(2 * hidden), SymExpr(hidden));
  }
  Dims dims = n.dims(x);
  Value flat = n.reshape(x, {dims[0] * dims[1], dims[2]});
  Value fromX = plus(n.matmul(flat, w, false, true), wb);
  fromX = n.reshape(fromX, {steps, batch, SymExpr(width)});
  bool linear = n.getInt("linear_before_reset", 0);

  Repeated loop;
  loop.trips = steps;
  loop.numNodes = kStepNodes;
  loop.numRows = 1;
  loop.initial.push_back(first(5, d));
  if (cell == Cell::Lstm)
    loop.initial.push_back(first(6, d));
  loop.body = [&](Value number, ArrayRef<Value> handed,
                  SmallVectorImpl<Value> &results) {
    Type i64 = n.builder.getI64Type();
    Value at = number;
    if (backward)
      at = n.sub(n.dimScalar(steps - SymExpr(1), i64), number);
    Value gx = rowAt(n, fromX, at, 0), before = handed[0], h, c;
    if (cell == Cell::Gru) {
      // z, r, h
      Value zr = plus(n.matmul(before, rzr, false, true), gate(rb, 0, 2));
      zr = sigmoid(n.add(gate(gx, 0, 2), zr));
      Value z = gate(zr, 0), reset = gate(zr, 1);
      Value inner =
          linear ? n.mul(reset,
                         plus(n.matmul(before, rh, false, true), gate(rb, 2)))
                 : plus(n.matmul(n.mul(reset, before), rh, false, true),
                        gate(rb, 2));
      Value candidate = tanh(n.add(gate(gx, 2), inner));
      h = n.add(n.mul(n.sub(n.scalarLike(1, z), z), candidate),
                n.mul(z, before));
    } else {
      Value g = n.add(gx, plus(n.matmul(before, r, false, true), rb));
      if (cell == Cell::Rnn) {
        h = tanh(g);
      } else {
        // i, o, f, c; peepholes i, o, f
        auto peeped = [&](int64_t i, Value state) {
          Value v = gate(g, i);
          return sigmoid(peep ? n.add(v, n.mul(gate(peep, i), state)) : v);
        };
        Value in = peeped(0, handed[1]);
        Value forget = n.getInt("input_forget", 0)
                           ? n.sub(n.scalarLike(1, in), in)
                           : peeped(2, handed[1]);
        c = n.add(n.mul(forget, handed[1]), n.mul(in, tanh(gate(g, 3))));
        h = n.mul(peeped(1, c), tanh(c));
      }
    }
    Value row = h;
    if (lengths) {
      // Past its end a sequence keeps its state and gives 0.
      Value inside = n.compare(CompareKind::gt, lengths, at);
      row = n.select(inside, h, n.scalarLike(0, h));
      h = n.select(inside, h, before);
      if (c)
        c = n.select(inside, c, handed[1]);
    }
    results.push_back(h);
    if (c)
      results.push_back(c);
    results.push_back(row);
    return !n.failed();
  };
  SmallVector<Value> results = repeat(n, loop);
  if (backward && !results.empty())
    results.back() = reversed(n, results.back());
  return results;
}

void Recurrent::run() {
  if (!check())
    return;
  Value x = n.in(0);
  if (batchFirst)
    x = n.transpose(x, {1, 0, 2});
  bool reverse = n.getString("direction", "forward") == "reverse";
  SmallVector<Value> y(directions), lastH(directions), lastC(directions);
  for (int64_t d = 0; d < directions; ++d) {
    SmallVector<Value> results = direction(d, reverse || d == 1, x);
    if (n.failed())
      return;
    y[d] = n.unsqueeze(results.back(), {1}); // [steps, 1, batch, hidden]
    lastH[d] = n.unsqueeze(results[0], {0});
    if (cell == Cell::Lstm)
      lastC[d] = n.unsqueeze(results[1], {0});
  }
  auto last = [&](ArrayRef<Value> parts) {
    Value v = n.concat(parts, 0); // [directions, batch, hidden]
    return batchFirst ? n.transpose(v, {1, 0, 2}) : v;
  };
  if (n.wants(0)) {
    Value v = n.concat(y, 1);
    n.out(0, batchFirst ? n.transpose(v, {2, 0, 1, 3}) : v);
  }
  if (n.wants(1))
    n.out(1, last(lastH));
  if (cell == Cell::Lstm && n.wants(2))
    n.out(2, last(lastC));
}

template <Cell cell>
void recurrent(NodeImporter &n) {
  Recurrent{n, cell}.run();
}

} // namespace

void registerRecurrent(Registry &r) {
  r.add("LSTM", 7, recurrent<Cell::Lstm>);
  r.add("GRU", 7, recurrent<Cell::Gru>);
  r.add("RNN", 7, recurrent<Cell::Rnn>);
}

} // namespace tenon::onnximport
