//===- Recurrent.cpp - LSTM, GRU and RNN ----------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What depends on the input alone is one matrix product over all steps. These
// are one op, of both directions; one step, floats of other types and a large
// weight of one direction are repeated as a loop's iterations are.
//
// `clip` bounds the input of every gate's activation; that of the activation
// which makes an LSTM's output from its cell is not bounded, as in onnxruntime.
//
// com.microsoft's DynamicQuantizeLSTM quantises the input of all steps at once,
// then the hidden state of each step over the whole batch. (onnxruntime divides
// a batch among its threads and quantises each part on its own; this is what
// it does on one thread.)
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonRecurrent.h"
#include "lib/Import/Onnx/Control/Loops.h"
#include "lib/Import/Onnx/Ops/Activations.h"
#include "lib/Import/Onnx/Ops/Quant.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Support/DebugStringHelper.h"

using namespace mlir;

namespace tenon::onnximport {

namespace {

/// About as many ops has a step.
constexpr int64_t kStepNodes = 32;

enum class Cell { Lstm, Gru, Rnn };

/// A direction's weights: rows of gates, or, quantised, columns.
struct GateWeights {
  Value value, scale, zero;
  bool isQuantized() const { return scale != nullptr; }
};

struct Recurrent {
  NodeImporter &n;
  const Cell cell;
  const bool quantized = false;
  const int64_t gates = cell == Cell::Lstm ? 4 : cell == Cell::Gru ? 3 : 1;
  bool batchFirst = n.getInt("layout", 0) == 1;
  int64_t hidden = 0, directions = 0;
  SymExpr steps = SymExpr(0), batch = SymExpr(1);
  /// Each sequence's length as [batch, 1], or null: all steps count.
  Value lengths = {};
  /// Of each direction: the gates', the candidate's, and of an LSTM the cell's.
  SmallVector<Activation> activations = {};
  double clip = 0; ///< 0: none

  size_t numActivations() const {
    return cell == Cell::Lstm ? 3 : cell == Cell::Gru ? 2 : 1;
  }
  /// Activation `i` of direction `d`.
  Value activate(int64_t d, size_t i, Value v) {
    return activations[d * numActivations() + i].apply(n, v);
  }
  Value bounded(Value v) {
    if (clip == 0)
      return v;
    return n.max(n.min(v, n.scalarLike(clip, v)), n.scalarLike(-clip, v));
  }
  Value gateOf(int64_t d, size_t i, Value v) {
    return activate(d, i, bounded(v));
  }

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

  void checkType(unsigned input, const Twine &what);
  void checkParameter(unsigned input, StringRef name, int64_t size);
  bool check();
  bool readActivations();
  GateWeights weights(unsigned input, int64_t d);
  Value times(Value x, const GateWeights &w);
  Value withinLengths(Value x);
  void run();
  SmallVector<Value> direction(int64_t d, bool backward, Value x);
  bool isLayer();
  Value inputsOf(Value x, int64_t d, int64_t ways);
  void describe(int64_t d, SmallVectorImpl<NamedAttribute> &attrs);
  Value layer(Value x, int64_t d, int64_t ways, bool backward);
  Value layers(Value x, bool reverse);
};

bool Recurrent::readActivations() {
  SmallVector<std::string> names = n.getStrings("activations");
  SmallVector<float> alphas = n.getFloats("activation_alpha");
  SmallVector<float> betas = n.getFloats("activation_beta");
  if (names.empty())
    for (int64_t d = 0; d < directions; ++d) {
      if (cell != Cell::Rnn)
        names.push_back("Sigmoid");
      names.append(cell == Cell::Lstm ? 2 : 1, "Tanh");
    }
  size_t expected = numActivations() * directions;
  // RNN's own default has one for either direction.
  if (names.size() < expected ||
      (cell != Cell::Rnn && names.size() > expected)) {
    n.error("expected " + Twine(expected) + " activations, found " +
            Twine(names.size()));
    return false;
  }
  ArrayRef<float> alpha(alphas), beta(betas);
  for (const std::string &name : ArrayRef(names).take_front(expected)) {
    std::optional<Activation> activation =
        Activation::read(n, name, alpha, beta);
    if (!activation)
      return false;
    activations.push_back(*activation);
  }
  clip = n.getFloat("clip", 0);
  if (clip < 0)
    n.error("expected a clip of 0 or more, found " + std::to_string(clip));
  return !n.failed();
}

/// An optional input of the input's type.
void Recurrent::checkType(unsigned input, const Twine &what) {
  if (!n.has(input))
    return;
  Type found = n.elem(n.in(input)), expected = n.elem(n.in(0));
  if (found != expected)
    n.error("expected " + what + " of " + debugString(expected) +
            ", as the input is, found " + debugString(found));
}

/// The same, [directions, size].
void Recurrent::checkParameter(unsigned input, StringRef name, int64_t size) {
  if (!n.has(input))
    return;
  Dims dims = n.dims(n.in(input));
  checkType(input, "'" + name + "'");
  if (n.failed())
    return;
  if (dims.size() != 2) {
    n.error("expected '" + name + "' of rank 2, found rank " +
            Twine(dims.size()));
    return;
  }
  n.checkEqual(dims[0], SymExpr(directions));
  n.checkEqual(dims[1], SymExpr(size));
}

bool Recurrent::check() {
  if (n.rank(n.in(0)) != 3 || n.rank(n.in(1)) != 3 || n.rank(n.in(2)) != 3) {
    n.error("expected an input and weights of rank 3");
    return false;
  }
  Dims x = n.dims(n.in(0)), r = n.dims(n.in(2));
  steps = x[batchFirst ? 1 : 0];
  batch = x[batchFirst ? 0 : 1];
  // What the weights do not say, the attribute does.
  const SymExpr &width = r[quantized ? 1 : 2];
  hidden = width.constant().value_or(n.getInt("hidden_size", 0));
  if (hidden < 1) {
    n.error("the hidden size must be static, found " + width.str());
    return false;
  }
  for (unsigned state : {5, 6})
    checkType(state, "initial states");
  if (n.failed())
    return false;
  std::string way = n.getString("direction", "forward");
  if (way != "forward" && way != "reverse" && way != "bidirectional") {
    n.error("direction must be forward, reverse or bidirectional, found '" +
            way + "'");
    return false;
  }
  directions = way == "bidirectional" ? 2 : 1;
  Dims w = n.dims(n.in(1));
  for (const Dims &dims : {w, r}) {
    n.checkEqual(dims[0], SymExpr(directions));
    n.checkEqual(dims[quantized ? 2 : 1], SymExpr(gates * hidden));
  }
  n.checkEqual(width, SymExpr(hidden));
  checkParameter(3, "B", 2 * gates * hidden);
  if (cell == Cell::Lstm)
    checkParameter(7, "P", 3 * hidden);
  if (n.has(4) && n.rank(n.in(4)) != 1)
    n.error("expected sequence_lens of rank 1, found rank " +
            Twine(n.rank(n.in(4))));
  if (n.failed())
    return false;
  if (n.has(4))
    lengths = n.unsqueeze(n.cast(n.in(4), n.builder.getI64Type()), {1});
  return !n.failed() && readActivations();
}

/// Direction `d` of W or R; quantised ones have a scale and a zero point, of
/// the direction or of each column.
GateWeights Recurrent::weights(unsigned input, int64_t d) {
  GateWeights w{of(n.in(input), d), {}, {}};
  if (!quantized)
    return w;
  unsigned at = input == 1 ? 8 : 10;
  w.scale = of(n.in(at), d);
  w.zero = of(n.in(at + 1), d);
  return w;
}

/// x [..., K] times the weights, for all gates in it.
Value Recurrent::times(Value x, const GateWeights &w) {
  if (!w.isQuantized())
    return n.matmul(x, w.value, false, true);
  Quantized q = dynamicallyQuantize(n, x);
  Value sum = integerMatMul(n, q.value, q.zero, w.value, w.zero);
  return n.mul(n.cast(sum, n.elem(x)), n.mul(q.scale, w.scale));
}

/// Zeros for the steps that no sequence reaches: they would widen the range
/// that is quantised.
Value Recurrent::withinLengths(Value x) {
  if (!quantized || !lengths)
    return x;
  Type i64 = n.builder.getI64Type();
  Value longest = n.reshape(n.reduce(ReduceKind::max, lengths, {0, 1}), {});
  Value step = n.unsqueeze(n.iota(steps, i64), {1, 2});
  return n.select(n.compare(CompareKind::lt, step, longest), x,
                  n.scalarLike(0, x));
}

/// Of x [steps, batch, input]: the last states, then the hidden states of all
/// steps, [steps, batch, hidden].
/// Long: the formulas of three cells, which share what a direction has.
SmallVector<Value> Recurrent::direction(int64_t d, bool backward, Value x) {
  int64_t width = gates * hidden;
  GateWeights w = weights(1, d), r = weights(2, d), rzr, rh;
  Value bias = of(n.in(3), d);
  Value peep = cell == Cell::Lstm ? of(n.in(7), d) : Value();
  Value wb, rb;
  if (bias) {
    wb = n.slice(bias, 0, SymExpr(0), SymExpr(width));
    rb = n.slice(bias, 0, SymExpr(width), SymExpr(width));
  }
  if (cell == Cell::Gru) {
    rzr.value = n.slice(r.value, 0, SymExpr(0), SymExpr(2 * hidden));
    rh.value = n.slice(r.value, 0, SymExpr(2 * hidden), SymExpr(hidden));
  }
  Dims dims = n.dims(x);
  Value flat = n.reshape(withinLengths(x), {dims[0] * dims[1], dims[2]});
  Value fromX = plus(times(flat, w), wb);
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
      Value zr = plus(times(before, rzr), gate(rb, 0, 2));
      zr = gateOf(d, 0, n.add(gate(gx, 0, 2), zr));
      Value z = gate(zr, 0), reset = gate(zr, 1);
      Value inner = linear ? n.mul(reset, plus(times(before, rh), gate(rb, 2)))
                           : plus(times(n.mul(reset, before), rh), gate(rb, 2));
      Value candidate = gateOf(d, 1, n.add(gate(gx, 2), inner));
      h = n.add(n.mul(n.sub(n.scalarLike(1, z), z), candidate),
                n.mul(z, before));
    } else {
      Value g = n.add(gx, plus(times(before, r), rb));
      if (cell == Cell::Rnn) {
        h = gateOf(d, 0, g);
      } else {
        // i, o, f, c
        auto peeped = [&](int64_t i, Value state) {
          Value v = gate(g, i);
          if (peep) // which are in the order i, o, f
            v = n.add(v, n.mul(gate(peep, i), state));
          return gateOf(d, 0, v);
        };
        Value in = peeped(0, handed[1]);
        Value forget = n.getInt("input_forget", 0)
                           ? n.sub(n.scalarLike(1, in), in)
                           : peeped(2, handed[1]);
        Value candidate = gateOf(d, 1, gate(g, 3));
        c = n.add(n.mul(forget, handed[1]), n.mul(in, candidate));
        h = n.mul(peeped(1, c), activate(d, 2, c));
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

/// Can one op compute all steps? Of f32, and several. Many sequences had better
/// be quantised by all threads.
bool Recurrent::isLayer() {
  constexpr int64_t most = 8;
  Dims r = n.dims(n.in(2));
  return steps.constant() != 1 && n.elem(n.in(0)).isF32() &&
         llvm::all_of(r, [](const SymExpr &d) { return d.isConstant(); }) &&
         RecurrentWeight{gates, hidden, quantized}.isLayer(directions) &&
         (!quantized || batch.constant().value_or(1) <= most);
}

/// What the gates of directions [d, d + ways) take from x [steps, batch,
/// input].
Value Recurrent::inputsOf(Value x, int64_t d, int64_t ways) {
  Dims dims = n.dims(x);
  Value flat = n.reshape(withinLengths(x), {dims[0] * dims[1], dims[2]});
  SmallVector<Value> parts;
  for (int64_t i = d; quantized && i < d + ways; ++i)
    parts.push_back(times(flat, weights(1, i)));
  if (quantized)
    return ways == 1 ? parts[0] : n.concat(parts, 1);
  SymExpr width(gates * hidden);
  n.checkEqual(n.dims(n.in(1))[0], SymExpr(directions));
  n.checkEqual(n.dims(n.in(1))[1], width);
  // The weight's own, which a constant has: what x says may be a symbol.
  SymExpr depth = n.dims(n.in(1))[2];
  n.checkEqual(depth, dims[2]);
  Value w = n.in(1);
  if (ways < directions)
    w = n.slice(w, 0, SymExpr(d), SymExpr(ways));
  w = n.reshape(w, {SymExpr(ways) * width, depth});
  return n.matmul(flat, w, false, true);
}

/// What makes direction `d` another cell than the usual one.
void Recurrent::describe(int64_t d, SmallVectorImpl<NamedAttribute> &attrs) {
  Builder &b = n.builder;
  if (cell == Cell::Lstm && n.getInt("input_forget", 0))
    attrs.push_back(n.flag("coupled"));
  if (cell == Cell::Gru && !n.getInt("linear_before_reset", 0))
    attrs.push_back(n.flag("resets_first"));
  if (clip)
    attrs.push_back(n.named("clip", b.getF64FloatAttr(clip)));
  SmallVector<Attribute> names;
  SmallVector<double> parameters;
  bool usual = true;
  for (size_t i = 0; i < numActivations(); ++i) {
    using Kind = Activation::Kind;
    const Activation &a = activations[d * numActivations() + i];
    usual &=
        a.kind == (cell != Cell::Rnn && i == 0 ? Kind::Sigmoid : Kind::Tanh);
    names.push_back(b.getStringAttr(a.name()));
    parameters.append({a.alpha, a.beta});
  }
  if (usual)
    return;
  attrs.push_back(n.named("activations", b.getArrayAttr(names)));
  if (llvm::any_of(parameters, [](double v) { return v != 0; }))
    attrs.push_back(n.named("parameters", b.getDenseF64ArrayAttr(parameters)));
}

/// Is each number of a constant 0?
static bool isZero(Value v) {
  DenseIntElementsAttr all;
  return matchPattern(v, m_Constant(&all)) &&
         llvm::all_of(all.getValues<APInt>(),
                      [](const APInt &x) { return x.isZero(); });
}

/// Of x [steps, batch, input] the states and the hidden states of all steps,
/// [states + steps, ways, batch, hidden], of directions [d, d + ways).
Value Recurrent::layer(Value x, int64_t d, int64_t ways, bool backward) {
  SymExpr width(gates * hidden), D(ways);
  auto these = [&](Value v) {
    return ways == directions ? v : n.slice(v, 0, SymExpr(d), D);
  };
  Value inputs = inputsOf(x, d, ways), bias;
  if (n.has(3)) {
    auto half = [&](const SymExpr &from) {
      return n.slice(these(n.in(3)), 1, from, width);
    };
    inputs = n.add(inputs, n.reshape(half(SymExpr(0)), {D * width}));
    bias = half(width);
  }
  inputs = n.reshape(inputs, {steps, batch, D * width});
  SmallVector<Value> operands{inputs, these(n.in(2))};
  SmallVector<int32_t> segments{1, 1};
  auto add = [&](Value v) {
    if (v)
      operands.push_back(v);
    segments.push_back(v ? 1 : 0);
  };
  auto state = [&](unsigned input) {
    Value v = n.in(input);
    if (n.rank(v) != 3)
      return n.error("expected initial states of rank 3");
    return these(batchFirst ? n.transpose(v, {1, 0, 2}) : v);
  };
  // A scale or zero point of each direction, or of each column.
  auto columns = [&](Value v) {
    return these(n.rank(v) == 1 ? n.unsqueeze(v, {1}) : v);
  };
  bool lstm = cell == Cell::Lstm;
  add(bias);
  add(n.has(5) ? state(5) : nullptr);
  add(lstm && n.has(6) ? state(6) : nullptr);
  add(lengths ? n.squeeze(lengths, {1}) : nullptr);
  add(lstm && n.has(7) ? these(n.in(7)) : nullptr);
  add(quantized ? columns(n.in(10)) : nullptr);
  add(quantized && !isZero(n.in(11)) ? columns(n.in(11)) : nullptr);
  add(nullptr); // what columns add up to
  if (n.failed())
    return nullptr;
  CellKind kind = lstm                ? CellKind::lstm
                  : cell == Cell::Gru ? CellKind::gru
                                      : CellKind::rnn;
  Builder &b = n.builder;
  SmallVector<NamedAttribute> attrs{
      n.named("operandSegmentSizes", b.getDenseI32ArrayAttr(segments)),
      n.named("kind", CellKindAttr::get(b.getContext(), kind)),
      n.named("units", b.getI64IntegerAttr(hidden))};
  if (backward)
    attrs.push_back(n.flag("backward"));
  describe(d, attrs);
  return n.make<RecurrentOp>(operands, attrs);
}

/// The same of all directions, which are one op where their cells are alike.
Value Recurrent::layers(Value x, bool reverse) {
  ArrayRef all(activations);
  if (directions == 1 ||
      all.take_front(numActivations()) == all.take_back(numActivations()))
    return layer(x, 0, directions, reverse);
  Value forward = layer(x, 0, 1, false), backward = layer(x, 1, 1, true);
  return forward && backward ? n.concat({forward, backward}, 1) : nullptr;
}

void Recurrent::run() {
  if (!check())
    return;
  Value x = n.in(0);
  if (batchFirst)
    x = n.transpose(x, {1, 0, 2});
  bool reverse = n.getString("direction", "forward") == "reverse";
  if (isLayer()) {
    Value all = layers(x, reverse);
    if (!all)
      return;
    int64_t states = cell == Cell::Lstm ? 2 : 1;
    if (n.wants(0)) {
      Value y = n.slice(all, 0, SymExpr(states), steps);
      n.out(0, batchFirst ? n.transpose(y, {2, 0, 1, 3}) : y);
    }
    for (int64_t i = 0; i < states; ++i) {
      if (!n.wants(i + 1))
        continue;
      Value last = n.squeeze(n.slice(all, 0, SymExpr(i), SymExpr(1)), {0});
      n.out(i + 1, batchFirst ? n.transpose(last, {1, 0, 2}) : last);
    }
    return;
  }
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

void dynamicQuantizeLstm(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2, 8, 9, 10, 11}))
    return;
  for (unsigned i = 8; i < 12; ++i)
    if (n.rank(n.in(i)) != 1 && n.rank(n.in(i)) != 2) {
      n.error("expected scales and zero points of rank 1 or 2, found rank " +
              Twine(n.rank(n.in(i))));
      return;
    }
  Recurrent{n, Cell::Lstm, /*quantized=*/true}.run();
}

} // namespace

void registerRecurrent(Registry &r) {
  r.add("LSTM", 7, recurrent<Cell::Lstm>);
  r.add("GRU", 7, recurrent<Cell::Gru>);
  r.add("RNN", 7, recurrent<Cell::Rnn>);
  r.add("com.microsoft", "DynamicQuantizeLSTM", 1, dynamicQuantizeLstm);
}

} // namespace tenon::onnximport
