//===- FuseCells.cpp - recover recurrent layers from loops ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   lstm  c' = f*c + i*g,  h' = o*act(c')
//   gru   h' = (1 - z)*n + z*h,  n + z*(h - n)  or  n - z*(n - h)
//   rnn   h' = act(s)
//
// A gate is an activation of a sum, or some columns of either: of one product
// of the state by a matrix, and of what does not depend on the state
// (StepValues.h). A gru's n has r times the product, with what is added to it,
// or the product of r*h. Where one product serves all gates its columns stay as
// they lie.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonReshapes.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "dialects/Tenon/Transforms/StepValues.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"

namespace tenon {
#define GEN_PASS_DEF_FUSECELLSPASS
#include "dialects/Tenon/Transforms/FuseCells.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;
using namespace tenon::match;

namespace {

/// Columns of a value from `offset` on; of one column, that.
struct Term {
  Value value;
  int64_t offset;
  bool operator==(const Term &o) const = default;
};

struct Gate {
  StringRef activation;
  SmallVector<Term> inputs; ///< which do not depend on the state
  SmallVector<Term> inner;  ///< those that `reset` multiplies
  Value reset;              ///< the activated gate r of a gru
  bool resetsFirst = false;
  MatMulOp product;
  int64_t offset = 0; ///< of its columns
};

/// A slice of the last dim alone: where it begins.
std::optional<int64_t> columnsFrom(SliceOp slice) {
  SmallVector<SymExpr> from = getDims(slice.getInput()),
                       to = getDims(slice.getResult()),
                       starts(slice.getStarts().getSymExprs());
  if (from.empty() || slice.getSteps().back() != 1 ||
      !starts.back().isConstant())
    return std::nullopt;
  for (size_t i = 0; i + 1 < from.size(); ++i)
    if (from[i] != to[i] || starts[i] != SymExpr(0) || slice.getSteps()[i] != 1)
      return std::nullopt;
  return *starts.back().constant();
}

/// What `v` has columns of, from `offset` on.
Value throughSlices(Value v, int64_t &offset) {
  while (auto slice = v.getDefiningOp<SliceOp>()) {
    std::optional<int64_t> start = columnsFrom(slice);
    if (!start)
      break;
    offset += *start;
    v = slice.getInput();
  }
  return v;
}

/// The name of the activation that an op is, and its input.
StringRef activationOf(Value v, Value &input) {
  if (auto sigmoid = v.getDefiningOp<SigmoidOp>()) {
    input = sigmoid.getInput();
    return "sigmoid";
  }
  if (auto tanh = v.getDefiningOp<TanhOp>()) {
    input = tanh.getInput();
    return "tanh";
  }
  auto max = v.getDefiningOp<MaxOp>();
  if (!max || (!isScalar(max.getLhs(), 0) && !isScalar(max.getRhs(), 0)))
    return {};
  input = isScalar(max.getLhs(), 0) ? max.getRhs() : max.getLhs();
  return "relu";
}

/// The operands of a binary op, either way round; none of another op.
template <typename OpTy>
SmallVector<std::pair<Value, Value>, 2> bothWays(Value v) {
  auto op = v.getDefiningOp<OpTy>();
  if (!op)
    return {};
  Value x = op.getLhs(), y = op.getRhs();
  return {std::pair(x, y), std::pair(y, x)};
}

struct Cell {
  explicit Cell(LoopOp loop)
      : loop(loop), block(&loop.getBody().front()), steps(loop), b(loop) {}

  LoopOp loop;
  Block *block;
  StepValues steps;
  OpBuilder b;
  Location loc = loop.getLoc();
  CellKind kind = CellKind::rnn;
  unsigned h = 0, c = 0; ///< among the handed values
  Value state, cell;     ///< before a step
  Value next, nextCell;  ///< behind it
  SmallVector<Gate, 4> gates = {};
  StringRef cellActivation = {};
  SymExpr batch = SymExpr(1);
  int64_t units = 0;
  bool whole = false; ///< one product has all columns

  bool match();
  bool matchLstm(unsigned hidden, unsigned other);
  bool matchGru();
  bool matchGate(Value v, Gate &gate);
  bool addTerms(Value v, int64_t offset, Gate &gate, bool inner);
  bool addReset(Value v, int64_t offset, Gate &gate);
  void placeColumns();
  int64_t place(size_t gate) {
    return whole ? gates[gate].offset / units : int64_t(gate);
  }
  bool haveRows();

  DimsAttr attr(ArrayRef<SymExpr> dims) {
    return DimsAttr::get(b.getContext(), dims);
  }
  Value reshape(Value v, ArrayRef<SymExpr> dims) {
    return createReshape(b, loc, v, dims);
  }
  Value slice(Value v, int64_t axis, const SymExpr &from, const SymExpr &size,
              int64_t step = 1);
  Value broadcast(Value v, ArrayRef<SymExpr> dims);
  Value lifted(const Term &term);
  Value sum(ArrayRef<Term> terms, bool columns);
  Value joined(function_ref<Value(const Gate &)> fn, int64_t axis);
  Value weight();
  bool areWhole(SmallVector<Term> Gate::*list);
  Value inputs();
  Value asVector(Value v, const SymExpr &size);
  Value bias(bool &fails);
  bool build();
  void replace(Value all);
};

//===----------------------------------------------------------------------===//
// The cell's formulas
//===----------------------------------------------------------------------===//

/// r times the product, or the product of r*h.
bool Cell::addReset(Value v, int64_t offset, Gate &gate) {
  auto isReset = [&](Value r) {
    int64_t start = 0;
    Value input;
    return activationOf(throughSlices(r, start), input) == "sigmoid";
  };
  if (auto product = v.getDefiningOp<MatMulOp>()) {
    for (auto [r, before] : bothWays<MulOp>(product.getLhs())) {
      if (before != state || !isReset(r) || gate.product ||
          product.getTransposeA())
        continue;
      gate.reset = r;
      gate.resetsFirst = true;
      gate.product = product;
      gate.offset = offset;
      return true;
    }
    return false;
  }
  for (auto [r, sum] : bothWays<MulOp>(v)) {
    if (offset || gate.reset || !isReset(r))
      continue;
    Gate inner;
    if (!addTerms(sum, 0, inner, /*inner=*/true) || !inner.product ||
        gate.product)
      continue;
    gate.reset = r;
    gate.product = inner.product;
    gate.offset = inner.offset;
    gate.inner = inner.inner;
    return true;
  }
  return false;
}

/// Adds what `v` is the sum of to what a gate is.
bool Cell::addTerms(Value v, int64_t offset, Gate &gate, bool inner) {
  // A single column, which is broadcast, is read as it is.
  SmallVector<SymExpr> dims = getDims(v);
  bool one = dims.empty() || dims.back() == SymExpr(1);
  if (one)
    offset = 0;
  else if (dims.back().constant().value_or(0) < offset + units)
    return false;
  int64_t start = offset;
  if (Value from = throughSlices(v, start); !one && from != v)
    return addTerms(from, start, gate, inner);
  if (steps.lift(v)) {
    (inner ? gate.inner : gate.inputs).push_back({v, offset});
    return true;
  }
  if (auto add = v.getDefiningOp<AddOp>())
    return addTerms(add.getLhs(), offset, gate, inner) &&
           addTerms(add.getRhs(), offset, gate, inner);
  auto product = v.getDefiningOp<MatMulOp>();
  if (product && product.getLhs() == state && !product.getTransposeA()) {
    if (gate.product)
      return false;
    gate.product = product;
    gate.offset = offset;
    return true;
  }
  return !inner && addReset(v, offset, gate);
}

bool Cell::matchGate(Value v, Gate &gate) {
  int64_t offset = 0;
  Value input;
  gate.activation = activationOf(throughSlices(v, offset), input);
  return !gate.activation.empty() && addTerms(input, offset, gate, false) &&
         gate.product;
}

bool Cell::matchLstm(unsigned hidden, unsigned other) {
  h = hidden;
  c = other;
  state = block->getArgument(h + 1);
  cell = block->getArgument(c + 1);
  next = loop.yieldedHanded()[h];
  nextCell = loop.yieldedHanded()[c];
  kind = CellKind::lstm;
  auto matches = [&](Value i, Value o, Value f, Value g) {
    gates.assign(4, Gate());
    bool found = matchGate(i, gates[0]) && matchGate(o, gates[1]) &&
                 matchGate(f, gates[2]) && matchGate(g, gates[3]);
    return found && gates[0].activation == gates[1].activation &&
           gates[0].activation == gates[2].activation &&
           llvm::none_of(gates, [](const Gate &g) { return bool(g.reset); });
  };
  for (auto [o, activated] : bothWays<MulOp>(next)) {
    Value input;
    cellActivation = activationOf(activated, input);
    if (cellActivation.empty() || input != nextCell)
      continue;
    for (auto [kept, fresh] : bothWays<AddOp>(nextCell))
      for (auto [f, before] : bothWays<MulOp>(kept))
        for (auto [i, g] : bothWays<MulOp>(fresh))
          if (before == cell && matches(i, o, f, g))
            return true;
  }
  return false;
}

bool Cell::matchGru() {
  kind = CellKind::gru;
  auto matches = [&](Value z, Value n) {
    gates.assign(3, Gate());
    return matchGate(z, gates[0]) && matchGate(n, gates[2]) && gates[2].reset &&
           matchGate(gates[2].reset, gates[1]) &&
           gates[0].activation == gates[1].activation && !gates[0].reset &&
           !gates[1].reset;
  };
  for (auto [fresh, kept] : bothWays<AddOp>(next))
    for (auto [z, old] : bothWays<MulOp>(kept)) {
      // (1 - z)*n + z*h
      for (auto [rest, n] : bothWays<MulOp>(fresh)) {
        auto sub = rest.getDefiningOp<SubOp>();
        if (old == state && sub && isScalar(sub.getLhs(), 1) &&
            sub.getRhs() == z && matches(z, n))
          return true;
      }
      // n + z*(h - n)
      auto sub = old.getDefiningOp<SubOp>();
      if (sub && sub.getLhs() == state && sub.getRhs() == fresh &&
          matches(z, fresh))
        return true;
    }
  // n - z*(n - h)
  auto rest = next.getDefiningOp<SubOp>();
  if (!rest)
    return false;
  for (auto [z, old] : bothWays<MulOp>(rest.getRhs())) {
    auto sub = old.getDefiningOp<SubOp>();
    if (sub && sub.getRhs() == state && sub.getLhs() == rest.getLhs() &&
        matches(z, rest.getLhs()))
      return true;
  }
  return false;
}

bool Cell::match() {
  unsigned handed = loop.numHanded();
  if (loop.getConditional() || loop.getWhen() || handed < 1 || handed > 2)
    return false;
  SmallVector<SymExpr> dims = getDims(block->getArgument(1));
  if (dims.size() != 2 || !dims[1].isConstant() || *dims[1].constant() < 1)
    return false;
  batch = dims[0];
  units = *dims[1].constant();
  for (auto [argument, initial] : llvm::zip_equal(
           block->getArguments().drop_front(), loop.initialHanded()))
    if (!getElementTypeOrSelf(argument).isF32() || getDims(argument) != dims ||
        getDims(initial) != dims)
      return false;
  if (handed == 2) {
    if (!matchLstm(0, 1) && !matchLstm(1, 0))
      return false;
  } else {
    state = block->getArgument(1);
    next = loop.yieldedHanded()[0];
    if (!matchGru()) {
      kind = CellKind::rnn;
      gates.assign(1, Gate());
      if (!matchGate(next, gates[0]) || gates[0].reset)
        return false;
    }
  }
  for (const Gate &gate : gates) {
    Gate own = gate;
    SmallVector<SymExpr> matrix = getDims(own.product.getRhs());
    if (matrix.size() != 2 || !matrix[0].isConstant() ||
        !matrix[1].isConstant())
      return false;
  }
  int64_t bytes = int64_t(gates.size()) * units * units * 4;
  return bytes <= RecurrentOp::kLargestWeight && haveRows();
}

/// Are the rows that the loop gives those of the state?
bool Cell::haveRows() {
  auto yield = cast<YieldOp>(block->getTerminator());
  for (Value row : yield.getValues().drop_front(loop.numHanded()))
    if (skipReshapes(row) != next)
      return false;
  return true;
}

/// Has one product the columns of all gates?
void Cell::placeColumns() {
  int64_t count = gates.size();
  SmallVector<bool> taken(count, false);
  whole = true;
  for (const Gate &gate : gates) {
    int64_t at = gate.offset / units;
    whole &= gate.product == gates[0].product && gate.offset % units == 0 &&
             !gate.resetsFirst && at < count && !taken[at];
    if (!whole)
      return;
    taken[at] = true;
  }
  whole =
      getDims(gates[0].product.getResult()).back() == SymExpr(count * units);
}

//===----------------------------------------------------------------------===//
// The layer
//===----------------------------------------------------------------------===//

Value Cell::slice(Value v, int64_t axis, const SymExpr &from,
                  const SymExpr &size, int64_t step) {
  SmallVector<SymExpr> dims = getDims(v), starts(dims.size(), SymExpr(0));
  if (dims[axis] == size && step == 1)
    return v;
  SmallVector<int64_t> by(dims.size(), 1);
  dims[axis] = size;
  starts[axis] = from;
  by[axis] = step;
  return SliceOp::create(b, loc, v, attr(starts), b.getDenseI64ArrayAttr(by),
                         attr(dims));
}

/// Null where it is not certain that it can be.
Value Cell::broadcast(Value v, ArrayRef<SymExpr> dims) {
  if (!v || getDims(v) == dims)
    return v;
  if (!isBroadcastOf(getDims(v), dims))
    return nullptr;
  return BroadcastToOp::create(b, loc, v, attr(dims));
}

/// Of all steps [trips, batch or 1, columns], or as it is.
Value Cell::lifted(const Term &term) {
  std::optional<StepValues::All> all = steps.lift(term.value);
  SmallVector<SymExpr> dims = getDims(all->value);
  if (!all->perStep || dims.size() > 3)
    return all->value;
  while (dims.size() < 3)
    dims.insert(dims.begin() + 1, SymExpr(1));
  return reshape(all->value, dims);
}

/// Null without terms; of all their columns, or of one gate's.
Value Cell::sum(ArrayRef<Term> terms, bool columns) {
  Value total;
  for (const Term &term : terms) {
    Value v = lifted(term);
    SmallVector<SymExpr> dims = getDims(v);
    if (columns && !dims.empty() && dims.back() != SymExpr(1))
      v = slice(v, dims.size() - 1, SymExpr(term.offset), SymExpr(units));
    total = total ? AddOp::create(b, loc, total, v).getResult() : v;
  }
  return total;
}

/// What `fn` gives of each gate, as the columns lie.
Value Cell::joined(function_ref<Value(const Gate &)> fn, int64_t axis) {
  SmallVector<Value> parts(gates.size());
  for (auto [i, gate] : llvm::enumerate(gates)) {
    parts[place(i)] = fn(gate);
    if (!parts[place(i)])
      return nullptr;
  }
  return parts.size() == 1 ? parts[0]
                           : ConcatOp::create(b, loc, parts, axis).getResult();
}

/// [1, gates * units, units]
Value Cell::weight() {
  auto rows = [&](const Gate &gate) -> Value {
    Gate own = gate;
    std::optional<StepValues::All> matrix = steps.lift(own.product.getRhs());
    if (!matrix || matrix->perStep)
      return nullptr;
    Value v = matrix->value;
    if (!own.product.getTransposeB())
      v = TransposeOp::create(b, loc, v, ArrayRef<int64_t>{1, 0});
    return whole ? v : slice(v, 0, SymExpr(gate.offset), SymExpr(units));
  };
  Value all = whole ? rows(gates[0]) : joined(rows, 0);
  SymExpr H(units);
  return all ? reshape(all, {SymExpr(1), SymExpr(int64_t(gates.size())) * H, H})
             : nullptr;
}

/// Are the terms of all gates the same values, whose columns lie as those of
/// the product?
bool Cell::areWhole(SmallVector<Term> Gate::*list) {
  SymExpr width(int64_t(gates.size()) * units);
  const SmallVector<Term> &first = gates[0].*list;
  return whole && llvm::all_of(gates, [&](const Gate &gate) {
           const SmallVector<Term> &terms = gate.*list;
           if (terms.size() != first.size())
             return false;
           for (auto [term, same] : llvm::zip_equal(terms, first)) {
             SmallVector<SymExpr> dims = getDims(term.value);
             bool one = dims.empty() || dims.back() == SymExpr(1);
             if (term.value != same.value ||
                 (!one && (term.offset != gate.offset || dims.back() != width)))
               return false;
           }
           return true;
         });
}

/// [trips, batch, gates * units]; null where that is not certain.
Value Cell::inputs() {
  SmallVector<SymExpr> dims{steps.getTrips(), batch, SymExpr(units)};
  if (!areWhole(&Gate::inputs))
    return joined(
        [&](const Gate &gate) {
          return broadcast(sum(gate.inputs, /*columns=*/true), dims);
        },
        2);
  dims[2] = SymExpr(int64_t(gates.size()) * units);
  return broadcast(sum(gates[0].inputs, /*columns=*/false), dims);
}

/// `v` as a vector of so many elements; null where it is none.
Value Cell::asVector(Value v, const SymExpr &size) {
  SymExpr count = productOf(getDims(v));
  if (count != size && count != SymExpr(1))
    return nullptr;
  return broadcast(reshape(v, {count}), {size});
}

/// What is added to the product of a gru's candidate, in front of the reset;
/// null without any.
Value Cell::bias(bool &fails) {
  if (llvm::all_of(gates, [](const Gate &g) { return g.inner.empty(); }))
    return nullptr;
  SymExpr size(units), width(int64_t(gates.size()) * units);
  auto ofGate = [&](const Gate &gate) -> Value {
    if (Value v = sum(gate.inner, /*columns=*/true))
      return asVector(v, size);
    auto type = getTensorType({size}, b.getF32Type());
    return ConstantOp::create(
        b, loc, DenseElementsAttr::get(type, b.getF32FloatAttr(0)));
  };
  Value all = areWhole(&Gate::inner)
                  ? asVector(sum(gates[0].inner, /*columns=*/false), width)
                  : joined(ofGate, 0);
  fails = !all;
  return all ? reshape(all, {SymExpr(1), width}) : nullptr;
}

/// False where dims are not certain to fit.
bool Cell::build() {
  if (kind == CellKind::gru && !gates[2].resetsFirst)
    // What a whole product is added to stands inside for all gates.
    for (Gate &gate : MutableArrayRef(gates).take_front(2))
      for (const Term &inner : gates[2].inner)
        for (Term &term : gate.inputs)
          if (term.value == inner.value && term.offset == gate.offset) {
            gate.inner.push_back(term);
            gate.inputs.erase(&term);
            break;
          }
  placeColumns();
  bool fails = false;
  Value w = weight(), x = w ? inputs() : Value(), added = bias(fails);
  if (!w || !x || fails)
    return false;
  auto state = [&](unsigned i) {
    return reshape(loop.initialHanded()[i],
                   {SymExpr(1), batch, SymExpr(units)});
  };
  SmallVector<Attribute> names;
  SmallVector<int64_t> order;
  names.push_back(b.getStringAttr(gates[0].activation));
  if (gates.size() > 1)
    names.push_back(b.getStringAttr(gates.back().activation));
  if (kind == CellKind::lstm)
    names.push_back(b.getStringAttr(cellActivation));
  bool usual = true, sorted = true;
  for (auto [i, name] : llvm::enumerate(names))
    usual &= cast<StringAttr>(name).getValue() ==
             (i == 0 && kind != CellKind::rnn ? "sigmoid" : "tanh");
  for (size_t i = 0; i < gates.size(); ++i) {
    order.push_back(place(i));
    sorted &= order.back() == int64_t(i);
  }
  auto unit = [&](bool has) { return has ? b.getUnitAttr() : UnitAttr(); };
  auto layer = RecurrentOp::create(
      b, loc, x, w, added, state(h),
      kind == CellKind::lstm ? state(c) : Value(), /*lengths=*/Value(),
      /*peephole=*/Value(), /*scale=*/Value(), /*zero=*/Value(),
      CellKindAttr::get(b.getContext(), kind), b.getI64IntegerAttr(units),
      unit(steps.isBackward()), /*coupled=*/UnitAttr(),
      unit(gates.back().resetsFirst), /*clip=*/FloatAttr(),
      usual ? ArrayAttr() : b.getArrayAttr(names),
      /*parameters=*/DenseF64ArrayAttr(),
      sorted ? DenseI64ArrayAttr() : b.getDenseI64ArrayAttr(order));
  replace(layer);
  return true;
}

void Cell::replace(Value all) {
  SymExpr states(kind == CellKind::lstm ? 2 : 1), one(1);
  const SymExpr &trips = steps.getTrips();
  auto as = [&](Value v, Value like) {
    like.replaceAllUsesWith(reshape(v, getDims(like)));
  };
  as(slice(all, 0, SymExpr(0), one), loop.getResult(h));
  if (kind == CellKind::lstm)
    as(slice(all, 0, one, one), loop.getResult(c));
  for (Value rows : loop.getResults().drop_front(loop.numHanded()))
    as(steps.isBackward() ? slice(all, 0, states + trips - one, trips, -1)
                          : slice(all, 0, states, trips),
       rows);
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

/// The product of a row and a state that are joined (x and h of one matrix) as
/// the sum of two: one of them is of all steps.
void splitJoined(LoopOp loop, MatMulOp op) {
  auto join = op.getLhs().getDefiningOp<ConcatOp>();
  Value matrix = op.getRhs();
  SmallVector<SymExpr> dims = getDims(matrix);
  auto isOutside = [&](Value v) {
    return !loop.getBody().isAncestor(v.getParentRegion());
  };
  if (!join || op.getTransposeA() || dims.size() != 2 || !isOutside(matrix) ||
      join.getAxis() + 1 != getDims(join.getResult()).size() ||
      llvm::any_of(join.getInputs(), [](Value part) {
        return !getDims(part).back().isConstant();
      }))
    return;
  StepValues steps(loop);
  bool scans = llvm::any_of(join.getInputs(), [&](Value part) {
    std::optional<StepValues::All> rows = steps.lift(part);
    return rows && rows->perStep;
  });
  steps.erase();
  if (!scans)
    return;
  OpBuilder b(op);
  auto attr = [&](ArrayRef<SymExpr> d) {
    return DimsAttr::get(b.getContext(), d);
  };
  size_t axis = op.getTransposeB() ? 1 : 0;
  SmallVector<SymExpr> starts(2, SymExpr(0));
  Value sum;
  for (Value part : join.getInputs()) {
    dims[axis] = getDims(part).back();
    b.setInsertionPoint(loop);
    Value rows = SliceOp::create(b, op.getLoc(), matrix, attr(starts),
                                 b.getDenseI64ArrayAttr({1, 1}), attr(dims));
    starts[axis] = starts[axis] + dims[axis];
    b.setInsertionPoint(op);
    IRMapping map;
    map.map(op.getLhs(), part);
    map.map(matrix, rows);
    Value product = b.clone(*op, map)->getResult(0);
    sum =
        sum ? AddOp::create(b, op.getLoc(), sum, product).getResult() : product;
  }
  op.getResult().replaceAllUsesWith(sum);
  op.erase();
}

/// The product of all steps' rows, if it is of a row that the loop scans.
bool moveProduct(LoopOp loop, MatMulOp op) {
  StepValues steps(loop);
  std::optional<StepValues::All> rows = steps.lift(op.getLhs()), all;
  if (rows && rows->perStep)
    all = steps.lift(op.getResult());
  if (!all || !all->perStep) {
    steps.erase();
    return false;
  }
  OpBuilder b(op);
  auto attr = [&](ArrayRef<SymExpr> dims) {
    return DimsAttr::get(b.getContext(), dims);
  };
  SmallVector<SymExpr> dims = getDims(op.getResult()), row{SymExpr(1)},
                       starts(dims.size() + 1, SymExpr(0));
  row.append(dims.begin(), dims.end());
  starts[0] = steps.getRow();
  SmallVector<int64_t> by(row.size(), 1);
  Value v = SliceOp::create(b, op.getLoc(), all->value, attr(starts),
                            b.getDenseI64ArrayAttr(by), attr(row));
  op.getResult().replaceAllUsesWith(createReshape(b, op.getLoc(), v, dims));
  op.erase();
  return true;
}

struct FuseCellsPass : tenon::impl::FuseCellsPassBase<FuseCellsPass> {
  void runOnOperation() override {
    SmallVector<LoopOp> loops;
    getOperation().walk([&](LoopOp loop) { loops.push_back(loop); });
    for (LoopOp loop : loops)
      fuse(loop);
  }

  void fuse(LoopOp loop) {
    if (loop.getConditional() || loop.getWhen())
      return noteMissed(getArgument(), loop, "FuseCell",
                        "what it computes decides how often it runs");
    SmallVector<MatMulOp> joined(loop.getBody().getOps<MatMulOp>());
    for (MatMulOp op : joined)
      splitJoined(loop, op);
    Cell cell(loop);
    if (cell.match() && cell.build()) {
      ++numCells;
      noteApplied(getArgument(), loop, "FuseCell");
      return loop.erase();
    }
    cell.steps.erase();
    noteMissed(getArgument(), loop, "FuseCell",
               "it is no cell of an LSTM, GRU or RNN that fits a core's cache");
    SmallVector<MatMulOp> products(loop.getBody().getOps<MatMulOp>());
    for (MatMulOp op : products)
      numProducts += moveProduct(loop, op);
  }
};

} // namespace
