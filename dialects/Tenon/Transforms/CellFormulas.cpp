//===- CellFormulas.cpp - a loop's body as a recurrent cell ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/Transforms/CellFormulas.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonRecurrent.h"
#include "dialects/Tenon/Transforms/Match.h"
#include <map>
#include <vector>

using namespace mlir;
using namespace tenon;
using namespace tenon::match;

namespace {

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

/// The operands of a binary op, either way round; none of another op.
template <typename OpTy>
SmallVector<std::pair<Value, Value>, 2> bothWays(Value v) {
  auto op = v.getDefiningOp<OpTy>();
  if (!op)
    return {};
  Value x = op.getLhs(), y = op.getRhs();
  return {std::pair(x, y), std::pair(y, x)};
}

/// The operand beside a number, which is `expected` or, where none is, given.
template <typename OpTy>
Value beside(Value v, std::optional<double> expected, double *given = nullptr) {
  for (auto [number, other] : bothWays<OpTy>(v))
    if (std::optional<double> found = scalarOf(number);
        found && (!expected || isScalar(number, *expected))) {
      if (given)
        *given = *found;
      return other;
    }
  return nullptr;
}

/// min(max(a*x + b, 0), 1), the bounds in either order.
std::optional<CellActivation> hardSigmoid(Value v, Value &input) {
  Value line = beside<MinOp>(v, 1);
  line = line ? beside<MaxOp>(line, 0) : Value();
  if (!line) {
    line = beside<MaxOp>(v, 0);
    line = line ? beside<MinOp>(line, 1) : Value();
  }
  CellActivation result{"hard_sigmoid", 1, 0};
  Value scaled = line ? beside<AddOp>(line, std::nullopt, &result.b) : line;
  input = scaled ? beside<MulOp>(scaled, std::nullopt, &result.a) : scaled;
  if (!input)
    return std::nullopt;
  return result;
}

/// The activation that an op is, and its input.
std::optional<CellActivation> activationOf(Value v, Value &input) {
  if (auto sigmoid = v.getDefiningOp<SigmoidOp>()) {
    input = sigmoid.getInput();
    return CellActivation{"sigmoid"};
  }
  if (auto tanh = v.getDefiningOp<TanhOp>()) {
    input = tanh.getInput();
    return CellActivation{"tanh"};
  }
  if (std::optional<CellActivation> hard = hardSigmoid(v, input))
    return hard;
  input = beside<MaxOp>(v, 0);
  if (!input)
    return std::nullopt;
  return CellActivation{"relu"};
}

/// Is 1 - act(x) = act(-x)?
bool isPointSymmetric(const CellActivation &a) {
  return a.name == "sigmoid" || (a.name == "hard_sigmoid" && a.b == 0.5);
}

//===----------------------------------------------------------------------===//
// Sums of products
//===----------------------------------------------------------------------===//

/// Of values with the dims of a state: what each product is taken times.
class Sum {
public:
  /// nullopt where `v` is computed in another way, of activations and of what
  /// `isState` says, or is long.
  static std::optional<Sum> of(Value v, function_ref<bool(Value)> isState,
                               unsigned deep = 8);

  size_t size() const { return products.size(); }
  /// The factor of a product; 0 where there is none.
  double operator[](ArrayRef<Value> product) const {
    auto it = products.find(keyOf(product));
    return it == products.end() ? 0 : it->second;
  }
  /// Those of `size` factors.
  SmallVector<SmallVector<Value>> withFactors(size_t size) const;

private:
  using Key = std::vector<const void *>;
  static Key keyOf(ArrayRef<Value> product) {
    Key key;
    for (Value v : product)
      key.push_back(v.getAsOpaquePointer());
    llvm::sort(key);
    return key;
  }
  void add(Key key, double factor) {
    auto it = products.try_emplace(std::move(key), 0).first;
    it->second += factor;
    if (it->second == 0)
      products.erase(it);
  }

  std::map<Key, double> products;
};

std::optional<Sum> Sum::of(Value v, function_ref<bool(Value)> isState,
                           unsigned deep) {
  constexpr size_t most = 8;
  Sum result;
  int64_t offset = 0;
  Value input;
  if (std::optional<double> number = scalarOf(v)) {
    if (*number != 0)
      result.add({}, *number);
    return result;
  }
  if (isState(v) || activationOf(throughSlices(v, offset), input)) {
    result.add({v.getAsOpaquePointer()}, 1);
    return result;
  }
  Operation *op = v.getDefiningOp();
  if (!deep || !isa_and_nonnull<AddOp, SubOp, MulOp, NegOp>(op))
    return std::nullopt;
  std::optional<Sum> first = of(op->getOperand(0), isState, deep - 1), second;
  if (op->getNumOperands() == 2)
    second = of(op->getOperand(1), isState, deep - 1);
  if (!first || (op->getNumOperands() == 2 && !second))
    return std::nullopt;
  if (isa<MulOp>(op)) {
    for (const auto &[left, l] : first->products)
      for (const auto &[right, r] : second->products) {
        Key both = left;
        both.insert(both.end(), right.begin(), right.end());
        llvm::sort(both);
        result.add(std::move(both), l * r);
      }
  } else {
    for (const auto &[key, factor] : first->products)
      result.add(key, isa<NegOp>(op) ? -factor : factor);
    if (second)
      for (const auto &[key, factor] : second->products)
        result.add(key, isa<SubOp>(op) ? -factor : factor);
  }
  if (result.size() > most)
    return std::nullopt;
  return result;
}

/// In the order of the program, which is the same in each run.
bool comesFirst(Value a, Value b) {
  auto x = dyn_cast<BlockArgument>(a), y = dyn_cast<BlockArgument>(b);
  if (x || y)
    return x && (!y || x.getArgNumber() < y.getArgNumber());
  Operation *p = a.getDefiningOp(), *q = b.getDefiningOp();
  if (p->getBlock() != q->getBlock()) // one is of the body, one outside
    return p->getBlock()->findAncestorOpInBlock(*q) != nullptr;
  return p->isBeforeInBlock(q);
}

SmallVector<SmallVector<Value>> Sum::withFactors(size_t size) const {
  SmallVector<SmallVector<Value>> found;
  for (const auto &[key, factor] : products) {
    if (key.size() != size)
      continue;
    found.push_back(llvm::map_to_vector(key, [](const void *factor) {
      return Value::getFromOpaquePointer(factor);
    }));
    llvm::sort(found.back(), comesFirst);
  }
  llvm::sort(found, [](ArrayRef<Value> a, ArrayRef<Value> b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                        comesFirst);
  });
  return found;
}

} // namespace

//===----------------------------------------------------------------------===//
// Gates
//===----------------------------------------------------------------------===//

/// r times the product, or the product of r*h.
bool CellFormulas::addReset(Value v, int64_t offset, CellGate &gate) {
  auto isReset = [&](Value r) {
    int64_t start = 0;
    Value input;
    std::optional<CellActivation> found =
        activationOf(throughSlices(r, start), input);
    return found && isPointSymmetric(*found);
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
    CellGate inner;
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

/// A number for each unit, times the cell's state.
bool CellFormulas::addPeephole(Value v, int64_t offset, CellGate &gate) {
  if (kind != CellKind::lstm || offset || gate.peephole)
    return false;
  for (auto [numbers, at] : bothWays<MulOp>(v)) {
    if (at != cell && at != nextCell)
      continue;
    SmallVector<SymExpr> dims = getDims(numbers);
    if (dims.empty() || dims.back() != SymExpr(units) ||
        productOf(dims) != SymExpr(units))
      continue;
    std::optional<StepValues::All> all = steps.lift(numbers);
    if (!all || all->perStep)
      continue;
    gate.peephole = numbers;
    gate.peepsAt = at;
    return true;
  }
  return false;
}

/// Adds what `v` is the sum of to what a gate is.
bool CellFormulas::addTerms(Value v, int64_t offset, CellGate &gate,
                            bool inner) {
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
  if (one && units != 1)
    return false;
  auto product = v.getDefiningOp<MatMulOp>();
  if (product && product.getLhs() == state && !product.getTransposeA()) {
    if (gate.product)
      return false;
    gate.product = product;
    gate.offset = offset;
    return true;
  }
  return !inner && (addPeephole(v, offset, gate) || addReset(v, offset, gate));
}

bool CellFormulas::matchGate(Value v, CellGate &gate) {
  int64_t offset = 0;
  Value input;
  std::optional<CellActivation> found =
      activationOf(throughSlices(v, offset), input);
  if (!found)
    return false;
  gate.activation = *found;
  return addTerms(input, offset, gate, false) && gate.product;
}

//===----------------------------------------------------------------------===//
// Cells
//===----------------------------------------------------------------------===//

bool CellFormulas::matchLstmGates(Value i, Value o, Value f, Value g) {
  gates.assign(4, CellGate());
  return matchGate(i, gates[0]) && matchGate(o, gates[1]) &&
         matchGate(f, gates[2]) && matchGate(g, gates[3]) &&
         gates[0].activation == gates[1].activation &&
         gates[0].activation == gates[2].activation &&
         llvm::none_of(gates, [](auto &g) { return bool(g.reset); }) &&
         !gates[3].peephole && llvm::all_of(gates, [&](const CellGate &g) {
           return !g.peephole ||
                  g.peepsAt == (&g == &gates[1] ? nextCell : cell);
         });
}

bool CellFormulas::matchLstm(unsigned hidden, unsigned other) {
  h = hidden;
  c = other;
  state = block->getArgument(h + 1);
  cell = block->getArgument(c + 1);
  next = loop.yieldedHanded()[h];
  nextCell = loop.yieldedHanded()[c];
  kind = CellKind::lstm;
  auto isCell = [&](Value v) { return v == cell; };
  std::optional<Sum> sum = Sum::of(nextCell, isCell);
  if (!sum)
    return false;
  auto matches = [&](Value o) {
    for (ArrayRef<Value> product : sum->withFactors(2)) {
      Value f = product[0] == cell ? product[1] : product[0];
      if (!llvm::is_contained(product, cell) || f == cell)
        continue;
      // f*c + i*g
      for (ArrayRef<Value> fresh : sum->withFactors(2)) {
        if (fresh == product || sum->size() != 2 || (*sum)[product] != 1 ||
            (*sum)[fresh] != 1)
          continue;
        if (matchLstmGates(fresh[0], o, f, fresh[1]) ||
            matchLstmGates(fresh[1], o, f, fresh[0]))
          return true;
      }
      // f*c + (1 - f)*g, or (1 - i)*c + i*g: what is one product alone is the
      // gate 1 - the other.
      bool keeps = (*sum)[product] == 1;
      for (ArrayRef<Value> alone : sum->withFactors(1)) {
        if (sum->size() != 3 || (*sum)[alone] != 1)
          continue;
        for (ArrayRef<Value> fresh : sum->withFactors(2)) {
          if (!llvm::is_contained(fresh, f) || fresh == product ||
              fresh[0] == fresh[1])
            continue;
          Value g = fresh[0] == f ? fresh[1] : fresh[0];
          if ((keeps ? g : cell) != alone[0] ||
              (*sum)[fresh] != (keeps ? -1 : 1) ||
              (*sum)[product] != (keeps ? 1 : -1) ||
              !matchLstmGates(f, o, f, g) ||
              !isPointSymmetric(gates[0].activation))
            continue;
          gates[keeps ? 0 : 2].negated = true;
          return true;
        }
      }
    }
    return false;
  };
  for (auto [o, activated] : bothWays<MulOp>(next)) {
    Value input;
    std::optional<CellActivation> found = activationOf(activated, input);
    if (!found || input != nextCell)
      continue;
    cellActivation = *found;
    if (matches(o))
      return true;
  }
  return false;
}

bool CellFormulas::matchGru() {
  kind = CellKind::gru;
  std::optional<Sum> sum = Sum::of(next, [&](Value v) { return v == state; });
  if (!sum || sum->size() != 3)
    return false;
  auto matches = [&](Value z, Value n) {
    gates.assign(3, CellGate());
    return matchGate(z, gates[0]) && matchGate(n, gates[2]) && gates[2].reset &&
           matchGate(gates[2].reset, gates[1]) &&
           gates[0].activation == gates[1].activation && !gates[0].reset &&
           !gates[1].reset;
  };
  for (ArrayRef<Value> product : sum->withFactors(2)) {
    Value z = product[0] == state ? product[1] : product[0];
    if (!llvm::is_contained(product, state) || z == state)
      continue;
    // h' = n - z*n + z*h, or h - z*h + z*n where 1 - z keeps the state.
    bool keeps = (*sum)[product] == 1;
    for (ArrayRef<Value> fresh : sum->withFactors(2)) {
      if (!llvm::is_contained(fresh, z) || fresh == product ||
          fresh[0] == fresh[1])
        continue;
      Value n = fresh[0] == z ? fresh[1] : fresh[0];
      if ((*sum)[{keeps ? n : state}] != 1 ||
          (*sum)[product] != (keeps ? 1 : -1) ||
          (*sum)[fresh] != (keeps ? -1 : 1) || !matches(z, n) ||
          (!keeps && !isPointSymmetric(gates[0].activation)))
        continue;
      gates[0].negated = !keeps;
      return true;
    }
  }
  return false;
}

bool CellFormulas::matchRnn() {
  kind = CellKind::rnn;
  gates.assign(1, CellGate());
  return matchGate(next, gates[0]) && !gates[0].reset;
}

bool CellFormulas::match() {
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
    if (!matchGru() && !matchRnn())
      return false;
  }
  for (const CellGate &gate : gates) {
    CellGate own = gate;
    SmallVector<SymExpr> matrix = getDims(own.product.getRhs());
    if (matrix.size() != 2 || !matrix[0].isConstant() ||
        !matrix[1].isConstant())
      return false;
  }
  return RecurrentWeight{int64_t(gates.size()), units}.isLayer(1) && haveRows();
}

/// Are the rows that the loop gives those of the state?
bool CellFormulas::haveRows() {
  auto yield = cast<YieldOp>(block->getTerminator());
  for (Value row : yield.getValues().drop_front(loop.numHanded()))
    if (skipReshapes(row) != next)
      return false;
  return true;
}
