//===- TenonIndexValue.cpp - integers affine in their position ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonIndexValue.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonFoldDims.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/IR/TypeUtilities.h"
#include "tenon/Support/Magnitude.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

// Deeper chains than any exporter's end as data rather than on the stack.
constexpr int maxDepth = 64;
// A constant of more elements is data.
constexpr int64_t maxConstant = 4096;

bool isOne(const SymExpr &dim) { return dim.constant() == 1; }

IndexValue uniform(SymExpr offset, size_t rank) {
  return {std::move(offset), SmallVector<SymExpr>(rank, SymExpr(0)), {}};
}

IndexValue combine(const IndexValue &a, const IndexValue &b, int64_t sign) {
  IndexValue result{a.offset + b.offset * SymExpr(sign), {}, {}};
  for (auto [x, y] : llvm::zip(a.coefficients, b.coefficients))
    result.coefficients.push_back(x + y * SymExpr(sign));
  return result;
}

/// The least and the greatest number, where the signs of the steps are certain.
std::optional<std::pair<SymExpr, SymExpr>> rangeOf(const IndexValue &value,
                                                   ArrayRef<SymExpr> dims) {
  SymExpr least = value.offset, most = value.offset;
  for (auto [coefficient, dim] : llvm::zip(value.coefficients, dims)) {
    SymExpr reach = coefficient * (dim - SymExpr(1));
    if (coefficient.isNonNegative())
      most = most + reach;
    else if ((SymExpr(0) - coefficient).isNonNegative())
      least = least + reach;
    else
      return std::nullopt;
  }
  return std::pair(least, most);
}

/// Is the expression of positions certainly the tensor's integer, which wraps?
/// See isUnwrapped in TenonFoldDims.cpp.
bool isUnwrapped(const IndexValue &value, unsigned width) {
  if (width == 1)
    return true;
  double most = std::ldexp(1, width == 64 ? 31 : 13);
  double limit = std::ldexp(1, width - 1);
  if (std::optional<int64_t> c = value.constant())
    return *c == (width == 64 ? *c : int64_t(int32_t(*c)));
  double reach = magnitude(value.offset, most);
  for (const SymExpr &c : value.coefficients)
    reach += magnitude(c, most) * (c.isConstant() ? most : 1);
  return reach <= limit;
}

std::optional<IndexValue> fromConstant(ConstantOp op) {
  auto value = dyn_cast<DenseIntElementsAttr>(op.getValue());
  auto type = cast<RankedTensorType>(op.getType());
  if (!value || type.getNumElements() == 0)
    return std::nullopt;
  bool isBool = type.getElementType().isInteger(1);
  if (value.isSplat()) {
    APInt all = value.getSplatValue<APInt>();
    return uniform(isBool ? int64_t(all.getZExtValue()) : all.getSExtValue(),
                   type.getRank());
  }
  if (isBool || type.getNumElements() > maxConstant)
    return std::nullopt;
  SmallVector<int64_t> numbers;
  for (const APInt &v : value.getValues<APInt>())
    numbers.push_back(v.getSExtValue());
  // The steps from the first element, then all others by them.
  SmallVector<int64_t> steps(type.getRank());
  int64_t stride = 1;
  for (int64_t k = type.getRank(); k-- > 0; stride *= type.getDimSize(k))
    if (type.getDimSize(k) > 1 &&
        __builtin_sub_overflow(numbers[stride], numbers[0], &steps[k]))
      return std::nullopt;
  for (auto [at, found] : llvm::enumerate(numbers)) {
    auto expected = uint64_t(numbers[0]);
    int64_t rest = at;
    for (int64_t k = type.getRank(); k-- > 0; rest /= type.getDimSize(k))
      expected += uint64_t(steps[k]) * uint64_t(rest % type.getDimSize(k));
    if (uint64_t(found) != expected)
      return std::nullopt;
  }
  return IndexValue{
      numbers[0], SmallVector<SymExpr>(steps.begin(), steps.end()), {}};
}

std::optional<IndexValue> fromDims(DimsValueOp op) {
  SmallVector<SymExpr> all = op.getExprs().getSymExprs();
  if (all.empty())
    return std::nullopt;
  if (cast<RankedTensorType>(op.getType()).getRank() == 0)
    return uniform(all[0], 0);
  SymExpr step = all.size() > 1 ? all[1] - all[0] : SymExpr(0);
  for (auto [i, e] : llvm::enumerate(all))
    if (e != all[0] + step * SymExpr(int64_t(i)))
      return std::nullopt;
  return IndexValue{all[0], {step}, {}};
}

} // namespace

bool IndexValue::isUniform() const {
  return llvm::all_of(coefficients,
                      [](const SymExpr &c) { return c == SymExpr(0); });
}

std::optional<int64_t> IndexValue::constant() const {
  return isUniform() && !predicate ? offset.constant() : std::nullopt;
}

CompareKind negate(CompareKind kind) {
  switch (kind) {
  case CompareKind::eq:
    return CompareKind::ne;
  case CompareKind::ne:
    return CompareKind::eq;
  case CompareKind::lt:
    return CompareKind::ge;
  case CompareKind::le:
    return CompareKind::gt;
  case CompareKind::gt:
    return CompareKind::le;
  case CompareKind::ge:
    return CompareKind::lt;
  }
  return kind;
}

NonEmpty::NonEmpty(ArrayRef<SymExpr> dims) {
  std::vector<std::string> symbols;
  for (const SymExpr &dim : dims)
    dim.collectSymbols(symbols);
  for (const std::string &s : symbols) {
    if (SymExpr::isElement(s) || atLeastOne.count(s))
      continue;
    if (llvm::any_of(dims, [&](const SymExpr &dim) {
          return dim.substitute({{s, SymExpr(0)}}) == SymExpr(0);
        }))
      atLeastOne[s] = SymExpr::symbol(s) + SymExpr(1);
  }
}

std::optional<IndexValue> broadcastIndexValue(const IndexValue &value,
                                              ArrayRef<SymExpr> from,
                                              ArrayRef<SymExpr> to) {
  if (from.size() > to.size())
    return std::nullopt;
  NonEmpty assume(to);
  size_t lead = to.size() - from.size();
  IndexValue result = uniform(value.offset, to.size());
  result.predicate = value.predicate;
  for (auto [k, dim] : llvm::enumerate(from)) {
    const SymExpr &coefficient = value.coefficients[k];
    if (coefficient == SymExpr(0))
      continue;
    if (!assume.equal(dim, to[lead + k]))
      return std::nullopt;
    result.coefficients[lead + k] = coefficient;
  }
  return result;
}

bool IndexEvaluator::isWithin(const IndexValue &value, ArrayRef<SymExpr> dims,
                              const SymExpr &size) {
  auto range = rangeOf(value, dims);
  NonEmpty assume(dims);
  return range && assume.isNonNegative(range->first) &&
         assume.isNonNegative(size - SymExpr(1) - range->second);
}

std::optional<IndexValue> IndexEvaluator::lookup(Value value) {
  Operation *op = value.getDefiningOp();
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!op || !type || depth >= maxDepth || !isa<TenonDialect>(op->getDialect()))
    return std::nullopt;
  Type element = type.getElementType();
  if (!element.isSignlessInteger(1) && !element.isSignlessInteger(32) &&
      !element.isSignlessInteger(64))
    return std::nullopt;
  if (auto it = cache.find(value); it != cache.end())
    return it->second;
  ++depth;
  Result result = evaluate(op);
  --depth;
  if (result) {
    size_t complexity = result->offset.complexity();
    for (auto [k, c] : llvm::enumerate(result->coefficients)) {
      if (type.getDimSize(k) == 1)
        c = SymExpr(0);
      complexity += c.complexity();
    }
    if (complexity > SymExpr::maxComplexity ||
        !isUnwrapped(*result, element.getIntOrFloatBitWidth()))
      result = std::nullopt;
  }
  return cache[value] = result;
}

std::optional<IndexValue> IndexEvaluator::evaluate(Operation *op) {
  if (op->hasTrait<OpTrait::Elementwise>())
    return elementwise(op);
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](ConstantOp o) { return fromConstant(o); })
      .Case([&](DimsValueOp o) { return fromDims(o); })
      .Case([&](IotaOp o) -> Result {
        auto start = SymExpr::parse(o.getStart()),
             step = SymExpr::parse(o.getStep());
        if (!start || !step)
          return std::nullopt;
        return IndexValue{*start, {*step}, {}};
      })
      .Case([&](ReshapeOp o) { return reshape(o); })
      .Case([&](BroadcastToOp o) -> Result {
        Result in = lookup(o.getInput());
        if (!in)
          return std::nullopt;
        return broadcastIndexValue(*in, getDims(o.getInput()),
                                   getDims(o.getResult()));
      })
      .Case([&](TransposeOp o) -> Result {
        Result in = lookup(o.getInput());
        if (!in)
          return std::nullopt;
        IndexValue result{in->offset, {}, in->predicate};
        for (int64_t p : o.getPerm())
          result.coefficients.push_back(in->coefficients[p]);
        return result;
      })
      .Case([&](SliceOp o) -> Result {
        Result in = lookup(o.getInput());
        if (!in)
          return std::nullopt;
        for (auto [c, start, step] : llvm::zip(
                 in->coefficients, o.getStarts().getSymExprs(), o.getSteps())) {
          in->offset = in->offset + c * start;
          c = c * SymExpr(step);
        }
        return in;
      })
      .Case([&](ConcatOp o) { return concat(o); })
      .Case([&](CumulateOp o) { return cumulate(o); })
      .Case([&](GatherOp o) { return gather(o); })
      .Case([&](GatherNDOp o) { return gatherND(o); })
      .Default([](Operation *) { return std::nullopt; });
}

std::optional<IndexValue> IndexEvaluator::elementwise(Operation *op) {
  SmallVector<SymExpr> dims = getDims(op->getResult(0));
  SmallVector<IndexValue> x;
  for (Value v : op->getOperands()) {
    Result operand = lookup(v);
    if (operand)
      operand = broadcastIndexValue(*operand, getDims(v), dims);
    if (!operand)
      return std::nullopt;
    x.push_back(*operand);
  }
  auto truth = [&](bool value) { return uniform(value, dims.size()); };
  if (isa<NotOp>(op) && x[0].predicate) {
    x[0].predicate = negate(*x[0].predicate);
    return x[0];
  }
  if (llvm::any_of(x, [](const IndexValue &v) { return v.predicate; }))
    return std::nullopt;
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](AddOp) { return combine(x[0], x[1], 1); })
      .Case([&](SubOp) { return combine(x[0], x[1], -1); })
      .Case([&](NegOp) { return combine(uniform(0, dims.size()), x[0], -1); })
      .Case([&](MulOp) -> Result {
        if (!x[0].isUniform())
          std::swap(x[0], x[1]);
        if (!x[0].isUniform())
          return std::nullopt;
        IndexValue result{x[0].offset * x[1].offset, {}, {}};
        for (const SymExpr &c : x[1].coefficients)
          result.coefficients.push_back(x[0].offset * c);
        return result;
      })
      .Case([&](CastOp o) -> Result {
        // To bool is != 0, which only a constant decides here.
        if (!getElementTypeOrSelf(o.getType()).isInteger(1))
          return x[0];
        std::optional<int64_t> c = x[0].constant();
        return c ? Result(truth(*c != 0)) : std::nullopt;
      })
      .Case([&](CompareOp o) {
        return compare(o.getKind(), combine(x[0], x[1], -1), dims);
      })
      .Case([&](NotOp) -> Result {
        std::optional<int64_t> c = x[0].constant();
        return c ? Result(truth(!*c)) : std::nullopt;
      })
      .Case<AndOp, OrOp>([&](Operation *o) -> Result {
        std::optional<int64_t> a = x[0].constant(), b = x[1].constant();
        if (!a || !b)
          return std::nullopt;
        return truth(isa<AndOp>(o) ? *a && *b : *a || *b);
      })
      .Case([&](SelectOp) -> Result {
        std::optional<int64_t> c = x[0].constant();
        if (!c)
          return std::nullopt;
        return *c ? x[1] : x[2];
      })
      .Default([](Operation *) { return std::nullopt; });
}

/// `difference` (kind) 0: certain, or a predicate.
std::optional<IndexValue> IndexEvaluator::compare(CompareKind kind,
                                                  const IndexValue &difference,
                                                  ArrayRef<SymExpr> dims) {
  IndexValue predicate = difference;
  predicate.predicate = kind;
  auto range = rangeOf(difference, dims);
  if (!range)
    return predicate;
  NonEmpty assume(dims);
  SymExpr least = assume.simplify(range->first),
          most = assume.simplify(range->second);
  auto truth = [&](bool value) { return uniform(value, dims.size()); };
  if (kind == CompareKind::eq || kind == CompareKind::ne) {
    // Certain where the difference is one number, or never 0.
    bool never = decideComparison(CompareKind::gt, least, 0) == true ||
                 decideComparison(CompareKind::lt, most, 0) == true;
    bool always = least == SymExpr(0) && most == SymExpr(0);
    if (never || always)
      return truth(always == (kind == CompareKind::eq));
    return predicate;
  }
  // The others are monotonic: alike at both ends, alike between.
  auto low = decideComparison(kind, least, 0),
       high = decideComparison(kind, most, 0);
  return low && low == high ? truth(*low) : predicate;
}

std::optional<IndexValue> IndexEvaluator::reshape(ReshapeOp op) {
  Result in = lookup(op.getInput());
  if (!in)
    return std::nullopt;
  SmallVector<SymExpr> from = getDims(op.getInput()),
                       to = getDims(op.getResult());
  IndexValue result = uniform(in->offset, to.size());
  result.predicate = in->predicate;
  if (in->isUniform())
    return result;
  // Groups of dims with equal products: what is one dim on one side is split or
  // joined on the other.
  size_t i = 0, o = 0;
  while (i < from.size() || o < to.size()) {
    if (i < from.size() && isOne(from[i])) {
      ++i;
      continue;
    }
    if (o < to.size() && isOne(to[o])) {
      ++o;
      continue;
    }
    if (i == from.size() || o == to.size())
      return std::nullopt;
    size_t i0 = i, o0 = o;
    SymExpr pi = from[i++], po = to[o++];
    while (pi != po) {
      if (i < from.size() && po.divideExactly(pi * from[i]))
        pi = pi * from[i++];
      else if (o < to.size() && pi.divideExactly(po * to[o]))
        po = po * to[o++];
      else
        return std::nullopt;
    }
    // One step along the whole group, which its dims' steps must agree with.
    SymExpr step = in->coefficients[i - 1], stride = step;
    for (size_t k = i; k-- > i0; stride = stride * from[k])
      if (in->coefficients[k] != stride)
        return std::nullopt;
    stride = step;
    for (size_t k = o; k-- > o0; stride = stride * to[k])
      result.coefficients[k] = stride;
  }
  return result;
}

std::optional<IndexValue> IndexEvaluator::concat(ConcatOp op) {
  int64_t axis = op.getAxis();
  NonEmpty assume(getDims(op.getResult()));
  Result all;
  SymExpr begin(0);
  for (Value v : op.getInputs()) {
    SymExpr size = getDims(v)[axis];
    Result piece = size == SymExpr(0) ? std::nullopt : lookup(v);
    if (size == SymExpr(0))
      continue;
    if (!piece)
      return std::nullopt;
    // One row alone goes along with any step.
    SymExpr &step = piece->coefficients[axis];
    if (all && isOne(assume.simplify(size)))
      step = all->coefficients[axis];
    piece->offset = piece->offset - step * begin;
    begin = begin + size;
    if (!all) {
      all = piece;
      continue;
    }
    // A first piece of one row takes the step that leads on to the next.
    SymExpr &known = all->coefficients[axis];
    if (known == SymExpr(0) && isOne(assume.simplify(begin - size)))
      known = step;
    if (piece->predicate != all->predicate ||
        !assume.equal(piece->offset, all->offset))
      return std::nullopt;
    for (auto [x, y] : llvm::zip(piece->coefficients, all->coefficients))
      if (!assume.equal(x, y))
        return std::nullopt;
  }
  return all;
}

std::optional<IndexValue> IndexEvaluator::cumulate(CumulateOp op) {
  Result in = lookup(op.getInput());
  if (!in || !in->isUniform() || in->predicate ||
      op.getKind() != ReduceKind::sum || op.getReverse())
    return std::nullopt;
  in->coefficients[op.getAxis()] = in->offset;
  if (op.getExclusive())
    in->offset = SymExpr(0);
  return in;
}

std::optional<IndexValue> IndexEvaluator::gather(GatherOp op) {
  Result data = lookup(op.getInput()), at = lookup(op.getIndices());
  int64_t axis = op.getAxis();
  if (!data || !at ||
      !isWithin(*at, getDims(op.getIndices()), getDims(op.getInput())[axis]))
    return std::nullopt;
  SymExpr step = data->coefficients[axis];
  IndexValue result{data->offset + step * at->offset, {}, data->predicate};
  ArrayRef<SymExpr> own(data->coefficients);
  result.coefficients.assign(own.begin(), own.begin() + axis);
  for (const SymExpr &c : at->coefficients)
    result.coefficients.push_back(step * c);
  result.coefficients.append(own.begin() + axis + 1, own.end());
  return result;
}

std::optional<IndexValue> IndexEvaluator::component(Value tuples, int64_t k) {
  if (Result whole = lookup(tuples)) {
    whole->offset = whole->offset + whole->coefficients.back() * SymExpr(k);
    whole->coefficients.pop_back();
    return whole;
  }
  auto concat = tuples.getDefiningOp<ConcatOp>();
  if (!concat || (int64_t)concat.getAxis() !=
                     cast<RankedTensorType>(tuples.getType()).getRank() - 1)
    return std::nullopt;
  for (Value piece : concat.getInputs()) {
    std::optional<int64_t> size = getDims(piece).back().constant();
    if (!size)
      return std::nullopt;
    if (k < *size)
      return component(piece, k);
    k -= *size;
  }
  return std::nullopt;
}

std::optional<IndexValue> IndexEvaluator::gatherND(GatherNDOp op) {
  SmallVector<SymExpr> dims = getDims(op.getInput());
  SmallVector<SymExpr> tuples = getDims(op.getIndices());
  Result data = lookup(op.getInput());
  if (!data || op.getBatchDims() != 0 ||
      tuples.back().constant() != (int64_t)dims.size())
    return std::nullopt;
  tuples.pop_back();
  IndexValue result = uniform(data->offset, tuples.size());
  result.predicate = data->predicate;
  for (auto [k, step] : llvm::enumerate(data->coefficients)) {
    Result at = component(op.getIndices(), k);
    if (!at || !isWithin(*at, tuples, dims[k]))
      return std::nullopt;
    result.offset = result.offset + step * at->offset;
    for (auto [sum, c] : llvm::zip(result.coefficients, at->coefficients))
      sum = sum + step * c;
  }
  return result;
}

} // namespace tenon
