//===- Shape.cpp - operators on shapes and by shapes ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "lib/Import/Onnx/Node/Axes.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include <cmath>

using namespace mlir;

namespace tenon::onnximport {

/// The dims that operand `i` asks for, a vector; nullopt after an error.
static std::optional<Dims> shapeIn(NodeImporter &n, unsigned i) {
  // What a rank costs grows with dims that depend on each other.
  constexpr size_t kMostDims = 32;
  if (n.rank(n.in(i)) > 1) {
    n.error("'shape' must be a vector, found rank " + Twine(n.rank(n.in(i))));
    return std::nullopt;
  }
  std::optional<Dims> dims = n.knownDims(n.in(i), "shape");
  if (dims && dims->size() > kMostDims) {
    n.error("a result of rank " + Twine(dims->size()) +
            " is not supported: expected at most " + Twine(kMostDims));
    return std::nullopt;
  }
  return dims;
}

/// An int64 vector of dims.
static Value dimsVector(NodeImporter &n, ArrayRef<SymExpr> dims) {
  Ints constants;
  for (const SymExpr &dim : dims)
    if (std::optional<int64_t> value = dim.constant())
      constants.push_back(*value);
  if (constants.size() == dims.size())
    return n.ints(constants);
  return n.make<DimsValueOp>(
      {}, {n.named("exprs", n.dimsAttr(dims)),
           n.named("elementType", TypeAttr::get(n.builder.getI64Type()))});
}

/// `start` and `end` (opset 15 on) clamp instead of failing.
static void shape(NodeImporter &n) {
  Dims dims = n.dims(n.in(0));
  int64_t rank = dims.size();
  auto clamp = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  int64_t start = clamp(n.getInt("start", 0));
  int64_t end = clamp(n.getInt("end", rank));
  ArrayRef<SymExpr> all(dims);
  n.out(0, dimsVector(n, all.slice(start, std::max<int64_t>(end - start, 0))));
}

static void size(NodeImporter &n) {
  n.out(0, n.dimScalar(productOf(n.dims(n.in(0))), n.builder.getI64Type()));
}

/// The same of a shape whose elements are known only at run time: each may be
/// -1, 0 or a size.
static void reshapeByData(NodeImporter &n, Dims wanted, bool allowZero) {
  using Fn = SymExpr::Fn;
  Dims from = n.dims(n.in(0));
  SymExpr one(1), inferred(-1), rest(1), numInferred(0);
  Dims isInferred;
  for (auto [i, dim] : llvm::enumerate(wanted)) {
    isInferred.push_back(SymExpr::apply(Fn::Eq, dim, inferred));
    SymExpr isZero = SymExpr::apply(Fn::Eq, dim, SymExpr(0));
    if (!allowZero && i < from.size())
      dim = SymExpr::select(isZero, from[i], dim);
    else if (!allowZero)
      n.checkEqual(isZero, SymExpr(0));
    rest = rest * SymExpr::select(isInferred[i], one, dim);
    numInferred = numInferred + isInferred[i];
  }
  n.checkLessEqual(numInferred, one);
  SymExpr quotient = SymExpr::apply(Fn::FloorDiv, productOf(from), rest);
  for (auto [dim, infer] : llvm::zip(wanted, isInferred))
    dim = SymExpr::select(infer, quotient, dim);
  n.out(0, n.reshape(n.in(0), wanted));
}

/// Does it depend on dims and counts alone, which mean a size wherever they are
/// used?
static bool isOfSizes(const SymExpr &e) {
  std::vector<std::string> symbols;
  e.collectSymbols(symbols);
  return llvm::all_of(symbols, [](const std::string &symbol) {
    return SymExpr::parse(symbol)->isNonNegative();
  });
}

/// Resolves 0 (copy) and -1 (infer) of ONNX's Reshape.
static void reshape(NodeImporter &n) {
  Value x = n.in(0);
  std::optional<Dims> wanted;
  if (n.has(1))
    wanted = shapeIn(n, 1);
  else if (std::optional<Ints> ints = n.getInts("shape"))
    wanted = Dims(ints->begin(), ints->end());
  if (!wanted)
    return;
  Dims from = n.dims(x), to;
  bool allowZero = n.getInt("allowzero", 0);
  if (!llvm::all_of(*wanted, isOfSizes)) {
    reshapeByData(n, *wanted, allowZero);
    return;
  }
  std::optional<size_t> inferred;
  for (auto [i, dim] : llvm::enumerate(*wanted)) {
    std::optional<int64_t> constant = dim.constant();
    if (constant == -1) {
      if (inferred) {
        n.error("shape has more than one -1");
        return;
      }
      inferred = i;
      to.push_back(SymExpr(1));
    } else if (constant == 0 && !allowZero) {
      if (i >= from.size()) {
        n.error("shape copies dim " + Twine(i) + " of an input of rank " +
                Twine(from.size()));
        return;
      }
      to.push_back(from[i]);
    } else {
      n.checkNonNegative(dim);
      to.push_back(dim);
    }
  }
  if (inferred) {
    SymExpr total = productOf(from), rest = productOf(to);
    if (std::optional<SymExpr> exact = total.divideExactly(rest)) {
      to[*inferred] = *exact;
    } else {
      SymExpr quotient = SymExpr::apply(SymExpr::Fn::FloorDiv, total, rest);
      n.checkEqual(total, quotient * rest);
      to[*inferred] = quotient;
    }
  }
  n.out(0, n.reshape(x, to));
}

/// The dims that a Squeeze without axes drops. Of one that a run decides it
/// relies on either being 1 or not.
static Ints dimsOfOne(NodeImporter &n, Value x) {
  Dims isOne;
  size_t open = 0, dropped = 0;
  for (const SymExpr &dim : n.dims(x)) {
    isOne.push_back(SymExpr::apply(SymExpr::Fn::Eq, dim, SymExpr(1)));
    open += !isOne.back().isConstant();
    dropped += isOne.back() == SymExpr(1);
  }
  // What is declared says what to try first: all open dims, or none.
  std::optional<int64_t> rank = n.state.declaredRank(n.outputName(0).str());
  bool first = rank && *rank + int64_t(dropped + open) == n.rank(x);
  Ints axes;
  for (auto [i, condition] : llvm::enumerate(isOne)) {
    bool drop = condition == SymExpr(1);
    if (!condition.isConstant()) {
      if (!n.state.chosen(condition) && n.state.known.isOfInputs(condition))
        n.state.choose(n.proto, condition, first, /*mustBeUnique=*/false);
      drop = n.state.chosen(condition).value_or(false);
      n.checkChoice(condition, drop);
    }
    if (drop)
      axes.push_back(i);
  }
  return axes;
}

static void squeeze(NodeImporter &n) {
  Value x = n.in(0);
  std::optional<Dims> given = n.getDimsAttrOrInput("axes", 1);
  if (n.failed())
    return;
  std::optional<Ints> axes = given ? n.constants(*given) : std::nullopt;
  if (given && !axes) {
    Dims dims = n.dims(x);
    if (given->size() > dims.size()) {
      n.error("more axes than dims: " + Twine(given->size()));
      return;
    }
    RuntimeAxes at(n, *given, dims.size());
    for (size_t i = 0; i < at.size(); ++i)
      n.checkEqual(at.dimOf(i, dims), SymExpr(1));
    n.out(0, n.reshape(x, at.without(dims)));
    return;
  }
  n.out(0, n.squeeze(x, axes ? *axes : dimsOfOne(n, x)));
}

static void unsqueeze(NodeImporter &n) {
  std::optional<Dims> axes = n.getDimsAttrOrInput("axes", 1);
  if (n.failed())
    return;
  if (!axes)
    axes.emplace();
  if (std::optional<Ints> at = n.constants(*axes)) {
    n.out(0, n.unsqueeze(n.in(0), *at));
    return;
  }
  // Each may be any of the result's: texts of dims grow with their number.
  constexpr size_t kMostAxes = 16;
  if (axes->size() > kMostAxes) {
    n.error("expected at most " + Twine(kMostAxes) +
            " axes that only a run knows, found " + Twine(axes->size()));
    return;
  }
  Dims dims = n.dims(n.in(0));
  RuntimeAxes at(n, *axes, dims.size() + axes->size());
  n.out(0, n.reshape(n.in(0), at.with(dims)));
}

static void flatten(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  int64_t axis = n.getInt("axis", 1), rank = dims.size();
  if (axis < -rank || axis > rank) {
    n.error("axis " + Twine(axis) + " is outside the rank " + Twine(rank));
    return;
  }
  ArrayRef<SymExpr> all(dims);
  size_t at = axis < 0 ? axis + rank : axis;
  n.out(0, n.reshape(x, {productOf(all.take_front(at)),
                         productOf(all.drop_front(at))}));
}

static void expand(NodeImporter &n) {
  Value x = n.in(0);
  std::optional<Dims> to = shapeIn(n, 1);
  if (!to)
    return;
  Dims from = n.dims(x), joined;
  size_t rank = std::max(from.size(), to->size());
  while (from.size() < rank)
    from.insert(from.begin(), SymExpr(1));
  while (to->size() < rank)
    to->insert(to->begin(), SymExpr(1));
  for (auto [own, wanted] : llvm::zip(from, *to)) {
    n.checkNonNegative(wanted);
    std::optional<JoinedDim> dim = broadcastDims(own, wanted);
    if (!dim) {
      n.error("a dim of " + own.str() + " cannot be expanded to " +
              wanted.str());
      return;
    }
    if (dim->check)
      CheckOp::create(n.builder, n.loc, dim->check->kind, dim->check->lhs.str(),
                      dim->check->rhs.str());
    joined.push_back(dim->dim);
  }
  n.out(0, n.broadcast(x, joined));
}

/// A scalar from an attribute tensor of one element.
static Value scalarAttr(NodeImporter &n, StringRef name) {
  if (!n.hasAttr(name))
    return n.scalar(0, n.builder.getF32Type());
  Value value = n.tensor(name);
  if (!value)
    return nullptr;
  if (int64_t count = NodeImporter::type(value).getNumElements(); count != 1)
    return n.error(name + " must have one element, found " + Twine(count));
  return n.reshape(value, {});
}

static void constantOfShape(NodeImporter &n) {
  std::optional<Dims> dims = shapeIn(n, 0);
  Value value = scalarAttr(n, "value");
  if (!dims || !value)
    return;
  bool isStatic = true;
  for (const SymExpr &dim : *dims) {
    n.checkNonNegative(dim);
    isStatic &= dim.isConstant();
  }
  if (n.failed())
    return;
  auto constant = value.getDefiningOp<ConstantOp>();
  auto dense = constant ? dyn_cast<DenseElementsAttr>(constant.getValue())
                        : DenseElementsAttr();
  if (isStatic && dense && dense.isSplat()) {
    auto type = getTensorType(*dims, NodeImporter::elem(value));
    if (type.getNumElements() > 0) {
      n.out(0, n.constant(dense.resizeSplat(type)));
      return;
    }
  }
  n.out(0, n.broadcast(value, *dims));
}

static void constant(NodeImporter &n) {
  ElementsAttr value;
  auto type = [&](size_t count, Type element) {
    return RankedTensorType::get({int64_t(count)}, element);
  };
  if (n.hasAttr("value")) {
    n.out(0, n.tensor("value"));
  } else if (n.hasAttr("value_float")) {
    value = DenseElementsAttr::get(
        RankedTensorType::get({}, n.builder.getF32Type()),
        float(n.getFloat("value_float", 0)));
  } else if (n.hasAttr("value_int")) {
    value = DenseElementsAttr::get(
        RankedTensorType::get({}, n.builder.getI64Type()),
        n.getInt("value_int", 0));
  } else if (n.hasAttr("value_floats")) {
    SmallVector<float> v = n.getFloats("value_floats");
    value = DenseElementsAttr::get(type(v.size(), n.builder.getF32Type()),
                                   ArrayRef<float>(v));
  } else if (std::optional<Ints> v = n.getInts("value_ints")) {
    value = DenseElementsAttr::get(type(v->size(), n.builder.getI64Type()),
                                   ArrayRef<int64_t>(*v));
  } else {
    n.error("only tensor, float and int constants are supported");
  }
  if (value)
    n.out(0, n.constant(value));
}

//===----------------------------------------------------------------------===//
// Range
//===----------------------------------------------------------------------===//

/// A float that is certainly whole: a constant, or the cast of a known integer.
static std::optional<SymExpr> wholeScalar(NodeImporter &n, Value v) {
  if (std::optional<double> value = NodeImporter::constScalar(v)) {
    if (std::abs(*value) < 1e15 && *value == std::floor(*value))
      return SymExpr(int64_t(*value));
    return std::nullopt;
  }
  auto cast = v ? v.getDefiningOp<CastOp>() : CastOp();
  const KnownValue *known = cast ? n.known(cast.getInput()) : nullptr;
  if (!known || known->elements.size() != 1)
    return std::nullopt;
  return known->elements.front();
}

static void integerRange(NodeImporter &n, const SymExpr &start,
                         const SymExpr &limit, const SymExpr &step);

/// Counts in double; the values are computed in their own type.
static void floatRange(NodeImporter &n) {
  using Fn = SymExpr::Fn;
  std::optional<SymExpr> first = wholeScalar(n, n.in(0)),
                         last = wholeScalar(n, n.in(1)),
                         step = wholeScalar(n, n.in(2));
  if (first && last && step && step->constant().value_or(0) != 0) {
    integerRange(n, *first, *last, *step);
    return;
  }
  Dims bounds;
  for (unsigned i = 0; i < 3; ++i) {
    const KnownValue *known = n.state.known.demandFloats(n.in(i));
    if (!known || known->elements.size() != 1) {
      n.error("start, limit and delta must be scalars that are constant, "
              "inputs, or computed from dims and inputs");
      return;
    }
    bounds.push_back(known->elements.front());
  }
  if (bounds[2] == SymExpr::floatBits(0)) {
    n.error("delta must not be 0");
    return;
  }
  // Of 0 steps there are infinitely many: the check of the size refuses them.
  SymExpr count = SymExpr::apply(
      Fn::Ceil,
      SymExpr::apply(Fn::FDiv, SymExpr::apply(Fn::FSub, bounds[1], bounds[0]),
                     bounds[2]));
  count = SymExpr::apply(Fn::Max, count, SymExpr(0));
  n.checkLessEqual(count, SymExpr(int64_t(1) << 40));
  if (n.failed())
    return;
  Type type = NodeImporter::elem(n.in(0));
  Value at = n.cast(n.iota(count, n.builder.getI64Type()), type);
  n.out(0, n.add(n.mul(at, n.reshape(n.in(2), {})), n.reshape(n.in(0), {})));
}

/// How many integers from `start` on are before `limit`.
static SymExpr rangeCount(NodeImporter &n, const SymExpr &start,
                          const SymExpr &limit, const SymExpr &step) {
  using Fn = SymExpr::Fn;
  if (auto first = start.constant(), last = limit.constant(),
      by = step.constant();
      first && last && by) {
    // The distance may take 65 bits.
    __int128 distance = __int128(*last) - *first, up = *by;
    __int128 count = distance / up + (distance % up != 0);
    if ((distance < 0) != (up < 0))
      count = 0;
    if (count > INT64_MAX)
      n.error("it has more than 2^63 elements");
    return SymExpr(count > INT64_MAX ? 0 : int64_t(count));
  }
  SymExpr up = limit - start;
  SymExpr upwards = SymExpr::apply(Fn::Lt, SymExpr(0), step);
  if (!upwards.isConstant()) // 0 is neither
    n.checkEqual(SymExpr::apply(Fn::Eq, step, SymExpr(0)), SymExpr(0));
  SymExpr count = SymExpr::select(
      upwards, SymExpr::apply(Fn::CeilDiv, up, step),
      SymExpr::apply(Fn::CeilDiv, SymExpr(0) - up, SymExpr(0) - step));
  return count.isNonNegative() ? count
                               : SymExpr::apply(Fn::Max, count, SymExpr(0));
}

/// Counted in integers; i64 in between, where floats could not count so far.
static void integerRange(NodeImporter &n, const SymExpr &start,
                         const SymExpr &limit, const SymExpr &step) {
  SymExpr count = rangeCount(n, start, limit, step);
  Type type = NodeImporter::elem(n.in(0));
  Type counted = isa<FloatType>(type) ? n.builder.getI64Type() : type;
  n.out(0, n.cast(n.iota(start, step, count, counted), type));
}

static void range(NodeImporter &n) {
  if (NodeImporter::isFloat(n.in(0))) {
    floatRange(n);
    return;
  }
  std::optional<Dims> start = n.knownDims(n.in(0), "start"),
                      limit = n.knownDims(n.in(1), "limit"),
                      delta = n.knownDims(n.in(2), "delta");
  if (!start || !limit || !delta || start->size() != 1 || limit->size() != 1 ||
      delta->size() != 1) {
    n.error("start, limit and delta must be scalars");
    return;
  }
  const SymExpr &step = delta->front();
  if (step == SymExpr(0)) {
    n.error("delta must not be 0");
    return;
  }
  integerRange(n, start->front(), limit->front(), step);
}

//===----------------------------------------------------------------------===//
// Tile, EyeLike, DepthToSpace
//===----------------------------------------------------------------------===//

/// [d] repeated r times is [1, d] broadcast to [r, d] and joined again.
static void tile(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  std::optional<Dims> repeats = n.knownDims(n.in(1), "repeats");
  if (!repeats)
    return;
  if (repeats->size() != dims.size()) {
    n.error("repeats must have one value per dim: expected " +
            Twine(dims.size()) + ", found " + Twine(repeats->size()));
    return;
  }
  Dims apart, repeated, joined;
  for (auto [dim, times] : llvm::zip(dims, *repeats)) {
    n.checkNonNegative(times);
    joined.push_back(dim * times);
    if (times != SymExpr(1) && dim != SymExpr(1)) {
      apart.push_back(SymExpr(1));
      repeated.push_back(times);
    }
    apart.push_back(dim);
    repeated.push_back(dim == SymExpr(1) ? times : dim);
  }
  n.out(0, n.reshape(n.broadcast(n.reshape(x, apart), repeated), joined));
}

/// Before opset 6: one dim, so many times.
static void tileOneDim(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  std::optional<Dims> times =
      n.knownDims(n.cast(n.in(1), n.builder.getI64Type()), "tiles");
  std::optional<Ints> at =
      n.constInts(n.cast(n.in(2), n.builder.getI64Type()), "axis");
  if (!times || !at || times->size() != 1 || at->size() != 1) {
    n.error("tiles and axis must be scalars");
    return;
  }
  int64_t axis = n.axis(at->front(), dims.size());
  n.checkNonNegative(times->front());
  if (n.failed())
    return;
  Dims apart(dims), joined(dims);
  apart.insert(apart.begin() + axis, SymExpr(1));
  Dims repeated(apart);
  repeated[axis] = times->front();
  joined[axis] = dims[axis] * times->front();
  n.out(0, n.reshape(n.broadcast(n.reshape(x, apart), repeated), joined));
}

static void eyeLike(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  if (dims.size() != 2) {
    n.error("expected an input of rank 2, found rank " + Twine(dims.size()));
    return;
  }
  Type i64 = n.builder.getI64Type();
  Type type = n.hasAttr("dtype") ? n.elementType(n.getInt("dtype", 1))
                                 : NodeImporter::elem(x);
  Value row = n.unsqueeze(n.iota(dims[0], i64), {1});
  Value column = n.unsqueeze(n.iota(dims[1], i64), {0});
  row = n.addScalar(row, n.getInt("k", 0));
  n.out(0, n.cast(n.compare(CompareKind::eq, row, column), type));
}

static void transpose(NodeImporter &n) {
  int64_t rank = n.rank(n.in(0));
  Ints perm;
  if (std::optional<Ints> given = n.getInts("perm"))
    perm = *given;
  else
    for (int64_t i = rank; i-- > 0;)
      perm.push_back(i);
  if (int64_t(perm.size()) != rank ||
      n.axes(perm, rank).empty() != (rank == 0)) {
    n.error("perm must name each of the " + Twine(rank) + " dims once");
    return;
  }
  for (int64_t &p : perm)
    p = n.axis(p, rank);
  n.out(0, n.transpose(n.in(0), perm));
}

/// Moves between channels and space: [N, C, H, W] with blocks of b by b.
static void moveDepth(NodeImporter &n, bool toSpace) {
  Value x = n.in(0);
  Dims d = n.dims(x);
  int64_t block = n.getInt("blocksize", 0);
  if (d.size() != 4 || block <= 0) {
    n.error("expected an input of rank 4 and a blocksize above 0");
    return;
  }
  SymExpr b(block);
  auto part = [&](const SymExpr &dim, const SymExpr &by) {
    if (std::optional<SymExpr> exact = dim.divideExactly(by))
      return *exact;
    SymExpr quotient = SymExpr::apply(SymExpr::Fn::FloorDiv, dim, by);
    n.checkEqual(dim, quotient * by);
    return quotient;
  };
  if (!toSpace) {
    SymExpr h = part(d[2], b), w = part(d[3], b);
    Value v = n.reshape(x, {d[0], d[1], h, b, w, b});
    v = n.getString("mode", "DCR") == "DCR"
            ? n.transpose(v, {0, 3, 5, 1, 2, 4})
            : n.transpose(v, {0, 1, 3, 5, 2, 4});
    n.out(0, n.reshape(v, {d[0], d[1] * b * b, h, w}));
    return;
  }
  SymExpr c = part(d[1], b * b);
  Value v;
  if (n.getString("mode", "DCR") == "DCR")
    v = n.transpose(n.reshape(x, {d[0], b, b, c, d[2], d[3]}),
                    {0, 3, 4, 1, 5, 2});
  else
    v = n.transpose(n.reshape(x, {d[0], c, b, b, d[2], d[3]}),
                    {0, 1, 4, 2, 5, 3});
  n.out(0, n.reshape(v, {d[0], c, d[2] * b, d[3] * b}));
}
static void depthToSpace(NodeImporter &n) { moveDepth(n, true); }
static void spaceToDepth(NodeImporter &n) { moveDepth(n, false); }

void registerShape(Registry &r) {
  r.add("Shape", shape);
  r.add("Size", size);
  r.add("Reshape", reshape);
  r.add("Squeeze", squeeze);
  r.add("Unsqueeze", unsqueeze);
  r.add("Flatten", flatten);
  r.add("Expand", expand);
  r.add("ConstantOfShape", constantOfShape);
  r.add("Constant", constant);
  r.add("Range", range);
  r.add("Tile", tileOneDim);
  r.add("Tile", 6, tile);
  r.add("EyeLike", eyeLike);
  r.add("Transpose", transpose);
  r.add("DepthToSpace", depthToSpace);
  r.add("SpaceToDepth", spaceToDepth);
}

} // namespace tenon::onnximport
