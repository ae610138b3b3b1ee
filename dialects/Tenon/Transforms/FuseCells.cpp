//===- FuseCells.cpp - recover recurrent layers from loops ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// CellFormulas.h says what is a cell. Where one product serves all gates its
// columns stay as they lie.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonSmallTensor.h"
#include "dialects/Tenon/Transforms/CellFormulas.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"
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

using Term = CellTerm;
using Gate = CellGate;

struct Cell : CellFormulas {
  explicit Cell(LoopOp loop) : CellFormulas(loop), b(loop) {}

  OpBuilder b;
  Location loc = loop.getLoc();
  bool whole = false; ///< one product has all columns

  void placeColumns();
  int64_t place(size_t gate) {
    return whole ? gates[gate].offset / units : int64_t(gate);
  }

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
  bool hasNegated() {
    return llvm::any_of(gates, [](const Gate &gate) { return gate.negated; });
  }
  Value negated(Value v, int64_t axis);
  Value weight();
  bool areWhole(SmallVector<Term> Gate::*list);
  Value inputs();
  Value asVector(Value v, const SymExpr &size);
  Value zeros(const SymExpr &size);
  Value bias(bool &fails);
  Value peepholes();
  SmallVector<CellActivation> activations();
  bool build();
  void replace(Value all);
};

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
  return createSlice(b, loc, v, starts, by, dims);
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

/// Columns of gates that are 1 minus their activation, which lie along `axis`,
/// times -1.
Value Cell::negated(Value v, int64_t axis) {
  if (!v || !hasNegated())
    return v;
  SmallVector<float> signs(gates.size() * units, 1);
  for (auto [i, gate] : llvm::enumerate(gates))
    if (gate.negated)
      std::fill_n(signs.begin() + place(i) * units, units, -1.0f);
  SmallVector<int64_t> dims{int64_t(signs.size())};
  dims.resize(getDims(v).size() - axis, 1);
  auto type = RankedTensorType::get(dims, b.getF32Type());
  Value factors = createConstant(
      b, loc, DenseElementsAttr::get(type, ArrayRef<float>(signs)));
  return MulOp::create(b, loc, v, factors);
}

/// What is computed of constants alone, where all of them are small.
std::optional<SmallTensor> numbersOf(Value v) {
  constexpr int64_t kMostNumbers = 1 << 20;
  if (DenseElementsAttr constant = smallConstant(v, kMostNumbers))
    return SmallTensor::unpack(constant);
  Operation *op = v.getDefiningOp();
  if (!op || op->getNumOperands() == 0 || op->getNumResults() != 1)
    return std::nullopt;
  SmallVector<SmallTensor> operands;
  for (Value operand : op->getOperands()) {
    std::optional<SmallTensor> numbers = numbersOf(operand);
    if (!numbers)
      return std::nullopt;
    operands.push_back(std::move(*numbers));
  }
  return evaluateOp(op, operands);
}

/// [1, gates * units, units]; rows that had to be joined as a constant where
/// they are, so that it is packed when compiling.
Value Cell::weight() {
  auto rows = [&](const Gate &gate) -> Value {
    Gate own = gate;
    std::optional<StepValues::All> matrix = steps.lift(own.product.getRhs());
    if (!matrix || matrix->perStep)
      return nullptr;
    Value v = matrix->value;
    if (!own.product.getTransposeB())
      v = createTranspose(b, loc, v, ArrayRef<int64_t>{1, 0});
    return whole ? v : slice(v, 0, SymExpr(gate.offset), SymExpr(units));
  };
  Value all = whole ? rows(gates[0]) : joined(rows, 0);
  SymExpr H(units);
  if (!all)
    return nullptr;
  all = negated(
      reshape(all, {SymExpr(1), SymExpr(int64_t(gates.size())) * H, H}), 1);
  if (whole && !hasNegated())
    return all;
  std::optional<SmallTensor> numbers = numbersOf(all);
  return numbers ? createConstant(b, loc, numbers->pack()) : all;
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
  auto ofGate = [&](const Gate &gate) {
    Value v = sum(gate.inputs, /*columns=*/true);
    return broadcast(v ? v : zeros(dims[2]), dims);
  };
  if (!areWhole(&Gate::inputs))
    return negated(joined(ofGate, 2), 2);
  dims[2] = SymExpr(int64_t(gates.size()) * units);
  Value v = sum(gates[0].inputs, /*columns=*/false);
  return negated(broadcast(v ? v : zeros(dims[2]), dims), 2);
}

/// `v` as a vector of so many elements; null where it is none.
Value Cell::asVector(Value v, const SymExpr &size) {
  SymExpr count = productOf(getDims(v));
  if (count != size && count != SymExpr(1))
    return nullptr;
  return broadcast(reshape(v, {count}), {size});
}

Value Cell::zeros(const SymExpr &size) {
  auto type = getTensorType({size}, b.getF32Type());
  return createConstant(b, loc,
                        DenseElementsAttr::get(type, b.getF32FloatAttr(0)));
}

/// What is added to the product of a gru's candidate, in front of the reset;
/// null without any.
Value Cell::bias(bool &fails) {
  if (llvm::all_of(gates, [](const Gate &g) { return g.inner.empty(); }))
    return nullptr;
  SymExpr size(units), width(int64_t(gates.size()) * units);
  auto ofGate = [&](const Gate &gate) -> Value {
    Value v = sum(gate.inner, /*columns=*/true);
    return v ? asVector(v, size) : zeros(size);
  };
  Value all = areWhole(&Gate::inner)
                  ? asVector(sum(gates[0].inner, /*columns=*/false), width)
                  : joined(ofGate, 0);
  fails = !all;
  return all ? negated(reshape(all, {SymExpr(1), width}), 1) : nullptr;
}

/// [1, 3 * units], in the order i, o, f; null without any.
Value Cell::peepholes() {
  if (llvm::none_of(gates, [](const Gate &g) { return bool(g.peephole); }))
    return nullptr;
  SmallVector<Value> parts;
  for (const Gate &gate : ArrayRef(gates).take_front(3)) {
    Value v = gate.peephole
                  ? reshape(lifted({gate.peephole, 0}), {SymExpr(units)})
                  : zeros(SymExpr(units));
    parts.push_back(gate.negated ? NegOp::create(b, loc, v).getResult() : v);
  }
  return reshape(ConcatOp::create(b, loc, parts, /*axis=*/0),
                 {SymExpr(1), SymExpr(3 * units)});
}

SmallVector<CellActivation> Cell::activations() {
  SmallVector<CellActivation> result{gates[0].activation};
  if (gates.size() > 1)
    result.push_back(gates.back().activation);
  if (kind == CellKind::lstm)
    result.push_back(cellActivation);
  return result;
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
  SmallVector<double> parameters;
  bool usual = true, sorted = true, parametric = false;
  for (auto [i, activation] : llvm::enumerate(activations())) {
    usual &= activation.name ==
             (i == 0 && kind != CellKind::rnn ? "sigmoid" : "tanh");
    names.push_back(b.getStringAttr(activation.name));
    parameters.append({activation.a, activation.b});
    parametric |= activation.a != 0;
  }
  for (size_t i = 0; i < gates.size(); ++i) {
    order.push_back(place(i));
    sorted &= order.back() == int64_t(i);
  }
  auto unit = [&](bool has) { return has ? b.getUnitAttr() : UnitAttr(); };
  auto layer = RecurrentOp::create(
      b, loc, x, w, added, state(h),
      kind == CellKind::lstm ? state(c) : Value(), /*lengths=*/Value(),
      peepholes(), /*scale=*/Value(), /*zero=*/Value(), /*sums=*/Value(),
      CellKindAttr::get(b.getContext(), kind), b.getI64IntegerAttr(units),
      unit(steps.isBackward()), /*coupled=*/UnitAttr(),
      unit(gates.back().resetsFirst), /*clip=*/FloatAttr(),
      usual ? ArrayAttr() : b.getArrayAttr(names),
      parametric ? b.getDenseF64ArrayAttr(parameters) : DenseF64ArrayAttr(),
      sorted ? DenseI64ArrayAttr() : b.getDenseI64ArrayAttr(order),
      /*format=*/FormatAttr());
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
  size_t axis = op.getTransposeB() ? 1 : 0;
  SmallVector<SymExpr> starts(2, SymExpr(0));
  Value sum;
  for (Value part : join.getInputs()) {
    dims[axis] = getDims(part).back();
    b.setInsertionPoint(loop);
    Value rows = createSlice(b, op.getLoc(), matrix, starts, {1, 1}, dims);
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
  SmallVector<SymExpr> dims = getDims(op.getResult()), row{SymExpr(1)},
                       starts(dims.size() + 1, SymExpr(0));
  row.append(dims.begin(), dims.end());
  starts[0] = steps.getRow();
  SmallVector<int64_t> by(row.size(), 1);
  Value v = createSlice(b, op.getLoc(), all->value, starts, by, row);
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
