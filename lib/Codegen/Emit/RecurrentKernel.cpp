//===- RecurrentKernel.cpp - all steps of LSTM, GRU and RNN ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sequences and directions never meet, so a team is some sequences of one
// direction, taken through all steps:
//
//   for step:
//     gates = state x panels of the weight    all gates as one product
//     for sequence:  for vector of units:     the cell
//       state = ...
//
// States and gates stay in the cache. What the gates take from the layer's
// input is read where it is used. A gru that resets first has a second product,
// of the panels that its candidate takes.
//
// A team is a task. Where reading the weight takes long against what threads
// need to meet (RecurrentWeight), a step is a round of parts instead
// (Rounds.h): some of the units, with their columns of each gate. The first
// half of the kernel fills the states, which lie in memory of all threads: h
// twice, as parts write that of the next step while others still read.
//
// Integers multiply the state of all sequences, quantised anew in each step, so
// a team is a direction. By panels of a format their sums are integers, from
// which zero points come off at the end: the state's by the sums of the
// weight's columns. Where a weight is no constant, or the target has no product
// of integers, it is walked by rows, whose bytes are read one after the other;
// sums of integers are exact in f32 up to 256 units, and of usual sizes beyond.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonRecurrent.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/KernelKinds.h"
#include "lib/Codegen/Emit/Rounds.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"

using namespace mlir;

namespace tenon {

namespace {

/// Rows of a weight of integers that a pass over the gates takes.
constexpr int64_t kCodeRows = 8;

RecurrentWeight sizeOf(RecurrentOp op) {
  return {op.getNumGates(), int64_t(op.getUnits()), bool(op.getScale())};
}

/// Rows of numbers of each unit, one for each sequence of a team.
struct StateRows {
  Value memory = {};
  Value at = {}; ///< where they begin
  explicit operator bool() const { return bool(memory); }
};

struct RecurrentKernel {
  KernelEmitter &e;
  RecurrentOp op;
  BlockArgument weight;
  const RecurrentForm &form;
  RecurrentWeight size = sizeOf(op);
  /// Sequences of a team, but of integers: these have all.
  int64_t atMost = size.staysInCache() ? form.few : form.many;
  int64_t parts = form.inParts ? size.parts() : 1;
  const CodeProduct &ofCodes = form.ofCodes; ///< none: codes are floats
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type();
  SmallVector<SymExpr> out = getDims(op.getResult());
  int64_t ways = *out[1].constant(), units = op.getUnits();
  int64_t width = op.getNumGates() * units; ///< of the gates
  int64_t panels = llvm::divideCeil(width, kPanelColumns);
  SymExpr steps = out[0] - SymExpr(op.getNumStates());
  SymExpr groups = op.getScale() ? SymExpr(1) : divided(out[2], atMost);
  /// Sequences of a team: as many as of any other, or fewer; and what there is
  /// room for, at places that do not depend on these.
  SymExpr most =
      divided(out[2], SymExpr::apply(SymExpr::Fn::Max, groups, SymExpr(1)));
  SymExpr room = op.getScale() ? out[2] : SymExpr(atMost);
  int64_t elements = 0; ///< of a team in parts: what it has in all memory
  StateRows hidden = stateRows(true);
  StateRows next = parts > 1 ? stateRows(true) : hidden; ///< h after the step
  StateRows cell = stateRows(op.getKind() == CellKind::lstm);
  StateRows update = stateRows(op.getResetsFirst()); ///< a gru's z
  StateRows kept = stateRows(op.getResetsFirst());   ///< what its r leaves
  FormatAttr format = op.getFormatAttr();
  bool inBytes = format && ofCodes.multiply; ///< products of integers
  /// Codes of a sequence, filled up to whole groups.
  int64_t rowSize =
      inBytes ? llvm::alignTo(units, format.rowsOfGroup()) : units;
  Type codeType =
      inBytes ? Type(b.getIntegerType(ofCodes.rows.getIntOrFloatBitWidth()))
              : Type(f32);
  Value codes = op.getScale()
                    ? e.scratchBuffer(room * SymExpr(rowSize), codeType)
                    : Value();
  Value sums = integers(CodeProductOperands::kElements);
  Value ofRows = integers(room); ///< sums of codes less their zero point
  Value gates = e.scratchBuffer(room * SymExpr(panels * kPanelColumns), f32);

  // Of a team:
  Value way = {}, first = {}, count = {};
  /// Of the units that are computed the first, and the number of all.
  Value firstUnit = L.index(0);
  int64_t ownUnits = units;
  Value codeScale = {}; ///< of a step's quantised states
  Value codePoint = {}; ///< and their zero point

  static SymExpr divided(const SymExpr &x, const SymExpr &y) {
    return SymExpr::apply(SymExpr::Fn::CeilDiv, x, y);
  }
  Value integers(const SymExpr &elements) {
    return inBytes ? e.scratchBuffer(elements, b.getI32Type()) : Value();
  }
  StateRows stateRows(bool has) {
    if (!has)
      return {};
    if (parts == 1)
      return {e.scratchBuffer(room * SymExpr(units), f32), L.index(0)};
    StateRows rows{e.result(1), L.index(elements)};
    elements += atMost * units;
    return rows;
  }
  Value add(Value x, Value y) { return L.add(x, y); }
  Value sub(Value x, Value y) { return L.sub(x, y); }
  Value mul(Value x, Value y) { return L.mul(x, y); }
  Value larger(Value x, Value y) {
    return emitCombine(L, ReduceKind::max, f32, x, y);
  }
  Value smaller(Value x, Value y) {
    return emitCombine(L, ReduceKind::min, f32, x, y);
  }
  Value bounded(Value x, double low, double high) {
    return larger(smaller(x, L.constLike(x, high)), L.constLike(x, low));
  }
  Value pull(Value v, ArrayRef<Idx> at) { return L.widen(e.emit(v, at)); }
  /// Of [D, G*H] or [D, 1].
  Value pullColumn(Value v, const Idx &column) {
    bool one = getDims(v)[1].constant() == 1;
    return pull(v, {L.uniform(way), one ? L.uniform(0) : column});
  }
  void overUnits(function_ref<void(Idx)> fn) {
    e.lanesLoop(L.index(ownUnits), e.vectorLanes(), [&](Idx u) {
      fn(parts == 1 ? u : L.add(L.uniform(firstUnit, kPanelColumns), u));
    });
  }
  void overStates(function_ref<void(Value, Idx)> fn) {
    e.loop(L.index(0), count, 1,
           [&](Value r) { overUnits([&](Idx u) { fn(r, u); }); });
  }
  Idx in(Value row, int64_t size, const Idx &u) {
    return L.add(L.uniform(L.mul(row, size)), u);
  }
  Idx column(int64_t gate, const Idx &u) {
    return L.add(L.uniform(op.getPlace(gate) * units), u);
  }
  Idx stateIn(const StateRows &rows, Value r, const Idx &u) {
    return L.add(L.uniform(rows.at), in(r, units, u));
  }
  Value stateAt(const StateRows &rows, Value r, const Idx &u) {
    return L.load(rows.memory, stateIn(rows, r, u), f32);
  }
  void putState(Value v, const StateRows &rows, Value r, const Idx &u) {
    L.store(v, rows.memory, stateIn(rows, r, u), f32);
  }
  /// Row `row` of the result, at the team's r-th sequence.
  Idx place(Value row, Value r, const Idx &u) {
    Value at = L.add(L.mul(row, ways), way);
    at = L.add(L.mul(at, e.dim(out[2])), L.add(first, r));
    return in(at, units, u);
  }
  void start();
  Value activate(size_t i, Value x);
  Value gateOf(size_t i, Value x);
  Value fromState(int64_t gate, Value r, const Idx &u);
  Value fromInput(int64_t gate, Value time, Value r, const Idx &u);
  Value peeped(int64_t gate, Value sum, Value state, const Idx &u);
  std::pair<Value, Value> lstm(Value time, Value r, const Idx &u);
  Value gru(Value time, Value r, const Idx &u);
  void nextState(Value time, Value r, const Idx &u);
  void step(Value time);
  void quantize();
  Value weightOf(Value k, const Idx &column);
  void multiplyCodes();
  void addCodes();
  void gatesOfSums(Value r, Value panel, Value at);
  void gatesOfBytes();
  void multiply(const StateRows &state, const PanelRuns &panels);
  PanelRuns panelsOf(int64_t firstGate, int64_t gates);
  void gatesThatReset(Value time);
  void begin(Value number);
  void put(const StateRows &rows, int64_t row);
  void putStates();
  Value timeOf(Value step);
  void team(Value number);
  SymExpr numTeams() { return groups * SymExpr(ways); }
  SymExpr cost() { return productOf(getDims(op.getInputs())) * SymExpr(units); }
  int64_t elementsOfTeam() { return elements + Rounds::elements(parts); }
  Rounds memoryOf(Value team);
  void prepare(Value number);
  void part(Value round, Value number);
  void help(Value number);
};

void RecurrentKernel::start() {
  overStates([&](Value r, Idx u) {
    auto begin = [&](Value given, const StateRows &rows) {
      Value v = L.constant(L.vec(f32), 0);
      if (given)
        v = pull(given, {L.uniform(way), L.uniform(L.add(first, r)), u});
      putState(v, rows, r, u);
    };
    begin(op.getHidden(), hidden);
    if (cell)
      begin(op.getCell(), cell);
  });
}

//===----------------------------------------------------------------------===//
// The product with the state
//===----------------------------------------------------------------------===//

/// The states of all sequences in 8 bits: integers less their zero point, and
/// the number that one of them stands for.
void RecurrentKernel::quantize() {
  unsigned lanes = e.vectorLanes();
  Value size = L.mul(count, units), none = L.constant(L.vec(f32, lanes), 0);
  SmallVector<Value> ends =
      e.lanesLoop(size, lanes, {none, none}, [&](Idx i, ValueRange found) {
        Value x = L.widen(L.load(hidden.memory, i, f32));
        if (L.mask)
          x = L.select(L.mask, x, none);
        Value below = arith::NegFOp::create(b, L.loc, x);
        return SmallVector<Value>{larger(found[0], x), larger(found[1], below)};
      });
  auto scalar = [&](Value v) {
    return e.combineLanes(v, vector::CombiningKind::MAXIMUMF);
  };
  Value high = scalar(ends[0]), below = scalar(ends[1]);
  auto rounded = [&](Value x) {
    return math::RoundEvenOp::create(b, L.loc, x).getResult();
  };
  // NaN to 0, which integers can hold: the scale says that it was there.
  auto asCode = [&](Value x) {
    Value none = L.constLike(x, 0);
    return smaller(L.select(L.ogt(x, none), x, none), L.constLike(x, 255));
  };
  Value scale = L.div(add(high, below), L.constLike(high, 255));
  scale = L.select(L.oeq(scale, L.constLike(scale, 0)), L.constLike(scale, 1),
                   scale);
  Value point = asCode(rounded(L.div(below, scale)));
  codeScale = scale;
  codePoint = point;
  overStates([&](Value r, Idx u) {
    Value x = stateAt(hidden, r, u);
    Value zero = L.widen(point);
    x = asCode(add(rounded(L.div(x, L.widen(scale))), zero));
    Idx to = in(r, rowSize, u);
    if (!inBytes)
      return L.store(sub(x, zero), codes, to, f32);
    x = arith::FPToSIOp::create(b, L.loc, L.vec(b.getI32Type()), x);
    L.store(L.truncate(x, codeType), codes, to, codeType);
  });
}

/// Of each sequence's codes, less their zero points.
void RecurrentKernel::addCodes() {
  Type i32 = b.getI32Type();
  Value point = arith::FPToSIOp::create(b, L.loc, i32, codePoint);
  e.loop(L.index(0), count, 1, [&](Value r) {
    Value sum = e.loop(L.index(0), L.index(units), 1, L.constantInt(i32, 0),
                       [&](Value k, ValueRange sum) {
                         Value c = memref::LoadOp::create(
                             b, L.loc, codes, L.add(L.mul(r, rowSize), k));
                         c = L.extend(c, i32, /*isUnsigned=*/true);
                         return SmallVector<Value>{add(sum[0], sub(c, point))};
                       })[0];
    memref::StoreOp::create(b, L.loc, sum, ofRows, r);
  });
}

/// A panel's gates of sequence r out of the sums of codes c by weights w, 32
/// from `at` on: the sum of (c - p) * (w - z) is that of c * w, less p times
/// that of w, less z times that of c - p.
void RecurrentKernel::gatesOfSums(Value r, Value panel, Value at) {
  Type i32 = b.getI32Type();
  Value point = arith::FPToSIOp::create(b, L.loc, i32, codePoint), ofRow;
  if (op.getZero())
    ofRow = memref::LoadOp::create(b, L.loc, ofRows, r);
  Value from = L.mul(panel, kPanelColumns), left = L.sub(L.index(width), from);
  Value columns = width % kPanelColumns ? L.min(left, kPanelColumns)
                                        : L.index(kPanelColumns);
  e.lanesLoop(columns, e.vectorLanes(), [&](Idx c) {
    Idx at32 = L.add(L.uniform(at), c), column = L.add(L.uniform(from), c);
    Value sum = L.widen(L.load(sums, at32, i32));
    sum = sub(sum, mul(pullColumn(op.getSums(), column), L.widen(point)));
    if (op.getZero()) {
      Value zero = L.extend(pullColumn(op.getZero(), column), i32,
                            /*isUnsigned=*/false);
      sum = sub(sum, mul(zero, L.widen(ofRow)));
    }
    L.store(L.toFloat(sum, f32), gates, in(r, panels * kPanelColumns, column),
            f32);
  });
}

void RecurrentKernel::gatesOfBytes() {
  if (op.getZero())
    addCodes();
  int64_t bytesOfWay = panels * format.bytesOfPanel(units);
  ofCodes.multiply(
      e, {count, codes, units, rowSize, format, e.input(weight),
          L.mul(way, bytesOfWay), panels, sums,
          [&](Value r, Value panel, Value at) { gatesOfSums(r, panel, at); }});
}

/// Of row k, as integers.
Value RecurrentKernel::weightOf(Value k, const Idx &column) {
  Value B = e.input(weight);
  if (!format)
    return L.load(B, in(L.add(L.mul(way, units), k), width, column),
                  getElementTypeOrSelf(weight.getType()));
  int64_t group = format.rowsOfGroup();
  auto number = [&](Value c) {
    Value panel = L.add(L.mul(way, panels), L.div(c, kPanelColumns));
    Value dword =
        L.add(L.mul(L.div(k, group), kPanelColumns), L.rem(c, kPanelColumns));
    return L.add(L.mul(panel, format.bytesOfPanel(units)),
                 L.add(L.mul(dword, group), L.rem(k, group)));
  };
  // A vector never leaves its panel.
  return L.load(B, Idx{number(column.base), column.lane * group, 1, {}},
                b.getI8Type());
}

/// The gates of all sequences, as integers.
void RecurrentKernel::multiplyCodes() {
  quantize();
  if (inBytes)
    return gatesOfBytes();
  Value B = e.input(weight);
  unsigned lanes = e.vectorLanes();
  int64_t apart = panels * kPanelColumns;
  bool isUnsigned =
      !format && isUnsignedType(getElementTypeOrSelf(weight.getType()));
  auto asFloat = [&](Value v) { return L.toFloat(v, f32, isUnsigned); };
  auto addRows = [&](Value k, int64_t rows, bool isFirst) {
    e.loop(L.index(0), count, 1, [&](Value r) {
      SmallVector<Value> states;
      for (int64_t i = 0; i < rows; ++i)
        states.push_back(
            L.load(codes, in(r, units, L.uniform(L.add(k, i))), f32));
      e.lanesLoop(L.index(width), lanes, [&](Idx c) {
        Idx to = in(r, apart, c);
        Value zero,
            sum = isFirst ? L.constant(L.vec(f32), 0) : L.load(gates, to, f32);
        if (op.getZero())
          zero = asFloat(pullColumn(op.getZero(), c));
        if (lanes > 1 && !format) // the next rows, which lie behind these
          memref::PrefetchOp::create(
              b, L.loc, B,
              L.add(L.mul(L.add(L.mul(way, units), L.add(k, rows)), width),
                    L.mul(c.base, rows)),
              /*isWrite=*/false, /*localityHint=*/3, /*isDataCache=*/true);
        for (int64_t i = 0; i < rows; ++i) {
          Value w = asFloat(L.widen(weightOf(L.add(k, i), c)));
          if (zero)
            w = sub(w, zero);
          sum = L.multiplyAdd(L.widen(states[i]), w, sum, e.target.hasFma);
        }
        L.store(sum, gates, to, f32);
      });
    });
  };
  int64_t begin = std::min(units, kCodeRows);
  int64_t whole = units - (units - begin) % kCodeRows;
  addRows(L.index(0), begin, /*isFirst=*/true);
  e.loop(L.index(begin), L.index(whole), kCodeRows,
         [&](Value k) { addRows(k, kCodeRows, false); });
  e.loop(L.index(whole), L.index(units), 1,
         [&](Value k) { addRows(k, 1, false); });
}

/// All rows of a state by panels of the weight; loops, where the target has
/// nothing better.
void RecurrentKernel::multiply(const StateRows &state, const PanelRuns &runs) {
  Value B = e.input(weight);
  Value matrix = L.mul(way, panels * units * kPanelColumns);
  if (form.product)
    return form.product(e, {count, state.memory, state.at, atMost, units, B,
                            matrix, runs, panels, gates});
  e.loop(L.index(0), count, 1, [&](Value r) {
    e.loop(runs.first, L.add(runs.first, runs.count), 1, [&](Value p) {
      Value panel = L.add(matrix, L.mul(p, units * kPanelColumns));
      Value to = L.mul(L.add(L.mul(r, panels), p), kPanelColumns);
      e.lanesLoop(L.index(kPanelColumns), e.vectorLanes(), [&](Idx c) {
        Value zero = L.constant(L.vec(f32), 0);
        Value sum = e.loop(
            L.index(0), L.index(units), 1, zero, [&](Value k, ValueRange s) {
              Value h = stateAt(state, r, L.uniform(k));
              Value w = L.load(
                  B, in(k, kPanelColumns, L.add(L.uniform(panel), c)), f32);
              return SmallVector<Value>{add(s[0], mul(L.widen(h), w))};
            })[0];
        L.store(sum, gates, L.add(L.uniform(to), c), f32);
      });
    });
  });
}

/// Those of some gates, of the units that are computed: of whole gates all
/// panels that have one of their columns.
PanelRuns RecurrentKernel::panelsOf(int64_t firstGate, int64_t gates) {
  int64_t begin = firstGate * units / kPanelColumns;
  if (parts == 1) {
    int64_t end = llvm::divideCeil((firstGate + gates) * units, kPanelColumns);
    return {L.index(begin), end - begin, end - begin, 0};
  }
  int64_t own = ownUnits / kPanelColumns;
  return {L.add(L.div(firstUnit, kPanelColumns), begin), gates * own, own,
          units / kPanelColumns};
}

//===----------------------------------------------------------------------===//
// The cell
//===----------------------------------------------------------------------===//

/// Long: a table, a function and its formula.
Value RecurrentKernel::activate(size_t i, Value x) {
  StringRef name = op.getActivation(i);
  auto [alpha, beta] = op.getParametersOf(i);
  auto c = [&](double v) { return L.constLike(x, v); };
  auto exp = [&](Value v) -> Value { return math::ExpOp::create(b, L.loc, v); };
  auto tanh = [&](Value v) -> Value {
    return math::TanhOp::create(b, L.loc, v);
  };
  auto magnitude = [&]() -> Value { return math::AbsFOp::create(b, L.loc, x); };
  auto line = [&] { return add(mul(x, c(alpha)), c(beta)); };
  auto ifNegative = [&](Value below) {
    return L.select(L.ogt(c(0), x), below, x);
  };
  if (name == "sigmoid")
    return emitSigmoid(L, x);
  if (name == "tanh")
    return tanh(x);
  if (name == "scaled_tanh")
    return mul(tanh(mul(x, c(beta))), c(alpha));
  if (name == "relu")
    return larger(x, c(0));
  if (name == "leaky_relu")
    return ifNegative(mul(x, c(alpha)));
  if (name == "thresholded_relu")
    return L.select(L.ogt(x, c(alpha)), x, c(0));
  if (name == "elu")
    return ifNegative(mul(sub(exp(x), c(1)), c(alpha)));
  if (name == "affine")
    return line();
  if (name == "hard_sigmoid")
    return bounded(line(), 0, 1);
  if (name == "softsign")
    return L.div(x, add(magnitude(), c(1)));
  // softplus, without exp(x) overflowing
  Value small = exp(arith::NegFOp::create(b, L.loc, magnitude()));
  Value rest = math::LogOp::create(b, L.loc, add(small, c(1)));
  return add(larger(x, c(0)), rest);
}

/// Activation `i` of what may be clipped.
Value RecurrentKernel::gateOf(size_t i, Value x) {
  if (op.getClip())
    x = bounded(x, -op.getClip()->convertToDouble(),
                op.getClip()->convertToDouble());
  return activate(i, x);
}

Value RecurrentKernel::fromState(int64_t gate, Value r, const Idx &u) {
  Idx at = column(gate, u);
  Value g = L.load(gates, in(r, panels * kPanelColumns, at), f32);
  if (op.getScale())
    g = mul(g, mul(L.widen(codeScale), pullColumn(op.getScale(), at)));
  if (op.getBias())
    g = add(g, pull(op.getBias(), {L.uniform(way), at}));
  return g;
}

Value RecurrentKernel::fromInput(int64_t gate, Value time, Value r,
                                 const Idx &u) {
  Value start = L.mul(way, width);
  return pull(op.getInputs(), {L.uniform(time), L.uniform(L.add(first, r)),
                               L.add(L.uniform(start), column(gate, u))});
}

/// The sum of an lstm's gate i, o or f, and what it sees of the cell.
Value RecurrentKernel::peeped(int64_t gate, Value sum, Value state,
                              const Idx &u) {
  if (!op.getPeephole())
    return sum;
  Idx at = L.add(L.uniform(gate * units), u);
  Value w = pull(op.getPeephole(), {L.uniform(way), at});
  return add(sum, mul(w, state));
}

/// The states h and c after a step.
std::pair<Value, Value> RecurrentKernel::lstm(Value time, Value r,
                                              const Idx &u) {
  auto sum = [&](int64_t gate) {
    return add(fromInput(gate, time, r, u), fromState(gate, r, u));
  };
  Value before = stateAt(cell, r, u);
  Value input = gateOf(0, peeped(0, sum(0), before, u));
  Value forget = op.getCoupled() ? sub(L.constLike(input, 1), input)
                                 : gateOf(0, peeped(2, sum(2), before, u));
  Value candidate = gateOf(1, sum(3));
  Value c = add(mul(forget, before), mul(input, candidate));
  Value output = gateOf(0, peeped(1, sum(1), c, u));
  return {mul(output, activate(2, c)), c};
}

Value RecurrentKernel::gru(Value time, Value r, const Idx &u) {
  auto x = [&](int64_t gate) { return fromInput(gate, time, r, u); };
  auto g = [&](int64_t gate) { return fromState(gate, r, u); };
  Value z, candidate = g(2);
  if (op.getResetsFirst()) {
    z = stateAt(update, r, u);
  } else {
    z = gateOf(0, add(x(0), g(0)));
    candidate = mul(gateOf(0, add(x(1), g(1))), candidate);
  }
  candidate = gateOf(1, add(x(2), candidate));
  return add(mul(sub(L.constLike(z, 1), z), candidate),
             mul(z, stateAt(hidden, r, u)));
}

/// The states of units u of sequence r after a step, and the step's row.
void RecurrentKernel::nextState(Value time, Value r, const Idx &u) {
  Value h, c;
  switch (op.getKind()) {
  case CellKind::lstm:
    std::tie(h, c) = lstm(time, r, u);
    break;
  case CellKind::gru:
    h = gru(time, r, u);
    break;
  case CellKind::rnn:
    h = gateOf(0, add(fromInput(0, time, r, u), fromState(0, r, u)));
    break;
  }
  Value row = h;
  if (op.getLengths()) {
    Value length = e.emit(op.getLengths(), {L.uniform(L.add(first, r))});
    length = arith::IndexCastOp::create(b, L.loc, b.getIndexType(), length);
    Value inside = L.slt(time, length);
    row = L.select(inside, h, L.constLike(h, 0));
    h = L.select(inside, h, stateAt(hidden, r, u));
    if (c)
      c = L.select(inside, c, stateAt(cell, r, u));
  }
  if (c)
    putState(c, cell, r, u);
  Value at = L.add(time, op.getNumStates());
  L.store(row, e.result(0), place(at, r, u), f32);
  putState(h, next, r, u);
}

/// The gates z and r of a gru whose candidate takes another product. Panels
/// that hold columns of both are multiplied twice.
void RecurrentKernel::gatesThatReset(Value time) {
  multiply(hidden, panelsOf(0, 2));
  overStates([&](Value r, Idx u) {
    auto gate = [&](int64_t i) {
      return gateOf(0, add(fromInput(i, time, r, u), fromState(i, r, u)));
    };
    putState(gate(0), update, r, u);
    putState(mul(gate(1), stateAt(hidden, r, u)), kept, r, u);
  });
}

/// A step, but for the gates that reset.
void RecurrentKernel::step(Value time) {
  if (op.getScale())
    multiplyCodes();
  else if (op.getResetsFirst())
    multiply(kept, panelsOf(2, 1));
  else
    multiply(hidden, panelsOf(0, op.getNumGates()));
  overStates([&](Value r, Idx u) { nextState(time, r, u); });
}

/// Of team `number`.
void RecurrentKernel::begin(Value number) {
  Value perWay = e.dim(groups);
  way = L.div(number, perWay);
  first = L.mul(L.rem(number, perWay), e.dim(most));
  count = L.min(L.sub(e.dim(out[2]), first), e.dim(most));
}

void RecurrentKernel::put(const StateRows &rows, int64_t row) {
  overStates([&](Value r, Idx u) {
    L.store(stateAt(rows, r, u), e.result(0), place(L.index(row), r, u), f32);
  });
}

/// The last ones, to where the result begins.
void RecurrentKernel::putStates() {
  put(next, 0);
  if (cell)
    put(cell, 1);
}

Value RecurrentKernel::timeOf(Value step) {
  Value backward = L.eq(way, 1);
  Value last = L.sub(L.sub(e.dim(steps), 1), step);
  return ways == 2          ? L.select(backward, last, step)
         : op.getBackward() ? last
                            : step;
}

void RecurrentKernel::team(Value number) {
  Value T = e.dim(steps);
  begin(number);
  start();
  if (rowSize > units)
    e.lanesLoop(L.mul(count, rowSize), e.vectorLanes(), [&](Idx i) {
      L.store(L.constantInt(L.vec(codeType), 0), codes, i, codeType);
    });
  e.loop(L.index(0), T, 1, [&](Value t) {
    Value time = timeOf(t);
    if (op.getResetsFirst())
      gatesThatReset(time);
    step(time);
  });
  putStates();
}

//===----------------------------------------------------------------------===//
// In parts
//===----------------------------------------------------------------------===//

/// Moves the states to where the team has them; gives its counters.
Rounds RecurrentKernel::memoryOf(Value team) {
  Value at = L.mul(team, elementsOfTeam());
  for (StateRows *rows : {&hidden, &next, &cell, &update, &kept})
    if (*rows)
      rows->at = L.add(at, rows->at);
  return {e.result(1), L.add(at, elements), parts};
}

/// What the first half does for a team. Without steps its states are the last
/// ones.
void RecurrentKernel::prepare(Value number) {
  begin(number);
  clearRounds(e, memoryOf(number));
  start();
  put(hidden, 0);
  if (cell)
    put(cell, 1);
}

/// A part of a round: a step, or one of its halves where gates reset.
void RecurrentKernel::part(Value round, Value number) {
  firstUnit = L.mul(number, ownUnits);
  int64_t halves = op.getResetsFirst() ? 2 : 1;
  Value t = L.div(round, halves), time = timeOf(t);
  Value isOdd = L.ne(L.rem(t, 2), 0);
  Value even = L.select(isOdd, next.at, hidden.at);
  next.at = L.select(isOdd, hidden.at, next.at);
  hidden.at = even;
  Value isLast = L.eq(round, L.sub(L.mul(e.dim(steps), halves), 1));
  auto finish = [&] {
    step(time);
    e.ifThen(isLast, [&] { putStates(); });
  };
  if (halves == 1)
    return finish();
  Value isFirst = L.eq(L.rem(round, 2), 0), isSecond = L.no(isFirst);
  e.ifThen(isFirst, [&] { gatesThatReset(time); });
  e.ifThen(isSecond, finish);
}

/// A task of the second half: one of a team's, as many as a round has parts.
void RecurrentKernel::help(Value number) {
  Value team = L.div(number, parts);
  begin(team);
  Rounds rounds = memoryOf(team);
  Value count = L.mul(e.dim(steps), op.getResetsFirst() ? 2 : 1);
  walkRounds(e, rounds, count, L.rem(number, parts),
             [&](Value round, Value number) { part(round, number); });
}

/// Null, after an error, for a kernel that is none.
std::optional<RecurrentKernel> kernelOf(KernelEmitter &e,
                                        const RecurrentForm &form) {
  auto op = e.rootOp<RecurrentOp>();
  if (!op)
    return std::nullopt;
  auto weight = dyn_cast<BlockArgument>(op.getWeight());
  if (!weight || (!op.getScale() && getDims(weight).size() != 4)) {
    e.fail("a recurrent layer needs panels of its weight "
           "in memory: run tenon-pack-matmul first");
    return std::nullopt;
  }
  return std::optional<RecurrentKernel>(std::in_place, e, op, weight, form);
}

} // namespace

bool isRecurrentInParts(KernelOp kernel) {
  auto op = dyn_cast_or_null<RecurrentOp>(kernel.getRoot());
  return op && sizeOf(op).parts() > 1;
}

void emitRecurrentKernel(KernelEmitter &e, const RecurrentForm &form) {
  std::optional<RecurrentKernel> k = kernelOf(e, form);
  if (!k)
    return;
  e.info.tasks = k->numTeams();
  if (k->parts == 1) {
    e.info.cost = k->cost();
    return e.loop(e.begin, e.end, 1, [&](Value number) { k->team(number); });
  }
  e.info.cost = SymExpr(k->units) * k->out[2] * SymExpr(k->ways);
  e.loop(e.begin, e.end, 1, [&](Value number) { k->prepare(number); });
}

SymExpr emitRecurrentSteps(KernelEmitter &e, const RecurrentForm &form) {
  std::optional<RecurrentKernel> k = kernelOf(e, form);
  if (!k)
    return SymExpr(0);
  k->ownUnits = k->units / k->parts;
  e.info.tasks = k->numTeams() * SymExpr(k->parts);
  e.info.cost = k->cost();
  e.loop(e.begin, e.end, 1, [&](Value number) { k->help(number); });
  return k->numTeams() * SymExpr(k->elementsOfTeam());
}

} // namespace tenon
